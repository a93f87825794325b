"""What both programs are given: pictures, weights, and the peer itself."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
CACHE = ROOT / ".bench"
WORKERS = Path(__file__).with_name("workers.py")

PEER = "neural-style"
PEER_VERSION = "0.5.7"

CONTENT = ROOT / "samples" / "contents" / "coffee.jpg"
STYLE = ROOT / "samples" / "styles" / "flow_field.jpg"
ASPECT = (4, 3)
"""Width to height of the content: that of an ordinary photograph."""


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """Files of exactly the size wanted, so that neither program resamples.

    Args:
        content: path of the content.
        style: path of the style, with the same long side.
        size: (height, width) of the content.
    """

    content: Path
    style: Path
    size: tuple[int, int]


def pictures(side: int, folder: Path) -> Pictures:
    """Sample pictures with that long side."""
    size = (side, side * ASPECT[1] // ASPECT[0])
    content, style = folder / f"content{side}.png", folder / f"style{side}.png"
    with Image.open(CONTENT) as picture:
        width = picture.height * ASPECT[0] // ASPECT[1]
        left = (picture.width - width) // 2
        box = (left, 0, left + width, picture.height)
        picture.resize(size, Image.Resampling.LANCZOS, box).save(content)
    with Image.open(STYLE) as picture:
        height = round(side * picture.height / picture.width)
        picture.resize((side, height), Image.Resampling.LANCZOS).save(style)
    return Pictures(content=content, style=style, size=(size[1], size[0]))


def weights(folder: Path) -> tuple[Path, bool]:
    """A file of VGG-19 weights that both programs read, and whether they are real."""
    # The peer tells the network by the file's name, styler knows the original under it.
    file = folder / "vgg19-d01eb7cb.pth"
    return file, work("weights", str(file)).strip() != "random"


def install_peer() -> Path:
    """The folder with the peer's package, beside which it finds our torch, torchvision and Pillow.

    Raises:
        SystemExit: pip cannot get it.
    """
    target = CACHE / f"{PEER}-{PEER_VERSION}"
    if (target / "neural_style" / "neural_style.py").is_file():
        return target
    package = f"{PEER}=={PEER_VERSION}"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
    done = subprocess.run(
        [*command, "--target", str(target), package], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"cannot install {package} into {target}:\n{done.stderr}")
    return target


def work(*arguments: str) -> str:
    """What a task of `workers` prints.

    Raises:
        SystemExit: it failed.
    """
    done = subprocess.run(
        [sys.executable, str(WORKERS), *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"workers.py {arguments[0]} failed:\n{done.stderr}")
    return done.stdout
