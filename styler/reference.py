"""Pictures made to be like another one in the features of a layer, one picture for each layer."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from styler.config import VisualizeConfig, resolve
from styler.engine import Callback, RunResult, StepEvent, run_levels
from styler.errors import ConfigError, ImageError, UsageError
from styler.features import BACKBONES, Extractor
from styler.images import fit_long_side, resize
from styler.memory import check_memory
from styler.presets import load_preset
from styler.reference_gradient import Compare, ReferenceGradient
from styler.runtime import memory_errors_explained
from styler.schedule import Level
from styler.slots import seed_of
from styler.transforms import view_size
from styler.visualize import start_of

DEFAULT_SIDE = 224
"""Pixels of the long side where the settings name none."""


@dataclass(frozen=True, kw_only=True)
class Likeness:
    """How like the features f of a picture are to those of another one, t.

    Args:
        error: Σ (f − t)² / Σ t²; 0 for the same, 1 for nothing in common.
        cosine: Σ f·t / (‖f‖ ‖t‖); 1 for the same but for their strength.
        gain: Σ f·t / Σ t²; how strongly the picture shows what the other one shows.
    """

    error: float
    cosine: float
    gain: float


@dataclass(frozen=True, kw_only=True)
class LayerPicture:
    """A picture made for one layer.

    Args:
        layer: canonical name.
        image: (1, 3, H, W) float32 sRGB in [0, 1], on the CPU.
        likeness: to the reference, both as they are.
        run: how it was reached.
    """

    layer: str
    image: Tensor
    likeness: Likeness
    run: RunResult


class ReferenceProblem:
    """One reference, one network, some of its layers: a picture is made for each.

    The layers are worked on one after the other, since the network is cut at each; every picture
    has randomness of its own and is the same alone and among others.

    Args:
        image: (1, 3, H, W) sRGB in [0, 1], the reference; it is seen at ``schedule.size`` on its
            long side, which the pictures have, too.
        layers: names or aliases.
        extractor: the network.
        config: every setting.
        compare: makes the term of a layer.

    Raises:
        UsageError: a tensor of another shape.
        ConfigError: an unknown layer, none at all, or settings that make no sense here.
        ImageError: the picture would be too small for a layer.
        DeviceError: there is not enough memory.
    """

    def __init__(
        self,
        image: Tensor,
        layers: Sequence[str],
        extractor: Extractor,
        config: VisualizeConfig,
        compare: Compare,
    ) -> None:
        if image.ndim != 4 or image.shape[:2] != (1, 3) or not image.is_floating_point():
            raise UsageError(
                f"the image is {image.dtype} {tuple(image.shape)}, expected float (1, 3, H, W)",
                "styler.images.read_picture(path).pixels has the right form",
            )
        if config.parameter.alpha:
            raise ConfigError(
                "parameter.alpha makes pictures transparent, which a reference is not",
                "leave it off, or use styler visualize",
            )
        self.layers = extractor.resolve(layers)
        if not self.layers:
            raise ConfigError("no layers to make pictures for", "name some, such as relu4_1")
        side = config.schedule.size or DEFAULT_SIDE
        self.size = fit_long_side((image.shape[-2], image.shape[-1]), side)
        self.extractor = extractor
        self.config = config
        self.compare = compare
        self._check_sizes()
        self.start = start_of(config, self.size)
        with torch.no_grad():
            self.reference = resize(image, self.size).clamp(0, 1).to(extractor.device)

    def _check_sizes(self) -> None:
        view = view_size(self.config.view, self.size)
        for layer in self.layers:
            for size in (self.size, view):
                try:
                    self.extractor.check_size(size, [layer])
                except ImageError as error:
                    raise ImageError(f"{layer}: {error.message}", error.hint) from None
        check_memory(self.extractor, self.layers, view, self.config.runtime.max_memory)

    @property
    def planned(self) -> int:
        """Steps of all layers together."""
        return len(self.layers) * self.config.schedule.steps

    def alone(self, layer: str) -> ReferenceProblem:
        """The same for one of the layers."""
        alone = copy.copy(self)
        alone.layers = [layer]
        return alone

    def seconds(self) -> list[float]:
        """How long each layer takes to read, in seconds: what its steps cost, in proportion."""
        self._features(self.reference, self.layers[-1])  # warms up
        times = []
        for layer in self.layers:
            started = time.perf_counter()
            float(self._features(self.reference, layer).sum())  # waits for a GPU
            times.append(time.perf_counter() - started)
        return times

    def solve(
        self,
        *,
        done: Callable[[LayerPicture], None] | None = None,
        callbacks: Sequence[Callback] = (),
        should_stop: Callable[[int], bool] | None = None,
    ) -> list[LayerPicture]:
        """Make the pictures.

        Args:
            done: called with each picture as soon as it is there.
            callbacks: called with a `styler.engine.StepEvent` after steps, whose levels are the
                layers.
            should_stop: asked after each step with the steps done; True ends the run.

        Returns:
            In the order of the layers; fewer when the run was stopped.

        Raises:
            DeviceError: memory ran out.
            DivergedError: a loss stayed non-finite.
        """
        pictures: list[LayerPicture] = []
        for index, layer in enumerate(self.layers):
            before = index * self.config.schedule.steps
            if index and should_stop is not None and should_stop(before):
                break
            run = self._run(
                layer,
                [_counted_on(callback, index, before, self) for callback in callbacks],
                None if should_stop is None else _later(should_stop, before),
            )
            if not run.done:
                break
            image = run.image.cpu()
            likeness = self.likeness(image, layer)
            picture = LayerPicture(layer=layer, image=image, likeness=likeness, run=run)
            pictures.append(picture)
            if done is not None:
                done(picture)
            if run.stopped:
                break
        return pictures

    def _run(
        self,
        layer: str,
        callbacks: Sequence[Callback],
        should_stop: Callable[[int], bool] | None,
    ) -> RunResult:
        generator = torch.Generator().manual_seed(seed_of(self.config.runtime.seed, layer, 0))
        first = self.start(generator)
        with memory_errors_explained(self.extractor.device):
            gradient = self.gradient(layer, generator)
            return run_levels(
                first.with_raw(first.raw.detach().to(self.extractor.device)),
                [Level(size=self.size, steps=self.config.schedule.steps)],
                lambda _: gradient,
                self.config.optimizer,
                callbacks=callbacks,
                should_stop=should_stop,
            )

    def gradient(self, layer: str, generator: torch.Generator) -> ReferenceGradient:
        """What the picture of a layer follows.

        Args:
            layer: canonical name.
            generator: of the views, on the CPU.
        """
        return ReferenceGradient(
            self.extractor, self.reference, layer, self.compare, self.config, generator
        )

    def likeness(self, image: Tensor, layer: str) -> Likeness:
        """How like a picture is to the reference at a layer.

        Args:
            image: (1, 3, H, W), of the reference's size.
            layer: canonical name.
        """
        f = self._features(image.to(self.extractor.device), layer)
        t = self._features(self.reference, layer)
        product, squares = (f * t).sum(), t.square().sum().clamp_min(1e-12)
        lengths = (f.square().sum() * squares).sqrt().clamp_min(1e-12)
        return Likeness(
            error=float((f - t).square().sum() / squares),
            cosine=float(product / lengths),
            gain=float(product / squares),
        )

    def _features(self, image: Tensor, layer: str) -> Tensor:
        with torch.no_grad():
            features: Tensor = self.extractor(image, [layer])[layer].double()
        return features


def _counted_on(callback: Callback, index: int, before: int, problem: ReferenceProblem) -> Callback:
    """A callback that is told of one layer's steps as a part of all."""

    def told(event: StepEvent) -> None:
        callback(
            replace(
                event,
                level=index,
                levels=len(problem.layers),
                done=before + event.done,
                planned=problem.planned,
            )
        )

    return told


