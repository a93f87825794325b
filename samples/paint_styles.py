"""Paint the style samples: `python samples/paint_styles.py [--out DIR] [--only NAME]`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from painting import autumn_avenue, flow_field, stained_glass, woodcut_waves
from PIL import Image

STYLES: dict[str, Callable[[], Image.Image]] = {
    "flow_field": flow_field.paint,
    "stained_glass": stained_glass.paint,
    "woodcut_waves": woodcut_waves.paint,
    "autumn_avenue": autumn_avenue.paint,
}


def main() -> None:
    """Write the chosen styles as JPEG files."""
    parser = argparse.ArgumentParser(description=__doc__)
    default = Path(__file__).parent / "styles"
    parser.add_argument("--out", type=Path, default=default, help="folder to write to")
    parser.add_argument("--only", choices=STYLES, help="paint one style")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name in [arguments.only] if arguments.only else STYLES:
        path = arguments.out / f"{name}.jpg"
        STYLES[name]().save(path, quality=90, optimize=True)
        print(f"{path}  {path.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()
