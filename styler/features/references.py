"""Networks of somebody's own: ``package.module:factory`` and ``path/to/file.py:factory``."""

from __future__ import annotations

import copy
import hashlib
import importlib
import importlib.util
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import torch
from torch import nn

from styler.errors import BackboneError
from styler.features.layers import nearest
from styler.features.probing import input_channels
from styler.features.registry import GREY, IMAGENET, BackboneSpec, Preprocessing


def own_network(reference: str) -> tuple[nn.Module, BackboneSpec]:
    """Calls a function that gives a network.

    The working folder, and for a file its own folder, can be imported from while that is done.
    How the network wants its input is told by an attribute ``preprocessing`` of the network or of
    the function, a `Preprocessing`. Without one it is `IMAGENET` for three input channels and
    `GREY` for one.

    Args:
        reference: ``package.module:factory`` or ``path/to/file.py:factory``. What is named may
            also be an ``nn.Module`` itself, which is then copied.

    Returns:
        The network, with its own weights, and a record of it.

    Raises:
        BackboneError: the module cannot be imported, has no such function, the function fails or
            gives something else, or the network takes neither one nor three channels.
    """
    place, _, attribute = reference.strip().rpartition(":")
    with _importable(place):
        module = _file(place) if place.endswith(".py") else _import(place)
        factory = _attribute(module, attribute, place)
        model = _call(factory, reference)
    preprocessing = preprocessing_of(model, reference, getattr(factory, "preprocessing", None))
    return model, own_spec(reference.strip(), preprocessing)


def own_spec(name: str, preprocessing: Preprocessing) -> BackboneSpec:
    """The record of a network that nothing else is known of."""
    return BackboneSpec(
        name=name,
        description=f"{name}, a network of your own",
        architecture="module",
        preprocessing=preprocessing,
    )


def preprocessing_of(model: nn.Module, name: str, fallback: object = None) -> Preprocessing:
    """How a network wants its input.

    Args:
        model: the network; its attribute ``preprocessing`` is taken when it is a `Preprocessing`.
        name: of the network, for messages.
        fallback: taken otherwise, under the same condition.

    Returns:
        What the network or `fallback` says, else `IMAGENET` or `GREY` by its input channels.

    Raises:
        BackboneError: nothing is said, and the input has neither one nor three channels.
    """
    for stated in (getattr(model, "preprocessing", None), fallback):
        if isinstance(stated, Preprocessing):
            return stated
    channels = input_channels(model)
    if channels not in (1, 3):
        raise BackboneError(
            f"{name} takes {channels} input channels, an image has 3 or, in grey, 1",
            "wrap it in a module that makes its input from three channels",
        )
    return GREY if channels == 1 else IMAGENET


@contextmanager
def _importable(place: str) -> Iterator[None]:
    """The working folder, and a file's own, come first among the places to import from."""
    before = list(sys.path)
    sys.path.insert(0, os.getcwd())
    if place.endswith(".py"):
        sys.path.insert(0, str(Path(place).expanduser().resolve().parent))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path[:] = before


def _import(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise _broken(name, error) from error
        raise BackboneError(
            f"there is no module '{name}' to import a network from",
            "run from the folder that holds it, install it, or give path/to/file.py:factory",
        ) from error
    except Exception as error:
        raise _broken(name, error) from error


def _file(place: str) -> ModuleType:
    path = Path(place).expanduser().resolve()
    if not path.is_file():
        raise BackboneError(f"there is no file {place} to take a network from", "check the path")
    # A name of its own: the file may be called as a module that is already there.
    name = f"styler_network_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise BackboneError(f"{place} cannot be imported as a module", "check the file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise _broken(place, error) from error
    return module


def _broken(place: str, error: Exception) -> BackboneError:
    return BackboneError(
        f"importing {place} failed: {_line(error)}", "mend the module; --debug shows where it is"
    )


def _attribute(module: ModuleType, attribute: str, place: str) -> object:
    if not hasattr(module, attribute):
        known = [name for name, value in vars(module).items() if callable(value) and name[0] != "_"]
        raise BackboneError(f"{place} has no '{attribute}'", nearest(attribute, known))
    return getattr(module, attribute)


def _call(factory: object, reference: str) -> nn.Module:
    if isinstance(factory, nn.Module):
        return copy.deepcopy(factory)
    if not callable(factory):
        raise BackboneError(
            f"{reference} is no function but of type {type(factory).__name__}",
            "name a function without arguments that returns an nn.Module",
        )
    try:
        model = factory()
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        raise BackboneError(
            f"{reference} failed: {_line(error)}",
            "it is called without arguments; --debug shows where it failed",
        ) from error
    if not isinstance(model, nn.Module):
        raise BackboneError(
            f"{reference} returned an object of type {type(model).__name__}",
            "it has to return an nn.Module",
        )
    return model


def _line(error: Exception) -> str:
    text = str(error).partition("\n")[0]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
