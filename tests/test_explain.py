"""The parts of a loss: they are all of it, and so are their gradients."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

import styler.explain
from styler.color.modes import without_chroma
from styler.config import TransferConfig, resolve
from styler.errors import UsageError
from styler.explain import Explanation, Part, explain
from styler.features import Extractor, extractor_of, load_extractor
from styler.features.ensemble import EnsembleExtractor
from styler.guidance import Guidance
from styler.images import read_picture, resize
from styler.losses import LayerwiseLoss, MomentStyleLoss
from styler.objective import Features, FeatureTerm, ImageTerm, Objective, Term
from styler.terms import STYLE_LOSSES
from styler.transfer import Problem

SAMPLES = Path(__file__).parents[1] / "samples"
SIZE = (36, 48)


def sample(name: str, size: tuple[int, int] = SIZE) -> Tensor:
    return resize(read_picture(SAMPLES / name).pixels.double(), size)


@pytest.fixture(scope="module")
def extractor() -> Extractor:
    return load_extractor("vgg-lite", dtype=torch.float64, pooling="average")


@pytest.fixture(scope="module")
def quick() -> Extractor:
    return load_extractor("vgg-lite")


@pytest.fixture(scope="module")
def picture() -> Tensor:
    """Neither the content nor the style."""
    return sample("contents/coffee.jpg")


def config(**values: object) -> TransferConfig:
    settings = {"schedule.min_side": 32, "schedule.steps": [2, 3]}
    return resolve(("test", {**settings, **values})).config


def problem(extractor: Extractor, **values: object) -> Problem:
    content, style = sample("contents/chelsea.jpg"), sample("styles/flow_field.jpg")
    return Problem(content, style, config(**values), extractor)


def with_terms(extractor: Extractor, monkeypatch: pytest.MonkeyPatch, *terms: Term) -> Problem:
    """A problem that asks for other things than a transfer does."""
    made = problem(extractor)
    monkeypatch.setattr(made, "objective", lambda level: Objective(terms))
    return made


def whole(made: Problem, image: Tensor) -> tuple[float, Tensor]:
    """The total and its gradient, in one backward pass."""
    objective = made.objective(made.levels[-1])
    leaf = image.clone().requires_grad_()
    total = objective(leaf, made.extractor(leaf, objective.layers)).total
    (gradient,) = torch.autograd.grad(total, leaf)
    return float(total.detach()), gradient


@pytest.mark.parametrize(
    "values", [{}, {"style.loss": "gram", "strength": 0.8}, {"style.layers": {"relu2_1": 3.0}}]
)
def test_parts_sum_to_the_whole(
    extractor: Extractor, picture: Tensor, values: dict[str, object]
) -> None:
    made = problem(extractor, **values)
    total, gradient = whole(made, picture)
    got = explain(made, picture)
    norm = float(gradient.norm())
    assert got.total == pytest.approx(total, rel=1e-9)
    assert sum(part.weighted for part in got.parts) == pytest.approx(total, rel=1e-9)
    assert got.gradient == pytest.approx(norm, rel=1e-7)
    # The projections of the parts on the whole make up its length, and so do all products of two.
    assert sum(part.gradient * part.pull for part in got.parts) == pytest.approx(norm, rel=1e-7)
    square = sum(
        one.gradient * other.gradient * got.cosines[m][n]
        for m, one in enumerate(got.parts)
        for n, other in enumerate(got.parts)
    )
    assert square == pytest.approx(norm**2, rel=1e-6)
    assert sum(part.share for part in got.parts) == pytest.approx(1)
    assert sum(part.gradient_share for part in got.parts) == pytest.approx(1)
    assert got.size == SIZE
    assert not got.reduced


def test_a_part_is_what_the_objective_is_without_the_others(
    extractor: Extractor, picture: Tensor
) -> None:
    got = {part.name: part for part in explain(problem(extractor), picture).parts}
    assert list(got) == [
        "content relu4_2",
        *(f"style relu{n}_1" for n in range(1, 6)),
        "smoothness",
    ]
    alone = {"content.weight": 0.0, "smoothness.weight": 0.0, "style.layers": {"relu3_1": 1.0}}
    total, gradient = whole(problem(extractor, **alone), picture)
    part = got["style relu3_1"]
    assert (part.term, part.layer) == ("style", "relu3_1")
    assert part.loss * part.weight == pytest.approx(total, rel=1e-9)
    assert part.gradient == pytest.approx(float(gradient.norm()), rel=1e-7)


def test_weights_are_those_of_term_and_layer(extractor: Extractor, picture: Tensor) -> None:
    values = {"style.weight": 3.0, "style.layers": {"relu2_1": 0.5, "relu3_1": 2.0}}
    got = explain(problem(extractor, **values), picture)
    plain = explain(problem(extractor, **{"style.layers": values["style.layers"]}), picture)
    assert [part.weight for part in got.parts if part.term == "style"] == [1.5, 6.0]
    assert got.weights["style"] == 3.0
    for part, other in zip(got.parts, plain.parts, strict=True):
        assert part.loss == pytest.approx(other.loss)
    shares = got.shares()
    assert list(shares) == ["content", "style", "smoothness"]
    assert shares["style"][0] == pytest.approx(sum(p.share for p in got.parts[1:3]))


def channel(name: str, weight: float, place: int, sign: float = 1.0) -> ImageTerm:
    """A mean of one colour, whose gradient is the same everywhere."""
    return ImageTerm(name=name, weight=weight, loss=lambda image: sign * image[:, place].mean())


def test_hand_values(extractor: Extractor, monkeypatch: pytest.MonkeyPatch) -> None:
    terms = channel("red", 3.0, 0), channel("less", 1.0, 0, -1.0), channel("green", 4.0, 1)
    made = with_terms(extractor, monkeypatch, *terms)
    got = explain(made, torch.full((1, 3, *SIZE), 0.5, dtype=torch.float64))
    each = 1 / math.sqrt(SIZE[0] * SIZE[1])  # the norm of a mean's gradient
    red, less, green = got.parts
    assert got.total == pytest.approx(1.5 - 0.5 + 2.0)
    assert [part.loss for part in got.parts] == [0.5, -0.5, 0.5]
    assert [part.share for part in got.parts] == pytest.approx([0.375, -0.125, 0.5])
    assert [part.gradient for part in got.parts] == pytest.approx([3 * each, each, 4 * each])
    assert [part.gradient_share for part in got.parts] == pytest.approx([3 / 8, 1 / 8, 4 / 8])
    length = math.hypot(2, 4)
    assert (red.pull, less.pull, green.pull) == pytest.approx((2 / length, -2 / length, 4 / length))
    assert got.gradient == pytest.approx(length * each)
    assert got.agreement == pytest.approx(length / 8)
    expected = [[1, -1, 0], [-1, 1, 0], [0, 0, 1]]
    assert torch.tensor(got.cosines) == pytest.approx(torch.tensor(expected), abs=1e-9)
    assert got.opposed() == [(red, less, pytest.approx(-1))]
    assert red.layer is None
    assert red.name == "red"


@dataclasses.dataclass(frozen=True)
class Likeness:
    """A term of another kind."""

    name: str = "likeness"
    weight: float = 2.0
    layers: frozenset[str] = frozenset({"relu2_1", "relu3_1"})

    def __call__(self, image: Tensor, features: Features) -> Tensor:
        return torch.stack([features[layer].square().mean() for layer in sorted(self.layers)]).sum()


def test_terms_of_any_kind_are_parts(
    extractor: Extractor, picture: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    constant = ImageTerm(name="constant", weight=1.0, loss=lambda image: torch.tensor(0.25))
    made = with_terms(extractor, monkeypatch, Likeness(), constant)
    total, gradient = whole(made, picture)
    likeness, still = explain(made, picture).parts
    assert (likeness.name, likeness.layer) == ("likeness", None)
    assert likeness.gradient == pytest.approx(float(gradient.norm()))
    assert likeness.pull == pytest.approx(1)
    assert likeness.weighted + 0.25 == pytest.approx(total)
    assert (still.gradient, still.gradient_share, still.pull) == (0, 0, 0)


def test_styles_of_regions_are_told_apart(
    extractor: Extractor, picture: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    layers = {"relu1_1": 1.0, "relu2_1": 0.5}
    loss = LayerwiseLoss(MomentStyleLoss(), layers)
    style = extractor(sample("styles/flow_field.jpg"), layers)
    targets = loss.prepare(loss.represent(style))

    def region(name: str, side: slice) -> FeatureTerm:
        masks = {}
        for layer in layers:
            masks[layer] = torch.zeros(1, 1, *style[layer].shape[-2:], dtype=torch.float64)
            masks[layer][..., side] = 1
        return FeatureTerm(name=name, weight=2.0, loss=loss, targets=targets, masks=masks)

    sky, sea = region("style sky", slice(None, 6)), region("style sea", slice(18, None))
    made = with_terms(extractor, monkeypatch, sky, sea)
    total, gradient = whole(made, picture)
    got = explain(made, picture)
    assert [part.name for part in got.parts] == [
        "style sky relu1_1",
        "style sky relu2_1",
        "style sea relu1_1",
        "style sea relu2_1",
    ]
    assert got.total == pytest.approx(total, rel=1e-9)
    assert got.gradient == pytest.approx(float(gradient.norm()), rel=1e-7)
    assert abs(got.cosines[0][2]) < 1e-9, "first layers of distant regions share no pixels"
    alone = float(sky(picture, extractor(picture, layers)))
    assert sum(p.weighted for p in got.parts[:2]) == pytest.approx(2 * alone, rel=1e-9)


def test_what_stays_as_it_is_takes_no_gradient(extractor: Extractor, picture: Tensor) -> None:
    content, style = sample("contents/chelsea.jpg"), sample("styles/flow_field.jpg")
    left = torch.zeros(1, 1, *SIZE)
    left[..., :24] = 1
    made = Problem(content, style, config(), extractor, guidance=Guidance(protect=left))
    kept = torch.cat([content[..., :24], picture[..., 24:]], dim=3)
    total, gradient = whole(made, kept)
    got = explain(made, kept)
    assert got.total == pytest.approx(total, rel=1e-6)
    assert got.gradient == pytest.approx(float(gradient[..., 24:].norm()), rel=1e-5)
    assert got.gradient < 0.99 * float(gradient.norm())
    assert explain(made, picture).total == pytest.approx(total, rel=1e-6)


def test_luminance_is_looked_at_in_grey(extractor: Extractor, picture: Tensor) -> None:
    made = problem(extractor, **{"color.mode": "luminance"})
    total, _ = whole(made, without_chroma(picture))
    assert explain(made, picture).total == pytest.approx(total, rel=1e-9)


def test_layers_of_an_ensemble_bear_the_names_of_their_networks(
    extractor: Extractor, picture: Tensor
) -> None:
    torch.manual_seed(0)
    own = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.ReLU())
    both = EnsembleExtractor([extractor, extractor_of(own, name="own", dtype=torch.float64)])
    layers = {"vgg-lite:relu2_1": 1.0, "own:1": 2.0}
    values = {"style.layers": layers, "content.layers": {"vgg-lite:relu4_2": 1.0}}
    made = problem(both, **values)
    total, _ = whole(made, picture)
    got = explain(made, picture)
    assert [part.layer for part in got.parts] == ["vgg-lite:relu4_2", *layers, None]
    assert got.total == pytest.approx(total, rel=1e-9)


@pytest.mark.parametrize("loss", STYLE_LOSSES)
def test_every_style_loss_can_be_taken_apart(quick: Extractor, picture: Tensor, loss: str) -> None:
    layers = {"relu1_1": 1.0, "relu2_1": 1.0}
    values = {"style.loss": loss, "style.layers": layers, "content.weight": 0.0}
    made = problem(quick, **values)
    got = explain(made, picture.float())
    assert [part.layer for part in got.parts] == ["relu1_1", "relu2_1", None]
    assert all(part.gradient > 0 for part in got.parts)
    assert got.total == pytest.approx(whole(made, picture.float())[0], rel=1e-4)


def test_a_picture_without_loss_has_no_shares(
    extractor: Extractor, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing = ImageTerm(name="nothing", weight=1.0, loss=lambda image: (0 * image).sum())
    got = explain(with_terms(extractor, monkeypatch, nothing), torch.zeros(1, 3, *SIZE))
    (part,) = got.parts
    assert (part.loss, part.share, part.gradient_share, part.pull) == (0, 0, 0, 0)
    assert (got.total, got.agreement, got.cosines) == (0, 0, ((0,),))


def test_large_pictures_are_looked_at_smaller(
    quick: Extractor, picture: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = with_terms(quick, monkeypatch, channel("red", 1.0, 0))
    full = explain(made, resize(picture, (60, 80)))
    assert full.size == SIZE, "the size is that of the scale, not of the picture"
    monkeypatch.setattr(styler.explain, "PIXELS", 18 * 24)
    small = explain(made, picture)
    assert small.size == (18, 24)
    assert small.reduced
    assert not full.reduced
    assert small.levels == full.levels == tuple(made.levels)
    for side, size in ((48, SIZE), (40, (30, 40)), (1000, SIZE)):
        assert explain(made, picture, side=side).size == size
    tiled = dataclasses.replace(made.plans[-1], sides=(16,))
    monkeypatch.setattr(made, "plans", [tiled])
    assert explain(made, picture).size == (9, 12)


def test_targets_are_those_of_the_size_looked_at(quick: Extractor, picture: Tensor) -> None:
    made = problem(quick, **{"style.layers": {"relu1_1": 1.0}})
    (content, *_) = explain(made, made.content, side=32).parts
    assert content.loss < 1e-6, "the content itself is at every size without loss"


def test_the_picture_stays_as_it_is(quick: Extractor, picture: Tensor) -> None:
    given = picture.float()
    before = given.clone()
    explain(problem(quick), given)
    assert torch.equal(given, before)
    assert given.grad is None
    assert not given.requires_grad


@pytest.mark.parametrize("image", [torch.rand(3, 36, 48), torch.zeros(1, 4, 36, 48)])
def test_tensors_of_another_form_are_refused(extractor: Extractor, image: Tensor) -> None:
    with pytest.raises(UsageError, match=r"expected float \(1, 3, H, W\)"):
        explain(problem(extractor), image)


def test_a_side_of_nothing_is_refused(extractor: Extractor, picture: Tensor) -> None:
    with pytest.raises(UsageError, match="a side of 0"):
        explain(problem(extractor), picture, side=0)


def test_the_strongest_opposition_comes_first() -> None:
    def part(name: str, gradient: float) -> Part:
        numbers = dict.fromkeys(("loss", "weight", "share", "gradient_share", "pull"), 0.0)
        return Part(term=name, layer=None, gradient=gradient, **numbers)

    parts = part("a", 1.0), part("b", 10.0), part("c", 5.0), part("d", 1.0)
    cosines = (
        (1.0, -0.9, -0.05, 0.9),
        (-0.9, 1.0, -0.3, -0.2),
        (-0.05, -0.3, 1.0, 0.0),
        (0.9, -0.2, 0.0, 1.0),
    )
    got = Explanation(
        parts=parts,
        total=0.0,
        gradient=0.0,
        size=SIZE,
        levels=(),
        weights={},
        cosines=cosines,
    )
    pairs = [(one.name, other.name, cosine) for one, other, cosine in got.opposed()]
    assert pairs == [("b", "c", -0.3), ("a", "b", -0.9), ("b", "d", -0.2)]
    assert len(got.opposed(1)) == 1
