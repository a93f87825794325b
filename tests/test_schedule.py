"""Scales and steps."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from styler.config import ScheduleConfig
from styler.schedule import output_size, plan_levels


def test_crowson_scales() -> None:
    config = ScheduleConfig(size=512, min_side=128, factor=2**0.5, steps=(1000, 500))
    levels = plan_levels((768, 1024), config)
    assert [max(level.size) for level in levels] == [128, 181, 256, 362, 512]
    assert [level.steps for level in levels] == [1000, 500, 500, 500, 500]


def test_own_size_is_kept_exactly_when_below_the_limit() -> None:
    levels = plan_levels((301, 451), ScheduleConfig())
    assert levels[-1].size == (301, 451)
    assert output_size((301, 451), ScheduleConfig()) == (301, 451)


def test_large_contents_are_optimised_smaller_but_written_at_their_size() -> None:
    config = ScheduleConfig(max_side=512)
    assert plan_levels((3000, 4000), config)[-1].size == (384, 512)
    assert output_size((3000, 4000), config) == (3000, 4000)


def test_short_edge_and_one_scale() -> None:
    config = ScheduleConfig(size=512, edge="short", scales=1, steps=(500,))
    (level,) = plan_levels((600, 900), config)
    assert (level.size, level.steps) == ((512, 768), 500)
    assert output_size((600, 900), config) == (512, 768)


@given(
    height=st.integers(16, 3000),
    width=st.integers(16, 3000),
    size=st.none() | st.integers(16, 2048),
    factor=st.floats(1.1, 4),
)
def test_scales_grow_and_end_at_the_size_asked_for(
    height: int, width: int, size: int | None, factor: float
) -> None:
    config = ScheduleConfig(size=size, factor=factor)
    levels = plan_levels((height, width), config)
    sides = [max(level.size) for level in levels]
    assert sides == sorted(sides)
    assert sides[-1] == (size or min(max(height, width), config.max_side))
    assert all(side >= config.min_side - 1 for side in sides[:-1])


@pytest.mark.parametrize("long_side", [256, 512, 1024, 2048])
def test_scales_are_fractions_of_the_result(long_side: int) -> None:
    levels = plan_levels((300, 400), ScheduleConfig(size=long_side))
    fractions = [max(level.size) / long_side for level in reversed(levels)]
    assert fractions == [0.5**i for i in range(len(levels))]
