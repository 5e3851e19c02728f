"""What `restic init` and `restic key add` put, copied from a repository that restic made once, under keys that cost little to open.

restic tries for a second how dear scrypt may be, and chooses a cost that makes each opening take half a second. A test that enrolls a
host makes two keys and opens them thirty times, on a machine that other tests use as well.
"""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from maintainer.drill.forge import cheaper_key, seal
from maintainer.edges.restic import Outcome, Restic, add_key_argv
from maintainer.format.crypto import decrypt, derive
from maintainer.format.files import parse_key
from tests.support.repositories import RESTIC

BASE = "the password of what is copied"
ADD = add_key_argv("")[:2]


@cache
def made(number: int) -> tuple[bytes, bytes]:
    """Return the config and the key of a repository by restic: another one, with another master key, for each number."""
    with TemporaryDirectory() as place:
        folder = Path(place) / str(number)
        subprocess.run([RESTIC, "init", "-r", folder], env={"RESTIC_PASSWORD": BASE}, capture_output=True, check=True)
        (key,) = (folder / "keys").iterdir()
        return (folder / "config").read_bytes(), cheaper_key(key.read_bytes(), BASE)


def key_for(body: bytes, password: str, user: str) -> bytes:
    """Return a key for the same master key that another password opens."""
    raw, old = json.loads(body), parse_key(body)
    plain = decrypt(derive(BASE, old.salt, n=old.n, r=old.r, p=old.p), old.sealed)
    data = base64.b64encode(seal(derive(password, old.salt, n=old.n, r=old.r, p=old.p), plain)).decode()
    return json.dumps({**raw, "username": user or raw["username"], "data": data}).encode()


class Copies:
    """In the place of `Restic.run`: answers what makes a repository or a key in S3, and lets restic do all else."""

    def __init__(self) -> None:
        self._keys: dict[str, bytes] = {}
        self._run = Restic.run

    def run(self, restic: Restic, address: str, password: str, argv: Sequence[str], **more: Any) -> Outcome:
        is_init = tuple(argv) == ("init",) and address.startswith("s3:")
        is_key = tuple(argv[:2]) == ADD and address in self._keys
        if not is_init and not is_key:
            return self._run(restic, address, password, argv, **more)
        try:
            if is_init:
                config, self._keys[address] = made(len(self._keys))
                _put(address, more["store"], key_for(self._keys[address], password, ""))
                _put(address, more["store"], config, "config")
            else:
                _put(
                    address,
                    more["store"],
                    key_for(self._keys[address], Path(argv[-1]).read_text(encoding="utf-8"), argv[argv.index("--user") + 1]),
                )
        except ClientError as error:
            return Outcome(1, "", str(error))
        return Outcome(0, "", "")


def _put(address: str, store: Mapping[str, str], body: bytes, key: str = "") -> None:
    url = urlsplit(address.removeprefix("s3:"))
    bucket, _, prefix = url.path.lstrip("/").partition("/")
    s3 = boto3.client(
        "s3",
        endpoint_url=f"{url.scheme}://{url.netloc}",
        region_name=store.get("AWS_DEFAULT_REGION", "us-east-1"),
        aws_access_key_id=store["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=store["AWS_SECRET_ACCESS_KEY"],
        config=Config(s3={"addressing_style": "path"}),
    )
    s3.put_object(Bucket=bucket, Key=f"{prefix}/{key or f'keys/{hashlib.sha256(body).hexdigest()}'}", Body=body)


def use(patch: pytest.MonkeyPatch) -> None:
    """Let this test's enrolments copy."""
    copies = Copies()

    def run(restic: Restic, *words: Any, **more: Any) -> Outcome:
        return copies.run(restic, *words, **more)

    patch.setattr(Restic, "run", run)
