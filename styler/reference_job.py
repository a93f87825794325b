"""A picture inverted or caricatured at layers: from a file to files, with recipes inside."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from styler.caricature import caricature_term
from styler.config import VisualizeConfig
from styler.engine import Callback
from styler.errors import UsageError
from styler.features import Extractor
from styler.images import Picture, check_output, read_picture
from styler.invert import inversion_term
from styler.reference import LayerPicture, ReferenceProblem, default_layers
from styler.reference_files import ReferenceJob, Shelf, sheet_subject
from styler.report.provenance import Outcome, Recipe, config_record
from styler.report.sheets import contact_sheet
from styler.results import check_folder, make_recipe, refuse_source, save

SHEET_ROW = 6
"""Pictures in a row of the sheet."""
SHEET_SIDE = 320
"""Height, in pixels, of the pictures on the sheet at most."""


@dataclass(frozen=True, kw_only=True)
class Made:
    """The picture of one layer.

    Args:
        layer: canonical name.
        path: its file; None when it is on the sheet alone.
        recipe: what it carries.
        image: (1, 3, H, W) sRGB in [0, 1].
        earlier: whether it was there already.
        notices: what a person should know about the file.
    """

    layer: str
    path: Path | None
    recipe: Recipe
    image: Tensor
    earlier: bool = False
    notices: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class PreparedReference:
    """A job whose picture is read and whose network is loaded.

    Args:
        job: the job.
        image: as read.
        extractor: the network.
        layers: canonical names of all layers.
        there: the pictures that need not be made again.
        problem: of the other layers, ready to be solved; None when there are none.
        replaceable: files that may be replaced.
        sheet_stands: whether the sheet is there already.
    """

    job: ReferenceJob
    image: Picture
    extractor: Extractor
    layers: tuple[str, ...]
    there: Mapping[str, Made]
    problem: ReferenceProblem | None
    replaceable: frozenset[Path]
    sheet_stands: bool


def prepare(job: ReferenceJob, load: Callable[[VisualizeConfig], Extractor]) -> PreparedReference:
    """Read the picture and load the network; everything that can be refused is refused here.

    Args:
        job: what to make.
        load: gives the extractor.

    Raises:
        UsageError: several layers for one file.
        OutputError: a file could not be written, is in the way, or is the picture itself.
        ImageError: the picture cannot be read or is too small for a layer.
        ConfigError: an unknown layer, or settings that make no sense here.
        BackboneError, DeviceError: from the network.
    """
    config = job.resolved.config
    if job.single:
        refuse_source(job.output, {"image": job.image})
        check_output(job.output, overwrite=job.overwrite or job.resume)
    else:
        check_folder(job.output)
    image = read_picture(job.image)
    extractor = load(config)
    layers = tuple(extractor.resolve(job.layers) or default_layers(extractor))
    if job.single and len(layers) > 1 and not job.sheet_only:
        raise UsageError(
            f"{len(layers)} pictures cannot all be {job.output}", "name one layer, or a folder"
        )
    shelf = Shelf(job, image, extractor, layers)
    there = {layer: _earlier(job, layer, recipe) for layer, recipe in shelf.finished().items()}
    missing = [layer for layer in layers if layer not in there]
    replaceable = shelf.replaceable(missing)
    problem = None
    if missing:
        term = inversion_term if job.kind == "invert" else caricature_term(config)
        problem = ReferenceProblem(image.pixels, missing, extractor, config, term)
    return PreparedReference(
        job=job,
        image=image,
        extractor=extractor,
        layers=layers,
        there=there,
        problem=problem,
        replaceable=replaceable,
        sheet_stands=not missing and shelf.sheet_stands(),
    )


def _earlier(job: ReferenceJob, layer: str, recipe: Recipe) -> Made:
    path = job.file(layer)
    assert path is not None  # it has just been read
    image = read_picture(path).pixels
    return Made(layer=layer, path=path, recipe=recipe, image=image, earlier=True)


def run(
    prepared: PreparedReference,
    *,
    told: Callable[[Made], None] | None = None,
    callbacks: Sequence[Callback] = (),
    should_stop: Callable[[int], bool] | None = None,
) -> list[Made]:
    """Make the pictures, write each as soon as it is there, and the sheet of all.

    Args:
        prepared: from `prepare`.
        told: called with each picture as soon as it is written.
        callbacks: called after steps; see `ReferenceProblem.solve`.
        should_stop: asked after each step; True ends the run, and what there is is written.

    Returns:
        In the order of the layers, those that were there among them; fewer when it was stopped.

    Raises:
        DivergedError, DeviceError: from the optimisation; pictures written before stay.
        OutputError: a picture cannot be written where it should be; its hint says where it is.
    """
    made = dict(prepared.there)

    def take(picture: LayerPicture) -> None:
        made[picture.layer] = _write(prepared, picture)
        if told is not None:
            told(made[picture.layer])

    if prepared.problem is not None:
        prepared.problem.solve(done=take, callbacks=callbacks, should_stop=should_stop)
    pictures = [made[layer] for layer in prepared.layers if layer in made]
    if prepared.job.sheet is not None and pictures and not prepared.sheet_stands:
        _write_sheet(prepared, prepared.job.sheet, pictures)
    return pictures


def _write(prepared: PreparedReference, picture: LayerPicture) -> Made:
    """Write the picture of a layer with its recipe."""
    job, size = prepared.job, (picture.image.shape[-2], picture.image.shape[-1])
    path = job.file(picture.layer)
    recipe = make_recipe(
        job.kind,
        output=path or job.output,
        pictures={"image": prepared.image},
        size=size,
        bit_depth=8,
        extractor=prepared.extractor,
        run=picture.run,
        resolved=job.resolved,
    )
    losses = {**recipe.outcome.losses, **dataclasses.asdict(picture.likeness)}
    recipe = dataclasses.replace(
        recipe, subject=picture.layer, outcome=dataclasses.replace(recipe.outcome, losses=losses)
    )
    notices = _save(prepared, path, picture.image, recipe) if path is not None else []
    return Made(
        layer=picture.layer,
        path=path,
        recipe=recipe,
        image=picture.image,
        notices=tuple(notices),
    )


def _save(prepared: PreparedReference, path: Path, image: Tensor, recipe: Recipe) -> list[str]:
    """Write a picture, in a folder that may not be there yet."""
    with contextlib.suppress(OSError):  # then writing says what is wrong, and saves the picture
        path.parent.mkdir(parents=True, exist_ok=True)
    overwrite = path in prepared.replaceable
    return save(path, image, like=None, recipe=recipe, overwrite=overwrite)


def _write_sheet(prepared: PreparedReference, path: Path, pictures: Sequence[Made]) -> None:
    """The original and all pictures, labelled; its recipe makes them all again."""
    size = (pictures[0].image.shape[-2], pictures[0].image.shape[-1])
    cells = [("original", prepared.image.pixels), *((p.layer, p.image) for p in pictures)]
    rows = [cells[at : at + SHEET_ROW] for at in range(0, len(cells), SHEET_ROW)]
    sheet = contact_sheet(rows, min(size[0], SHEET_SIDE))
    recipe = dataclasses.replace(
        pictures[-1].recipe,
        subject=sheet_subject(prepared.layers),
        size=(sheet.shape[-2], sheet.shape[-1]),
        config=config_record(prepared.job.resolved),
        origins=prepared.job.resolved.origins,
        outcome=_joined(prepared, [picture.recipe.outcome for picture in pictures], pictures),
    )
    _save(prepared, path, sheet, recipe)


def _joined(
    prepared: PreparedReference, outcomes: Sequence[Outcome], pictures: Sequence[Made]
) -> Outcome:
    """How all runs together went; of the losses, the error of each layer."""
    return Outcome(
        done=sum(outcome.done for outcome in outcomes),
        planned=len(prepared.layers) * prepared.job.resolved.config.schedule.steps,
        evaluations=sum(outcome.evaluations for outcome in outcomes),
        recoveries=sum(outcome.recoveries for outcome in outcomes),
        seconds=round(sum(outcome.seconds for outcome in outcomes), 2),
        losses={p.layer: p.recipe.outcome.losses["error"] for p in pictures},
        trace=[],
    )
