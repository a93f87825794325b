"""Statistics and strongest places of a layer: against plain formulas, in any order."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from styler.patches.look import BINS, bin_edges, count_bins, look_at
from styler.patches.tally import Reach, Tally

MAPS = st.lists(st.lists(st.integers(-2, 5), min_size=12, max_size=12), min_size=1, max_size=6)


def as_map(values: list[int], channels: int = 2) -> Tensor:
    """(1, channels, 2, 12 / channels / 2), in the layout that networks give."""
    found = torch.tensor(values, dtype=torch.float32).view(1, channels, 2, -1)
    return found.contiguous(memory_format=torch.channels_last)


def brute(maps: list[Tensor], channel: int, k: int) -> list[tuple[float, int, int, int]]:
    """The k strongest places, one of each map, by plain sorting."""
    best = []
    for image, found in enumerate(maps):
        places = [
            (-float(found[0, channel, row, column]), image, row, column)
            for row in range(found.shape[2])
            for column in range(found.shape[3])
        ]
        value, *place = min(places)
        if value != 0:
            best.append((value, *place))
    return [(-value, *place) for value, *place in sorted(best)[:k]]  # type: ignore[misc]


@given(MAPS, st.randoms(use_true_random=False), st.integers(1, 4))
@settings(deadline=None)
def test_the_strongest_places_are_those_of_a_plain_sort_in_any_order(
    lists: list[list[int]], chance: object, k: int
) -> None:
    maps = [as_map(values) for values in lists]
    order = list(range(len(maps)))
    chance.shuffle(order)  # type: ignore[attr-defined]
    tally = Tally(2, k)
    for image in order:
        tally.add(look_at(maps[image]), image)
    for channel in range(2):
        assert tally.places(channel) == brute(maps, channel, k)


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=40), st.randoms())
@settings(deadline=None)
def test_the_mean_is_exact_and_the_same_in_any_order(values: list[float], chance: object) -> None:
    exact = sum(map(Fraction, values)) / len(values)
    shuffled = list(values)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    means = []
    for some in (values, shuffled):
        tally = Tally(1, 1)
        for image, value in enumerate(some):
            tally.add(look_at(torch.tensor([[value]])), image)
        means.append(tally.mean(0))
    assert means[0] == means[1]
    assert means[0] == pytest.approx(float(exact), rel=1e-12, abs=1e-11)


@given(st.lists(st.floats(0, 2.0**18, width=32), min_size=1, max_size=60))
@settings(deadline=None)
def test_the_histogram_is_that_of_numpy(values: list[float]) -> None:
    edges = np.array([*bin_edges(), np.inf])
    edges[0] = np.nextafter(np.float32(0), np.float32(1))  # the first takes all that is above 0
    expected, _ = np.histogram(np.array(values), edges)
    counts = count_bins(torch.tensor(values, dtype=torch.float32)[:, None])
    assert counts.shape == (1, BINS)
    assert counts[0].tolist() == expected.tolist()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_a_look_in_any_precision_and_layout(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(1, 7, 9, 11, generator=generator).to(dtype)
    laid = features.contiguous(memory_format=torch.channels_last)
    found, other = look_at(laid), look_at(features)
    assert torch.equal(found.peaks, features.double().amax((0, 2, 3)))
    assert torch.allclose(found.sums, features.double().sum((0, 2, 3)), rtol=1e-12)
    assert found.positions == 99
    assert torch.equal(found.bins.sum(1), (features > 0).sum((0, 2, 3)))
    assert torch.equal(found.bins, other.bins)
    assert torch.equal(look_at(laid, [4, 1]).peaks, found.peaks[[4, 1]])


def test_statistics_of_a_large_map_are_of_a_regular_choice_but_the_peak_is_not() -> None:
    features = torch.zeros(1, 1, 130, 40)
    features[0, 0, 0, 39] = 8.0
    features[0, 0, 1::3] = 1.0  # the rows that are chosen of 130
    found = look_at(features)
    assert found.peaks.item() == 8
    assert found.positions == 43 * 40
    assert found.sums.item() == found.positions


def test_nothing_that_is_no_number_counts() -> None:
    for bad in (float("nan"), float("inf"), float("-inf")):
        assert not look_at(torch.tensor([[[[1.0, bad]]]])).is_finite


def test_a_unit_that_fired_in_two_photographs_has_two_places() -> None:
    tally = Tally(1, 9)
    for image, value in enumerate([0.0, 2.0, 0.0, 1.0]):
        tally.add(look_at(torch.full((1, 1, 3, 3), value)), image)
    assert tally.places(0) == [(2.0, 1, 0, 0), (1.0, 3, 0, 0)]


def test_negative_values_are_places_of_a_layer_that_is_not_rectified() -> None:
    tally = Tally(1, 9)
    for image, value in enumerate([-3.0, -1.0]):
        tally.add(look_at(torch.tensor([[value]])), image)
    assert tally.places(0) == [(-1.0, 1, 0, 0), (-3.0, 0, 0, 0)]
    assert tally.peaks[0] == -1


def test_several_places_of_a_photograph_share_at_most_half_of_their_fields() -> None:
    values = torch.tensor([9.0, 8.0, 7.0, 6.0, 5.0, 4.0]).view(1, 1, 1, 6)
    # Fields of 4×4 pixels, 1 apart: two columns apart they share half.
    reach = Reach(field=(4, 4), jump=(1, 1))
    tally = Tally(1, 9)
    tally.add(look_at(values), 0, number=9, reach=reach)
    assert [place[3] for place in tally.places(0)] == [0, 2, 4]


def test_no_more_places_of_a_photograph_than_are_asked_for_or_excite() -> None:
    values = torch.tensor([5.0, 0.0, -1.0, 7.0]).view(1, 1, 1, 4)
    reach = Reach(field=(1, 1), jump=(1, 1))
    tally = Tally(1, 9)
    tally.add(look_at(values), 4, number=9, reach=reach)
    assert tally.places(0) == [(7.0, 4, 0, 3), (5.0, 4, 0, 0)]
    one = Tally(1, 9)
    one.add(look_at(values), 4, number=1, reach=reach)
    assert one.places(0) == [(7.0, 4, 0, 3)]


def test_a_tally_survives_packing() -> None:
    tally = Tally(2, 3)
    for image, values in enumerate([[1, 2, 3, 4, 5, 6, 0, 0, 0, 0, 0, 1], [2] * 12]):
        tally.add(look_at(as_map(values)), image)
    again = Tally.unpack(tally.pack())
    assert again.places(0) == tally.places(0)
    assert again.mean(1) == tally.mean(1)
    again.renumber([5, 9])
    assert {place[1] for place in again.places(0)} == {5, 9}
    assert {place[1] for place in tally.places(0)} == {0, 1}
    with pytest.raises(ValueError, match="missing"):
        Tally.unpack({"values": torch.zeros(2, 3)})
