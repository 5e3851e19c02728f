"""Damage to what is there, and litter beside it: overwritten, hidden, replaced, put again, locked, and names that play tricks."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from datetime import datetime, timedelta

from maintainer.core.moments import to_text
from maintainer.core.repofiles import FileType
from maintainer.drill import forge
from maintainer.drill.target import Target, put_all

FOLDERS = ("data/", "index/", "snapshots/", "keys/", "config")
SOME_KEYS = 41
"""restic gives up after twenty keys."""
JUNK = 200
ESCAPES = "\x1b]0;owned\x07\x1b[2J\nOK: nothing found\r<script>alert(1)</script>"


def files(target: Target) -> list[str]:
    """Return all current files of the repository."""
    return [key for key in target.objects() if key.startswith(FOLDERS)]


def overwrite_everything(target: Target, _: datetime) -> None:
    """Put nothing, random bytes, a flipped bit, or a truncated copy over every file."""
    for number, key in enumerate(files(target)):
        body = target.get(key)
        flipped = bytearray(body or b"\0")
        flipped[len(body) // 2] ^= 1
        target.put(key, [b"", b"random" * 100, bytes(flipped), body[:-1]][number % 4])


def overwrite_often(target: Target, _: datetime) -> None:
    """Put fifty versions of the right size over one pack."""
    key = target.objects("data/")[0]
    size = len(target.get(key))
    for number in range(50):
        target.put(key, bytes([number]) * size)


def hide_everything(target: Target, _: datetime) -> None:
    """Delete every file."""
    for key in files(target):
        target.hide(key)


def replace_config(target: Target, _: datetime) -> None:
    """Put a config that authenticates, of another repository."""
    raw = {"version": 2, "id": "0" * 64, "chunker_polynomial": "3abc9bff07d9e5"}
    target.put("config", forge.seal(target.master_key(), forge.compact(raw)))


def meddle_with_keys(target: Target, _: datetime) -> None:
    """Put garbage over the keys, dozens of new ones, one under a wrong name, and one that costs a terabyte."""
    keys = target.objects("keys/")
    raw = json.loads(target.get(keys[0]))
    for key in keys:
        target.put(key, b"garbage")
    copies = [forge.forged(FileType.KEY, json.dumps({**raw, "username": f"n{number}"}).encode()) for number in range(SOME_KEYS)]
    dear = {**raw, "N": 1 << 30, "data": base64.b64encode(os.urandom(64)).decode()}
    put_all(target, *copies, forge.forged(FileType.KEY, json.dumps(dear).encode()))
    target.put("keys/" + "0" * 64, json.dumps(raw).encode())


def litter_with_garbage(target: Target, _: datetime) -> None:
    """Put garbage under its own true hash everywhere, and authentic JSON that is nothing."""
    body = os.urandom(300)
    for kind in (FileType.SNAPSHOT, FileType.INDEX, FileType.PACK, FileType.KEY):
        put_all(target, forge.forged(kind, body))
    nothing = forge.seal(target.master_key(), b'{"time":"x"}')
    put_all(target, *(forge.forged(kind, nothing) for kind in (FileType.SNAPSHOT, FileType.INDEX)))


def lock(target: Target, now: datetime) -> None:
    """Put locks: of now, of a far future, exclusive, of nobody, and garbage."""
    key = target.master_key()
    made = [
        {"time": to_text(at), "exclusive": exclusive, "hostname": target.host, "username": "root", "pid": 4711}
        for at in (now, now + timedelta(days=9999))
        for exclusive in (False, True)
    ]
    put_all(target, *(forge.forged(FileType.LOCK, forge.seal(key, forge.compact(raw))) for raw in made))
    put_all(target, forge.forged(FileType.LOCK, os.urandom(100)), forge.forged(FileType.LOCK, b""))


def put_again(target: Target, _: datetime) -> None:
    """Put every file again, byte for byte: all dates are of today."""
    for key in files(target):
        target.put(key, target.get(key))


def put_again_encoded(target: Target, _: datetime) -> None:
    """Put packs, indexes and config again, byte for byte, and call them compressed: their hashes are right, and restic fails."""
    for key in (*target.objects("data/"), *target.objects("index/"), "config"):
        target.put(key, target.get(key), ContentEncoding="gzip", Metadata={"x": "y"})


def put_into_the_archive(target: Target, _: datetime) -> None:
    """Put packs again into a class that takes hours to read, which takes a policy that was left too wide."""
    for key in target.objects("data/"):
        target.put(key, os.urandom(50), StorageClass="DEEP_ARCHIVE")


def put_under_a_customers_key(target: Target, _: datetime) -> None:
    """Put every pack again under a key that the attacker alone has (SSE-C): the very bytes, which nobody else can read any more."""
    secret = os.urandom(32)
    for key in target.objects("data/"):
        target.put(key, target.get(key), SSECustomerAlgorithm="AES256", SSECustomerKey=secret)


def put_under_a_foreign_key(target: Target, _: datetime) -> None:
    """Put every pack again under a KMS key that its owner can switch off, which takes a policy that was left too wide."""
    for key in target.objects("data/"):
        arn = "arn:aws:kms:us-east-1:999999999999:key/11111111-2222-3333-4444-555555555555"
        target.put(key, target.get(key), ServerSideEncryption="aws:kms", SSEKMSKeyId=arn)


def bury_in_junk(target: Target, _: datetime) -> None:
    """Put objects by the hundred, in and beside restic's names, and versions of one by the hundred."""
    for number in range(JUNK):
        target.put(f"data/{number % 256:02x}/{hashlib.sha256(bytes([number])).hexdigest()}", b"junk")
        target.put(f"notes/{number}.txt", b"junk")
    key = target.objects("index/")[0]
    size = len(target.get(key))
    for number in range(JUNK):
        target.put(key, number.to_bytes(2, "big") * (size // 2) + bytes(size % 2))


def play_tricks_with_names(target: Target, now: datetime) -> None:
    """Name a host, paths, tags and an object so that a terminal or a browser obeys them."""
    key = target.master_key()
    body = forge.tree(())
    pack = forge.pack(key, [("tree", body, "")])
    tree = hashlib.sha256(body).hexdigest()
    trick = forge.snapshot(key, time=now, host=ESCAPES, paths=[ESCAPES, "/\u202e"], tree=tree, more={"tags": [ESCAPES]})
    put_all(target, pack, forge.index(key, {pack.id: pack.blobs}), trick)
    target.put("notes/\u202e<b>&amp;.txt", b"")
