"""OKLab: known values, the way over CIE XYZ, and back again."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from styler.color import from_oklab, to_oklab
from styler.errors import UsageError

# Ottosson's matrices from CIE XYZ, and that of sRGB to CIE XYZ (D65), both of four to ten digits.
XYZ_TO_CONES = np.array(
    [
        [0.8189330101, 0.3618667424, -0.1288597137],
        [0.0329845436, 0.9293118715, 0.0361456387],
        [0.0482003018, 0.2643662691, 0.6338517070],
    ]
)
CONES_TO_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)
SRGB_TO_XYZ = np.array(
    [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
)


def picture(*colours: tuple[float, float, float]) -> torch.Tensor:
    return torch.tensor(colours, dtype=torch.float64).T.reshape(1, 3, 1, -1)


@pytest.mark.parametrize(
    ("colour", "lab"),
    [
        ((0, 0, 0), (0, 0, 0)),
        ((1, 1, 1), (1, 0, 0)),
        ((1, 0, 0), (0.6280, 0.2249, 0.1258)),
        ((0, 1, 0), (0.8664, -0.2339, 0.1795)),
        ((0, 0, 1), (0.4520, -0.0325, -0.3115)),
        ((1, 1, 0), (0.9680, -0.0714, 0.1986)),
        ((0.5, 0.5, 0.5), (0.5982, 0, 0)),
    ],
)
def test_known_colours(colour: tuple[float, float, float], lab: tuple[float, float, float]) -> None:
    actual = to_oklab(picture(colour)).flatten().tolist()
    assert actual == pytest.approx(lab, abs=6e-5)


def test_by_way_of_cie_xyz() -> None:
    colours = np.random.default_rng(0).uniform(size=(3, 500))
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    expected = CONES_TO_LAB @ np.cbrt(XYZ_TO_CONES @ SRGB_TO_XYZ @ linear)
    actual = to_oklab(torch.from_numpy(colours).view(1, 3, 20, 25))
    np.testing.assert_allclose(actual.flatten(2)[0].numpy(), expected, atol=5e-4)


def test_every_level_of_8_bits_comes_back_exactly() -> None:
    levels = torch.arange(0, 256, 15, dtype=torch.uint8)
    colours = torch.cartesian_prod(levels, levels, levels)
    dark = torch.arange(12, dtype=torch.uint8)
    colours = torch.cat([colours, torch.cartesian_prod(dark, dark, dark)]).T.reshape(1, 3, 1, -1)
    back = from_oklab(to_oklab(colours / 255))
    assert torch.equal((back * 255).round().to(torch.uint8), colours)
    assert (back * 255 - colours).abs().max() < 0.01


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(*[st.floats(-0.5, 1.5)] * 3), min_size=1, max_size=8))
def test_round_trip_in_and_out_of_range(colours: list[tuple[float, float, float]]) -> None:
    image = picture(*colours)
    lab = to_oklab(image)
    assert lab.isfinite().all()
    torch.testing.assert_close(
        from_oklab(lab), image, atol=1e-7, rtol=0
    )  # sRGB's curve has a step of 3e-8


@settings(max_examples=50, deadline=None)
@given(st.floats(0, 1))
def test_greys_have_no_chroma_and_lightness_keeps_their_order(grey: float) -> None:
    lab = to_oklab(picture((grey,) * 3, (min(1, grey + 0.01),) * 3))
    assert lab[:, 1:].abs().max() < 1e-7
    assert lab[0, 0, 0, 1] >= lab[0, 0, 0, 0]
    back = from_oklab(torch.cat([lab[:, :1], torch.zeros_like(lab[:, 1:])], dim=1))
    assert (back.amax(1) - back.amin(1)).max() < 1e-6


def test_precision_follows_the_picture() -> None:
    image = torch.rand(1, 3, 4, 5)
    assert to_oklab(image).dtype == from_oklab(to_oklab(image)).dtype == torch.float32
    assert to_oklab(image.double()).dtype == torch.float64
    assert to_oklab(image.half()).dtype == torch.float32
    torch.testing.assert_close(
        to_oklab(image).double(), to_oklab(image.double()), atol=1e-6, rtol=0
    )


@pytest.mark.parametrize("convert", [to_oklab, from_oklab])
@pytest.mark.parametrize(
    "image",
    [
        torch.rand(3, 4, 4),
        torch.rand(2, 3, 4, 4),
        torch.rand(1, 4, 4, 4),
        torch.rand(1, 3, 0, 4),
        torch.zeros(1, 3, 4, 4, dtype=torch.uint8),
    ],
)
def test_what_is_no_picture_is_refused(convert, image: torch.Tensor) -> None:
    with pytest.raises(UsageError, match=r"expected float \(1, 3, H, W\)"):
        convert(image)
