"""What the benchmark runs in processes of their own, one per call.

    python workers.py machine             what this machine can do, as JSON
    python workers.py weights FILE        VGG-19 for both programs, as a .pth file
    python workers.py styler ARGUMENTS    styler, with the recipe of the peer
    python workers.py peer ARGUMENTS      the peer's own command line

Both programs report alike: `Imported N MB` once the libraries are there, then for each iteration
`Iteration t / N` and `Total loss: x`. The peer prints the last two by itself.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import psutil
import torch
from torch import Tensor

from styler.features import BackboneSpec

PEER_LIMIT = 256.0
"""The peer feeds the network pixels in 0 to 256, where Caffe's were in 0 to 255."""
PEER_SMOOTHNESS = 1e-3
"""The peer's weight of the sum of absolute differences of neighbours."""
MATRIX = 2048
"""Side of the matrices whose product stands for the processor's peak."""


def machine() -> None:
    from styler.runtime import has_native_bf16

    bf16 = has_native_bf16(torch.device("cpu"))
    facts = {
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "bf16": bf16,
        "matmul_gflops": {
            "fp32": matmul_gflops(torch.float32),
            **({"bf16": matmul_gflops(torch.bfloat16)} if bf16 else {}),
        },
    }
    print(json.dumps(facts))


def matmul_gflops(dtype: torch.dtype) -> float:
    """The best of several products of two square matrices."""
    one, other = torch.randn(2, MATRIX, MATRIX).to(dtype)
    fastest = float("inf")
    for _ in range(8):
        started = time.perf_counter()
        one @ other
        fastest = min(fastest, time.perf_counter() - started)
    return 2 * MATRIX**3 / fastest / 1e9


def weights(target: Path) -> None:
    """Write real VGG-19 weights if there are any, else random ones; print which."""
    from styler.features import find_weights, get_backbone, load_weights

    spec = get_backbone("vgg19-caffe")
    found = find_weights(spec)
    torch.save(vgg_state(spec, load_weights(spec, found).state if found else None), target)
    print("random" if found is None else found.name)


def vgg_state(spec: BackboneSpec, loaded: Mapping[str, Tensor] | None) -> dict[str, Tensor]:
    """The convolutions of a VGG network under torchvision's names.

    Args:
        spec: the network.
        loaded: its tensors under our names; None for random ones.
    """
    from styler.features.network import vgg_ops

    state: dict[str, Tensor] = {}
    for place, op in enumerate(vgg_ops(spec.blocks)):
        if op.kind != "conv":
            continue
        for leaf in ("weight", "bias"):
            if loaded is not None:
                value = loaded[f"{op.name}.{leaf}"].float()
            elif leaf == "bias":
                value = torch.zeros(op.out_channels)
            else:
                shape = (op.out_channels, op.in_channels, op.kernel, op.kernel)
                value = torch.nn.init.kaiming_normal_(torch.empty(shape), nonlinearity="relu")
            state[f"features.{place}.{leaf}"] = value
    return state


def styler(arguments: list[str]) -> None:
    """Read two pictures, transfer with the peer's recipe, write the result."""
    parser = argparse.ArgumentParser()
    for name in ("content", "style", "output", "weights", "optimizer", "precision"):
        parser.add_argument(name)
    for name in ("size", "iterations"):
        parser.add_argument(name, type=int)
    given = parser.parse_args(arguments)

    from styler.config import resolve
    from styler.engine import StepEvent
    from styler.images import read_picture, write_picture
    from styler.presets import load_preset
    from styler.processes import keep_freed_memory
    from styler.transfer import transfer

    report_imports()
    keep_freed_memory()  # as the commands do
    recipe = {
        "backbone": {"weights": given.weights},
        "init": {"kind": "content"},
        "smoothness": {"weight": PEER_SMOOTHNESS * PEER_LIMIT, "norm": "l1", "reduction": "sum"},
        "optimizer": {"name": given.optimizer, "lr": 1.0, "clamp": "end"},
        "schedule": {"size": given.size, "scales": 1, "steps": [given.iterations]},
        "runtime": {"device": "cpu", "precision": given.precision},
    }
    johnson = load_preset("johnson", "transfer").values
    config = resolve(("preset johnson", johnson), ("benchmark", recipe)).config

    def tell(event: StepEvent) -> None:
        print(f"Iteration {event.done} / {event.planned}")
        for name, loss in event.losses.items():
            print(f"  {name}: {loss}")
        print(f"  Total loss: {event.total}")

    content, style = (read_picture(path).pixels for path in (given.content, given.style))
    result = transfer(content, style, config, callbacks=[tell])
    write_picture(given.output, result.image, overwrite=True)


def peer(arguments: list[str]) -> None:
    """The entry point of the peer's command, after saying what its imports take."""
    sys.argv[1:] = arguments  # it reads them when it is imported
    program = importlib.import_module("neural_style.neural_style")
    report_imports()
    program.main()


def report_imports() -> None:
    print(f"Imported {psutil.Process().memory_info().rss / 1e6:.0f} MB")


def run(task: str, arguments: list[str]) -> None:
    tasks: dict[str, Callable[[], None]] = {
        "machine": machine,
        "weights": lambda: weights(Path(arguments[0])),
        "styler": lambda: styler(arguments),
        "peer": lambda: peer(arguments),
    }
    tasks[task]()


if __name__ == "__main__":
    run(sys.argv[1], sys.argv[2:])
