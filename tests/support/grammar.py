"""Strategies for restic's files, built from its documented grammar, with what a hostile writer may do to each: any field may be anything.

Texts are JSON before it is sealed. A field's value is a fragment of JSON, so that also what Python's encoder would not write can stand there.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping

from hypothesis import strategies as st

ID = "ab" * 32
TIMES = [
    "2026-11-30T03:31:07.123456789+01:00",
    "0000-01-01T00:00:00Z",
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-14:00",
    "2026-02-30T00:00:00Z",
    "2026-11-30T03:31:07",
    f"2026-11-30T03:31:07.{'1' * 10_000}Z",
    "",
]
ODD = [
    "null",
    "true",
    "0",
    "-1",
    "1e999",
    "-1e999",
    "1.5",
    "9" * 5_000,
    str(1 << 64),
    "NaN",
    "Infinity",
    "[]",
    "{}",
    '""',
    r'"\ud800"',
    r'"\udfff\ud800 and more"',
    r'"\u0000\u001b]0;title\u0007"',
    f'"{"x" * 5_000}"',
    "[" * 3_000 + "]" * 3_000,
    '{"a":' * 3_000 + "1" + "}" * 3_000,
    '{"a":1,"A":2}',
    "[[],[[]],{}]",
    '["x",1,null]',
    "'single'",
    "",
]
B64 = base64.b64encode(b"s" * 64).decode()


def fragments() -> st.SearchStrategy[str]:
    """Any value: an odd one, a time, or JSON of any shape."""
    shapes = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
        max_leaves=8,
    )
    return st.sampled_from(ODD) | st.sampled_from(TIMES).map(json.dumps) | shapes.map(json.dumps)


FIELDS: Mapping[str, Mapping[str, object]] = {
    "key": {"created": TIMES[0], "username": "root", "hostname": "web1", "kdf": "scrypt", "N": 2, "r": 1, "p": 1, "salt": B64, "data": B64},
    "master key": {"mac": {"k": base64.b64encode(b"k" * 16).decode(), "r": base64.b64encode(b"r" * 16).decode()}, "encrypt": B64},
    "config": {"version": 2, "id": ID, "chunker_polynomial": "25b468838dcb75"},
    "lock": {"time": TIMES[0], "exclusive": False, "hostname": "web1", "username": "root", "pid": 1},
    "snapshot": {
        "time": TIMES[0],
        "parent": ID,
        "tree": ID,
        "paths": ["/srv"],
        "hostname": "web1",
        "username": "root",
        "tags": ["a"],
        "excludes": ["*"],
        "original": ID,
        "summary": {"files_new": 1, "total_bytes_processed": 1 << 40},
    },
    "index": {
        "supersedes": [ID],
        "packs": [{"id": ID, "blobs": [{"id": ID, "type": "data", "offset": 0, "length": 38, "uncompressed_length": 12}]}],
    },
    "tree": {
        "nodes": [
            {"name": "a", "type": "file", "mode": 420, "size": 5, "content": [ID]},
            {"name": "b", "type": "dir", "mode": 420, "subtree": ID},
        ]
    },
}


def files(kind: str) -> st.SearchStrategy[bytes]:
    """The JSON of a file of this kind, in which some fields are anything, some are missing or there twice, and some bytes are others."""
    sound = {name: json.dumps(value, separators=(",", ":")) for name, value in FIELDS[kind].items()}
    inner = sound.get("packs", "")

    @st.composite
    def made(draw: st.DrawFn) -> bytes:
        fields = list(sound.items())
        for name in draw(st.lists(st.sampled_from(sorted(sound)), max_size=3, unique=True)):
            fields = [(each, draw(fragments()) if each == name else value) for each, value in fields]
        if draw(st.booleans()):
            fields.append((draw(st.sampled_from(sorted(sound)) | st.text(max_size=5)), draw(fragments())))
        if draw(st.booleans()) and fields:
            fields.pop(draw(st.integers(0, len(fields) - 1)))
        if inner and draw(st.booleans()):
            old = draw(st.sampled_from(['"data"', "38", "12", '"offset":0', f'"{ID}"', "[", "}"]))
            new = draw(fragments())
            fields = [(name, value.replace(old, new, 1)) for name, value in fields]
        text = "{" + ",".join(f"{json.dumps(name)}:{value}" for name, value in fields) + "}"
        return draw(mutated(text.encode()))

    return made()


@st.composite
def mutated(draw: st.DrawFn, body: bytes) -> bytes:
    """Some bytes taken away, put in, or written twice; or none."""
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(body)))
        end = min(len(body), at + draw(st.integers(0, 40)))
        body = draw(
            st.sampled_from(
                [body[:at], body[:at] + body[end:], body[:end] + body[at:], body[:at] + draw(st.binary(max_size=4)) + body[at:]]
            )
        )
    return body
