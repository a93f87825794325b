"""Remembered statistics: the same bits, no second look, and damage that does no harm."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from styler.config import resolve
from styler.features import Extractor, load_extractor
from styler.jobs import TransferJob, prepare
from styler.losses import FeatureSums
from styler.styles.cache import StyleCache, cache_key
from styler.styles.choice import StyleChoice
from styler.styles.source import PictureStyle
from styler.transfer import Problem

SAMPLES = Path(__file__).parents[2] / "samples"
DIGEST = "ab" * 32
VARIANTS: list[dict[str, Any]] = [
    {"pooling": "l2"},
    {"pooling": "l2", "rescale_pooling": True},
    {"pooling": "average", "rescale_pooling": True},
    *({"pooling": "average", "padding": mode} for mode in ("reflect", "replicate", "circular")),
]
"""Ways to run the network, beside average pooling and padding with zeros."""


@pytest.fixture
def extractor() -> Extractor:
    return load_extractor("vgg-lite", pooling="average")


@pytest.fixture
def seen(extractor: Extractor, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Sizes of the pictures that the network was shown without a gradient."""
    sizes: list[tuple[int, int]] = []
    run = extractor._run

    def noting(normalised: Tensor, wanted: Any) -> Any:
        if not torch.is_grad_enabled():
            sizes.append((normalised.shape[-2], normalised.shape[-1]))
        return run(normalised, wanted)

    monkeypatch.setattr(extractor, "_run", noting)
    return sizes


def painted(
    extractor: Extractor, cache: StyleCache | None, *styles: str, **settings: object
) -> Tensor:
    values = {"schedule.size": 72, "schedule.min_side": 36, "schedule.steps": [2], **settings}
    job = TransferJob(
        content=SAMPLES / "contents/coffee.jpg",
        styles=tuple(StyleChoice(path=SAMPLES / f"styles/{name}.jpg") for name in styles),
        output=Path("never.png"),
        resolved=resolve(("test", values)),
    )
    return prepare(job, lambda _: extractor, cache=cache).problem.solve().image


@pytest.mark.parametrize("loss", ["gram", "moments", "w2"])
def test_pictures_are_the_same_to_the_last_bit(
    extractor: Extractor, tmp_path: Path, loss: str
) -> None:
    styles = ("flow_field", "woodcut_waves")
    plain = painted(extractor, None, *styles, **{"style.loss": loss})
    cache = StyleCache(tmp_path / "cache")
    for kept in (cache, cache, StyleCache(tmp_path / "cache")):
        assert torch.equal(painted(extractor, kept, *styles, **{"style.loss": loss}), plain)


def test_a_second_job_does_not_look_at_the_style(
    extractor: Extractor, seen: list[tuple[int, int]]
) -> None:
    settings = {"content.weight": 0.0}
    cache = StyleCache()
    painted(extractor, cache, "flow_field", **settings)
    assert seen == [(29, 36), (58, 72)]
    painted(extractor, cache, "flow_field", **settings, strength=0.9)
    assert len(seen) == 2
    painted(extractor, cache, "flow_field", "woodcut_waves", **settings)
    assert len(seen) == 4  # of the second style only
    painted(extractor, cache, "flow_field", **settings, **{"style.scale": 1.5})
    assert seen[4:] == [(43, 54), (86, 108)]
    painted(extractor, None, "flow_field", **settings)
    assert len(seen) == 8


def test_a_folder_serves_other_processes(
    extractor: Extractor, seen: list[tuple[int, int]], tmp_path: Path
) -> None:
    folder, settings = tmp_path / "a" / "b", {"content.weight": 0.0}
    painted(extractor, StyleCache(folder), "flow_field", **settings)
    files = sorted(folder.iterdir())
    assert [path.suffix for path in files] == [".sums"] * 2
    painted(extractor, StyleCache(folder), "flow_field", **settings)
    assert len(seen) == 2


def test_damaged_files_and_folders_are_as_if_there_were_none(
    extractor: Extractor, seen: list[tuple[int, int]], tmp_path: Path
) -> None:
    settings = {"content.weight": 0.0}
    plain = painted(extractor, StyleCache(tmp_path), "flow_field", **settings)
    one, two = sorted(tmp_path.iterdir())
    whole = one.read_bytes()
    one.write_bytes(whole[:-9])
    two.write_bytes(whole)  # of another size
    assert torch.equal(painted(extractor, StyleCache(tmp_path), "flow_field", **settings), plain)
    assert len(seen) == 4
    assert one.read_bytes() == whole
    assert torch.equal(painted(extractor, StyleCache(one / "x"), "flow_field", **settings), plain)


def test_keys_tell_apart_whatever_changes_a_bit() -> None:
    layers = ["relu1_1", "relu2_1"]
    average = load_extractor("vgg-lite", pooling="average")
    key = cache_key(DIGEST, (64, 48), average, layers)
    assert key == cache_key(DIGEST, (64, 48), average, layers[::-1])
    others = {
        cache_key("cd" * 32, (64, 48), average, layers),
        cache_key(DIGEST, (48, 64), average, layers),
        cache_key(DIGEST, (64, 48), average, layers[:1]),
        cache_key(DIGEST, (64, 48), load_extractor("vgg-lite"), layers),
        cache_key(DIGEST, (64, 48), load_extractor("vgg-lite", dtype=torch.bfloat16), layers),
        *(
            cache_key(DIGEST, (64, 48), load_extractor("vgg-lite", **options), layers)
            for options in VARIANTS
        ),
    }
    assert len(others - {key}) == 5 + len(VARIANTS)


def sums(value: float) -> dict[str, FeatureSums]:
    """100 numbers and some, which take 444 bytes."""
    return {"a": FeatureSums(torch.ones(1), torch.full((1, 10), value), torch.ones(1, 10, 10))}


def refuse() -> Any:
    raise AssertionError("measured again")


def test_memory_is_bounded_and_what_is_used_stays() -> None:
    cache = StyleCache(memory=1000)
    channels = {"a": 10}

    def recall(key: str, measure: Callable[[], Any]) -> float:
        return float(cache.recall(key, channels, measure)["a"].first[0, 0])

    assert recall("one", lambda: sums(1.0)) == 1
    assert recall("two", lambda: sums(2.0)) == 2
    assert recall("one", refuse) == 1
    assert recall("three", lambda: sums(3.0)) == 3  # two goes
    assert recall("one", refuse) == 1
    assert recall("two", lambda: sums(4.0)) == 4
    assert StyleCache(memory=0).recall("one", channels, lambda: sums(5.0))["a"].first[0, 0] == 5


def test_threads_may_share_it() -> None:
    cache = StyleCache(memory=2000)

    def recall(number: int) -> bool:
        key = number % 7
        found = cache.recall(str(key), {"a": 10}, lambda: sums(float(key)))
        return float(found["a"].first[0, 0]) == key

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(recall, range(400)))


def test_a_picture_without_a_digest_is_never_remembered(
    extractor: Extractor, seen: list[tuple[int, int]]
) -> None:
    settings = resolve(("t", {"schedule.size": 48, "schedule.scales": 1})).config
    style = PictureStyle(torch.rand(1, 3, 48, 48), cache=StyleCache())
    problem = Problem(torch.rand(1, 3, 48, 48), style, settings, extractor)
    for _ in range(2):
        problem.objective(problem.levels[0])
    assert len(seen) == 4  # content and style, twice
