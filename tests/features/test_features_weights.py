import functools
import hashlib
import os
import pickle
import random
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from styler.errors import BackboneError
from styler.features.locate import choose_backbone, find_weights, weights_cache
from styler.features.registry import BackboneSpec, get_backbone
from styler.features.weights import load_weights, verify_weights, vgg_state

State = dict[str, Tensor]


class RunsCode:
    """Pickles into a call that leaves a mark on the disk."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {self.mark}",)


def torchvision_keys(state: State) -> State:
    # The places of the convolutions of blocks (4, 5), (6,), (7, 8) among all steps.
    places = {"1_1": 0, "1_2": 2, "2_1": 5, "3_1": 8, "3_2": 10}
    return {
        f"features.{places[key[4:7]]}.{key.partition('.')[2]}": value
        for key, value in state.items()
    }


def write_old(state: State, path: Path) -> None:
    torch.save(state, path, _use_new_zipfile_serialization=False)


WRITERS: dict[str, tuple[str, Callable[[State, Path], object]]] = {
    "archive": ("w.pth", torch.save),
    "before torch 1.6": ("w.pt", write_old),
    "safetensors": ("w.safetensors", save_file),
}


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("layout", ["ours", "torchvision"])
def test_all_kinds_and_layouts_are_read(
    kind: str, layout: str, tiny: BackboneSpec, tiny_state: State, tmp_path: Path
) -> None:
    name, write = WRITERS[kind]
    path = tmp_path / name
    renamed = tiny_state if layout == "ours" else torchvision_keys(tiny_state)
    write({**renamed, "classifier.0.weight": torch.ones(2, 2)}, path)
    loaded = load_weights(tiny, path)
    assert loaded.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert loaded.path == path
    assert list(loaded.state) == list(tiny_state)
    assert all(torch.equal(loaded.state[key], tiny_state[key]) for key in tiny_state)


def test_what_a_file_says_about_itself_is_kept(
    tiny: BackboneSpec, tiny_state: State, tmp_path: Path
) -> None:
    save_file(tiny_state, tmp_path / "w.safetensors", metadata={"teacher": "VGG-19"})
    assert load_weights(tiny, tmp_path / "w.safetensors").metadata == {"teacher": "VGG-19"}


@pytest.mark.parametrize("kind", WRITERS)
def test_truncated_files_are_refused(
    kind: str, tiny: BackboneSpec, tiny_state: State, tmp_path: Path
) -> None:
    name, write = WRITERS[kind]
    path = tmp_path / name
    write(tiny_state, path)
    whole = path.read_bytes()
    for length in (0, 1, 7, 8, 64, len(whole) // 3, len(whole) // 2, len(whole) - 1000):
        path.write_bytes(whole[:length])
        with pytest.raises(BackboneError, match="is damaged or is no weights file") as caught:
            load_weights(tiny, path)
        assert "get it again" in str(caught.value.hint)
        assert "\n" not in caught.value.message


@pytest.mark.parametrize("kind", WRITERS)
def test_scrambled_files_are_refused_or_still_make_sense(
    kind: str, tiny: BackboneSpec, tiny_state: State, tmp_path: Path
) -> None:
    name, write = WRITERS[kind]
    path = tmp_path / name
    write(tiny_state, path)
    whole, dice, refused = path.read_bytes(), random.Random(5), 0
    for _ in range(150):
        scrambled = bytearray(whole)
        for _ in range(12):
            scrambled[dice.randrange(min(len(whole), 1500))] = dice.randrange(256)
        path.write_bytes(scrambled)
        try:
            state = load_weights(tiny, path).state
        except BackboneError:
            refused += 1
        else:
            assert all(bool(torch.isfinite(value).all()) for value in state.values())
    assert refused > 75


@pytest.mark.parametrize("suffix", ["pth", "pt", "safetensors"])
def test_code_in_a_file_is_not_run(tiny: BackboneSpec, tmp_path: Path, suffix: str) -> None:
    mark, path = tmp_path / "ran", tmp_path / f"evil.{suffix}"
    old = functools.partial(torch.save, _use_new_zipfile_serialization=False)
    for write in (_bare_pickle, torch.save, old):
        write({"conv1_1.weight": RunsCode(mark)}, path)
        with pytest.raises(BackboneError, match="nothing in it was run"):
            load_weights(tiny, path)
        assert not mark.exists()


def _bare_pickle(content: object, path: Path) -> None:
    path.write_bytes(pickle.dumps(content))


def test_the_mark_would_be_left_by_an_unrestricted_reader(tmp_path: Path) -> None:
    _bare_pickle(RunsCode(tmp_path / "ran"), tmp_path / "evil.pth")
    pickle.loads((tmp_path / "evil.pth").read_bytes())
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize("content", [[1, 2], {"a": 1}, {3: torch.ones(1)}, torch.ones(3)])
def test_pickles_of_other_things_are_refused(
    content: object, tiny: BackboneSpec, tmp_path: Path
) -> None:
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(BackboneError, match="holds no table of tensors"):
        load_weights(tiny, tmp_path / "w.pth")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_none_are_refused(
    value: float, tiny: BackboneSpec, tiny_state: State, tmp_path: Path
) -> None:
    tiny_state["conv2_1.weight"][1, 2, 0, 0] = value
    torch.save(tiny_state, tmp_path / "w.pth")
    with pytest.raises(BackboneError, match=r"conv2_1\.weight is not all finite numbers"):
        load_weights(tiny, tmp_path / "w.pth")


@pytest.mark.parametrize(
    "replacement",
    [torch.ones(6, dtype=torch.int32), torch.ones(6).to_sparse(), torch.ones(6, device="meta")],
)
def test_tensors_of_other_kinds_are_refused(
    replacement: Tensor, tiny: BackboneSpec, tiny_state: State
) -> None:
    with pytest.raises(BackboneError, match=r"conv2_1\.bias is not all finite numbers"):
        vgg_state(tiny, {**tiny_state, "conv2_1.bias": replacement}, Path("w.pth"))


def test_wrong_shapes_missing_and_foreign_tensors_are_refused(
    tiny: BackboneSpec, tiny_state: State, tmp_path: Path
) -> None:
    path = tmp_path / "w.pth"
    torch.save({**tiny_state, "conv2_1.weight": torch.ones(6, 4, 3, 3)}, path)
    with pytest.raises(BackboneError, match=r"should have shape \(6, 5, 3, 3\), has \(6, 4, 3, 3"):
        load_weights(tiny, path)
    torch.save({k: v for k, v in tiny_state.items() if k != "conv3_1.bias"}, path)
    with pytest.raises(BackboneError, match=r"does not fit tiny: it has no conv3_1\.bias"):
        load_weights(tiny, path)
    torch.save({**tiny_state, "conv4_1.bias": torch.ones(2)}, path)
    with pytest.raises(BackboneError, match=r"it has conv4_1\.bias, which that network lacks"):
        load_weights(tiny, path)
    torch.save({**torchvision_keys(tiny_state), "features.40.bias": torch.ones(2)}, path)
    with pytest.raises(BackboneError, match=r"it has features\.40\.bias"):
        load_weights(tiny, path)
    torch.save({}, path)
    with pytest.raises(BackboneError, match=r"it has no conv1_1\.bias"):
        load_weights(tiny, path)


def test_missing_files_and_other_suffixes_are_refused(tiny: BackboneSpec, tmp_path: Path) -> None:
    with pytest.raises(BackboneError, match=r"cannot read weights file .*No such file"):
        load_weights(tiny, tmp_path / "w.pth")
    with pytest.raises(BackboneError, match=r"cannot read weights file .*directory"):
        load_weights(tiny, tmp_path)
    (tmp_path / "w.onnx").write_bytes(b"abc")
    with pytest.raises(BackboneError, match="cannot tell the kind of weights file"):
        load_weights(tiny, tmp_path / "w.onnx")


def test_the_embedded_file_is_the_registered_one() -> None:
    spec = get_backbone("vgg-lite")
    path = find_weights(spec)
    assert path is not None
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert digest == "833b3817b58430cb8bb04de9249146535f28aed3299c613934dce2da5d7c2143"
    loaded = load_weights(spec, path)
    assert loaded.sha256 == digest == spec.weights[0].sha256
    assert loaded.metadata["teacher"].startswith("vgg19-caffe")
    assert sum(value.numel() for value in loaded.state.values()) == 2_788_120


def test_a_registered_name_with_other_contents_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = get_backbone("vgg-lite")
    genuine = find_weights(spec)
    assert genuine is not None
    changed = bytearray(genuine.read_bytes())
    changed[-1] ^= 1
    (tmp_path / "vgg-lite.safetensors").write_bytes(changed)
    monkeypatch.setenv("STYLER_WEIGHTS_DIR", str(tmp_path))
    with pytest.raises(BackboneError, match=r"sha256 833b3817… expected, got") as caught:
        load_weights(spec, tmp_path / "vgg-lite.safetensors")
    assert "another name" in str(caught.value.hint)
    mismatch, ok = verify_weights(spec)
    assert (mismatch.status, ok.status) == ("mismatch", "ok")
    assert mismatch.path.parent == tmp_path
    assert mismatch.sha256 == hashlib.sha256(changed).hexdigest()
    (tmp_path / "vgg-lite.safetensors").rename(tmp_path / "mine.safetensors")
    assert load_weights(spec, tmp_path / "mine.safetensors").sha256 == mismatch.sha256


def test_verification_tells_unknown_from_damaged(
    tiny: BackboneSpec, tiny_state: State, cache: Path
) -> None:
    assert verify_weights(tiny) == []
    cache.mkdir(parents=True)
    torch.save(tiny_state, cache / "tiny.pth")
    (report,) = verify_weights(tiny)
    assert (report.status, report.problem) == ("unknown", None)
    (cache / "tiny.pth").write_bytes(b"nonsense")
    (report,) = verify_weights(tiny)
    assert report.status == "damaged"
    assert "is damaged" in str(report.problem)


def test_order_of_the_places(
    tiny: BackboneSpec, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert find_weights(tiny) is None
    mine = tmp_path / "mine"
    for folder in (cache, mine):
        folder.mkdir(parents=True)
    files = [cache / "tiny.pth", cache / tiny.stored_name, mine / "tiny.pth"]
    assert weights_cache() == cache
    monkeypatch.setenv("STYLER_WEIGHTS_DIR", str(mine))
    for file in files:
        file.write_bytes(b"")
        assert find_weights(tiny) == file
    explicit = tmp_path / "any-name.pth"
    explicit.write_bytes(b"")
    assert find_weights(tiny, explicit) == explicit
    assert find_weights(tiny, cache) == cache / tiny.stored_name
    assert find_weights(get_backbone("vgg19"), cache) is None


def test_places_that_do_not_exist_are_told(
    tiny: BackboneSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BackboneError, match=r"no weights file at .*gone"):
        find_weights(tiny, tmp_path / "gone")
    monkeypatch.setenv("STYLER_WEIGHTS_DIR", str(tmp_path / "gone"))
    with pytest.raises(BackboneError, match=r"STYLER_WEIGHTS_DIR names no folder: .*gone"):
        find_weights(tiny)


def test_auto_takes_the_best_at_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STYLER_WEIGHTS_DIR", str(tmp_path))
    assert choose_backbone("cpu")[0].name == "vgg-lite"
    for filename, name in (
        ("vgg16-397923af.pth", "vgg16"),
        ("vgg19.features.safetensors", "vgg19"),
        ("vgg19-d01eb7cb.pth", "vgg19-caffe"),
    ):
        (tmp_path / filename).write_bytes(b"")
        spec, path = choose_backbone("cpu")
        assert (spec.name, path.name) == (name, filename)
        assert choose_backbone("cuda", tmp_path) == (spec, path)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(BackboneError, match="no weights for vgg19-caffe"):
        choose_backbone("cpu", empty)


def test_the_cache_follows_its_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("STYLER_CACHE_DIR", str(tmp_path / "c"))
    assert weights_cache() == tmp_path / "c" / "weights"
    monkeypatch.delenv("STYLER_CACHE_DIR")
    assert weights_cache().name == "weights"
    assert "styler" in weights_cache().parts


@pytest.mark.weights
def test_the_real_vgg19_is_the_registered_file(weights_dir: Path) -> None:
    spec = get_backbone("vgg19-caffe")
    path = find_weights(spec)
    assert path == weights_dir / "vgg19-caffe.safetensors"
    loaded = load_weights(spec, path)
    assert loaded.state["conv5_4.weight"].shape == (512, 512, 3, 3)
    assert [report.status for report in verify_weights(spec)] == ["ok"]
