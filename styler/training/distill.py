"""Teach a narrow VGG the features of a larger one: ``python -m styler.training.distill --help``.

Each tap of the student is mapped by a 1×1 head to the teacher's feature; what the head leaves
unexplained, and the distance of the features' mean and covariance, are minimised over crops of
photographs and paintings, plain and distorted, and over pictures that the student itself is
optimising. The heads are then dropped. They are kept near orthonormal, so that distances in the
student's space, which is all that style transfer sees, are those in the teacher's.

References:
    Hinton, Vinyals, Dean 2015, arXiv 1503.02531; Romero et al. 2014, arXiv 1412.6550, eq. 3
    (regressing intermediate features through a head; here all taps at once, and linear).
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import torch
from safetensors.torch import save
from torch import Tensor

from styler.errors import ConfigError
from styler.features.base import Pooling
from styler.features.network import vgg_ops
from styler.features.registry import BackboneSpec
from styler.features.tensor_files import pack_metadata
from styler.features.vgg import VggExtractor, run_ops
from styler.training.data import Crops, Source, distort
from styler.training.matching import TapLosses, compare_taps
from styler.training.rollout import Rollout
from styler.training.student import (
    TAPS,
    Blocks,
    as_extractor,
    initial_heads,
    initial_state,
    student_spec,
)
from styler.training.transplant import transplant

TAP_WEIGHTS = {**dict.fromkeys(TAPS, 1.0), "relu4_1": 1.5, "relu5_1": 2.0}
"""The deep taps count for more: they are what a narrow network finds hardest, and most of what
is left of a style's loss after optimisation is there."""


@dataclass(frozen=True, kw_only=True)
class DistillConfig:
    """Everything that decides which weights come out, but the pictures and the teacher."""

    blocks: Blocks = ((32, 24), (64, 64), (128, 128, 128), (256, 256, 256), (384,))
    """output channels of each convolution of each block"""
    transplant: bool = True
    """start from the teacher's most telling channels instead of random weights"""
    steps: int = 3000
    """optimiser steps"""
    seed: int = 0
    """of the first weights and of everything random in the data"""
    side: int = 128
    """of the crops, in pixels"""
    crops: int = 7
    """crops of pictures in a step"""
    rollouts: int = 3
    """pictures met during optimisation in a step; 0 for none"""
    groups: int = 12
    """groups of such pictures that take turns"""
    lr: float = 6e-4
    """largest step size; it rises over the first `warmup` and falls by a cosine"""
    warmup: int = 100
    """steps until the largest step size"""
    weight_decay: float = 1e-4
    """decoupled, on convolutions"""
    pooling: Literal["average", "max", "both"] = "average"
    """of teacher and student; `both` takes turns"""
    residual: float = 1.0
    """weight of the features' unexplained variance"""
    moments: float = 0.3
    """weight of the distance of means and covariances"""
    skew: float = 0.3
    """weight of the heads' deviation from orthonormal columns"""
    taps: dict[str, float] = field(
        default_factory=lambda: {**dict.fromkeys(TAPS, 1.0), "relu4_1": 1.5, "relu5_1": 2.0}
    )
    """weight of each tap"""

    @property
    def sha256(self) -> str:
        """Digest of all of it."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()


BETAS = (0.9, 0.98)
"""Decays of AdamW's moments."""
SMOOTHING = 0.99
"""Decay of the running means that are reported."""
CHECKPOINT_SCHEMA = 1


