"""Whole or in tiles: how a gradient is worked out in the memory there is."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from math import isqrt, prod

from styler.config import OptimizerConfig
from styler.errors import ConfigError
from styler.features import EnsembleExtractor, Extractor
from styler.features.segments import Segment
from styler.memory import (
    LEAST_SIDE,
    PICTURE_BYTES,
    Size,
    content_bytes,
    gradient_bytes,
    measured_bytes,
    state_bytes,
    tile_cost,
    tiled_bytes,
    too_large,
)
from styler.tiles import spans

WORKING = tuple(2**exponent for exponent in range(27, 22, -1))
"""Bytes that a tile may take, from 128 MiB, with which its arrays stay below the 32 MB that glibc
keeps for the next one, to 8 MiB."""
MEASURED_MARGIN = 1.5
"""What a network whose steps are not known takes, over what autograd keeps of it."""
LEAST_HISTORY = 3
"""Curvature pairs below which L-BFGS is not worth its name."""
KEPT = 1.2
"""What a process holds at most over what it uses at a time, where it keeps what it frees."""
KEPT_BY_TILES = 330 * 10**6
"""Bytes beyond what is used at a time, where arrays above 32 MB are given back."""
KEPT_OF_TILES = 1.36
"""What it holds over what is used, where it keeps what tiles of many sizes free."""
KEPT_OF_PART = (135 * 10**6, 215 * 10**6)
"""Bytes beyond that for the first part in tiles, and for each further one."""
PIXEL_COPIES = 8
"""Pictures that losses of pixels, such as total variation, make of one."""
SECOND = 1.5
"""Arithmetic of a part in tiles, over the same run once: it goes forward twice and back once."""
MARGIN = 0.9
"""Share of the memory that is planned with."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How a gradient is worked out.

    Args:
        sides: of the tiles of each part of the network, in positions of its input; parts beyond
            the last are run whole, and none in tiles means all of the picture at once.
        bytes: that the run takes at most beyond what is loaded, as far as can be told beforehand;
            0 where it cannot.
        history: curvature pairs that L-BFGS keeps.
        work: arithmetic of a gradient, over that of the whole picture at once.
        keeps: whether `bytes` counts with a process that keeps what it frees, which is faster; see
            `styler.processes`.
    """

    sides: tuple[int, ...]
    bytes: int
    history: int
    work: float = 1.0
    keeps: bool = True

    @property
    def tiled(self) -> bool:
        """Whether the picture is taken tile by tile."""
        return bool(self.sides)


@dataclass(frozen=True, kw_only=True)
class Need:
    """What is to be planned.

    Args:
        extractor: the network.
        layers: canonical names of those that losses read.
        placed: those of them whose features of the content are kept.
        size: of the picture.
        optimizer: its settings.
        tileable: whether all losses can be taken tile by tile.
    """

    extractor: Extractor
    layers: Collection[str]
    placed: Collection[str]
    size: Size
    optimizer: OptimizerConfig
    tileable: bool = True

    def held(self, history: int) -> int:
        """Bytes that do not depend on tiles."""
        config = replace(self.optimizer, history=history)
        kept = content_bytes(self.extractor, self.placed, self.size)
        return kept + state_bytes(config, self.size)


def plan_gradient(need: Need, memory: int) -> Plan:
    """The fastest way that fits: whole, else the largest tiles, else fewer pairs of L-BFGS.

    Args:
        need: what is to be done.
        memory: bytes that it may take.

    Raises:
        DeviceError: nothing fits; it says which side would.
    """
    held = need.held(_histories(need.optimizer)[-1])
    if held > MARGIN * memory:  # no use in counting the tiles of such a picture
        side = _fitting_side(need, held, memory)
        raise too_large(need.extractor, need.size, held, memory, side)
    best: Plan | None = None
    for plan in plans(need):
        if plan.bytes <= MARGIN * memory:
            return _keeping(plan, memory)
        if best is None or plan.bytes < best.bytes:
            best = plan
    assert best is not None  # there is always the whole picture
    side = _fitting_side(need, best.bytes, memory)
    raise too_large(need.extractor, need.size, best.bytes, memory, side)


def _keeping(plan: Plan, memory: int) -> Plan:
    """The same plan with freed memory kept, where there is enough."""
    first, further = KEPT_OF_PART
    more = first + further * (len(plan.sides) - 1)
    bytes_ = int(KEPT_OF_TILES * (plan.bytes - KEPT_BY_TILES)) + more
    if plan.keeps or bytes_ > MARGIN * memory:
        return plan
    return replace(plan, bytes=bytes_, keeps=True)


def _fitting_side(need: Need, bytes_: int, memory: int) -> int:
    """The long side of a picture of the same aspect that would fit."""
    scale = (MARGIN * memory / bytes_) ** 0.5
    while True:
        size = (max(1, int(scale * need.size[0])), max(1, int(scale * need.size[1])))
        least = list(plans(replace(need, size=size)))[-1].bytes
        if least <= MARGIN * memory or min(size) <= LEAST_SIDE:
            return max(size)
        scale *= 0.95


def plans(need: Need) -> Iterator[Plan]:
    """All ways of which none is better than another, the fastest first."""
    history = need.optimizer.history
    least = Plan(sides=(), bytes=_whole(need, history), history=history, work=1.0)
    yield least
    segments = _segments(need)
    if not segments:
        return
    ways = sorted(_ways(need, segments), key=lambda way: way.work)
    for pairs in _histories(need.optimizer):
        for way in ways:
            at_work = max(way.bytes, PIXEL_COPIES * PICTURE_BYTES * prod(need.size))
            plan = Plan(
                sides=way.sides,
                bytes=at_work + need.held(pairs) + KEPT_BY_TILES,
                history=pairs,
                work=way.work,
                keeps=False,
            )
            if plan.bytes < least.bytes:
                least = plan
                yield plan


def smaller(need: Need, plan: Plan) -> Plan | None:
    """The next way after one that has run out of memory; None where there is none."""
    later = iter(plans(need))
    for each in later:
        if each.sides == plan.sides and each.history == plan.history:
            break
    return next((each for each in later if each.tiled and each.history == plan.history), None)


def _histories(config: OptimizerConfig) -> list[int]:
    if config.name != "lbfgs":
        return [config.history]
    found = [config.history]
    while found[-1] > LEAST_HISTORY:
        found.append(max(LEAST_HISTORY, found[-1] // 2))
    return found


def _segments(need: Need) -> list[Segment]:
    """The parts of the network; none where it cannot be taken tile by tile."""
    if not need.tileable or not need.layers:
        return []
    try:
        return need.extractor.segments(need.layers)
    except ConfigError:  # a unit sees the whole picture
        return []


def _whole(need: Need, history: int) -> int:
    parts: list[tuple[Extractor, Collection[str]]] = [(need.extractor, need.layers)]
    if isinstance(need.extractor, EnsembleExtractor):
        parts = [*need.extractor.parts(need.layers)]
    own = sum(_network(replace(need, extractor=each, layers=layers)) for each, layers in parts)
    return int(KEPT * (own + need.held(history)))


def _network(need: Need) -> int:
    """Bytes of one network for the whole picture."""
    own = gradient_bytes(need.extractor, need.layers, need.size)
    return own if own or not need.layers else int(_measured(need) * prod(need.size))


def _measured(need: Need) -> float:
    """Bytes of a pixel in a network whose steps are not known; 0 where they cannot be told."""
    if need.extractor.input_size:
        return 0.0
    return MEASURED_MARGIN * measured_bytes(need.extractor, need.layers)


@dataclass(frozen=True, kw_only=True)
class _Way:
    """How the network is taken in tiles; see `Plan`, but for bytes that do not depend on it."""

    sides: tuple[int, ...]
    bytes: int
    work: float


def _ways(need: Need, segments: Sequence[Segment]) -> Iterator[_Way]:
    """From a few large tiles of the first part to many small ones of all parts."""
    if not segments[0].ops:
        yield from _ways_unknown(need, segments[0])
        return
    macs = _macs(segments)
    for working in WORKING:
        sizes = list(_sizes(segments, need.size))
        pairs = list(zip(segments, sizes, strict=True))
        sides = [_side(need, segment, size, working) for segment, size in pairs]
        shown = [
            _shown(segment, size, side) for (segment, size), side in zip(pairs, sides, strict=True)
        ]
        for number in range(1, len(segments) + 1):
            more = sum(
                share * (SECOND * area - 1)
                for share, area in zip(macs[:number], shown[:number], strict=True)
            )
            chosen = tuple(sides[:number])
            bytes_ = tiled_bytes(need.extractor, segments, chosen, need.size)
            yield _Way(sides=chosen, bytes=bytes_, work=1 + more)


def _ways_unknown(need: Need, segment: Segment) -> Iterator[_Way]:
    """The same for a network that is one part and whose steps are not known."""
    each = _measured(need)
    y, x = segment.reach(segment.layers)
    for working in WORKING:
        side = _side(need, segment, need.size, working, each)
        shown = (side + y.before + y.after) * (side + x.before + x.after)
        work = SECOND * _shown(segment, need.size, side)
        yield _Way(sides=(side,), bytes=int(each * shown), work=work)


def _sizes(segments: Sequence[Segment], size: Size) -> Iterator[Size]:
    """Of the input of each part."""
    for segment in segments:
        yield size
        size = (segment.side(size[0]), segment.side(size[1]))


def _shown(segment: Segment, size: Size, side: int) -> float:
    """What the network is shown of a map, tiles with their margins, over the map."""
    y, x = segment.reach(segment.needed)
    height = sum(span.to - span.from_ for span in spans(size[0], side, y))
    width = sum(span.to - span.from_ for span in spans(size[1], side, x))
    return height * width / prod(size)


def _macs(segments: Sequence[Segment]) -> list[float]:
    """The share of each part in the network's arithmetic."""
    area, found = 1.0, []
    for segment in segments:
        own = 0.0
        for op in segment.ops:
            area /= op.stride**2
            if op.kind == "conv":
                own += area * op.in_channels * op.out_channels * op.kernel**2
        found.append(own)
    return [each / sum(found) for each in found]


def _side(need: Need, segment: Segment, size: Size, working: int, each: float | None = None) -> int:
    """The largest tile that takes no more than so many bytes, or `each` for a position."""
    reach = segment.reach(segment.needed)
    grid = max(axis.grid for axis in reach)
    margin = max(axis.before + axis.after for axis in reach)
    if each is None:
        sample = 8 * grid
        each = tile_cost(need.extractor, segment, (sample, sample), sample).backward / sample**2
    side = isqrt(int(working / max(each, 1.0))) - margin
    return max(grid, min(side, max(size)) // grid * grid)
