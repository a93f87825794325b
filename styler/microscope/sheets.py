"""The patches of units on one sheet each, projections beside them, and small photographs."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from styler.attribution.pictures import normalised
from styler.effective import unit_gradients
from styler.features import Extractor
from styler.features.rectifiers import relu_rule
from styler.images import Picture, fit_long_side, read_picture, resize
from styler.microscope.pieces import PATCHES, PHOTOGRAPHS, UNITS, key_of, read_piece, write_piece
from styler.microscope.record import Sheet, Thumbnail
from styler.natural import on_grey
from styler.patches.crops import cut
from styler.patches.record import Box, Index, LayerRecord, Patch, Photograph, UnitRecord
from styler.patches.sources import has_changed
from styler.patches.view import view_of
from styler.report.thumbnails import shown
from styler.runtime import memory_errors_explained
from styler.transforms import GREY

CELL = 96
"""Pixels of a patch's side on a sheet."""
THUMBNAIL = 320
"""Pixels of a small photograph's longer side."""
BLOCK = 256
"""Units whose cells are in memory together: some 70 MB with nine patches each."""
QUALITY = 80
"""Of sheets and small photographs, of which a site has thousands."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """A unit's sheet.

    Args:
        record: the unit.
        sheet: what it is to be.
        path: its file.
        key: of what it is made from.
    """

    record: UnitRecord
    sheet: Sheet
    path: Path
    key: str

    @property
    def is_there(self) -> bool:
        """Whether it was made from the same before."""
        return read_piece(self.path, self.key) is not None


def sheet_jobs(
    folder: Path, stem: str, layer: LayerRecord, index: Index, projections: int
) -> list[Job]:
    """The sheets of a layer's units; those without patches have none.

    Args:
        folder: of the site.
        stem: what the layer's folder is called.
        layer: the layer.
        index: what photographs say.
        projections: of how many patches of a unit, at most. Units that see the whole picture have
            none: a deconvnet drops what is negative on the way down, and below global pooling
            next to nothing is left of them.
    """
    jobs = []
    if layer.sees is None:
        projections = 0
    columns = math.ceil(math.sqrt(index.k))
    for unit in layer.units:
        if not unit.patches:
            continue
        count = len(unit.patches)
        path = folder / UNITS / stem / f"{unit.unit}{PATCHES}"
        sheet = Sheet(
            file=path.relative_to(folder).as_posix(),
            rows=-(-index.k // columns),
            columns=columns,
            patches=count,
            projections=min(projections, count),
        )
        places = [
            (index.images[patch.image].sha256, patch.row, patch.column, _corners(patch.box))
            for patch in unit.patches
        ]
        made_with = [index.weights_sha256, index.precision, index.side, layer.layer, unit.unit]
        key = key_of(*made_with, places, sheet.projections, columns, CELL)
        jobs.append(Job(record=unit, sheet=sheet, path=path, key=key))
    return jobs


def make_sheets(
    jobs: Sequence[Job],
    layer: str,
    index: Index,
    images: Path,
    extractor: Extractor,
    *,
    told: Callable[[int], None] | None = None,
) -> None:
    """Make sheets, reading each photograph once for every `BLOCK` of them.

    Args:
        jobs: of one layer.
        layer: its name.
        index: what photographs say.
        images: folder of the photographs.
        extractor: the network, for projections.
        told: called after each photograph with the number of sheets that are done.

    Raises:
        ImageError: a photograph cannot be read any more.
        DeviceError: memory ran out.
        OutputError: a sheet cannot be written.
    """
    for start in range(0, len(jobs), BLOCK):
        block = _Block(jobs[start : start + BLOCK], layer, index, images, extractor)
        for _ in block.work():
            if told:
                told(start + block.done)


class _Block:
    """Some sheets whose cells are gathered photograph by photograph."""

    def __init__(
        self, jobs: Sequence[Job], layer: str, index: Index, images: Path, extractor: Extractor
    ) -> None:
        self._layer = layer
        self._index = index
        self._images = images
        self._extractor = extractor
        self._places: dict[int, list[tuple[Job, int]]] = defaultdict(list)
        self._sheets = {}
        self._missing = {}
        for job in jobs:
            for rank, patch in enumerate(job.record.patches):
                self._places[patch.image].append((job, rank))
            size = (job.sheet.rows * CELL, (job.sheet.columns + job.sheet.more) * CELL)
            self._sheets[job.path] = torch.full((3, *size), GREY)
            self._missing[job.path] = len(job.record.patches)
        self.done = 0

    def work(self) -> Iterator[int]:
        """Yields the number of each photograph after it was looked at."""
        for image in sorted(self._places):
            photograph = self._index.images[image]
            picture = _read(photograph, self._images)
            pixels = on_grey(picture.pixels, picture.alpha)
            some = []
            for job, rank in self._places[image]:
                box = job.record.patches[rank].box
                self._put(job, rank, 0, cut(pixels, box, photograph.part))
                if rank < job.sheet.projections:
                    some.append((job, rank))
            if some:
                self._project(some, picture, photograph)
            for job, _ in self._places[image]:
                self._missing[job.path] -= 1
                if not self._missing[job.path]:
                    sheet = self._sheets.pop(job.path)
                    write_piece(job.path, sheet[None], job.key, quality=QUALITY)
                    self.done += 1
            yield image

    def _put(self, job: Job, rank: int, first: int, part: Tensor) -> None:
        """Lay a patch into that part of its sheet that begins at a column."""
        across = job.sheet.more if first else job.sheet.columns
        row, column = divmod(rank, across)
        top, left = row * CELL, (first + column) * CELL
        self._sheets[job.path][:, top : top + CELL, left : left + CELL] = cell(part)[0]

    def _project(
        self, wanted: Sequence[tuple[Job, int]], picture: Picture, photograph: Photograph
    ) -> None:
        """Lay projections of some patches of a photograph into their sheets."""
        view = view_of(photograph)
        found = projections(
            self._extractor,
            view.show(picture),
            self._layer,
            [job.record.unit for job, _ in wanted],
            [job.record.patches[rank] for job, rank in wanted],
        )
        for (job, rank), gradient in zip(wanted, found, strict=True):
            box = in_view(job.record.patches[rank], photograph)
            self._put(job, rank, job.sheet.columns, projected(gradient, box))


def projections(
    extractor: Extractor,
    image: Tensor,
    layer: str,
    units: Sequence[int],
    patches: Sequence[Patch],
) -> Iterator[Tensor]:
    """What in an image excites units, as a deconvnet shows it.

    Args:
        extractor: the network.
        image: (1, 3, H, W) in [0, 1], as the network sees it.
        layer: canonical name.
        units: channels.
        patches: where each of them is looked at.

    Yields:
        (1, 3, H, W) for each unit, on the CPU.

    References:
        Zeiler & Fergus 2013, arXiv 1311.2901, section 2.1.
    """
    places = [(patch.row, patch.column) for patch in patches]
    with memory_errors_explained(extractor.device):
        for gradient in unit_gradients(
            extractor,
            image.to(extractor.device),
            layer,
            units,
            places,
            relu=relu_rule("deconv"),
        ):
            yield gradient.float().cpu()


def in_view(patch: Patch, photograph: Photograph) -> Box:
    """The box of a patch in pixels of what the network saw of its photograph."""
    top, left, bottom, right = photograph.part
    down = photograph.seen[0] / (bottom - top)
    across = photograph.seen[1] / (right - left)
    box = patch.box
    return Box(
        top=(box.top - top) * down,
        left=(box.left - left) * across,
        bottom=(box.bottom - top) * down,
        right=(box.right - left) * across,
    )


def cell(part: Tensor) -> Tensor:
    """A patch, as large as fits into a cell, in the middle of it.

    Args:
        part: (1, 3, h, w) in [0, 1].

    Returns:
        (1, 3, CELL, CELL), grey beside a part that is no square.

    Example:
        >>> cell(torch.ones(1, 3, 4, 8))[0, 0, [0, CELL // 2], 0]
        tensor([0.5000, 1.0000])
    """
    size = fit_long_side((part.shape[-2], part.shape[-1]), CELL)
    whole = torch.full((1, 3, CELL, CELL), GREY)
    top, left = (CELL - size[0]) // 2, (CELL - size[1]) // 2
    whole[..., top : top + size[0], left : left + size[1]] = resize(part, size)
    return whole


def projected(gradient: Tensor, box: Box) -> Tensor:
    """The part of a gradient in a box, as a picture in which grey is zero.

    Args:
        gradient: (1, 3, H, W).
        box: in its pixels.

    Returns:
        (1, 3, h, w) in [0, 1].
    """
    height, width = gradient.shape[-2:]
    largest = float(gradient.abs().max()) or 1.0
    part = cut(gradient / largest + GREY, box, (0, 0, height, width)) - GREY  # 0 beyond the border
    return 0.5 + 0.5 * normalised(part)


def _read(photograph: Photograph, images: Path) -> Picture:
    picture = read_picture(images / photograph.file)
    if picture.sha256 != photograph.sha256:
        raise has_changed(photograph.file)
    return picture


def _corners(box: Box) -> tuple[float, float, float, float]:
    return box.top, box.left, box.bottom, box.right


def make_thumbnails(
    folder: Path,
    index: Index,
    images: Path,
    *,
    told: Callable[[int, int], None] | None = None,
) -> Mapping[int, Thumbnail]:
    """Make small copies of the photographs that have a patch.

    Args:
        folder: of the site.
        index: what photographs say.
        images: folder of the photographs.
        told: called with how many are done, and of how many.

    Returns:
        By the number of the photograph.

    Raises:
        ImageError: a photograph cannot be read any more.
        OutputError: a copy cannot be written.
    """
    wanted = sorted(
        {p.image for layer in index.layers for unit in layer.units for p in unit.patches}
    )
    made = {}
    for number, image in enumerate(wanted):
        photograph = index.images[image]
        path = folder / PHOTOGRAPHS / f"{photograph.sha256[:16]}.jpg"
        key = key_of(photograph.sha256, THUMBNAIL)
        if read_piece(path, key) is None:
            picture = _read(photograph, images)
            small = shown(picture.pixels, picture.alpha, THUMBNAIL)
            write_piece(path, small, key, quality=QUALITY)
        size = fit_long_side(photograph.size, min(THUMBNAIL, max(photograph.size)))
        made[image] = Thumbnail(file=path.relative_to(folder).as_posix(), size=size)
        if told:
            told(number + 1, len(wanted))
    return made
