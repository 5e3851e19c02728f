"""What a year of nights on a million packs comes to in the ledger: how large it is, and what reading it takes."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import zstandard

from benchmarks.result import Result
from maintainer.core import segments
from maintainer.core.entries import Entry, Segment, digest
from maintainer.core.ledger import Ledger
from maintainer.core.moments import to_text
from maintainer.core.records import Record, Records, RecordsInMemory, State, Text
from maintainer.edges.clock import SystemClock
from maintainer.edges.shelf import RecordShelf

PACKS = 1_000_000
PACK_BYTES = 16 << 20
"""restic's target."""
NIGHTS = 365
NEW = 5_000
"""Packs a night; as many are doomed: the oldest."""
EXPIRES = 45
"""Nights after which nothing is left in the bucket of what was doomed."""
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


def measure() -> Result:
    """Write a year of entries, with bases and without, as runs do, and read both in a process of its own."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR") or "/var/tmp") as folder:  # noqa: S108 - a disk
        store = _Store(Path(folder))
        _write(store)
        rows = [_read(store.folder, how) for how in ("from the last base", "every entry")]
        share = 100 * store.bytes() / (PACKS * PACK_BYTES)
        rows.append({"subject": "a year's ledger", "size_mib": store.bytes() >> 20, "percent_of_the_repository": round(share, 5)})
    quick, whole = (float(row["total_s"]) for row in rows[:2])
    return Result("ledger", rows, {"reading, every entry/from the last base": round(whole / quick, 1)})


class _Store:
    """Entries and segments as files, compressed as the state store has them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "ledger").mkdir(exist_ok=True)
        (folder / "segments").mkdir(exist_ok=True)

    def entries(self) -> Iterator[bytes]:
        return (path.read_bytes() for path in sorted((self.folder / "ledger").iterdir()))

    def read_segments(self, names: Iterable[str]) -> Iterator[bytes]:
        return (zstandard.decompress((self.folder / "segments" / name).read_bytes()) for name in names)

    def put_segments(self, texts: Iterable[Text]) -> tuple[Segment, ...]:
        named: list[Segment] = []
        for records, text in segments.cut(texts):
            named.append(Segment(digest(text), records))
            (self.folder / "segments" / named[-1].name).write_bytes(zstandard.compress(text))
        return tuple(named)

    def put_entry(self, entry: Entry) -> bytes:
        body = entry.encode()
        (self.folder / "ledger" / f"{entry.sequence:08d}").write_bytes(body)
        return body

    def bytes(self) -> int:
        return sum(path.stat().st_size for path in self.folder.glob("*/*"))


def _write(store: _Store) -> None:
    ledger = Ledger(RecordShelf())
    _append(store, ledger, "first", BEGAN, RecordsInMemory(_records(range(PACKS), State.ADMITTED, BEGAN)))
    for night in range(NIGHTS):
        at, first, expired = BEGAN + timedelta(days=night), night * NEW, max(night - EXPIRES, 0) * NEW
        new = range(PACKS + first, PACKS + first + NEW)
        _append(store, ledger, "admission", at, RecordsInMemory(_records(new, State.ADMITTED, at)))
        doomed = RecordsInMemory(_records(range(first, first + NEW), State.DOOMED, at))
        gone = {_key(number) for number in range(expired)} if ledger.is_base_due else set()
        base = segments.base(ledger.fold.records, doomed, lambda key: key not in gone) if ledger.is_base_due else ()  # noqa: B023 - read at once
        _append(store, ledger, "commit", at, doomed, base)


def _append(store: _Store, ledger: Ledger, kind: str, at: datetime, changes: Records, base: Iterable[Text] = ()) -> None:  # noqa: PLR0917 - an entry's
    number, previous = ledger.fold.head
    named, based = store.put_segments(changes.texts()), store.put_segments(base)
    entry = Entry(number, previous, kind, f"r{number}", to_text(at), "web", segments=named, base=based)
    ledger.check(entry, changes)
    ledger.append(entry, store.put_entry(entry), changes, {})


def _records(numbers: range, state: State, at: datetime) -> Iterator[tuple[str, Record]]:
    for number in numbers:
        key = _key(number)
        version = hashlib.md5(key.encode(), usedforsecurity=False).hexdigest()
        yield key, Record(state, version, PACK_BYTES - number % 10_000, at, at, reason="pruned" if state is State.DOOMED else "")


def _key(number: int) -> str:
    name = hashlib.sha256(str(number).encode()).hexdigest()
    return f"data/{name[:2]}/{name}"


def _read(folder: Path, how: str) -> dict[str, str | float]:
    done = subprocess.run([sys.executable, "-m", "benchmarks.ledger", str(folder), how], capture_output=True, text=True, check=True)
    seconds, mebibytes, records = done.stdout.split()
    return {"subject": how, "total_s": float(seconds), "memory_mib": float(mebibytes), "records": float(records)}


def _measure_reading(folder: str, how: str) -> None:
    store, clock = _Store(Path(folder)), SystemClock()
    started = clock.monotonic()
    records = Ledger(RecordShelf(), store.entries(), (), store.read_segments, verify=how == "every entry").fold.records
    seconds = clock.monotonic() - started
    # Not ru_maxrss, which begins with what the process held that started this one.
    most = re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text(encoding="ascii"))
    print(round(seconds, 1), int(most[1] if most else 0) >> 10, len(records))


if __name__ == "__main__":
    _measure_reading(*sys.argv[1:])
