"""The network that learns: a narrow VGG, and the heads that compare it with its teacher."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from styler.errors import BackboneError, ConfigError
from styler.features.base import Pooling
from styler.features.network import vgg_ops
from styler.features.registry import IMAGENET, BackboneSpec, WeightFile
from styler.features.tensor_files import read_tensors
from styler.features.vgg import VggExtractor
from styler.features.weights import LoadedWeights, load_weights, vgg_shapes

TAPS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu4_2", "relu5_1")
"""Where student and teacher are compared: the layers that style and content are read at."""

Blocks = tuple[tuple[int, ...], ...]


def parse_blocks(text: str) -> Blocks:
    """Channels of each convolution of each block, as in ``32-24,64-64,128x3,256x3,256``.

    Raises:
        ConfigError: it cannot be read, or lacks one of the `TAPS`.

    Example:
        >>> parse_blocks("32-16,64,128x3,192x2,192")
        ((32, 16), (64,), (128, 128, 128), (192, 192), (192,))
    """
    blocks = []
    for block in text.split(","):
        channels: list[int] = []
        for part in block.split("-"):
            match = re.fullmatch(r"\s*([1-9]\d*)(?:x([1-9]\d*))?\s*", part)
            if match is None:
                raise ConfigError(f"cannot read the blocks {text!r}", "such as 32-16,64x2,128x3")
            channels += [int(match[1])] * int(match[2] or 1)
        blocks.append(tuple(channels))
    missing = {tap.replace("relu", "conv") for tap in TAPS} - {
        op.name for op in vgg_ops(blocks) if op.kind == "conv"
    }
    if missing:
        raise ConfigError(f"the blocks {text!r} have no {min(missing)}", "a student needs 5 blocks")
    return tuple(blocks)


def student_spec(blocks: Sequence[Sequence[int]], name: str = "vgg-lite") -> BackboneSpec:
    """The record of a student."""
    return BackboneSpec(
        name=name,
        description="a narrow VGG",
        preprocessing=IMAGENET,
        blocks=tuple(tuple(block) for block in blocks),
        weights=(WeightFile(filename=f"{name}.safetensors", licence="MIT", source="styler"),),
    )


def student_of_file(path: Path) -> tuple[BackboneSpec, LoadedWeights]:
    """A student's record, from the shapes in its file, and its weights.

    Raises:
        BackboneError: the file is missing, damaged, or holds no VGG network of our names.
    """
    if not path.is_file():
        raise BackboneError(f"no weights file at {path}", "check the path")
    tensors, _ = read_tensors(path)
    blocks: dict[int, dict[int, int]] = {}
    for key, tensor in tensors.items():
        match = re.fullmatch(r"conv(\d+)_(\d+)\.weight", key)
        if match:
            blocks.setdefault(int(match[1]), {})[int(match[2])] = tensor.shape[0]
    if not blocks:
        raise BackboneError(f"{path} holds no narrow VGG", "give a file that distillation wrote")
    spec = student_spec(
        [[block[index] for index in sorted(block)] for _, block in sorted(blocks.items())],
        name=path.stem,
    )
    return spec, load_weights(spec, path)


def initial_state(spec: BackboneSpec, generator: torch.Generator) -> dict[str, Tensor]:
    """Random convolutions with the variance that ReLUs keep, and no bias.

    References:
        He, Zhang, Ren, Sun 2015, arXiv 1502.01852, eq. 10.
    """
    state = {}
    for key, shape in vgg_shapes(spec).items():
        if len(shape) == 1:
            state[key] = torch.zeros(shape)
        else:
            fan_in = shape[1] * shape[2] * shape[3]
            state[key] = torch.randn(shape, generator=generator) * (2 / fan_in) ** 0.5
    return state


def initial_heads(
    spec: BackboneSpec, teacher: VggExtractor, generator: torch.Generator
) -> dict[str, Tensor]:
    """Random heads with orthonormal columns: (teacher channels, student channels) by tap."""
    heads = {}
    for op in vgg_ops(spec.blocks):
        tap = op.name
        if tap not in TAPS:
            continue
        shape = (teacher.channels(tap), op.out_channels)
        wide, _ = torch.linalg.qr(torch.randn(max(shape), min(shape), generator=generator))
        heads[tap] = (wide if shape[0] >= shape[1] else wide.mT).contiguous()
    return heads


def as_extractor(
    spec: BackboneSpec,
    state: Mapping[str, Tensor],
    *,
    device: torch.device,
    dtype: torch.dtype,
    pooling: Pooling,
) -> VggExtractor:
    """The student as it is now, for use instead of training."""
    weights = LoadedWeights(
        state={key: value.detach() for key, value in state.items()},
        sha256="",
        path=Path(f"{spec.name}.safetensors"),
    )
    return VggExtractor(spec, weights, device=device, dtype=dtype, pooling=pooling)
