"""Contact sheets."""

import math

import pytest
import torch

from styler.errors import UsageError
from styler.report.sheets import GAP, LABEL, TITLE, contact_sheet, unit_grid


def test_pictures_stand_in_rows_with_labels_below() -> None:
    red, blue = torch.zeros(1, 3, 40, 60), torch.zeros(1, 3, 20, 20)
    red[:, 0], blue[:, 2] = 1, 1
    sheet = contact_sheet([[("one", red), ("two", blue)], [("three", blue)]], height=80)
    assert sheet[0, :, GAP, GAP].tolist() == [1, 0, 0]
    assert sheet[0, :, GAP, 2 * GAP + 120].tolist() == [0, 0, 1]  # 60×40 has become 120×80
    below = sheet[0, :, GAP + 80 : GAP + 80 + 24, GAP : GAP + 60]
    assert float(below.min()) < 0.2  # letters
    assert sheet[0, :, GAP, -1].tolist() == [1, 1, 1]


def test_an_empty_sheet_is_refused() -> None:
    with pytest.raises(UsageError, match="at least one"):
        contact_sheet([[]])


def plain(red: float, height: int = 6, width: int = 6) -> torch.Tensor:
    return torch.tensor([red, 0.0, 0.0]).view(1, 3, 1, 1).expand(1, 3, height, width)


def ink(area: torch.Tensor) -> bool:
    return float(area.min()) < 0.3


def test_cells_of_a_grid_are_equal_and_stand_row_by_row() -> None:
    cells = [(str(number), plain(number / 5)) for number in range(5)]
    grid = unit_grid(cells, columns=3, side=40)
    line = 40 + LABEL + 2 * GAP
    assert grid.shape == (1, 3, GAP + 2 * line, GAP + 3 * (40 + GAP))
    for number in range(5):
        x, y = GAP + number % 3 * (40 + GAP), GAP + number // 3 * line
        cell = grid[0, :, y : y + 40, x : x + 40]
        torch.testing.assert_close(cell[0], torch.full((40, 40), number / 5))
        assert ink(grid[0, :, y + 40 : y + 40 + LABEL + GAP, x : x + 40])
    empty = grid[0, :, GAP + line :, GAP + 2 * (40 + GAP) :]
    assert float(empty.min()) == 1


@pytest.mark.parametrize("shape", [(20, 10), (10, 20), (2000, 1)])
def test_a_picture_that_is_not_square_is_whole_and_centred(shape: tuple[int, int]) -> None:
    cell = unit_grid([("", plain(0, *shape))], side=40)[0, :, GAP : GAP + 40, GAP : GAP + 40]
    rows, columns = (cell.amin(axis) for axis in ((0, 2), (0, 1)))
    heights, widths = int((rows < 0.5).sum()), int((columns < 0.5).sum())
    assert (heights, widths) == tuple(max(1, side * 40 // max(shape)) for side in shape)
    middle = (40 - min(heights, widths)) // 2
    first = min(int((rows < 0.5).nonzero()[0]), int((columns < 0.5).nonzero()[0]))
    last = max(int((rows < 0.5).nonzero()[0]), int((columns < 0.5).nonzero()[0]))
    assert (first, last) == (0, middle)


def test_long_labels_end_in_an_ellipsis_inside_the_cell() -> None:
    def label(text: str) -> torch.Tensor:
        grid = unit_grid([(text, plain(1)), ("", plain(1))], columns=2, side=64)
        return grid[0, :, GAP + 64 :, GAP:]

    cut = label("red-breasted merganser")
    assert ink(cut)
    assert not ink(cut[..., 64:])
    assert torch.equal(cut, label("red-brea…"))
    assert torch.equal(label("red        breasted"), label("red…"))
    assert not torch.equal(label("crane"), label("cran…"))
    narrow = unit_grid([("wide", plain(1))], side=1)
    assert narrow.shape == (1, 3, GAP + 1 + LABEL + 2 * GAP, 1 + 2 * GAP)


@pytest.mark.parametrize(("count", "side"), [(1, 48), (2, 48), (7, 48), (24, 96), (100, 32)])
def test_a_grid_is_about_three_to_two(count: int, side: int) -> None:
    height, width = unit_grid([("", plain(1))] * count, side=side).shape[2:]
    others = [
        unit_grid([("", plain(1))] * count, side=side, columns=columns).shape[2:]
        for columns in range(1, min(count, 30) + 1)
    ]
    distance = min(abs(math.log(w / h / 1.5)) for h, w in others)
    assert abs(math.log(width / height / 1.5)) <= distance + 0.1
    if count > 20:
        assert 1.2 < width / height < 1.9


def test_a_title_stands_above_the_grid() -> None:
    cells = [("a", plain(1)), ("b", plain(1))]
    without = unit_grid(cells, columns=2, side=80)
    titled = unit_grid(cells, columns=2, side=80, title="mixed4a")
    above = titled.shape[2] - without.shape[2]
    assert above == GAP + TITLE
    assert torch.equal(titled[:, :, above + GAP :], without[:, :, GAP:])
    assert ink(titled[0, :, :above, : GAP + 80])
    long = unit_grid(cells, columns=2, side=80, title="mixed4a " * 20)
    assert long.shape == titled.shape
    assert not ink(long[0, :, :above, -GAP:])


@pytest.mark.parametrize(
    ("count", "columns", "side"), [(0, None, 40), (1, 0, 40), (1, -1, 40), (1, None, 0)]
)
def test_grids_that_cannot_be(count: int, columns: int | None, side: int) -> None:
    with pytest.raises(UsageError, match="a grid needs cells, columns and a side"):
        unit_grid([("", plain(1))] * count, columns=columns, side=side)
