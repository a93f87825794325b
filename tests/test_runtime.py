"""Devices, precision, memory."""

import pytest
import torch

from styler.errors import DeviceError
from styler.features import load_extractor
from styler.memory import check_memory, gradient_bytes
from styler.runtime import (
    device_name,
    free_memory,
    has_native_bf16,
    memory_errors_explained,
    precision_name,
    resolve_device,
    resolve_precision,
)

CPU = torch.device("cpu")


def test_auto_takes_the_best_device_there_is() -> None:
    if torch.cuda.is_available():
        expected = "cuda"
    else:
        expected = "mps" if torch.backends.mps.is_available() else "cpu"
    assert resolve_device("auto").type == expected


@pytest.mark.parametrize(
    ("name", "words"),
    [("cuad", "unknown device"), ("cuda:x", "unknown device"), ("cuda:99", "no device"), ("", "")],
)
def test_devices_that_are_not_there_are_refused(name: str, words: str) -> None:
    with pytest.raises(DeviceError) as caught:
        resolve_device(name)
    assert words in caught.value.message
    assert caught.value.hint


def test_auto_precision_is_bf16_exactly_where_it_is_native() -> None:
    native = has_native_bf16(CPU)
    assert resolve_precision("auto", CPU) == (torch.bfloat16 if native else torch.float32)
    assert resolve_precision("bf16", CPU) == torch.bfloat16
    assert {precision_name(resolve_precision(n, CPU)) for n in ("fp32", "bf16")} == {"fp32", "bf16"}


def test_machine_is_described() -> None:
    assert "threads" in device_name(CPU)
    assert free_memory(CPU) > 0


def test_out_of_memory_becomes_an_error_with_a_way_out() -> None:
    with pytest.raises(DeviceError, match="out of memory") as caught, memory_errors_explained(CPU):
        torch.empty(2**46)  # 256 TiB
    assert "--size" in str(caught.value.hint)


def test_other_runtime_errors_pass_through() -> None:
    with pytest.raises(RuntimeError, match="tensor"), memory_errors_explained(CPU):
        torch.zeros(3) @ torch.zeros(4)


def test_memory_grows_with_pixels_and_stops_at_the_deepest_layer() -> None:
    extractor = load_extractor("vgg-lite")
    shallow = gradient_bytes(extractor, ["relu1_1"], (256, 256))
    deep = gradient_bytes(extractor, ["relu1_1", "relu5_1"], (256, 256))
    larger = gradient_bytes(extractor, ["relu1_1", "relu5_1"], (512, 512))
    assert 0 < shallow < deep
    assert larger == 4 * deep
    assert gradient_bytes(extractor, [], (256, 256)) == 0


def test_the_side_offered_instead_fits() -> None:
    extractor = load_extractor("vgg-lite")
    with pytest.raises(DeviceError) as caught:
        check_memory(extractor, ["relu5_1"], (200_000, 300_000))
    side = int(str(caught.value.hint).split()[1])
    check_memory(extractor, ["relu5_1"], (side * 2 // 3, side))
