"""What the nodes of a traced network see of the image, and how large it has to be for them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from torch import fx

from styler.features.receptive_field import ReceptiveField, Window
from styler.features.traced import Traced, reached_by_image
from styler.features.traced_steps import Pair, Step, step_of


def fields(
    traced: Traced, shapes: Mapping[fx.Node, tuple[int, ...]] | None = None
) -> dict[fx.Node, ReceptiveField | None]:
    """The receptive fields of all nodes of a network.

    Args:
        traced: the network.
        shapes: of its tensors for an image, by node. They tell sums of a map and of what has
            another number of units and is spread over it. None to take it that there are none.

    Returns:
        By node. None for what sees the whole image, and behind operations that are neither
        convolution, pooling, zeros around a map, sum, concatenation or choice of channels, nor a
        function of single units. Convolutions that mirror or repeat the border have the field of
        those that pad zeros, where the kernel covers all that they mirror.
    """
    modules = dict(traced.model.named_modules())
    reached = reached_by_image(traced.graph)
    found: dict[fx.Node, ReceptiveField | None] = {}
    for node in traced.graph.nodes:
        if node.op == "placeholder":
            found[node] = ReceptiveField(y=Window(), x=Window())
        else:
            step = step_of(node, modules)
            sources = [source for source in node.all_input_nodes if source in reached]
            one = shapes is None or len({shapes.get(each, ())[2:] for each in sources}) == 1
            inputs = [found[source] for source in sources]
            found[node] = _through(step, inputs) if step is not None and one else None
    return found


def _through(step: Step, inputs: Sequence[ReceptiveField | None]) -> ReceptiveField | None:
    known = [field for field in inputs if field is not None]
    if not known or len(known) < len(inputs):
        return None
    y, x = known[0].y, known[0].x
    for field in known[1:]:
        if (field.y.jump, field.x.jump) != (y.jump, x.jump):
            return None  # one unit is spread over a map
        y, x = y.hull(field.y), x.hull(field.x)
    return ReceptiveField(y=step.window(y, 0), x=step.window(x, 1))


def minimum_sides(traced: Traced) -> dict[fx.Node, int]:
    """The smallest side of a square image, in pixels, with which each node has a unit.

    Args:
        traced: the network.

    Returns:
        By node. Operations that `fields` does not know are taken to need nothing, and where their
        results meet others, the others count.
    """
    modules = dict(traced.model.named_modules())
    reached = reached_by_image(traced.graph)
    steps = {node: step_of(node, modules) for node in traced.graph.nodes if node in reached}
    found: dict[fx.Node, int] = {}
    side = 0
    while len(found) < len(steps):
        side += 1
        for node in _with_units(steps, side):
            found.setdefault(node, side)
    return found


def _with_units(steps: Mapping[fx.Node, Step | None], side: int) -> Iterator[fx.Node]:
    """The nodes that have a unit for a square image of this side."""
    unknown = (-1, -1)
    units: dict[fx.Node, Pair] = {}
    for node, step in steps.items():
        inputs = [units[source] for source in node.all_input_nodes if source in steps]
        known = [pair for pair in inputs if pair != unknown]
        if any(0 in pair for pair in inputs):
            units[node] = (0, 0)
        elif node.op == "placeholder":
            units[node] = (side, side)
        elif step is None or not known:
            units[node] = unknown
        else:
            height, width = known[0]
            units[node] = step.side(height, 0), step.side(width, 1)
        if 0 not in units[node]:
            yield node
