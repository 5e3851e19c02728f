"""Snapshots that lie: about their time, their host, their size, their number; to make a policy forget the honest ones."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from maintainer.drill import forge
from maintainer.drill.target import Target, put_all
from maintainer.format.files import SnapshotFile, parse_snapshot

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
REPEATED = 100_000


def newest(target: Target) -> SnapshotFile:
    """Return the snapshot that claims to be the latest: what a fake imitates."""
    key = target.master_key()
    return max((parse_snapshot(key, target.get(name)) for name in target.objects("snapshots/")), key=lambda one: one.time)


def from_the_future(target: Target, now: datetime) -> None:
    """Put copies of the newest from the years to come: any keep rule prefers them."""
    _copies(target, [now + (400 * number + 60) * DAY for number in range(8)], newest(target).tree)


def from_the_past(target: Target, now: datetime) -> None:
    """Put copies that claim to be older than anything: `oldest` moves, and yearly rules take them."""
    _copies(target, [now - (400 * number + 60) * DAY for number in range(8)], newest(target).tree)


def flood_of_empty(target: Target, now: datetime) -> None:
    """Put fifty snapshots of nothing, under the right host and paths, of today."""
    _copies(target, [now - number * timedelta(minutes=1) for number in range(50)], _put_tree(target, ()))


def one_of_nothing(target: Target, now: datetime) -> None:
    """Put one plausible snapshot of nothing, with a summary that tells of everything."""
    summary = {"total_files_processed": 812_345, "total_bytes_processed": 1 << 40, "data_added": 1 << 30}
    _copies(target, [now], _put_tree(target, ()), {"summary": summary})


def of_another_host(target: Target, now: datetime) -> None:
    """Put snapshots of hosts and paths that nobody has."""
    key, tree = target.master_key(), newest(target).tree
    put_all(target, *(forge.snapshot(key, time=now, host=f"host{number}", paths=["/"], tree=tree) for number in range(5)))


def six_an_hour(target: Target, now: datetime) -> None:
    """Put perfect copies of the newest, six an hour for a day: plausible, each for itself."""
    _copies(target, [now - number * HOUR / 6 for number in range(144)], newest(target).tree)


def like_the_newest(target: Target, now: datetime) -> None:
    """Put one perfect copy of the newest, of now."""
    _copies(target, [now], newest(target).tree)


def of_inflated_size(target: Target, now: datetime) -> None:
    """Put one whose files are terabytes by their nodes, and one blob a hundred thousand times by their content."""
    content = os.urandom(1000)
    blob = hashlib.sha256(content).hexdigest()
    node = {"name": "all", "type": "file", "mode": 0o644, "size": 1 << 42, "content": [blob] * REPEATED}
    _copies(target, [now], _put_tree(target, [node], [("data", content, "")]))


def of_missing_data(target: Target, now: datetime) -> None:
    """Put one that names a blob that is nowhere."""
    node = {"name": "all", "type": "file", "mode": 0o644, "size": 5, "content": ["ab" * 32]}
    _copies(target, [now], _put_tree(target, [node]))


def of_a_missing_tree(target: Target, now: datetime) -> None:
    """Put one whose tree is nowhere."""
    _copies(target, [now], "cd" * 32)


def read_in_two_ways(target: Target, now: datetime) -> None:
    """Put one whose tree holds all to a reader that minds upper case, and nothing to restic's."""
    true = newest(target).tree
    tree = forge.compact({"nodes": [{"name": "a", "type": "dir", "mode": 0o755, "subtree": true, "Type": "file", "Content": []}]})
    _copies(target, [now], _put_blobs(target, [("tree", tree + b"\n", "")], tree + b"\n"))


def _copies(target: Target, times: Iterable[datetime], tree: str, more: Mapping[str, Any] | None = None) -> None:
    key = target.master_key()
    put_all(target, *(forge.snapshot(key, time=time, host=target.host, paths=target.paths, tree=tree, more=more) for time in times))


def _put_tree(target: Target, nodes: Iterable[Mapping[str, Any]], others: Iterable[tuple[str, bytes, str]] = ()) -> str:
    body = forge.tree(nodes)
    return _put_blobs(target, [("tree", body, ""), *others], body)


def _put_blobs(target: Target, contents: list[tuple[str, bytes, str]], tree: bytes) -> str:
    """Put a pack for each type, with true indexes; return the tree's id."""
    key = target.master_key()
    by_kind = ([one for one in contents if one[0] == kind] for kind in ("tree", "data"))
    packs = [forge.pack(key, chosen) for chosen in by_kind if chosen]
    put_all(target, *packs, forge.index(key, {pack.id: pack.blobs for pack in packs}))
    return hashlib.sha256(tree).hexdigest()
