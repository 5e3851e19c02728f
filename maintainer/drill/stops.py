"""What stops restic, and would stop a run: sealed files that can not be read, names that lead astray, and amounts without end."""

from __future__ import annotations

import os
from datetime import datetime
from typing import Any

from maintainer.drill import forge
from maintainer.drill.lies import newest
from maintainer.drill.target import Target, put_all
from maintainer.format.crypto import MasterKey

STRANGERS = 40
LONG = 5_000_000
IMPOSSIBLE_TIMES = ("0000-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00")


def impossible_times(target: Target, now: datetime) -> None:
    """Put snapshots of times that no calendar has in UTC."""
    for time in IMPOSSIBLE_TIMES:
        _put_snapshot(target, now, {"time": time})


def unreadable_snapshots(target: Target, now: datetime) -> None:
    """Put snapshots of which a field is of another type: restic stops over one when it looks for a backup's parent."""
    for broken in ({"username": ["root"]}, {"excludes": 1}, {"summary": 3}, {"original": ""}):
        _put_snapshot(target, now, broken)


def unreadable_keys(target: Target, _: datetime) -> None:
    """Put key files of which a field is of another type: restic stops over one before it has tried the next."""
    master = _another()
    put_all(
        target,
        *(forge.key_file("x", master, **broken) for broken in ({"r": "1"}, {"created": "2026-02-30T00:00:00Z"}, {"salt": "c3Nzcw="})),
    )


def strangers_keys(target: Target, _: datetime) -> None:
    """Put dozens of sound key files for somebody else's password: restic tries twenty keys, and gives up."""
    put_all(target, *(forge.key_file("somebody's", _another(), username=f"n{number}") for number in range(STRANGERS)))


def names_that_lead_astray(target: Target, _: datetime) -> None:
    """Put objects whose names restic takes for those of files that are not there."""
    for folder in ("index", "keys", "snapshots"):
        for name in ("AB" * 32, f"{'cd' * 32}/x"):
            target.put(f"{folder}/{name}", b"x")


def texts_of_megabytes(target: Target, now: datetime) -> None:
    """Put snapshots with a path, and with a host, of five million letters, and with a hundred thousand paths."""
    _put_snapshot(target, now, {"paths": ["x" * LONG]})
    _put_snapshot(target, now, {"hostname": "x" * LONG})
    _put_snapshot(target, now, {"paths": [f"/{number}" for number in range(100_000)]})


def _another() -> MasterKey:
    return MasterKey(os.urandom(32), os.urandom(16), os.urandom(16))


def _put_snapshot(target: Target, now: datetime, more: dict[str, Any]) -> None:
    tree = newest(target).tree
    put_all(target, forge.snapshot(target.master_key(), time=now, host=target.host, paths=target.paths, tree=tree, more=more))
