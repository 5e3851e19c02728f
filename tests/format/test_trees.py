"""Trees: what they name is what restic follows, in pieces of any size; what could be read in two ways is none."""

from __future__ import annotations

import json
import os
import tracemalloc
import uuid
from pathlib import Path
from unittest.mock import patch

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from maintainer.drill import forge
from maintainer.drill.target import true_contents
from maintainer.format import crypto
from maintainer.format.boundary import FormatError
from maintainer.format.crypto import MasterKey, encrypt
from maintainer.format.files import parse_snapshot
from maintainer.format.trees import Tree, read_tree
from maintainer.sandbox.daemon import Sandbox
from tests.support.repositories import Repository

KEY = MasterKey(b"e" * 32, b"k" * 16, b"r" * 16)
A, B = "a" * 64, "b" * 64


def sealed(text: bytes) -> bytes:
    return encrypt(KEY, text, os.urandom(16))


def test_a_real_tree_names_what_restic_says_that_it_names(sandbox: Sandbox, tmp_path: Path) -> None:
    repository = Repository(sandbox, f"trees-{uuid.uuid4().hex}", tmp_path)
    repository.init()
    repository.write('ünïcode\n"content":[', 300_000, 1)
    (repository.source / "inner").mkdir()
    snapshot = repository.backup()
    key = repository.master_key()
    places = {name: (pack, at, size, plain) for pack, blobs in true_contents(repository).items() for name, _, at, size, plain in blobs}
    wanted = [parse_snapshot(key, repository.get(f"snapshots/{snapshot}")).tree]
    seen: set[bytes] = set()
    while wanted:
        name = wanted.pop()
        pack, at, size, plain = places[name]
        tree = read_tree(key, repository.get(f"data/{pack[:2]}/{pack}")[at : at + size], compressed=bool(plain))
        nodes = json.loads(repository.restic("cat", "blob", name).stdout)["nodes"]
        assert {one.hex() for one in tree.blobs} == {blob for node in nodes for blob in node.get("content") or ()}
        assert {one.hex() for one in tree.trees} == {node["subtree"] for node in nodes if "subtree" in node}
        wanted += [one.hex() for one in tree.trees]
        seen |= tree.blobs
    assert len(seen) >= 1


_NODE = st.fixed_dictionaries(
    {
        "name": st.text(),
        "type": st.sampled_from(["file", "dir", "symlink"]),
        "content": st.lists(st.sampled_from([A, B])),
        "subtree": st.just(A),
    }
)


@settings(max_examples=50)
@given(st.lists(_NODE, max_size=5), st.integers(1, 500))
def test_pieces_of_any_size_come_to_the_same(nodes: list[dict[str, object]], piece: int) -> None:
    blobs = {bytes.fromhex(str(one)) for node in nodes if node["type"] == "file" for one in node["content"]}  # type: ignore[attr-defined]
    trees = {bytes.fromhex(A) for node in nodes if node["type"] == "dir"}
    text = json.dumps({"nodes": nodes}, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
    with patch.object(crypto, "PIECE", piece):
        assert read_tree(KEY, sealed(zstandard.compress(text)), compressed=True) == Tree(frozenset(trees), frozenset(blobs))
    assert read_tree(KEY, sealed(text + b"\n"), compressed=False) == Tree(frozenset(trees), frozenset(blobs))


FILE = f'{{"type":"file","content":["{A}"]}}'


@pytest.mark.parametrize(
    "text",
    [
        f'{{"nodes":[{FILE[:-1]},"CONTENT":[]}}]}}',
        f'{{"nodes":[{FILE[:-1]},"content":[]}}]}}',
        f'{{"nodes":[{FILE}],"Nodes":[]}}',
        f'{{"nodes":[{FILE}],"nodes":[]}}',
        f'{{"nodes":[{FILE}{FILE}]}}',
        f'{{"nodes":[{FILE},]}}',
        f'{{"nodes":[{FILE}]}}x',
        f'{{"nodes":[{FILE}',
        '{"nodes":[{"type":"file","content":["abc"]}]}',
        '{"nodes":[{"type":"file","content":[5]}]}',
        '{"nodes":[{"type":"dir"}]}',
        '{"nodes":["x"]}',
        '{"nodes":[' + '{"x":[' * 100_000,
        "[]",
        "",
    ],
)
def test_what_could_be_read_in_two_ways_or_none_is_no_tree(text: str) -> None:
    with pytest.raises(FormatError):
        read_tree(KEY, sealed(text.encode()), compressed=False)


def test_bytes_that_are_no_text_are_no_tree() -> None:
    with pytest.raises(FormatError, match="UTF-8"):
        read_tree(KEY, sealed(b'{"nodes":[{"name":"\xff"}]}'), compressed=False)


@pytest.mark.parametrize("text", ['{"nodes":null}', '{"nodes":[]}', '{"nodes":[]}\n'])
def test_an_empty_tree_names_nothing(text: str) -> None:
    assert read_tree(KEY, sealed(text.encode()), compressed=False) == Tree()


def test_a_directory_of_very_many_files_takes_the_memory_of_its_ids() -> None:
    body = forge.compact({"nodes": [{"name": f"file{n}", "type": "file", "padding": "x" * 300, "content": [A]} for n in range(40_000)]})
    small = sealed(zstandard.compress(body))
    tracemalloc.start()
    try:
        assert len(read_tree(KEY, small, compressed=True).blobs) == 1
        assert tracemalloc.get_traced_memory()[1] < len(body) // 2
    finally:
        tracemalloc.stop()
