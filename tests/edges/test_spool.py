"""A spool gives back every line once, in order, whoever appends meanwhile."""

from __future__ import annotations

import errno
import os
import threading

import pytest

from maintainer.edges import spool as module
from maintainer.edges.spool import Spool


def test_lines_come_back_once_in_order_and_their_disk_is_given_back() -> None:
    spool = Spool()
    for number in range(10):
        spool.append(f"{number}é")
    assert [line.decode() for line in spool.take(3)] == ["0é\n", "1é\n", "2é\n"]
    spool.append("x")
    assert len(spool.take(100)) == 8
    assert spool.take(100) == []
    assert os.fstat(spool._file).st_size == 0
    spool.append("y")
    spool.clear()
    assert spool.take(1) == []
    spool.close()


def test_what_is_appended_while_lines_are_taken_is_not_lost() -> None:
    spool, found = Spool(), list[int]()

    def write() -> None:
        for number in range(20_000):
            spool.append(str(number))

    writer = threading.Thread(target=write)
    writer.start()
    while writer.is_alive():
        found += map(int, spool.take(7))
    while lines := spool.take(1_000):
        found += map(int, lines)
    assert found == list(range(20_000))
    spool.close()


def test_a_line_of_any_length_comes_back_and_one_without_room_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK", 10)
    spool, pwrite = Spool(), os.pwrite
    spool.append("x" * 1_000)

    def no_room(file: int, body: bytes, offset: int) -> int:
        pwrite(file, body[: len(body) // 2], offset)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", no_room)
    spool.append("lost")
    monkeypatch.setattr(os, "pwrite", pwrite)
    spool.append("y\r z\u2028")
    assert spool.take(1) == [b"x" * 1_000 + b"\n"]
    assert spool.take(5) == ["y\r z\u2028\n".encode()]
    spool.close()