def _later(should_stop: Callable[[int], bool], before: int) -> Callable[[int], bool]:
    return lambda done: should_stop(before + done)


def preset_config(name: str) -> VisualizeConfig:
    """The settings of a preset of kind `visualize`.

    Example:
        >>> preset_config("caricature").parameter.kind
        'fourier'
    """
    preset = load_preset(name, "visualize")
    return resolve((f"preset {name}", preset.values), root=VisualizeConfig).config


def default_layers(extractor: Extractor) -> list[str]:
    """One layer of each depth: of each distance between neighbouring units.

    The first ReLU of each block of a VGG; else, of the layers of a stride, the last of those that
    are least deep in the tree of modules: the output of a stage.

    Raises:
        ConfigError: no layer has a map.

    Example:
        >>> from styler.features import load_extractor
        >>> default_layers(load_extractor("vgg-lite"))
        ['relu1_1', 'relu2_1', 'relu3_1', 'relu4_1', 'relu5_1']
    """
    spec = BACKBONES.get(extractor.name)
    if spec is not None and spec.architecture == "vgg":
        return [f"relu{block}_1" for block in range(1, len(spec.blocks) + 1)]
    stages: dict[int, str] = {}
    for layer in extractor.layers:
        stride = _stride(extractor, layer)
        if stride is None:
            continue
        best = stages.setdefault(stride, layer)
        if layer.count(".") <= best.count("."):
            stages[stride] = layer
    if not stages:
        raise ConfigError(
            f"no layer of {extractor.name} has a map", "name layers: --layer LAYER,LAYER"
        )
    return [stages[stride] for stride in sorted(stages)]


def _stride(extractor: Extractor, layer: str) -> int | None:
    try:
        return extractor.stride(layer)
    except ConfigError:  # it has as many units whatever the picture's size
        return None
