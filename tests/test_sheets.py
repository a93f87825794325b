"""Contact sheets."""

import itertools
import math

import pytest
import torch

from styler.errors import UsageError
from styler.report.sheets import GAP, LABEL, TITLE, contact_sheet, labelled_grid, unit_grid


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


def boxes(sheet: torch.Tensor, red: float) -> tuple[int, int, int, int]:
    """Where the red of a plain picture is: left, top, right, bottom."""
    wanted = torch.tensor([red, 0.0, 0.0]).view(3, 1, 1)
    found = ((sheet[0] - wanted).abs() < 2 / 255).all(0).nonzero()
    (top, left), (bottom, right) = found.amin(0).tolist(), found.amax(0).tolist()
    return left, top, right + 1, bottom + 1


def test_pictures_of_a_table_stand_below_and_beside_their_heads() -> None:
    cells = [[plain((1 + row * 3 + column) / 7, 30, 40) for column in range(3)] for row in range(2)]
    sheet = labelled_grid(["low", "high"], ["a", "b", "c"], cells, side=80)
    found = [[boxes(sheet, float(cell[0, 0, 0, 0])) for cell in row] for row in cells]
    for row in found:
        for left, top, right, bottom in row:
            assert (right - left, bottom - top) == (80, 60)
        assert len({top for _, top, _, _ in row}) == 1
        assert [right - left for (left, *_), (right, *_) in itertools.pairwise(row)] == [88, 88]
    (left, top, *_), (_, lower, *_) = found[0][0], found[1][0]
    assert lower - top == 60 + GAP
    for column in range(3):
        x = found[0][column][0]
        assert ink(sheet[0, :, :top, x + 30 : x + 50]), "in the middle above"
    for y in (top, lower):
        assert ink(sheet[0, :, y + 20 : y + 40, :left]), "in the middle at the left"
        assert not ink(sheet[0, :, y : y + 18, :left])
    assert sheet.shape[2:] == (lower + 60 + GAP, found[0][2][2] + GAP)


def test_where_there_is_no_picture_a_table_is_grey_and_may_say_why() -> None:
    sheet = labelled_grid(["x", "y"], ["1"], [[plain(1, 60, 80)], [""]], side=80)
    left, _, right, bottom = boxes(sheet, 1)
    missing = sheet[0, :, bottom + GAP : bottom + GAP + 60, left:right]
    torch.testing.assert_close(missing, torch.full((3, 60, 80), 224 / 255))
    said = labelled_grid(["x", "y"], ["1"], [[plain(1, 60, 80)], ["diverged"]], side=80)
    words = said[0, :, bottom + GAP : bottom + GAP + 60, left:right]
    assert float(words[:, 20:40].min()) < 0.5
    assert float(words[:, :15].min()) > 0.8
    alone = labelled_grid(["x"], ["1"], [["nothing"]], side=40)
    assert alone.shape[2] > 40


def test_smaller_pictures_of_a_table_are_enlarged_and_centred() -> None:
    sheet = labelled_grid(["x"], ["1", "2"], [[plain(1, 20, 40), plain(0.5, 40, 20)]], side=80)
    wide, tall = boxes(sheet, 1), boxes(sheet, 0.5)
    assert (wide[2] - wide[0], wide[3] - wide[1]) == (80, 40)
    assert (tall[2] - tall[0], tall[3] - tall[1]) == (40, 80)
    assert wide[1] - tall[1] == 20
    assert tall[0] - wide[2] == GAP + 20


def test_long_heads_are_wrapped_then_cut_inside_their_place() -> None:
    def head(text: str) -> torch.Tensor:
        return labelled_grid(["r"], [text, ""], [[plain(1), plain(1)]], side=64)

    short, long = head("abc"), head("relu1_1=1, relu2_1=1, relu3_1=1, relu4_1=1, relu5_1=1")
    line = LABEL + 4
    assert long.shape[2] - short.shape[2] == 2 * line, "three lines at most"
    left, top, _, _ = boxes(long, 1)
    assert ink(long[0, :, :top, left : left + 64])
    assert not ink(long[0, :, :top, left + 64 :])
    rows = labelled_grid(["style-loss gram\nstrength 0.2"], ["1"], [[plain(1)]], side=20)
    one = labelled_grid(["strength 0.2"], ["1"], [[plain(1)]], side=20)
    assert rows.shape[2] - one.shape[2] == line, "a row is as high as its head"
    wide = labelled_grid(["wide " * 40], ["1"], [[plain(1)]], side=20)
    assert wide.shape[3] < 260


def test_titles_of_a_table_have_room_of_their_own() -> None:
    cells = [[plain(1, 40, 40)] * 2]
    bare = labelled_grid(["x"], ["1", "2"], cells, side=40)
    named = labelled_grid(["x"], ["1", "2"], cells, side=40, column_title="scale", title="cat")
    assert named.shape[2] - bare.shape[2] == GAP + TITLE + LABEL + 4
    rowed = labelled_grid(["x"], ["1", "2"], cells, side=40, row_title="strength")
    assert rowed.shape[2] == bare.shape[2]
    assert rowed.shape[3] > bare.shape[3]
    long = labelled_grid(
        ["x"], ["1", "2"], cells, side=40, title="cat " * 90, column_title="z" * 90
    )
    assert long.shape == named.shape
    assert not ink(long[0, :, :, -GAP:])


@pytest.mark.parametrize(
    ("rows", "columns", "shape", "side"),
    [
        (0, 1, [], 40),
        (1, 0, [0], 40),
        (2, 2, [2], 40),
        (2, 2, [2, 1], 40),
        (1, 2, [3], 40),
        (1, 1, [1], 0),
    ],
)
def test_tables_that_cannot_be(rows: int, columns: int, shape: list[int], side: int) -> None:
    cells = [[plain(1)] * count for count in shape]
    with pytest.raises(UsageError, match="needs a cell for each and a side"):
        labelled_grid(["x"] * rows, ["y"] * columns, cells, side=side)
