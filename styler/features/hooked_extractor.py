"""Features of a network that cannot be traced, read while it runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from styler.errors import BackboneError, ImageError, StylerError
from styler.features.base import Pooling, resolve_pooling
from styler.features.probed_extractor import ProbedExtractor, place
from styler.features.probing import SIDES, is_memory_error, main_output, probe, smallest_sides
from styler.features.registry import BackboneSpec
from styler.features.traced import (
    MAX_POOL_ARGUMENTS,
    OUTPUT,
    average_arguments,
    no_max_pooling,
    one_line,
)

Call = tuple[str, int]
"""A module's path and how often it has been called before; the whole network's path is empty."""

_WHOLE: Call = ("", 0)

_FIRST_SIDE = 64
"""Side of the first image that a network is tried with: a twelfth of the work of 224."""

_GREY = 0.1
"""All values of the image, normalised, that a network is tried with."""

_MAX_POOLS = (F.max_pool2d, F.max_pool2d_with_indices, torch.max_pool2d)

Note = Callable[[Call, object], None]


class HookedExtractor(ProbedExtractor[Call]):
    """The modules of a network that decides on its way what to do, by their paths.

    Names and values are those of a `TracedExtractor`. Forward hooks are on the network only while
    it runs, and it stops after the last of the layers wanted. What a module gave is copied at
    once, so that nothing the network does in place later reaches it.

    What is known of its layers comes from runs with grey images, which take a second or some:
    which modules are layers, their channels, strides and smallest images. Receptive fields are
    not known. A module that such a run did not come to is no layer.

    Args:
        spec: the network.
        model: it, with its weights. It becomes the extractor's own and is changed.
        sha256: digest of its weights.
        reason: why it cannot be traced.
        device: where to compute.
        dtype: what to compute in.
        pooling: "max", "average" in its place, or "native".

    Raises:
        BackboneError: the network takes no image of any usual size.
        ConfigError: the network has no max pooling that an average could replace.
    """

    def __init__(
        self,
        spec: BackboneSpec,
        model: nn.Module,
        sha256: str,
        reason: str,
        *,
        device: torch.device,
        dtype: torch.dtype,
        pooling: Pooling,
    ) -> None:
        model.eval().requires_grad_(False)
        place(model, device, dtype)
        self._model = model
        average = resolve_pooling(spec, pooling) == "average"
        self._pools = _AveragePools(spec.name) if average else None
        self._grey = torch.full((1, spec.preprocessing.channels, 1, 1), _GREY, device=device)
        self._grey = self._grey.to(dtype)
        try:
            found = probe(self._shapes, (_FIRST_SIDE, spec.native_side, *SIDES))
        except StylerError:
            raise
        except Exception as error:
            if is_memory_error(error):
                raise
            raise BackboneError(
                f"{spec.name} takes no image of a usual size: {one_line(error)}",
                "a network is called with one tensor, normalised images (B, C, H, W)",
            ) from error
        super().__init__(
            spec, sha256, _names(found.shapes), found, device=device, dtype=dtype, pooling=pooling
        )
        if self._pools is not None and not self._pools.met:
            raise no_max_pooling(spec.name)
        self._minimum = smallest_sides(self._with_units, found.side)
        self.notice = f"{spec.name} cannot be traced ({reason}); layers are read through hooks"

    def receptive_field(self, layer: str) -> None:
        """Nothing is known of what a layer's units see."""
        self.resolve([layer])

    def _least_side(self, layer: str) -> int:
        return self._minimum[self._key(layer)]

    def _run(self, normalised: Tensor, wanted: Sequence[str]) -> Mapping[str, Tensor]:
        calls = {self._key(layer): layer for layer in wanted}
        found: dict[str, Tensor] = {}

        def keep(call: Call, output: object) -> None:
            if call in calls and isinstance(output, Tensor):
                found[calls[call]] = output.clone()
            if len(found) == len(calls):
                raise _Done

        if calls:
            with suppress(_Done):
                self._watch(normalised, {path for path, _ in calls}, keep)
        for layer in wanted:
            if layer not in found:
                raise ImageError(
                    f"{self.name} does not come to {layer} with this image",
                    "it decides on its way what to do; use a layer nearer to the input",
                )
        return found

    def _shapes(self, side: int) -> tuple[dict[Call, tuple[int, ...]], Exception | None]:
        """The shapes of what the modules give for a grey image, as far as the network runs."""
        found: dict[Call, tuple[int, ...]] = {}

        def note(call: Call, output: object) -> None:
            if isinstance(output, Tensor):
                found[call] = tuple(output.shape)

        image = self._grey.expand(-1, -1, side, side).clone()
        try:
            with torch.no_grad():
                self._watch(image, {path for path, _ in self._model.named_modules()}, note)
        except StylerError:
            raise
        except Exception as error:
            if is_memory_error(error):
                raise
            return found, error
        return found, None

    def _with_units(self, side: int) -> set[Call]:
        return {call for call, shape in self._shapes(side)[0].items() if 0 not in shape}

    def _watch(self, image: Tensor, paths: Collection[str], note: Note) -> None:
        """Runs the network and passes on what modules give."""
        with self._pools or nullcontext(), _hooks(self._model, paths, note):
            result = self._model(image)
        note(_WHOLE, main_output(result, Tensor))


class _Done(BaseException):
    """Everything wanted has been found; a network that catches its errors lets it pass."""


def _names(calls: Iterable[Call]) -> dict[str, Call]:
    """Calls by the names of their layers, in order."""
    names: dict[str, Call] = {}
    for call in calls:
        path = OUTPUT if call == _WHOLE else call[0]
        name, number = path, 0
        while name in names:
            number += 1
            name = f"{path}_{number}"
        names[name] = call
    return names


@contextmanager
def _hooks(model: nn.Module, paths: Collection[str], note: Note) -> Iterator[None]:
    """Has a network tell what its modules give, and takes all hooks away again."""
    times: Counter[str] = Counter()

    def hook(path: str) -> Callable[[nn.Module, Any, Any], None]:
        def call(module: nn.Module, inputs: object, output: object) -> None:
            times[path] += 1
            note((path, times[path] - 1), output)

        return call

    handles = []
    try:
        for path, module in model.named_modules():
            if path and path in paths:
                handles.append(module.register_forward_hook(hook(path)))
        yield
    finally:
        for handle in handles:
            handle.remove()


class _AveragePools(TorchFunctionMode):
    """Puts average pooling in the place of every max pooling, as `average_pools` does."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name
        self.met = 0

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Collection[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given = kwargs or {}
        if func not in _MAX_POOLS:
            return func(*args, **given)
        self.met += 1
        named = {**dict(zip(MAX_POOL_ARGUMENTS, args, strict=False)), **given}
        return F.avg_pool2d(**average_arguments(named, self._name))
