"""Our reader of restic's files agrees with restic, and stops at its limits whatever it is given."""

from __future__ import annotations

import base64
import json
import os
import time
import tracemalloc
import uuid
from contextlib import suppress
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from maintainer.format.boundary import FormatError
from maintainer.format.crypto import MasterKey, decrypt, encrypt
from maintainer.format.files import WrongPasswordError, open_key, parse_config, parse_key, parse_snapshot
from maintainer.format.indexes import read_index
from maintainer.sandbox.daemon import Sandbox
from tests.support.repositories import Repository

KEY = MasterKey(b"e" * 32, b"k" * 16, b"r" * 16)
GOOD_KEY = {"kdf": "scrypt", "N": 1024, "r": 8, "p": 1, "salt": base64.b64encode(b"s" * 64).decode(), "data": ""}


def sealed(plain: bytes) -> bytes:
    return encrypt(KEY, plain, os.urandom(16))


def test_every_file_of_a_real_repository_is_read_as_restic_reads_it(sandbox: Sandbox, tmp_path: Path) -> None:
    repository = Repository(sandbox, f"format-{uuid.uuid4().hex}", tmp_path)
    repository.init(fast=False)
    repository.write("file", 300_000, 1)
    snapshot_id = repository.backup()
    key = open_key(parse_key(repository.get(repository.objects("keys/")[0])), repository.password)
    config = parse_config(key, repository.get("config"))
    assert config.id == json.loads(repository.restic("cat", "config").stdout)["id"]
    (told,) = json.loads(repository.restic("snapshots", "--json").stdout)
    snapshot = parse_snapshot(key, repository.get(f"snapshots/{snapshot_id}"))
    assert (snapshot.tree, snapshot.host, list(snapshot.paths)) == (told["tree"], "web1", told["paths"])
    (index_key,) = repository.objects("index/")
    packs = dict(read_index(key, repository.get(index_key)))
    assert {f"data/{pack[:2]}/{pack}" for pack in packs} == set(repository.objects("data/"))
    assert snapshot.tree in {blob[0] for blobs in packs.values() for blob in blobs}


def test_a_wrong_password_is_told_from_a_damaged_key(sandbox: Sandbox, tmp_path: Path) -> None:
    repository = Repository(sandbox, f"format-{uuid.uuid4().hex}", tmp_path)
    repository.init()
    body = repository.get(repository.objects("keys/")[0])
    with pytest.raises(WrongPasswordError):
        open_key(parse_key(body), "wrong")
    with pytest.raises(FormatError, match="no JSON"):
        parse_key(body[:-1])


@pytest.mark.parametrize("cost", [{"N": 1 << 30}, {"N": 1 << 17, "r": 64}, {"p": 1 << 14}, {"N": 1000}, {"N": True}, {"r": -1}, {"N": "x"}])
def test_a_key_that_would_cost_too_much_is_refused_at_once(cost: dict[str, object]) -> None:
    started = time.monotonic()
    with pytest.raises(FormatError):
        open_key(parse_key(json.dumps({**GOOD_KEY, **cost}).encode()), "x")
    assert time.monotonic() - started < 1


def test_a_snapshot_that_inflates_to_gigabytes_stops_at_the_limit() -> None:
    compressor = zstandard.ZstdCompressor().compressobj()
    bomb = bytearray(b"\x02")
    for _ in range(3000):
        bomb += compressor.compress(b" " * (1 << 20))
    bomb += compressor.flush()
    with pytest.raises(FormatError, match="inflates to more than"):
        parse_snapshot(KEY, sealed(bytes(bomb)))


def test_a_frame_that_names_its_size_is_bounded_too() -> None:
    bomb = b"\x02" + zstandard.ZstdCompressor(write_content_size=True).compress(b" " * (32 << 20))
    with pytest.raises(FormatError, match="inflates to more than"):
        parse_snapshot(KEY, sealed(bomb))


@given(st.binary(max_size=300))
def test_what_is_sealed_opens_and_one_flipped_bit_does_not(plain: bytes) -> None:
    body = sealed(plain)
    assert decrypt(KEY, body) == plain
    flipped = bytearray(body)
    flipped[len(body) // 2] ^= 1
    with pytest.raises(FormatError):
        decrypt(KEY, bytes(flipped))


@given(
    st.one_of(
        st.binary(max_size=200), st.from_regex(r"\A\{.{0,40}\}\Z").map(str.encode), st.just(b"[" * 100_000), st.just(b'{"a":' * 9_999)
    )
)
def test_garbage_under_the_right_key_is_a_format_error_and_nothing_else(plain: bytes) -> None:
    for parse in (parse_config, parse_snapshot):
        with pytest.raises(FormatError):
            parse(KEY, sealed(plain))
    with pytest.raises(FormatError):
        parse_key(plain)


@given(
    st.dictionaries(
        st.sampled_from(["time", "hostname", "paths", "tags", "tree", "packs", "supersedes", "id"]),
        st.recursive(
            st.none() | st.text() | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=5
        ),
    )
)
def test_json_of_the_wrong_shape_never_crashes(raw: dict[str, object]) -> None:
    body = sealed(json.dumps(raw).encode())
    for parse in (parse_config, parse_snapshot, lambda key, body: list(read_index(key, body))):
        with suppress(FormatError):
            parse(KEY, body)


@pytest.mark.parametrize("text", ['{"time":"x","TIME":"y"}', '{"tree":"x","tree":"y"}', '{"paths":[],"path\u017f":[]}'])
def test_what_says_a_thing_twice_wants_to_be_read_in_two_ways(text: str) -> None:
    with pytest.raises(FormatError, match="there twice"):
        parse_snapshot(KEY, sealed(text.encode()))


@pytest.mark.parametrize(
    "text", [b"[" * 4_000_000, b'{"a":[' + b"[]," * 3_000_000 + b"[]]}", ('{"a":"' + "x" * 12_000_000 + '\U0001f600"}').encode()]
)
def test_json_that_would_grow_in_memory_is_refused_before_it_does(text: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(FormatError, match="MiB of memory"):
            parse_snapshot(KEY, sealed(text))
        assert tracemalloc.get_traced_memory()[1] < 5 * len(text)
    finally:
        tracemalloc.stop()
