"""What the benchmark of feature visualization runs in processes of their own, one per call.

    python unit_workers.py view                             side of the views in pixels
    python unit_workers.py network NAME FILE                a network for both programs
    python unit_workers.py styler NAME FILE PRECISION BATCH
    python unit_workers.py peer NAME FILE [view] [frozen] [cut]
    python unit_workers.py judge NAME FILE FOLDER...

The two programs say `Imported N MB` once the libraries are there, and then answer each line that
they are given, a request in JSON, with a line in JSON: see `serve`. The judge tells how active
channels are in pictures, on the average, whoever made them.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from subjects import SIDE, SUBJECTS, Subject
from torch import Tensor, nn
from workers import report_imports, vgg_state

from styler.features import BackboneSpec

FIRST = "features.0.weight"
IMAGENET_STD = (0.229, 0.224, 0.225)


class Program(Protocol):
    """One of the two, with its network loaded."""

    def render(self, channels: Sequence[int], steps: int) -> tuple[np.ndarray, float]:
        """Make pictures.

        Args:
            channels: of the layer.
            steps: of each.

        Returns:
            (N, 3, H, W) in [0, 1], and the seconds of a step of a unit, without the first step.
        """
        ...


class Styler:
    """Many units at a time, with the preset that is the peer's recipe."""

    def __init__(self, subject: Subject, file: Path, precision: str, batch: int) -> None:
        from styler.features import load_extractor
        from styler.runtime import PRECISIONS

        report_imports()
        self.subject = subject
        self.batch = batch
        dtype = PRECISIONS[precision]
        self.extractor = load_extractor(subject.name, dtype=dtype, weights=file, pooling="native")

    def render(self, channels: Sequence[int], steps: int) -> tuple[np.ndarray, float]:
        from styler.config import VisualizeConfig, resolve
        from styler.presets import load_preset
        from styler.units import parse_units
        from styler.visualize import UnitsEvent, visualize

        lucid = load_preset("lucid", "visualize").values
        # Gradients of silent units are redirected in few of a unit's steps; here, in one that is
        # not measured.
        own = {"redirect": 1, "schedule": {"size": SIDE, "steps": steps, "batch": self.batch}}
        config = resolve(("preset", lucid), ("benchmark", own), root=VisualizeConfig).config
        units = parse_units([f"{self.subject.layer}:{n}" for n in channels], self.extractor)
        times: list[float] = []
        first: list[int] = []

        def tell(event: UnitsEvent) -> None:
            times.append(time.perf_counter())
            first.append(len(event.working))

        shown = visualize(units, self.extractor, config, callbacks=[tell])
        seconds = times[-1] - times[0]
        pictures = torch.cat([one.images for one in shown]).numpy()
        return pictures, seconds / max(1, len(units) * steps - first[0])


class Peer:
    """One unit at a time, as its users do.

    Args:
        subject: what to show.
        file: of weights.
        options: `view`: the network sees views of the size that styler shows its own, where the
            peer enlarges them to 224 pixels otherwise; `frozen`: its weights take no gradient;
            `cut`: it ends at the layer.
    """

    def __init__(self, subject: Subject, file: Path, options: Sequence[str]) -> None:
        self.objectives = importlib.import_module("lucent.optvis.objectives")
        self.render_vis = importlib.import_module("lucent.optvis.render").render_vis
        report_imports()
        self.subject = subject
        model: Any = torchvision_model(subject.name)
        # Of VGG the classifier stays as it was made: it is run, and nobody asks for what it gives.
        model.load_state_dict(torch.load(file, weights_only=True), strict=False)
        if "frozen" in options:
            model.requires_grad_(False)
        if "cut" in options:
            model.features = model.features[: subject.place + 1]
            model.avgpool = model.classifier = nn.Identity()
        self.model = model.eval()
        self.view = view_side() if "view" in options else None

    def render(self, channels: Sequence[int], steps: int) -> tuple[np.ndarray, float]:
        pictures, seconds = [], 0.0
        for channel in channels:
            times: list[float] = []
            made = self.render_vis(
                self.model,
                self._clocked(f"{self.subject.peer_layer}:{channel}", times),
                thresholds=(steps,),
                progress=False,
                show_image=False,
                fixed_image_size=self.view,
            )
            pictures.append(made[-1].transpose(0, 3, 1, 2))
            seconds += times[-1] - times[0]
        return np.concatenate(pictures), seconds / max(1, len(channels) * (steps - 1))

    def _clocked(self, objective: str, times: list[float]) -> Any:
        """An objective of the peer's that notes when it is asked, which is once a step."""
        plain = self.objectives.as_objective(objective)

        def noted(features: Callable[[str], Tensor]) -> Tensor:
            times.append(time.perf_counter())
            loss: Tensor = plain(features)
            return loss

        return self.objectives.Objective(noted)


