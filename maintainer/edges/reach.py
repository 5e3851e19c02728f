"""What a backup host must never be able to do: tried with its own credentials, in ways that do no harm where it can."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from maintainer.core.errors import AccessDeniedError, MaintainerError
from maintainer.core.job import Place
from maintainer.edges.capabilities import PROBE, Capability
from maintainer.edges.objectstore import NOT_THERE, S3Store
from maintainer.edges.s3 import S3
from maintainer.edges.s3errors import error_code

_NO_SUCH_THING = NOT_THERE | {"AccessControlListNotSupported", "ObjectLockConfigurationNotFoundError", "InvalidBucketState"}
"""What a store says that could not do it for anybody."""
_LEAST = "give it the policy of `maintainer enroll`, or of Terraform's module repository, and nothing else"


class Reach:
    """A host's reach: `host` has its credentials, `store` maintainer's on the same prefix, which tidies up."""

    def __init__(self, host: S3, place: Place, store: S3Store) -> None:
        """Try below `place`, the host's own repository."""
        self._host = host
        self._place = place
        self._store = store
        self._key = f"{PROBE}host-{secrets.token_hex(8)}"
        self._copy = f"{self._key}-copy"

    def try_all(self, state: Place, others: dict[str, Place]) -> Iterator[Capability]:
        """Try what the host needs, and then all that it must not: beside its own repository at the state store and at `others`, by name."""
        own = {"Bucket": self._place.bucket, "Key": f"{self._place.prefix}/{self._key}"}
        try:
            try:
                made = self._host.call("put_object", **own, Body=b"probe")
            except MaintainerError as error:
                do = "its backups fail: give it the policy of `maintainer enroll`"
                yield Capability("the host puts below its own prefix", False, error.message, do, is_needed=True)
                return
            yield Capability("the host puts below its own prefix", True, "put", "", is_needed=True)
            for what, act in self._trials(own, str(made.get("VersionId", ""))):
                yield tried(what, act, _LEAST)
            yield self._policy()
            for name, place in others.items():
                yield from self._elsewhere(f"repository {name}", place, "config", "a policy that names its own prefix alone")
            yield from self._elsewhere("the state store", state, "ledger/00000000", "a bucket of its own for the state store")
        finally:
            self._tidy()

    def _trials(self, own: dict[str, str], version: str) -> Iterator[tuple[str, Callable[[], Any]]]:
        """Yield what is tried on an object that the host put itself, and on the bucket as it is."""
        call, bucket = self._host.call, {"Bucket": self._place.bucket}
        copy = {**bucket, "Key": f"{self._place.prefix}/{self._copy}"}
        customer = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": secrets.token_hex(16)}
        yield "delete an object", lambda: call("delete_object", **own)
        yield "delete a version", lambda: call("delete_object", **own, VersionId=version)
        yield "tag an object", lambda: call("put_object_tagging", **own, Tagging={"TagSet": []})
        yield "set an ACL", lambda: call("put_object_acl", **own, ACL="private")
        yield "copy an object", lambda: call("copy_object", **copy, CopySource=own)
        yield "encrypt under a key of its own", lambda: call("put_object", **copy, Body=b"probe", **customer)
        foreign = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "alias/maintainer-probe"}
        yield "encrypt under a key of KMS", lambda: call("put_object", **copy, Body=b"probe", **foreign)
        yield "put into an archive class", lambda: call("put_object", **copy, Body=b"probe", StorageClass="DEEP_ARCHIVE")
        # It is on, or nothing here would be tried: nothing changes.
        yield "change versioning", lambda: call("put_bucket_versioning", **bucket, VersioningConfiguration={"Status": "Enabled"})
        rules = self._store.lifecycle_rules()
        if rules:  # the same again: nothing changes
            again = {"LifecycleConfiguration": {"Rules": rules}}
            yield "change the lifecycle", lambda: call("put_bucket_lifecycle_configuration", **bucket, **again)
        else:
            yield "change the lifecycle", lambda: call("delete_bucket_lifecycle", **bucket)

    def _policy(self) -> Capability:
        """Try to put the bucket's policy as it is, or to delete it where there is none: nothing changes either way."""
        bucket, what = {"Bucket": self._place.bucket}, "change the bucket's policy"
        try:
            policy = self._store.policy()
        except MaintainerError as error:
            do = "call doctor with a profile that may read the policy ([s3] profile): only then it can be tried without harm"
            return Capability(f"the host must not {what}", None, f"not tried: {error.message}", do, is_needed=False)
        if policy:
            return tried(what, lambda: self._host.call("put_bucket_policy", **bucket, Policy=policy), _LEAST)
        return tried(what, lambda: self._host.call("delete_bucket_policy", **bucket), _LEAST)

    def _elsewhere(self, name: str, place: Place, key: str, otherwise: str) -> Iterator[Capability]:
        prefix = f"{place.prefix}/".lstrip("/")
        yield tried(f"list {name}", lambda: self._host.call("list_objects_v2", Bucket=place.bucket, Prefix=prefix, MaxKeys=1), otherwise)
        yield tried(f"read {name}", lambda: self._host.call("head_object", Bucket=place.bucket, Key=f"{prefix}{key}"), otherwise)

    def _tidy(self) -> None:
        """Hide what was put, and tag it as what may expire."""
        for key in (self._key, self._copy):
            with suppress(MaintainerError):
                self._store.mark(key)
        with suppress(MaintainerError):
            self._store.release([(one.key, one.version_id) for one in self._store.survey(self._key)])


def tried(what: str, act: Callable[[], Any], otherwise: str) -> Capability:
    """Do what must be refused. Whatever else S3 answers but that it may not, it judged the request itself."""
    name = f"the host must not {what}"
    try:
        act()
    except AccessDeniedError as error:
        # Who is stopped by KMS alone was let through by S3: with a key of another account of his own he would not be stopped.
        if "kms:" in str(error.__cause__).lower():
            return Capability(name, False, "KMS alone refused it", otherwise, is_needed=True)
        return Capability(name, True, "refused", otherwise, is_needed=True)
    except MaintainerError as error:
        if error_code(error) in _NO_SUCH_THING:
            return Capability(name, True, f"nobody can here ({error_code(error)})", otherwise, is_needed=True)
        return Capability(name, False, f"it may, and was told {error_code(error) or error.message}", otherwise, is_needed=True)
    return Capability(name, False, "it can", otherwise, is_needed=True)
