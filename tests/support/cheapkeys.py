"""What `restic init` and `restic key add` put, copied from a repository that restic made once, under keys that cost little to open.

restic tries for a second how dear scrypt may be, and chooses a cost that makes each opening take half a second. A test that enrolls a
host makes two keys and opens them thirty times, on a machine that other tests use as well.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ClientError

from maintainer.drill.forge import seal
from maintainer.edges.restic import Outcome, Restic, add_key_argv
from maintainer.format.crypto import decrypt, derive
from maintainer.format.files import parse_key
from maintainer.sandbox.provision import REGION, Credentials
from tests.support.buckets import client_of
from tests.support.repositories import made_by_restic

ADD = add_key_argv("")[:2]


@dataclass(frozen=True)
class Copied:
    """A key that restic made, and the password that opens it: a repository of its own for each password."""

    body: bytes
    password: str


def key_for(copied: Copied, password: str, user: str) -> bytes:
    """Return a key file for the same master key that another password opens."""
    raw, old = json.loads(copied.body), parse_key(copied.body)
    plain = decrypt(derive(copied.password, old.salt, n=old.n, r=old.r, p=old.p), old.sealed)
    data = base64.b64encode(seal(derive(password, old.salt, n=old.n, r=old.r, p=old.p), plain)).decode()
    return json.dumps({**raw, "username": user or raw["username"], "data": data}).encode()


class Copies:
    """In the place of `Restic.run`: answers what makes a repository or a key in S3, and lets restic do all else."""

    def __init__(self) -> None:
        self._keys: dict[str, Copied] = {}
        self._run = Restic.run

    def run(self, restic: Restic, address: str, password: str, argv: Sequence[str], **more: Any) -> Outcome:
        is_init = tuple(argv) == ("init",) and address.startswith("s3:")
        is_key = tuple(argv[:2]) == ADD and address in self._keys
        if not is_init and not is_key:
            return self._run(restic, address, password, argv, **more)
        try:
            if is_init:
                base = f"the password of copy {len(self._keys)}"
                made = made_by_restic(base, fast=True)
                self._keys[address] = Copied(next(body for key, body in made.items() if key != "config"), base)
                _put(address, more["store"], key_for(self._keys[address], password, ""))
                _put(address, more["store"], made["config"], "config")
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
    credentials = Credentials(store["AWS_ACCESS_KEY_ID"], store["AWS_SECRET_ACCESS_KEY"])
    s3 = client_of(f"{url.scheme}://{url.netloc}", store.get("AWS_DEFAULT_REGION", REGION), credentials)
    s3.put_object(Bucket=bucket, Key=f"{prefix}/{key or f'keys/{hashlib.sha256(body).hexdigest()}'}", Body=body)


def use(patch: pytest.MonkeyPatch) -> None:
    """Let this test's enrolments copy."""
    copies = Copies()

    def run(restic: Restic, *words: Any, **more: Any) -> Outcome:
        return copies.run(restic, *words, **more)

    patch.setattr(Restic, "run", run)
