"""One photograph, several methods: maps for programs, pictures and a sheet for people."""

from __future__ import annotations

import io
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from styler.attribution.files import AttributeJob, check_files, make_folder
from styler.attribution.gradients import pixel_gradient
from styler.attribution.methods import CAPTUM_METHODS, Attribution, Method, attribute
from styler.attribution.pictures import enlarged, picture_of
from styler.attribution.sampled import Progress, captum_attributions, square_count
from styler.attribution.targets import Target, find_target
from styler.errors import ImageError
from styler.features import Extractor
from styler.images import read_picture, resize, shrink, write_picture
from styler.images.output import write_atomically
from styler.natural import on_grey
from styler.report.sheets import contact_sheet
from styler.report.units import short_label

SHEET_HEIGHT = 240
"""Pixels of a picture on the sheet."""
SHEET_COLUMNS = 3
_LETTER = 9
"""Pixels that a letter of a label takes, about."""
MOST_PIXELS = 2**21
"""Pixels that a network is shown at most: gradients keep all layers in memory."""


@dataclass(frozen=True, kw_only=True)
class PreparedAttribution:
    """A job whose photograph is read and whose target is found.

    Args:
        job: the job.
        extractor: the network.
        photograph: (1, 3, H, W), on grey where it is transparent.
        seen: (1, 3, h, w), as the network sees it, on its device.
        target: what is explained.
    """

    job: AttributeJob
    extractor: Extractor
    photograph: Tensor
    seen: Tensor
    target: Target


@dataclass(frozen=True, kw_only=True)
class Explained:
    """A method's files.

    Args:
        found: the attribution.
        picture: its picture's file.
        array: its map's file.
        seconds: that the method took.
    """

    found: Attribution
    picture: Path
    array: Path
    seconds: float


def prepare(job: AttributeJob, load: Callable[[], Extractor]) -> PreparedAttribution:
    """Read the photograph and find the target; everything that can be refused is refused here.

    Args:
        job: what to explain.
        load: gives the network; called last.

    Raises:
        UsageError: one file for several methods.
        OutputError: a file could not be written, is there already, or is the photograph itself.
        ImageError: the photograph cannot be read or does not fit the network.
        ConfigError: the target does not exist, or Captum is missing.
    """
    if not CAPTUM_METHODS.isdisjoint(job.methods):
        captum_attributions()
    check_files(job)
    picture = read_picture(job.image)
    photograph = on_grey(picture.pixels, picture.alpha)
    extractor = load()
    size = seen_size(picture.size, extractor, job.config.side)
    seen = resize(photograph, size).to(extractor.device)
    return PreparedAttribution(
        job=job,
        extractor=extractor,
        photograph=photograph,
        seen=seen,
        target=find_target(job.target, seen, extractor),
    )


def seen_size(size: tuple[int, int], extractor: Extractor, side: int | None) -> tuple[int, int]:
    """The size at which a network is shown a photograph.

    Args:
        size: (height, width) of the photograph.
        extractor: the network. One that takes squares of one size alone is shown the photograph
            squeezed into it, all of it.
        side: of the shorter side; None for the network's native side.

    Returns:
        (height, width) with the photograph's aspect.

    Raises:
        ImageError: more than `MOST_PIXELS`, of a photograph that is very long or a very large side.

    Example:
        >>> from styler.features import load_extractor
        >>> seen_size((3000, 4000), load_extractor("vgg-lite"), None)
        (224, 299)
    """
    if extractor.input_size:
        return extractor.input_size, extractor.input_size
    factor = (side or extractor.native_side) / min(size)
    height, width = (max(1, round(length * factor)) for length in size)
    if math.prod((height, width)) > MOST_PIXELS:
        raise ImageError(
            f"the network would see {width}×{height} pixels, more than {MOST_PIXELS:,}",
            "set a smaller --size, or crop the picture",
        )
    return height, width


def explain(
    prepared: PreparedAttribution, method: Method, progress: Progress | None = None
) -> Explained:
    """Apply one method, and write its picture and its map, at the photograph's size.

    Args:
        prepared: the job.
        method: one of its methods.
        progress: see `Progress`.

    Raises:
        ConfigError: the method does not fit the network, or Captum is missing.
        DeviceError: memory ran out.
        OutputError: a file cannot be written.
    """
    job = prepared.job
    started = time.monotonic()
    found = attribute(
        prepared.seen, prepared.extractor, prepared.target, method, job.config, progress=progress
    )
    seconds = time.monotonic() - started
    make_folder(job.folder)
    size = (prepared.photograph.shape[-2], prepared.photograph.shape[-1])
    buffer = io.BytesIO()
    np.save(buffer, enlarged(found.map, size)[0, 0].numpy())
    write_atomically(job.array(method), buffer.getvalue())
    write_picture(
        job.picture(method),
        picture_of(found, prepared.photograph),
        overwrite=True,  # what must not be replaced was refused before the work
    )
    return Explained(
        found=found, picture=job.picture(method), array=job.array(method), seconds=seconds
    )


def estimate(prepared: PreparedAttribution) -> float:
    """Seconds that all methods of a job will take, going by one gradient."""
    job = prepared.job
    size = (prepared.seen.shape[-2], prepared.seen.shape[-1])
    passes = {
        "smoothgrad": job.config.samples,
        "integrated": job.config.steps,
        "occlusion": square_count(size, job.config) / 3,  # without the way back
    }
    started = time.monotonic()
    pixel_gradient(prepared.seen, prepared.extractor, prepared.target)
    pace = time.monotonic() - started
    return pace * sum(passes.get(method, 1) for method in job.methods)


def write_sheet(prepared: PreparedAttribution, explained: Sequence[Explained]) -> Path | None:
    """Write the photograph and the pictures of all methods on one sheet.

    Returns:
        Its file, or None of a job with one method.

    Raises:
        OutputError: it cannot be written.
    """
    path = prepared.job.sheet
    if path is None:
        return None
    height, width = prepared.photograph.shape[-2:]
    small = shrink(prepared.photograph, 2 * SHEET_HEIGHT * max(height, width) // height)
    letters = max(4, SHEET_HEIGHT * width // height // _LETTER)
    label = short_label(prepared.target.name)
    cells = [(label if len(label) <= letters else f"{label[: letters - 1]}…", small)]
    cells += [(one.found.method, picture_of(one.found, small)) for one in explained]
    rows = [cells[at : at + SHEET_COLUMNS] for at in range(0, len(cells), SHEET_COLUMNS)]
    make_folder(path.parent)
    write_picture(path, contact_sheet(rows, SHEET_HEIGHT), overwrite=True)
    return path
