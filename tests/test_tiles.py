"""Tiles cover a map, and their margins are on its grid."""

from hypothesis import given, settings
from hypothesis import strategies as st

from styler.features.segments import Reach
from styler.tiles import spans, tiles


@settings(max_examples=200, deadline=None)
@given(
    length=st.integers(1, 500),
    side=st.integers(1, 200),
    grid=st.sampled_from([1, 2, 4, 16, 24]),
    before=st.integers(0, 90),
    after=st.integers(0, 90),
)
def test_spans_cover_the_axis_once_and_show_what_units_see(
    length: int, side: int, grid: int, before: int, after: int
) -> None:
    found = spans(length, side, Reach(grid=grid, before=before, after=after))
    assert [span.start for span in found] == [0, *(span.stop for span in found[:-1])]
    assert found[-1].stop == length
    for span in found:
        assert span.start < span.stop
        assert span.start % grid == 0
        assert span.from_ % grid == 0
        assert span.from_ == 0 or span.from_ <= span.start - before
        assert span.to == length or span.to >= span.stop + after
        assert span.stop - span.start <= max(side, grid) + grid
        # A layer's units, counted in the whole map and in what is shown, are the same.
        own, shown = span.own(grid), span.own_shown(grid)
        assert own.start * grid == span.start
        assert shown.start * grid + span.from_ == span.start
        assert (own.stop is None) == (shown.stop is None) == (span.stop == length)
        if own.stop is not None:
            assert own.stop - own.start == shown.stop - shown.start


def test_tiles_go_row_by_row() -> None:
    reach = Reach(grid=1, before=0, after=0)
    found = [(tile.y.start, tile.x.start) for tile in tiles((4, 6), 3, (reach, reach))]
    assert found == [(0, 0), (0, 3), (2, 0), (2, 3)]
