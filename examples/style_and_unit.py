"""A picture in the style of a painting that also excites a unit: two goals, one engine."""

from __future__ import annotations

import argparse
from pathlib import Path

from styler import load_extractor, read_picture, write_picture
from styler.activation import ActivationTerm, Unit
from styler.config import resolve
from styler.engine import DirectGradient, StepEvent, run_levels
from styler.objective import Objective
from styler.params import PixelImage
from styler.schedule import Level
from styler.transfer import Problem
from styler.units import parse_units

SAMPLES = Path(__file__).parents[1] / "samples"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--content", type=Path, default=SAMPLES / "contents" / "chelsea.jpg")
    parser.add_argument("--style", type=Path, default=SAMPLES / "styles" / "autumn_avenue.jpg")
    parser.add_argument("--unit", default="relu5_1:100", help="as for `styler visualize`")
    parser.add_argument("--weight", type=float, default=0.03, help="of the unit")
    parser.add_argument("--size", type=int, default=320)
    parser.add_argument("--steps", type=int, default=100, help="at each scale")
    parser.add_argument("--output", type=Path, default=Path("style_and_unit.png"))
    given = parser.parse_args()

    extractor = load_extractor("vgg-lite", pooling="average")
    settings = {"schedule.size": given.size, "schedule.steps": given.steps}
    config = resolve(("example", settings)).config
    content, style = (read_picture(path).pixels for path in (given.content, given.style))
    problem = Problem(content, style, config, extractor)
    (unit,) = parse_units([given.unit], extractor)
    # As a multiple of what the photograph itself does, the unit is on the scale of the other terms.
    before = ActivationTerm([unit]).values(extractor(content, unit.layers))
    excite = ActivationTerm([Unit(unit.name, unit.parts, float(before))], weight=given.weight)

    def gradient(level: Level) -> DirectGradient:
        return DirectGradient(extractor, Objective([*problem.objective(level).terms, excite]))

    def tell(step: StepEvent) -> None:
        if step.done % 20 == 0 or step.step in (1, step.steps):
            losses = step.losses
            print(f"{step.done:4} style loss {losses['style']:.3f}", end="  ")
            print(f"{unit.name} {-losses['activation']:.2f} times the photograph's")

    run = run_levels(
        PixelImage(problem.initial()), problem.levels, gradient, config.optimizer, callbacks=[tell]
    )
    write_picture(given.output, run.image, overwrite=True)


if __name__ == "__main__":
    main()
