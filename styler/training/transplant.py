"""First weights for a student: the teacher's most telling channels, fitted layer by layer.

A random student needs thousands of steps to come to where this starts. Going from input to output,
each of the student's convolutions takes over channels of a teacher's convolution: those from which
all of them can best be told. Its weights are the least-squares solution that gives these channels
from what the student has one layer before.

References:
    He, Zhang, Sun 2017, arXiv 1707.06168, section 3 (channels selected, then reconstructed by least
    squares). Here a pivoted Cholesky factorisation selects, not the lasso.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from styler.features.base import Pooling
from styler.features.network import vgg_ops
from styler.features.registry import BackboneSpec
from styler.features.vgg import VggExtractor
from styler.training.student import TAPS, as_extractor, initial_state

BATCH = 16
"""Crops that go through the networks together."""
POSITIONS = 40_000
"""Positions that a layer is fitted to; the widest has 2300 unknowns for each output."""
RIDGE = 1e-4
"""Regularisation of the fits, as a share of the mean variance of the inputs."""

Draw = Callable[[int], Tensor]
"""Gives so many training pictures, (B, 3, H, W) in [0, 1]."""


def partners(student: BackboneSpec, teacher: VggExtractor) -> dict[str, str]:
    """The teacher's convolution that each of the student's takes its channels from.

    A tap's convolution has its namesake. In each block the last convolution has the teacher's last,
    others their namesakes.

    Example:
        >>> from styler.features import load_extractor
        >>> from styler.training.student import student_spec
        >>> spec = student_spec([[4, 4], [4], [4, 4, 4], [4, 4], [4]])
        >>> sorted(set(partners(spec, load_extractor("vgg-lite")).items()))[-3:]
        [('conv4_1', 'conv4_1'), ('conv4_2', 'conv4_2'), ('conv5_1', 'conv5_1')]
    """
    own = [op.name for op in vgg_ops(student.blocks) if op.kind == "conv"]
    theirs = [name for name in teacher.layers if name.startswith("conv")]
    taps = {tap.replace("relu", "conv") for tap in TAPS}
    found = {}
    for place, name in enumerate(own):
        block = name.split("_")[0]
        last = place + 1 == len(own) or not own[place + 1].startswith(f"{block}_")
        same_block = [other for other in theirs if other.startswith(f"{block}_")]
        found[name] = same_block[-1] if last and name not in taps else name
    return found


def select_channels(second: Tensor, count: int) -> Tensor:
    """Channels from which all others can best be told, by greedy selection.

    Args:
        second: (C, C) second moments of the channels.
        count: how many; C at most.

    Returns:
        (count,) their indices, the most telling first.

    Example:
        >>> select_channels(torch.diag(torch.tensor([1.0, 9.0, 4.0])), 2)
        tensor([1, 2])
    """
    rest = second.double().clone()
    chosen: list[int] = []
    for _ in range(count):
        # How much of all channels' power a channel would explain.
        gains = rest.square().sum(0) / rest.diagonal().clamp_min(1e-12)
        gains[rest.diagonal() <= 1e-9 * second.diagonal().max()] = 0.0
        gains[chosen] = -1.0
        best = int(gains.argmax())
        chosen.append(best)
        column = rest[:, best].clone()
        if float(column[best]) > 0:
            rest -= torch.outer(column, column) / column[best]
    return torch.tensor(chosen)


@torch.no_grad()
def transplant(
    spec: BackboneSpec,
    teacher: VggExtractor,
    draw: Draw,
    scales: Mapping[str, Tensor],
    *,
    pooling: Pooling,
    dtype: torch.dtype,
    generator: torch.Generator,
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Fit all of a student's convolutions.

    Args:
        spec: the student.
        teacher: with the same pooling.
        draw: gives training pictures, on the teacher's device.
        scales: the teacher's standard deviation at each tap.
        pooling: of both.
        dtype: precision of the student's forward passes.
        generator: for channels that the teacher does not have.

    Returns:
        The student's weights, and the heads with orthonormal columns that fit them best.
    """
    state = {key: value.to(teacher.device) for key, value in initial_state(spec, generator).items()}
    source = partners(spec, teacher)
    ops = vgg_ops(spec.blocks)
    heads: dict[str, Tensor] = {}
    for place, op in enumerate(ops):
        if op.kind != "conv":
            continue
        before = ops[place - 1].name if place else None
        student = as_extractor(spec, state, device=teacher.device, dtype=dtype, pooling=pooling)
        inputs, outputs = _collect(student, before, teacher, source[op.name], draw)
        rectified = outputs.relu()
        kept = min(op.out_channels, outputs.shape[1])
        chosen = select_channels(rectified.T @ rectified / len(rectified), kept)
        tap = op.name.replace("conv", "relu")
        scale = scales[tap] if tap in scales else rectified.std()
        weight, bias = _fit(inputs, outputs[:, chosen] / scale)
        shape = (kept, op.in_channels, op.kernel, op.kernel)
        state[f"{op.name}.weight"][:kept] = weight.T.reshape(shape)
        state[f"{op.name}.bias"][:kept] = bias
        if tap in TAPS:
            fitted = (inputs @ weight + bias).relu()
            heads[tap] = _orthonormal_head(fitted, rectified / scale, op.out_channels)
    return state, heads


def _collect(
    student: VggExtractor, before: str | None, teacher: VggExtractor, layer: str, draw: Draw
) -> tuple[Tensor, Tensor]:
    """Windows of the student's features before a convolution, and the teacher's values there."""
    inputs, outputs = [], []
    found = 0
    while found < POSITIONS:
        images = draw(BATCH)
        wanted = teacher(images, [layer])[layer].float()
        have = student(images, [before])[before] if before else student.normalise(images)
        windows = F.unfold(have.float(), 3, padding=1).transpose(1, 2).flatten(0, 1)
        values = wanted.flatten(2).transpose(1, 2).flatten(0, 1)
        stride = max(1, len(values) * 8 // POSITIONS)  # some positions each of many pictures
        inputs.append(windows[::stride])
        outputs.append(values[::stride])
        found += len(inputs[-1])
    return torch.cat(inputs), torch.cat(outputs)


def _fit(inputs: Tensor, outputs: Tensor) -> tuple[Tensor, Tensor]:
    """The linear map and offset with the least squared error, slightly regularised."""
    centre, middle = inputs.mean(0), outputs.mean(0)
    inputs, outputs = inputs - centre, outputs - middle
    gram = inputs.T @ inputs
    ridge = RIDGE * gram.diagonal().mean() * torch.eye(len(gram), device=gram.device)
    weight = torch.linalg.solve(gram + ridge, inputs.T @ outputs)
    return weight, middle - centre @ weight


def _orthonormal_head(student: Tensor, teacher: Tensor, channels: int) -> Tensor:
    """The head with orthonormal columns that maps the student nearest to the teacher.

    Schönemann 1966, "A generalized solution of the orthogonal Procrustes problem".
    """
    cross = teacher.new_zeros(teacher.shape[1], channels)
    cross[:, : student.shape[1]] = teacher.T @ student
    left, _, right = torch.linalg.svd(cross, full_matrices=False)
    head: Tensor = left @ right
    return head
