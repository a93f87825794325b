"""A distillation from files to a file, with checkpoints on the way."""

from __future__ import annotations

import json
import pickle
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

import torch

from styler.errors import BackboneError, ConfigError, OutputError
from styler.features import BackboneSpec, identify, load_extractor
from styler.features.base import Pooling
from styler.features.vgg import VggExtractor
from styler.images.output import write_atomically
from styler.runtime import precision_name, resolve_device, resolve_precision
from styler.training.data import Source, read_source
from styler.training.distill import Distillation, DistillConfig, pack
from styler.training.student import parse_blocks

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to distil from what into which file.

    Args:
        teacher: its weights file.
        data: folders, archives or pictures.
        out: the file to write; its checkpoint lies beside it until it is done.
        device: auto, cpu, cuda, mps.
        precision: of convolutions: auto, fp32, bf16.
        checkpoint_every: steps between checkpoints.
        restart: ignore a checkpoint.
        options: fields of `DistillConfig`, `blocks` as text.
    """

    teacher: Path
    data: tuple[Path, ...]
    out: Path
    device: str = "auto"
    precision: str = "auto"
    checkpoint_every: int = 250
    restart: bool = False
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def checkpoint(self) -> Path:
        """Where the training can be taken up again."""
        return self.out.with_name(self.out.name + ".checkpoint.pt")


def config_of(options: dict[str, Any]) -> DistillConfig:
    """The configuration with some fields given.

    Raises:
        ConfigError: a value is of no use.
    """
    given = dict(options)
    if "blocks" in given:
        given["blocks"] = parse_blocks(given["blocks"])
    if given.get("pooling", "average") not in ("average", "max", "both"):
        raise ConfigError(f"unknown pooling '{given['pooling']}'", "average, max or both")
    return DistillConfig(**given)


def run(plan: Plan, *, note: Say, show: Callable[[Distillation, float], None]) -> Distillation:
    """Train, keep checkpoints, write the weights.

    Args:
        plan: what to do.
        note: told what a person should know.
        show: called after every step with the training and the seconds so far.

    Returns:
        The finished training.

    Raises:
        BackboneError: the teacher is missing, damaged, or no VGG-19.
        ImageError: no training pictures.
        ConfigError: a value is of no use, or the checkpoint is of another configuration.
        OutputError: the file cannot be written.
    """
    config = config_of(plan.options)
    if plan.out.suffix != ".safetensors":
        raise OutputError(f"cannot write {plan.out}", "name a .safetensors file")
    if not plan.out.parent.is_dir():
        raise OutputError(f"no folder {plan.out.parent}", "make it first")
    teacher, teachers = _teachers(plan, config)
    sources = [read_source(path) for path in plan.data]
    count = sum(len(source.training) for source in sources)
    note(f"{count} training pictures; {config.steps} steps")
    dtype = next(iter(teachers.values())).dtype
    distillation = Distillation(teachers, sources, config, dtype=dtype)
    if plan.checkpoint.is_file() and not plan.restart:
        distillation.resume(_read_checkpoint(plan.checkpoint, distillation.device))
        note(f"going on from step {distillation.step} ({plan.checkpoint})")
    started = time.perf_counter()
    while distillation.step < config.steps:
        distillation.advance()
        show(distillation, time.perf_counter() - started)
        if distillation.step % plan.checkpoint_every == 0:
            _write_checkpoint(plan.checkpoint, distillation)
    write_atomically(plan.out, pack(distillation, metadata(distillation, teacher, sources)))
    plan.checkpoint.unlink(missing_ok=True)
    return distillation


def _teachers(
    plan: Plan, config: DistillConfig
) -> tuple[BackboneSpec, dict[Pooling, VggExtractor]]:
    if not plan.teacher.is_file():
        raise BackboneError(f"no weights file at {plan.teacher}", "check the path of --teacher")
    spec = identify(plan.teacher)
    if spec.architecture != "vgg" or len(spec.blocks) != 5:
        raise BackboneError(f"{spec.name} cannot be the teacher", "give weights of a VGG network")
    device = resolve_device(plan.device)
    kinds = ("average", "max") if config.pooling == "both" else (config.pooling,)
    loaded = {
        pooling: load_extractor(
            spec.name,
            device=device,
            dtype=resolve_precision(plan.precision, device),
            pooling=pooling,
            weights=plan.teacher,
        )
        for pooling in cast(tuple[Pooling, ...], kinds)
    }
    return spec, cast(dict[Pooling, VggExtractor], loaded)


def _read_checkpoint(path: Path, device: torch.device) -> dict[str, Any]:
    try:
        return dict(torch.load(path, map_location=device, weights_only=True))
    except (OSError, RuntimeError, EOFError, ValueError, TypeError, pickle.UnpicklingError) as e:
        raise ConfigError(f"cannot read the checkpoint {path}", "--restart begins anew") from e


def _write_checkpoint(path: Path, distillation: Distillation) -> None:
    with tempfile.TemporaryDirectory(prefix="styler-") as folder:
        whole = Path(folder) / "checkpoint.pt"
        torch.save(distillation.checkpoint(), whole)
        write_atomically(path, whole.read_bytes())


def metadata(
    distillation: Distillation, teacher: BackboneSpec, sources: list[Source]
) -> dict[str, str]:
    """What the file says about itself: all that its weights came from."""
    config = distillation.config
    first = next(iter(distillation.teachers.values()))
    entry = next((e for e in teacher.weights if e.matches(first.weights_sha256)), None)
    errors = distillation.held_out_error(sources)
    return {
        "backbone": "vgg-lite",
        "architecture": "narrow VGG: 3x3 convolutions (padding 1) with ReLU, 2x2 pooling after "
        f"each block; channels {'; '.join(str(block) for block in config.blocks)}",
        "input": "RGB in [0, 1], ImageNet mean and standard deviation",
        "teacher": f"{teacher.name}: {entry.source if entry else 'unregistered file'}",
        "teacher_licence": entry.licence if entry else "unknown",
        "teacher_sha256": first.weights_sha256,
        "data": "; ".join(f"{s.name}: {len(s.training)} pictures" for s in sources),
        "steps": str(distillation.step),
        "seed": str(config.seed),
        "precision": precision_name(distillation.dtype),
        "held_out_error": json.dumps({tap: round(value, 4) for tap, value in errors.items()}),
        "held_out_error_is": "mean squared error of each tap through its head, on plain crops of "
        "pictures held back, divided by the variance of the teacher's tap",
        "config": json.dumps(asdict(config), sort_keys=True),
        "config_sha256": config.sha256,
        "licence": "MIT, as styler; credit the teacher",
    }
