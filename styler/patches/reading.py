"""Photographs as a network is shown them, read while it works on the ones before."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from styler.batch.threads import helper
from styler.errors import ImageError
from styler.images import read_picture
from styler.patches.view import Framing, View

_AHEAD = 4
"""Photographs that are read while the network works."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A photograph as the network is shown it.

    Args:
        image: (1, 3, H, W).
        view: which part of it, and how large.
        size: (height, width) of the file, upright.
        sha256: of the file.
    """

    image: Tensor
    view: View
    size: tuple[int, int]
    sha256: str


def show(path: Path, framing: Framing) -> Seen:
    """Read a photograph and scale it for the network.

    Raises:
        ImageError: it cannot be read.
    """
    picture = read_picture(path)
    view = framing.view(picture.size)
    return Seen(image=view.show(picture), view=view, size=picture.size, sha256=picture.sha256)


@contextmanager
def reading(files: Sequence[Path], framing: Framing) -> Iterator[Iterator[Seen | ImageError]]:
    """Photographs, of which a thread beside this one reads some in advance.

    Args:
        files: in order.
        framing: how they are shown.

    Yields:
        Each of them in turn, or why it cannot be read.
    """
    pool = helper("styler-reader")
    waiting: deque[Future[Seen | ImageError]] = deque()
    coming = iter(files)

    def read(path: Path) -> Seen | ImageError:
        try:
            return show(path, framing)
        except ImageError as fault:
            return fault

    def fill() -> None:
        while len(waiting) < _AHEAD and (path := next(coming, None)) is not None:
            waiting.append(pool.submit(read, path))

    def each() -> Iterator[Seen | ImageError]:
        fill()
        while waiting:
            seen = waiting.popleft().result()
            fill()
            yield seen

    try:
        yield each()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
