"""The pictures of a sweep on one sheet."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from styler.report.sheets import labelled_grid, unit_grid
from styler.styles.choice import blend_stem
from styler.sweep import SHEET_SIDE, Made, SweepJob
from styler.sweep_plan import Cell, Variation

ROW = 5
"""Pictures of a single variation that stand in one row; more make a grid."""
_GREY = 224 / 255


def sweep_sheet(job: SweepJob, made: Sequence[Made]) -> Tensor:
    """The pictures of a sweep on one sheet, with what was varied beside them.

    One variation makes a grid, two make rows and columns; of more, the last makes the columns and
    all combinations of the others the rows. Where there is no picture the sheet is grey.

    Args:
        job: the sweep.
        made: its pictures so far, at least one.

    Returns:
        (1, 3, H, W).
    """
    *over, last = job.variations
    title = f"{job.content.stem} + {blend_stem(job.styles)}"
    sides = [max(one.image.shape[-2:]) for one in made if one.image is not None]
    side = max(sides, default=SHEET_SIDE)
    cells: list[Tensor | str] = [""] * len(job.cells)
    for one in made:
        cells[one.cell.number] = "diverged" if one.image is None else one.image
    if not over:
        return _grid(last, cells, title, side)
    across = len(last.values)
    rows = [cells[start : start + across] for start in range(0, len(cells), across)]
    return labelled_grid(
        [_head(job.cells[start], over) for start in range(0, len(cells), across)],
        last.values,
        rows,
        row_title=over[0].name if len(over) == 1 else "",
        column_title=last.name,
        title=title,
        side=side,
    )


def _grid(varied: Variation, cells: Sequence[Tensor | str], title: str, side: int) -> Tensor:
    """The sheet of a single variation."""
    shapes = [cell.shape for cell in cells if not isinstance(cell, str)]
    blank = torch.full(shapes[0] if shapes else (1, 3, side, side), _GREY)
    labelled: list[tuple[str, Tensor]] = []
    for value, cell in zip(varied.values, cells, strict=True):
        label = f"{varied.name} {value}"
        if isinstance(cell, str):
            labelled.append((f"{label}: {cell}" if cell else label, blank))
        else:
            labelled.append((label, cell))
    columns = len(labelled) if len(labelled) <= ROW else None
    return unit_grid(labelled, columns=columns, side=side, title=title)


def _head(cell: Cell, over: Sequence[Variation]) -> str:
    """Of a row: the value, or a line for each of several."""
    if len(over) == 1:
        return cell.values[over[0].name]
    return "\n".join(f"{one.name} {cell.values[one.name]}" for one in over)
