"""The journal's file: opened, made where there is none, and refused where it is another's.

Each transaction is on the disk before it counts (``synchronous = FULL``). A killed process would
lose nothing with less, for what it has written is the system's to keep; a power cut could take back
the last transactions, and with them pictures of many minutes, while the write that prevents it
takes milliseconds for each picture.

On local disks the journal is written ahead (WAL): those who read and those who write do not wait
for each other. WAL needs memory that all its users share, which machines do not. On network file
systems SQLite's rollback journal is used, which needs locks only. It is as safe as those locks are:
NFS version 4 and SMB have them; mounts with ``nolock``, and file systems that pretend (some of
FUSE), do not, and two machines may then be given the same job or damage the file. Where in doubt,
give each machine a folder of its own and a shard of the plan.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from styler.errors import OutputError

SCHEMA = 1
"""Of the tables, as ``PRAGMA user_version``."""
APPLICATION = 0x53_54_59_4C
"""``STYL``, as ``PRAGMA application_id``: whose file it is."""
PATIENCE = 30.0
"""Seconds to wait for other processes that hold the file."""
NETWORK = (
    *("nfs", "cifs", "smb", "afs", "9p", "ceph", "lustre", "gpfs", "beegfs", "gluster", "davfs"),
    *("ncpfs", "vboxsf", "prl_fs", "drvfs", "virtiofs", "fuse."),
)
"""Beginnings of the names of file systems whose files several machines may open."""

_TABLES = """
CREATE TABLE jobs (
    key TEXT PRIMARY KEY,
    digest TEXT NOT NULL,
    begun TEXT,
    job TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('waiting', 'running', 'done', 'failed')),
    attempts INTEGER NOT NULL DEFAULT 0,
    owner TEXT,
    lease REAL,
    seconds REAL,
    result TEXT,
    error TEXT,
    finished REAL
) WITHOUT ROWID;
CREATE INDEX open_jobs ON jobs (key) WHERE state IN ('waiting', 'running');
CREATE TABLE plans (number INTEGER PRIMARY KEY, plan TEXT NOT NULL UNIQUE);
CREATE TABLE planned (plan TEXT NOT NULL, key TEXT NOT NULL, PRIMARY KEY (plan, key)) WITHOUT ROWID
"""

_UNUSABLE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_BEGIN_AGAIN = "move it away to begin again; pictures that are done stay where they are"
_TROUBLES = {
    sqlite3.SQLITE_BUSY: ("another process holds it", "end the other process, or try again"),
    sqlite3.SQLITE_CANTOPEN: ("it cannot be opened", "choose a folder that you may write to"),
    sqlite3.SQLITE_PERM: ("it may not be opened", "choose a folder that you may write to"),
    sqlite3.SQLITE_READONLY: ("it may not be written", "choose a folder that you may write to"),
    sqlite3.SQLITE_FULL: ("the disk is full", "free some space; the same command goes on"),
    sqlite3.SQLITE_IOERR: ("the disk refuses", "see that the disk is there and has room"),
    **dict.fromkeys(_UNUSABLE, ("it is damaged", _BEGIN_AGAIN)),
}


def open_file(path: Path) -> sqlite3.Connection:
    """Open the journal's file, or make it.

    Args:
        path: its folder must be there.

    Returns:
        A connection that begins no transactions of its own, for any thread of this process, but
        for one at a time.

    Raises:
        OutputError: it is damaged, another program's or a newer version's, or the disk refuses.
    """
    with failing(path):
        connection = sqlite3.connect(
            path, timeout=PATIENCE, isolation_level=None, check_same_thread=False
        )
    try:
        with failing(path):
            if _is_blank(connection):
                _make(connection, path)
            _check(connection, path)
            if is_on_network(path.parent) and _value(connection, "journal_mode") == "wal":
                # Others who have it open here or on the file server make this fail, as it must.
                _switch(connection, "DELETE")
            connection.execute("PRAGMA synchronous = FULL")
    except BaseException:
        connection.close()
        raise
    return connection


def _value(connection: sqlite3.Connection, pragma: str) -> object:
    return connection.execute(f"PRAGMA {pragma}").fetchone()[0]


def _is_blank(connection: sqlite3.Connection) -> bool:
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    marks = [_value(connection, pragma) for pragma in ("application_id", "user_version")]
    return tables == 0 and marks == [0, 0]


def _make(connection: sqlite3.Connection, path: Path) -> None:
    if not is_on_network(path.parent):
        _switch(connection, "WAL")
    with transaction(connection):
        if not _is_blank(connection):
            return  # another process was faster
        for statement in _TABLES.split(";"):
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION}")
        connection.execute(f"PRAGMA user_version = {SCHEMA}")


def _switch(connection: sqlite3.Connection, mode: str) -> None:
    """Change the kind of SQLite's own journal; it does not wait for others by itself."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            connection.execute(f"PRAGMA journal_mode = {mode}")
            return
        except sqlite3.OperationalError as fault:
            if _code(fault) != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                raise
            time.sleep(0.02)


def _check(connection: sqlite3.Connection, path: Path) -> None:
    if _value(connection, "application_id") != APPLICATION:
        raise OutputError(f"{path} is not the journal of a batch", "choose another folder")
    version = _value(connection, "user_version")
    if version != SCHEMA:
        raise OutputError(
            f"{path} has schema {version}, this version of styler knows {SCHEMA}",
            "use the version that made it, or choose another folder",
        )
    found = _value(connection, "quick_check")
    if found != "ok":
        raise OutputError(f"the journal {path} is damaged: {found}", _BEGIN_AGAIN)


def is_on_network(folder: Path) -> bool:
    """Whether a folder is on a file system that several machines may share."""
    real = Path(os.path.realpath(folder))
    mounts = [m for m in psutil.disk_partitions(all=True) if real.is_relative_to(m.mountpoint)]
    if not mounts:
        return str(real).startswith("\\\\")  # a share of Windows without a letter
    nearest = max(enumerate(mounts), key=lambda found: (len(found[1].mountpoint), found[0]))[1]
    return nearest.fstype.lower().startswith(NETWORK) or "remote" in nearest.opts.split(",")


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All of a block or nothing of it, while no other process writes."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


@contextmanager
def failing(path: Path) -> Iterator[None]:
    """Turns what SQLite says against the file into an `OutputError`.

    Raises:
        OutputError: the block raised a `sqlite3.DatabaseError` that is about the file.
    """
    try:
        yield
    except (sqlite3.ProgrammingError, sqlite3.IntegrityError):
        raise
    except sqlite3.DatabaseError as fault:
        reason, hint = _TROUBLES.get(_code(fault), (str(fault), "check the folder and the disk"))
        raise OutputError(f"the journal {path}: {reason}", hint) from fault


def _code(fault: sqlite3.Error) -> int:
    """The kind of fault, without its details."""
    return getattr(fault, "sqlite_errorcode", 0) & 0xFF
