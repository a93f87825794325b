"""Where on a Ray cluster workers find room, and how they are to work there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from styler.batch.sources import absolute
from styler.batch.work import WorkOrder
from styler.config import setting_files, with_files
from styler.errors import DeviceError


@dataclass(frozen=True, kw_only=True)
class Place:
    """What a worker takes of a machine.

    Args:
        needs: Ray's resources, ``CPU`` or ``GPU``, and how many of them.
        device: that it works on.
        threads: processors that torch uses there. With as many as the driver would use, results
            are those of a single transfer to the last bit, even where Ray gives it fewer.

    Example:
        >>> str(Place(needs={"CPU": 4}, device="cpu", threads=4))
        '4 CPU for each worker'
    """

    needs: Mapping[str, int]
    device: str
    threads: int

    def __str__(self) -> str:
        needs = " and ".join(f"{count} {resource}" for resource, count in self.needs.items())
        return f"{needs} for each worker"

    def order_there(self, order: WorkOrder) -> WorkOrder:
        """The order with the device of the place, and with paths that hold in any directory."""
        config = order.resolved.config
        weights = config.backbone.weights
        config = with_files(
            config, {name: str(absolute(path)) for name, path in setting_files(config).items()}
        )
        config = replace(
            config,
            runtime=replace(config.runtime, device=self.device),
            backbone=replace(
                config.backbone, weights=str(absolute(weights)) if weights else weights
            ),
        )
        resolved = replace(order.resolved, config=config)
        return replace(order, folder=absolute(order.folder), resolved=resolved)


def choose_place(device: str, nodes: Iterable[Mapping[str, Any]], threads: int) -> Place:
    """What each worker is to take: a GPU, or where there are none as many processors as here.

    Args:
        device: as in the settings. ``auto`` takes GPUs if the cluster has any. Which of a machine's
            GPUs a worker gets is for Ray to say, so that ``cuda:1`` is taken for ``cuda``.
        nodes: as `ray.nodes` gives them.
        threads: that torch uses on this machine.

    Raises:
        DeviceError: GPUs are asked for, and there are none.

    Example:
        >>> nodes = [{"Alive": True, "Resources": {"CPU": 8.0, "GPU": 2.0}}]
        >>> choose_place("auto", nodes, threads=4)
        Place(needs={'GPU': 1}, device='cuda', threads=4)
        >>> choose_place("cpu", nodes, threads=16)
        Place(needs={'CPU': 8}, device='cpu', threads=16)
    """
    alive = [node["Resources"] for node in nodes if node["Alive"]]
    gpus = any(resources.get("GPU", 0) >= 1 for resources in alive)
    wants_gpus = device.split(":", maxsplit=1)[0] == "cuda"
    if wants_gpus and not gpus:
        raise DeviceError(
            "no machine of the Ray cluster has a GPU", "add one to it, or choose --device cpu"
        )
    if wants_gpus or (device == "auto" and gpus):
        return Place(needs={"GPU": 1}, device="cuda", threads=threads)
    most = max((int(resources.get("CPU", 0)) for resources in alive), default=0)
    return Place(
        needs={"CPU": min(threads, most) or threads},
        device="cpu" if device == "auto" else device,
        threads=threads,
    )


def places(nodes: Iterable[Mapping[str, Any]], needs: Mapping[str, int]) -> int:
    """How many workers a cluster has room for, if nobody else uses it.

    Args:
        nodes: as `ray.nodes` gives them.
        needs: of each worker.

    Example:
        >>> nodes = [{"Alive": True, "Resources": {"CPU": 7.0}}, {"Alive": False, "Resources": {}}]
        >>> places(nodes, {"CPU": 2})
        3
    """
    return sum(
        min(int(node["Resources"].get(what, 0) // count) for what, count in needs.items())
        for node in nodes
        if node["Alive"]
    )
