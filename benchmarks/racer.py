"""styler's part of `race.py`: minimises the peer's objective and judges both pictures.

python racer.py CONTENT STYLE WEIGHTS PEER_RESULT RESULT
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import torch
from torch import Tensor

from styler.config import TransferConfig, resolve
from styler.engine import StepEvent
from styler.images import read_picture, write_picture
from styler.network import extractor_for
from styler.presets import load_preset
from styler.processes import keep_freed_memory
from styler.transfer import Problem

SCHEDULE = {"scales": 3, "steps": [300, 200, 60]}
LOOK_EVERY = 5
"""Steps at the full size between two pictures that are judged."""


def configured(weights: str, side: int, **more: object) -> TransferConfig:
    johnson = load_preset("johnson", "transfer").values
    recipe = {
        "backbone": {"weights": weights},
        "init": {"kind": "content"},
        "schedule": {"size": side, **SCHEDULE},
        **more,
    }
    return resolve(("preset johnson", johnson), ("benchmark", recipe)).config


def main(content_file: str, style_file: str, weights: str, peer: str, result: str) -> None:
    """Run and judge."""
    keep_freed_memory()
    content, style = (read_picture(Path(path)).pixels for path in (content_file, style_file))
    side = max(content.shape[-2:])
    config = configured(weights, side)
    problem = Problem(content, style, config, extractor_for(config))
    seen: list[tuple[int, float, Tensor]] = []
    started = time.perf_counter()

    def look(event: StepEvent) -> None:
        if event.level == event.levels - 1 and event.step % LOOK_EVERY == 0:
            seen.append((event.done, time.perf_counter() - started, event.image.clone()))

    problem.solve(callbacks=[look])
    judge = Judge(content, style, weights, side)
    goal = judge(read_picture(Path(peer)).pixels)
    judged = [(done, seconds, judge(image), image) for done, seconds, image in seen]
    reached = next((each for each in judged if each[2] <= goal), judged[-1])
    write_picture(Path(result), reached[3], overwrite=True)
    print(
        json.dumps(
            {
                "peer": goal,
                "steps": reached[0],
                "seconds": reached[1],
                "loss": reached[2],
                "reached": reached[2] <= goal,
                "all_steps": judged[-1][0],
                "all_seconds": judged[-1][1],
                "last": judged[-1][2],
                "curve": [each[:3] for each in judged],
            }
        )
    )


class Judge:
    """The objective in float32, on a picture of 8 bits."""

    def __init__(self, content: Tensor, style: Tensor, weights: str, side: int) -> None:
        config = configured(weights, side, runtime={"precision": "fp32"})
        problem = Problem(content, style, config, extractor_for(config))
        self.objective = problem.objective(problem.levels[-1])
        self.extractor = problem.extractor

    def __call__(self, image: Tensor) -> float:
        with torch.no_grad():
            rounded = (image * 255).round() / 255
            features = self.extractor(rounded, self.objective.layers)
            return float(self.objective(rounded, features).total)


if __name__ == "__main__":
    main(*sys.argv[1:])
