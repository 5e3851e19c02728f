"""The ways of a host to its repository: with a key of the bucket's own, or by its group's gateway."""

from __future__ import annotations

import hashlib
import secrets as randomness
from collections.abc import Mapping
from dataclasses import dataclass

import bcrypt

from maintainer.core.errors import ConfigurationError, Problem
from maintainer.core.hostpolicy import document, host_statements
from maintainer.core.job import Access, Place
from maintainer.edges import secrets
from maintainer.edges.iam import Iam

COST = 5
"""bcrypt's: a password is random and long, and is verified with each of restic's requests."""
MOST_KEYS = 2
"""Access keys that a user may have (IAM user guide, quotas)."""


def user_of(host: str, place: Place) -> str:
    """Return the name of a host's IAM user: of one account there may be several groups, buckets and prefixes with a host of this name."""
    return f"{host[:48]}-{hashlib.sha256(f'{place.bucket}/{place.prefix}'.encode()).hexdigest()[:12]}"


@dataclass(frozen=True, slots=True)
class OwnKey:
    """An IAM user that may do what a host may, below its own prefix alone. `location` is the repository in restic's own form.

    `kms_key`: the ARN of the key that the bucket encrypts under, if it does.
    """

    iam: Iam
    user: str
    place: Place
    location: str
    region: str
    kms_key: str = ""

    certificate = ""

    def is_open(self, known: Mapping[str, str]) -> bool:
        """Tell whether the key that was written before is one of the user's."""
        return bool(known.get("AWS_SECRET_ACCESS_KEY")) and known.get("AWS_ACCESS_KEY_ID") in self.iam.keys(self.user)

    def open(self, known: Mapping[str, str]) -> dict[str, str]:
        """Keep the user, and return its key. ConfigurationError where it has two that are not written here."""
        may = host_statements(self.place.bucket, self.place.prefix, partition=self.iam.partition, kms_key=self.kms_key)
        self.iam.keep_user(self.user, document(*may))
        if self.is_open(known):
            pair = known["AWS_ACCESS_KEY_ID"], known["AWS_SECRET_ACCESS_KEY"]
        else:
            if len(ids := self.iam.keys(self.user)) >= MOST_KEYS:
                do = f"aws iam delete-access-key --user-name {self.user} --access-key-id ID, for the one that no host uses"
                found = f"{len(ids)} access keys, {' and '.join(ids)}, and neither is written here"
                raise ConfigurationError((Problem(f"IAM user {self.user}", found, "at most one", do),))
            made = self.iam.make_key(self.user)
            pair = made.id, made.secret
        return {
            "RESTIC_REPOSITORY": self.location,
            "AWS_ACCESS_KEY_ID": pair[0],
            "AWS_SECRET_ACCESS_KEY": pair[1],
            **({"AWS_DEFAULT_REGION": self.region} if self.region else {}),
        }

    def close(self) -> bool:
        """End the user and its keys; return whether there was one."""
        return self.iam.end_user(self.user)


@dataclass(frozen=True, slots=True)
class ByGateway:
    """A user of a gateway: `users` is the path of its parameters. Its folder has its name."""

    user: str
    users: str
    access: Access
    address: str
    port: int
    certificate: str

    @property
    def _source(self) -> str:
        return f"{self.users}/{self.user}"

    def is_open(self, known: Mapping[str, str]) -> bool:
        """Tell whether the password that was written before is the one that is let in."""
        password = known.get("RESTIC_REST_PASSWORD", "")
        if not password or not secrets.is_there(self._source, self.access):
            return False
        return bcrypt.checkpw(password.encode(), secrets.read(self._source, self.access).encode())

    def open(self, known: Mapping[str, str]) -> dict[str, str]:
        """Let the user in, by the password that is known or by a new one."""
        if self.is_open(known):
            password = known["RESTIC_REST_PASSWORD"]
        else:
            password = randomness.token_urlsafe(32)
            secrets.write(self._source, bcrypt.hashpw(password.encode(), bcrypt.gensalt(COST)).decode(), self.access)
        return {
            # The password apart: a location stands in command lines, which every user of a machine can read.
            "RESTIC_REPOSITORY": f"rest:https://{self.address}:{self.port}/{self.user}/",
            "RESTIC_REST_USERNAME": self.user,
            "RESTIC_REST_PASSWORD": password,
            **({"RESTIC_CACERT": "/etc/restic/gateway.pem"} if self.certificate else {}),
        }

    def close(self) -> bool:
        """Let the user in no more; return whether it was."""
        return secrets.delete(self._source, self.access)
