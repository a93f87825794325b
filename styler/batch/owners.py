"""Names of workers, by which those that are no more can be told."""

from __future__ import annotations

import os
import re
import socket
import uuid

import psutil

from styler.batch.journal import Journal

_NAME = re.compile(r"(.+)-(\d+)-([0-9a-f]{6})")


def owner_name() -> str:
    """A name for a worker that no other has, here or on another machine."""
    return f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:6]}"


def is_dead(owner: str) -> bool:
    """Whether a worker was a process of this machine that has ended.

    Of other machines nothing is known, and of a process whose number another one has now: their
    leases run out.

    Example:
        >>> is_dead(owner_name())
        False
    """
    match = _NAME.fullmatch(owner)
    if match is None or match[1] != socket.gethostname():
        return False
    try:
        return bool(psutil.Process(int(match[2])).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def release_of_the_dead(journal: Journal) -> list[str]:
    """Give out again at once what workers held that were killed on this machine.

    Returns:
        The keys of those jobs.
    """
    released: list[str] = []
    for record in journal.records("running"):
        if record.owner is not None and is_dead(record.owner):
            released += journal.release(record.owner, [record.key], died=True)
    return released