class Distillation:
    """A student in training.

    Args:
        teachers: the larger network by pooling, those that ``config.pooling`` needs.
        sources: training pictures.
        config: see `DistillConfig`.
        dtype: precision of the convolutions; weights and losses are float32.

    Raises:
        ConfigError: the student lacks a tap.
    """

    def __init__(
        self,
        teachers: Mapping[Pooling, VggExtractor],
        sources: Sequence[Source],
        config: DistillConfig,
        *,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.config = config
        self.teachers = teachers
        self.spec: BackboneSpec = student_spec(config.blocks)
        self.dtype = dtype
        first = next(iter(teachers.values()))
        self.device = first.device
        self._ops = vgg_ops(config.blocks)
        self._crops = Crops(sources)
        self.step = 0
        self.scales = self._measure(first)
        state, heads = self._first_weights(first)
        self.state = {key: value.requires_grad_() for key, value in state.items()}
        self.heads = {tap: head.requires_grad_() for tap, head in heads.items()}
        self._eye = self.student("average")
        self.running: dict[str, tuple[float, ...]] = {}
        self.rollout = Rollout(
            self._crops,
            count=config.rollouts,
            side=config.side,
            groups=config.groups,
            device=self.device,
        )
        matrices = [value for value in self.state.values() if value.ndim > 1]
        others = [value for value in self.state.values() if value.ndim == 1]
        self.optimizer = torch.optim.AdamW(
            [
                {"params": matrices, "weight_decay": config.weight_decay},
                {"params": [*others, *self.heads.values()], "weight_decay": 0.0},
            ],
            lr=config.lr,
            betas=BETAS,
        )

    def _first_weights(self, teacher: VggExtractor) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        generator = self._generator(-1)
        config = self.config

        def draw(count: int) -> Tensor:
            images = self._crops(count, config.side, generator)
            return distort(images, generator).to(self.device)

        if config.transplant:
            return transplant(
                self.spec,
                teacher,
                draw,
                self.scales,
                pooling=teacher.pooling,
                dtype=self.dtype,
                generator=generator,
            )
        state = initial_state(self.spec, generator)
        heads = initial_heads(self.spec, teacher, generator)
        return self._placed(state), self._placed(heads)

    def _placed(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {key: value.to(self.device) for key, value in tensors.items()}

    def _generator(self, step: int) -> torch.Generator:
        """The randomness of one step, which needs no state to be taken up again."""
        return torch.Generator().manual_seed((self.config.seed * 1_000_003 + step) & (2**63 - 1))

    @torch.no_grad()
    def _measure(self, teacher: VggExtractor) -> dict[str, Tensor]:
        """The teacher's standard deviation at each tap."""
        images = self._crops(64, self.config.side, self._generator(-2)).to(self.device)
        batches = [teacher(batch, TAPS) for batch in torch.split(images, BATCH)]
        return {tap: torch.stack([b[tap].float().std() for b in batches]).mean() for tap in TAPS}

    def student(self, pooling: Pooling) -> VggExtractor:
        """The student as it is now."""
        return as_extractor(
            self.spec, self.state, device=self.device, dtype=self.dtype, pooling=pooling
        )

    def _pooling(self) -> Pooling:
        if self.config.pooling != "both":
            return self.config.pooling
        return "average" if self.step % 2 == 0 else "max"

    def _images(self, pooling: Pooling) -> Tensor:
        config, generator = self.config, self._generator(self.step)
        images = distort(self._crops(config.crops, config.side, generator), generator)
        images = images.to(self.device)
        if not config.rollouts:
            return images
        met = self.rollout.next(self.step, self.student(pooling), generator)
        return torch.cat([images, met])

    def _features(self, images: Tensor, pooling: Pooling) -> dict[str, Tensor]:
        """The student's taps, differentiable in its weights."""
        ready = self._eye.normalise(images).to(self.dtype, memory_format=torch.channels_last)
        state = {key: value.to(self.dtype) for key, value in self.state.items()}
        return run_ops(self._ops, state, ready, TAPS, pooling)

    def advance(self) -> dict[str, TapLosses]:
        """One step of training.

        Returns:
            What it started from, by tap.
        """
        pooling = self._pooling()
        images = self._images(pooling)
        with torch.no_grad():
            wanted = self.teachers[pooling](images, TAPS)
        losses = compare_taps(self._features(images, pooling), wanted, self.heads, self.scales)
        total = sum(self.config.taps[tap] * self._total(loss) for tap, loss in losses.items())
        assert isinstance(total, Tensor)  # there is at least one tap
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(list(self.state.values()), GRADIENT_NORM)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.step, self.config)
        self.optimizer.step()
        self.step += 1
        self._remember(losses)
        return losses

    def _total(self, loss: TapLosses) -> Tensor:
        config = self.config
        return (
            config.residual * loss.residual
            + config.moments * loss.moments
            + config.skew * loss.skew
        )

    def _remember(self, losses: Mapping[str, TapLosses]) -> None:
        for tap, loss in losses.items():
            now = tuple(float(value.detach()) for value in (loss.residual, loss.moments, loss.skew))
            before = self.running.get(tap, now)
            decay = min(SMOOTHING, 1 - 1 / self.step)
            self.running[tap] = tuple(
                decay * old + (1 - decay) * new for old, new in zip(before, now, strict=True)
            )

    def checkpoint(self) -> dict[str, Any]:
        """All that `resume` needs, in types that are read without running code."""
        return {
            "schema": CHECKPOINT_SCHEMA,
            "config": self.config.sha256,
            "step": self.step,
            "state": {key: value.detach() for key, value in self.state.items()},
            "heads": {key: value.detach() for key, value in self.heads.items()},
            "optimizer": self.optimizer.state_dict(),
            "rollout": self.rollout.records(),
            "running": {tap: list(values) for tap, values in self.running.items()},
        }

    def resume(self, checkpoint: Mapping[str, Any]) -> None:
        """Go on where a checkpoint was made, to the same weights as without the break.

        Raises:
            ConfigError: it is of another configuration.
        """
        known = (checkpoint.get("schema"), checkpoint.get("config"))
        if known != (CHECKPOINT_SCHEMA, self.config.sha256):
            raise ConfigError(
                "the checkpoint is of another configuration",
                "give the same options, or --restart to begin anew",
            )
        with torch.no_grad():
            for name, own in (("state", self.state), ("heads", self.heads)):
                for key, value in own.items():
                    value.copy_(checkpoint[name][key])
        self.optimizer.load_state_dict(checkpoint["optimizer"])
        self.rollout.restore(checkpoint["rollout"])
        self.running = {tap: tuple(values) for tap, values in checkpoint["running"].items()}
        self.step = checkpoint["step"]

    @torch.no_grad()
    def held_out_error(self, sources: Sequence[Source]) -> dict[str, float]:
        """The residual of each tap on plain crops of pictures that were never trained on.

        Returns:
            By tap; empty when no source holds pictures back.
        """
        kept = [Source(s.name, s.held_out, []) for s in sources if s.held_out]
        if not kept:
            return {}
        images = Crops(kept)(HELD_OUT_CROPS, self.config.side, self._generator(-3))
        pooling = next(iter(self.teachers))
        sums = dict.fromkeys(TAPS, 0.0)
        batches = torch.split(images.to(self.device), BATCH)
        for batch in batches:
            wanted = self.teachers[pooling](batch, TAPS)
            losses = compare_taps(self._features(batch, pooling), wanted, self.heads, self.scales)
            for tap, loss in losses.items():
                sums[tap] += float(loss.residual) / len(batches)
        return sums


GRADIENT_NORM = 1.0
"""Longer gradients are cut to this norm: a rare strange crop must not throw the student off."""
HELD_OUT_CROPS = 64
BATCH = 8
"""Crops that the networks see together where no gradient is needed."""


def learning_rate(step: int, config: DistillConfig) -> float:
    """A linear rise, then half a cosine to zero.

    Example:
        >>> config = DistillConfig(steps=1000, warmup=100, lr=1.0)
        >>> [round(learning_rate(step, config), 2) for step in (0, 99, 550, 999)]
        [0.01, 1.0, 0.5, 0.0]
    """
    if step < config.warmup:
        return config.lr * (step + 1) / config.warmup
    done = (step - config.warmup) / max(1, config.steps - config.warmup)
    return config.lr * 0.5 * (1 + math.cos(math.pi * done))


def pack(distillation: Distillation, metadata: Mapping[str, str]) -> bytes:
    """The student as the bytes of a safetensors file in float16, the same for the same student."""
    state = {
        key: value.detach().to("cpu", torch.float16).contiguous()
        for key, value in distillation.state.items()
    }
    return save(state, metadata=pack_metadata(metadata))


if __name__ == "__main__":
    from styler.cli.distill import main

    main()
