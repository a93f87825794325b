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


@dataclass(frozen=True, kw_only=True)
class Peer:
    """A package from PyPI to compare with, which shares our torch, torchvision and Pillow.

    Args:
        name: of the package.
        version: that is installed.
        probe: a file that it brings.
        beside: packages installed with it, without what they need in turn.
        needs: packages installed with what they need.
    """

    name: str
    version: str
    probe: str
    beside: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """Name and version."""
        return f"{self.name} {self.version}"


NEURAL_STYLE = Peer(name="neural-style", version="0.5.7", probe="neural_style/neural_style.py")
LUCENT = Peer(
    name="torch-lucent",
    version="0.1.8",
    probe="lucent/optvis/render.py",
    beside=("kornia==0.4.1",),
    needs=("decorator", "ipython"),
)

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


def install_peer(peer: Peer) -> Path:
    """The folder with the peer's package, beside which it finds what it shares with us.

    Raises:
        SystemExit: pip cannot get it.
    """
    target = CACHE / f"{peer.name}-{peer.version}"
    if (target / peer.probe).is_file():
        return target
    if peer.needs:
        _install(target, *peer.needs)
    _install(target, "--no-deps", f"{peer.name}=={peer.version}", *peer.beside)
    return target


def _install(target: Path, *arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(target)]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"cannot install {' '.join(arguments)} into {target}:\n{done.stderr}")


def work(*arguments: str, script: Path = WORKERS) -> str:
    """What a task of a script prints.

    Raises:
        SystemExit: it failed.
    """
    done = subprocess.run(
        [sys.executable, str(script), *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{script.name} {arguments[0]} failed:\n{done.stderr}")
    return done.stdout
