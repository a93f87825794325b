"""How attributions are shown: colours that rise evenly, heat where it belongs, grey for zero."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from styler.attribution import Attribution, Method, Target
from styler.attribution.pictures import enlarged, heat_colours, normalised, picture_of
from styler.color.oklab import to_oklab
from styler.errors import UsageError

TARGET = Target(name="x:0", layer="x", channel=0, place=None, score=1.0)
PHOTOGRAPH = torch.rand(1, 3, 20, 30, generator=torch.Generator().manual_seed(0))


def shown(values: Tensor, method: Method = "gradcam", *, signed: bool = False) -> Tensor:
    raw = values.expand(1, 3, -1, -1) if method in ("guided", "deconv") else None
    found = Attribution(method=method, map=values, raw=raw, signed=signed, target=TARGET)
    return picture_of(found, PHOTOGRAPH)


def lab(picture: Tensor) -> Tensor:
    return to_oklab(picture)[0]


def test_colours_rise_evenly_in_lightness_and_differ_evenly() -> None:
    colours = heat_colours()
    values = lab(colours.T.reshape(1, 3, 1, -1).contiguous())[:, 0]
    steps = values[0].diff()
    assert float(steps.min()) > 0
    assert float(steps.max() / steps.min()) < 1.25
    distances = values.diff(dim=1).norm(dim=0)
    assert float(distances.max() / distances.min()) < 3
    assert float(values[0, 0]) == pytest.approx(0.30, abs=0.02)
    assert float(values[0, -1]) == pytest.approx(0.93, abs=0.02)


def test_where_nothing_is_the_photograph_is_grey() -> None:
    picture = lab(shown(torch.zeros(1, 1, 20, 30)))
    assert float(picture[1:].abs().max()) < 1e-3
    order = lab(PHOTOGRAPH)[0].flatten().argsort()
    assert bool((picture[0].flatten()[order].diff() >= -1e-4).all())


def test_heat_is_where_the_map_is() -> None:
    values = torch.zeros(1, 1, 20, 30)
    values[..., 5:10, 10:20] = 3.0
    picture = lab(shown(values))
    inside = picture[:, 5:10, 10:20]
    assert float(inside[0].mean()) > 0.75  # yellow, with a little of the photograph
    assert float(inside[2].mean()) > 0.08
    outside = picture.clone()
    outside[:, 5:10, 10:20] = 0
    assert float(outside[1:].abs().max()) < 1e-3


def test_what_speaks_for_it_is_red_and_what_speaks_against_it_blue() -> None:
    values = torch.zeros(1, 1, 20, 30)
    values[..., :10, :10], values[..., :10, 20:] = 1.0, -1.0
    picture = lab(shown(values, "occlusion", signed=True))
    assert float(picture[1, :10, :10].mean()) > 0.1
    assert float(picture[2, :10, 20:].mean()) < -0.1
    assert float(picture[1:, 13:].abs().max()) < 1e-3


def test_integrated_gradients_are_heat_whichever_way_they_point() -> None:
    values = torch.zeros(1, 1, 20, 30)
    values[..., :10, :10], values[..., :10, 20:] = 1.0, -1.0
    picture = shown(values, "integrated", signed=True)
    assert torch.equal(picture, shown(values.abs()))
    assert float(lab(picture)[0, :10, 20:].mean()) > 0.75


@pytest.mark.parametrize("method", ["guided", "deconv"])
def test_what_a_rule_leaves_is_a_picture_around_grey(method: Method) -> None:
    values = torch.zeros(1, 1, 20, 30)
    values[..., 0, :5], values[..., 0, 5:10] = 1.0, -0.5
    picture = shown(values, method)
    assert picture.shape == PHOTOGRAPH.shape
    assert picture[0, :, 0, 0].tolist() == [1.0] * 3
    assert picture[0, :, 0, 7].tolist() == [0.25] * 3
    assert picture[0, :, 1:].unique().tolist() == [0.5]


def test_outliers_do_not_leave_the_rest_pale() -> None:
    values = torch.ones(1, 1, 40, 40)
    values[0, 0, 0, 0] = 1e6
    assert normalised(values).unique().tolist() == [1.0]
    rare = torch.zeros(1, 1, 40, 40)
    rare[0, 0, 0, 0] = -7.0
    assert normalised(rare).unique().tolist() == [-1.0, 0.0]
    assert normalised(torch.zeros(3)).tolist() == [0.0, 0.0, 0.0]
    scaled = torch.randn(500)
    torch.testing.assert_close(normalised(scaled), normalised(1e-20 * scaled))


def test_maps_of_any_size_are_brought_to_the_photographs() -> None:
    ramp = torch.linspace(0, 1, 5).view(1, 1, 1, 5).expand(1, 1, 4, 5)
    large = enlarged(ramp, (20, 30))
    assert large.shape == (1, 1, 20, 30)
    assert (float(large.min()), float(large.max())) == (0.0, 1.0)
    assert bool((large[0, 0, 0].diff() >= 0).all())
    assert float(enlarged(torch.ones(1, 1, 50, 60), (20, 30)).std()) < 1e-6
    assert shown(ramp).shape == PHOTOGRAPH.shape


def test_a_photograph_is_a_picture() -> None:
    found = Attribution(
        method="gradcam", map=torch.zeros(1, 1, 2, 2), raw=None, signed=False, target=TARGET
    )
    with pytest.raises(UsageError, match="photograph"):
        picture_of(found, torch.zeros(3, 2, 2))
