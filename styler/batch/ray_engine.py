"""A batch on a Ray cluster.

Ray (https://docs.ray.io) places workers on the machines of a cluster, watches over them, and
carries what they say; this package adds no cluster code of its own. What it asks of the machines:

- Python, Ray and styler are installed on all of them, in the same versions. Weights that are no
  part of styler are there too.
- The folder of the results, the pictures and the styles are under the same paths on all of them,
  on a network file system for example. Workers read and write files there by themselves.

The process that runs the command, the driver, is the only one that opens the journal. When it is
killed its workers end, and what they had in hand is given out again when its lease runs out, or at
once when the command is run again on the same machine.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import torch

from styler.batch.events import Emit
from styler.batch.journal import Journal
from styler.batch.ray_crew import Crew
from styler.batch.ray_places import choose_place
from styler.batch.work import WorkOrder
from styler.errors import StylerError, UsageError

REACH = 5.0
"""Seconds to wait for the machine of an address; Ray itself waits for minutes."""
OBJECT_STORE = 100 * 2**20
"""Bytes that a Ray of our own sets aside for what workers say: a few lines for each picture."""

_SILENCE = ("RAY_DEDUP_LOGS_SKIP_REGEX", ".")
"""Read by Ray when it is imported. Without it, reports of lost machines go to stdout, which belongs
to results, whatever `ray.init` is told about logs."""
_JOIN = "run `ray start --address=HOST:6379` on this machine first"
_PORT = re.compile(r"(?:ray://)?(?P<host>.+):(?P<port>[0-9]{1,5})")
_VERSIONS = re.compile(r"Ray: (\S+)\s+Python: (\S+)")


def run_on_ray(order: WorkOrder, address: str | None, emit: Emit, stop: Callable[[], bool]) -> None:
    """Make the pictures of the journal on a Ray cluster.

    One worker has one GPU; on a cluster without GPUs it has as many processors as torch uses here.
    Workers that die are replaced, and their jobs given out again.

    Args:
        order: what to do. Its device is taken as in `choose_place`.
        address: ``host:port`` of the cluster, of which this machine must be a part. None for what
            ``RAY_ADDRESS`` names, else the cluster that this machine is in, else a Ray of our own,
            which ends with the batch. A connection that the process has already is used instead.
        emit: told of everything that happens.
        stop: asked often; True ends the work, and what is under way is given back.

    Raises:
        UsageError: Ray is not installed, or the address is none.
        StylerError: the cluster cannot be reached or has other versions; or workers cannot be
            started on it.
        DeviceError: GPUs are asked for, and there are none.
        OutputError: results cannot be written, or a machine does not see the folder.
    """
    with (
        _connected(address) as ray,
        Journal.open(order.folder, plan=order.plan) as journal,
    ):
        device = order.resolved.config.runtime.device
        place = choose_place(device, ray.nodes(), torch.get_num_threads())
        Crew(ray, journal, order, place, emit).run(stop)


@contextlib.contextmanager
def _connected(address: str | None) -> Iterator[Any]:
    """Ray, connected; disconnected afterwards, or ended if it was begun here."""
    ray = _import_ray()
    if ray.is_initialized():
        yield ray
        return
    try:
        with _signals_kept():
            _connect(ray, address or os.environ.get("RAY_ADDRESS") or None)
        yield ray
    finally:
        ray.shutdown()


def _import_ray() -> Any:
    os.environ.setdefault(*_SILENCE)
    try:
        import ray
        import ray.exceptions
    except ImportError as error:
        raise UsageError(
            f"--engine ray needs Ray: {error}", "install it with pip install 'styler[ray]'"
        ) from error
    return ray


@contextlib.contextmanager
def _signals_kept() -> Iterator[None]:
    """Ray takes SIGTERM for itself, which is to end a batch as it should."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _connect(ray: Any, address: str | None) -> None:
    quiet = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    try:
        if address is not None and address != "auto":
            _check_reachable(address)
            ray.init(address=address, **quiet)
            return
        try:
            ray.init(address="auto", **quiet)
        except ConnectionError:
            if address == "auto":
                raise
            ray.init(
                address="local",
                include_dashboard=False,
                object_store_memory=OBJECT_STORE,
                **quiet,
            )
    except (ConnectionError, RuntimeError, ValueError, OSError, ImportError) as error:
        raise _refused(address, error) from error


def _check_reachable(address: str) -> None:
    """Find out in time that nobody listens there."""
    found = _PORT.fullmatch(address)
    if found is None or int(found["port"]) > 65535:
        raise UsageError(f"the address {address!r} is not host:port", "such as 10.0.0.5:6379")
    try:
        socket.create_connection((found["host"], int(found["port"])), timeout=REACH).close()
    except OSError as error:
        raise StylerError(
            f"no Ray cluster answers at {address}: {error.strerror or error}",
            "see `ray status` on the cluster's machines for its address",
        ) from error


def _refused(address: str | None, error: Exception) -> StylerError:
    """Why Ray did not connect, in one line."""
    where = f"the Ray cluster at {address}" if address else "Ray"
    versions = _VERSIONS.findall(str(error))
    if len(versions) == 2:
        (their_ray, their_python), (ray, python) = versions
        return StylerError(
            f"{where} has Ray {their_ray} and Python {their_python}, "
            f"here are Ray {ray} and Python {python}",
            "use the same versions on all machines",
        )
    reason = " ".join(str(error).split()).partition(". ")[0]
    return StylerError(f"{where} cannot be used: {reason}", _JOIN if address else None)
