"""The networks and layers whose channels are visualized, under both programs' names."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A layer of a network.

    Args:
        name: of the network, here and in torchvision.
        layer: as styler has it.
        place: index of the layer in the network's `features`.
        sources: styler's networks whose weights do, the best first.
    """

    name: str
    layer: str
    place: int
    sources: tuple[str, ...]

    @property
    def peer_layer(self) -> str:
        """As the peer has it."""
        return f"features_{self.place}"


SUBJECTS = {
    subject.name: subject
    for subject in (
        Subject(name="squeezenet1_0", layer="features.7", place=7, sources=("squeezenet1_0",)),
        Subject(name="vgg19", layer="relu3_1", place=11, sources=("vgg19", "vgg19-caffe")),
    )
}
SIDE = 128
"""Pixels of the pictures' sides: the peer's default."""
STEPS = 512
"""Steps of a unit in both programs' recipe; the benchmark takes fewer and reckons with these."""
