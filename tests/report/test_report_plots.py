"""Curves and histograms as SVG."""

import math
import re

import pytest

from styler.report.plots import BARS, CURVE, POINTS, curve, duration, histogram


def drawn(points: str) -> list[tuple[int, int]]:
    return [(int(x), int(y)) for x, y in (point.split(",") for point in points.split())]


def test_a_curve_of_powers_falls_in_a_straight_line() -> None:
    line = drawn(curve([(step, 2.0**-step) for step in range(11)]))
    width, height = CURVE
    assert (line[0], line[-1]) == ((0, 2), (width, height - 2))
    for step, (x, y) in enumerate(line):
        assert (x, y) == (20 * step, round(2 + 5.6 * step))


def test_a_curve_that_reaches_zero_is_linear() -> None:
    assert drawn(curve([(0, 4.0), (1, 2.0), (2, 0.0)])) == [(0, 2), (100, 30), (200, 58)]
    assert drawn(curve([(0, -1.0), (1, 3.0)])) == [(0, 58), (200, 2)]


def test_a_level_curve_is_in_the_middle() -> None:
    assert drawn(curve([(0, 3.0), (10, 3.0)])) == [(0, 30), (200, 30)]


def test_long_curves_keep_their_ends() -> None:
    line = drawn(curve([(step, 1000.0 - step) for step in range(1000)]))
    assert len(line) == POINTS
    assert (line[0], line[-1]) == ((0, 2), (200, 58))
    assert line == sorted(line)


def test_what_is_not_finite_is_no_part_of_a_curve() -> None:
    gaps = [(0, 1.0), (1, math.nan), (2, math.inf), (3, 100.0)]
    assert drawn(curve(gaps)) == [(0, 58), (200, 2)]
    assert curve(gaps[:3]) == ""
    assert curve([]) == ""


def counts(svg: str) -> list[int]:
    return [int(count) for count in re.findall(r": (\d+) jobs</title>", svg)]


@pytest.mark.parametrize("longest", [2.0, 10.0, 1e5])
def test_every_time_stands_in_one_bar(longest: float) -> None:
    times = [1 + (longest - 1) * (n / 999) ** 3 for n in range(1000)]
    bars = counts(histogram(times))
    assert sum(bars) == 1000
    assert 1 < len(bars) <= BARS


def test_bars_are_as_high_as_their_counts() -> None:
    svg = histogram([1.0] * 6 + [2.0] * 3)
    heights = [float(height) for height in re.findall(r'<rect [^>]*height="([\d.]+)"', svg)]
    assert counts(svg) == [6, 3]
    assert heights == [84, 42]


def test_widely_spread_times_have_bars_of_equal_ratios() -> None:
    titles = re.findall(r"<title>([^<]+): ", histogram([10.0, 100.0, 1000.0, 1000.0]))
    assert titles == ["10 s to 1:40 min", "1:40 min to 16:40 min"]
    titles = re.findall(r"<title>([^<]+): ", histogram([10.0, 20.0, 30.0, 40.0]))
    assert titles == ["10 s to 25 s", "25 s to 40 s"]


def test_equal_times_make_one_bar_and_none_make_nothing() -> None:
    assert counts(histogram([0.0, 0.0])) == [2]
    assert counts(histogram([5.0])) == [1]
    assert histogram([]) == histogram([math.nan, -1.0]) == ""


def test_words_are_escaped() -> None:
    svg = histogram([1.0], noun='"<b>"')
    assert 'aria-label="&quot;&lt;b&gt;&quot; by time: 1, median 1.0 s"' in svg
    assert "<b>" not in svg


def test_durations_at_the_borders() -> None:
    assert [duration(seconds) for seconds in (0, 9.94, 9.96, 59.4, 59.6, 3599.4, 3599.6)] == [
        "0.0 s",
        "9.9 s",
        "10 s",
        "59 s",
        "1:00 min",
        "59:59 min",
        "1:00 h",
    ]