def serve(program: Program) -> None:
    """Answer requests until there are no more.

    A request has `channels`, `steps`, and `pictures`, the file that they go to. `{"count": N}`
    asks for the operations of one step of channel N, in 10⁹, forward and backward.
    """
    for line in sys.stdin:
        request = json.loads(line)
        if "count" in request:
            print(json.dumps({"gflop": gflop(program, request["count"])}), flush=True)
            continue
        pictures, seconds = program.render(request["channels"], request["steps"])
        if request["pictures"]:
            np.save(request["pictures"], pictures)
        print(json.dumps({"seconds": seconds}), flush=True)


def gflop(program: Program, channel: int) -> float:
    """Operations of all convolutions and products of matrices that one step makes."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        program.render([channel], 1)
    return float(counter.get_total_flops()) / 1e9


def view_side() -> int:
    """Side in pixels of what the network sees of a picture, in the recipe."""
    from styler.config import VisualizeConfig, resolve
    from styler.presets import load_preset
    from styler.transforms import view_size

    lucid = load_preset("lucid", "visualize").values
    config = resolve(("preset", lucid), root=VisualizeConfig).config
    return view_size(config.view, (SIDE, SIDE))[0]


def network(name: str, target: Path) -> None:
    """Write real weights if there are any, else random ones, for torchvision; print which."""
    from styler.features import find_weights, get_backbone

    for source in SUBJECTS[name].sources:
        spec = get_backbone(source)
        found = find_weights(spec)
        if found is not None:
            torch.save(torchvision_state(spec, found), target)
            print(found.name)
            return
    spec = get_backbone(name)
    is_vgg = spec.architecture == "vgg"
    torch.save(vgg_state(spec, None) if is_vgg else torchvision_model(name).state_dict(), target)
    print("random")


def torchvision_state(spec: BackboneSpec, file: Path) -> dict[str, Tensor]:
    """The tensors of a weights file as torchvision's network of that kind has them."""
    from styler.features import load_weights

    loaded = load_weights(spec, file).state
    if spec.architecture != "vgg":
        return {key: value.float() for key, value in loaded.items()}
    state = vgg_state(spec, loaded)
    if spec.preprocessing.channel_order == "bgr":
        # The peer normalises as torchvision does, and so must its network want it. The two means
        # are the same to within a hundredth of a pixel's 256 steps.
        std = torch.tensor(IMAGENET_STD).view(1, 3, 1, 1)
        state[FIRST] = state[FIRST].flip(1) * spec.preprocessing.scale * std
    return state


def torchvision_model(name: str) -> nn.Module:
    """A network of torchvision's with random weights."""
    import torchvision

    model: nn.Module = getattr(torchvision.models, name)(weights=None)
    return model


def judge(subject: Subject, file: Path, folders: Sequence[Path]) -> list[float]:
    """The mean activation of channels, each in its own picture as it is, without views.

    Args:
        subject: whose channels.
        file: of weights.
        folders: each with arrays (N, 3, H, W), which in the order of their names are those of the
            channels from 0.

    Returns:
        The mean over all pictures of each folder.
    """
    from styler.features import load_extractor

    extractor = load_extractor(subject.name, weights=file, pooling="native")
    means = []
    for folder in folders:
        channel, total = 0, 0.0
        for name in sorted(folder.iterdir()):
            images = torch.from_numpy(np.load(name))
            with torch.no_grad():
                maps = extractor(images, [subject.layer])[subject.layer]
            rows = torch.arange(len(images))
            total += float(maps[rows, channel + rows].mean((1, 2)).sum())
            channel += len(images)
        means.append(total / channel)
    return means


def run(task: str, arguments: list[str]) -> None:
    torch.manual_seed(0)
    np.random.seed(0)  # which the peer draws from
    if task == "view":
        print(view_side())
        return
    name, file, rest = arguments[0], Path(arguments[1]), arguments[2:]
    tasks: dict[str, Callable[[], None]] = {
        "network": lambda: network(name, file),
        "styler": lambda: serve(Styler(SUBJECTS[name], file, rest[0], int(rest[1]))),
        "peer": lambda: serve(Peer(SUBJECTS[name], file, rest)),
        "judge": lambda: print(judge(SUBJECTS[name], file, [Path(folder) for folder in rest])),
    }
    tasks[task]()


if __name__ == "__main__":
    run(sys.argv[1], sys.argv[2:])
