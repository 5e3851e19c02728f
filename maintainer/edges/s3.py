"""S3 calls: the session, safe repeats, and S3's errors in our words."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any, TypeAlias, TypeVar
from urllib.parse import urlsplit

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    ProfileNotFound,
)
from botocore.loaders import Loader, create_loader
from tenacity import RetryCallState, Retrying, retry_if_exception, wait_random_exponential

from maintainer.core.errors import (
    ConfigurationError,
    MaintainerError,
    Problem,
    StoreError,
)
from maintainer.core.job import Access
from maintainer.core.versions import ObjectVersion
from maintainer.edges.clock import SystemClock
from maintainer.edges.paging import pages
from maintainer.edges.presign import Presigner
from maintainer.edges.s3errors import CONNECT_S, SLOWER, error_code, is_transient, short, translate
from maintainer.edges.signed import SignedGets
from maintainer.edges.versionlist import Page, PageError, parse_line, read_page

ATTEMPTS = 5
ATTEMPTS_WITHOUT_A_WAY = 2
"""Of a store that can not be reached, and never was: there is no way to it, and an instance that waits costs money."""
FIRST_WAIT_S = 0.2
LONGEST_WAIT_S = 20
READ_S = 60
CONNECTIONS = 32
_AWS_HOST = re.compile(r"s3(?:[.-](?:dualstack\.)?(?P<region>[a-z]{2}(?:-[a-z]+)+-\d))?\.amazonaws\.com(?:\.cn)?")

T = TypeVar("T")
OnRetry: TypeAlias = Callable[[str, int, str, float], None]
"""Told of each repeat: the call, the attempt that failed, why, and the seconds until the next."""


def ignore_retries(call: str, attempt: int, why: str, wait_s: float) -> None:
    """Tell nobody: for calls outside a run."""


@cache
def _loader() -> Loader:
    """Return the one loader of this process: it keeps S3's model, whose JSON takes a tenth of a second to read."""
    return create_loader()


def session(access: Access) -> boto3.Session:
    """Return a session; ConfigurationError when the profile does not exist."""
    return _session(access)[0]


def _session(access: Access) -> tuple[boto3.Session, botocore.session.Session]:
    core = botocore.session.Session()
    core.register_component("data_loader", _loader())
    if access.credentials_file:
        core.set_config_variable("credentials_file", access.credentials_file)
    try:
        made = boto3.Session(botocore_session=core, profile_name=access.profile or None, region_name=access.region or None)
        core.get_scoped_config()  # or a profile that is missing would be noticed by whoever makes a client
        return made, core
    except ProfileNotFound as error:
        where = access.credentials_file or "the AWS configuration"
        problem = Problem(
            "[s3] profile", f"no profile {access.profile!r}", f"one that {where} holds", "correct the name, or add the profile"
        )
        raise ConfigurationError((problem,)) from error


def aws_region(endpoint: str) -> str | None:
    """Return the region that an endpoint of AWS names, empty where it names none; None for one that is not AWS's. No endpoint is."""
    if not endpoint:
        return ""
    found = _AWS_HOST.fullmatch(urlsplit(endpoint).hostname or "")
    return None if found is None else found["region"] or ""


class S3:
    """A client whose calls are repeated where that is safe, and whose errors are ours. Safe between threads."""

    def __init__(self, access: Access, endpoint: str = "", on_retry: OnRetry = ignore_retries) -> None:
        self._on_retry = on_retry
        self._endpoint = endpoint or access.endpoint
        made, core = _session(access)
        region = made.region_name or "us-east-1"
        if (named := aws_region(self._endpoint)) is not None:
            # A location on AWS names its region, which a signature must name too; boto3 makes the endpoint of it.
            self._endpoint, region = "", named or region
        self._client: Any = made.client(
            "s3",
            endpoint_url=self._endpoint or None,
            region_name=region,
            config=Config(
                s3={"addressing_style": "path" if self._endpoint else "auto"},
                signature_version="s3v4",
                max_pool_connections=CONNECTIONS,
                retries={"total_max_attempts": 1},
                connect_timeout=CONNECT_S,
                read_timeout=READ_S,
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
        )
        self._credentials: Any = made.get_credentials()
        self._addresses: dict[str, str] = {}
        self._gets: dict[str, SignedGets] = {}
        self._presigners: dict[str, Presigner] = {}
        self.asked = Asked()
        self._slowed = _Slowed()
        self._was_reached = False
        self._verify: bool | str = core.get_config_variable("ca_bundle") or True

    def page(self, bucket: str, prefix: str, key_marker: str = "", version_id_marker: str = "") -> Page:
        """List one page of versions and markers below a prefix, from after a marker on. A page that comes in part is asked for again."""
        query = {"versions": "", "encoding-type": "url", "prefix": prefix}
        if key_marker:
            query |= {"key-marker": key_marker} | ({"version-id-marker": version_id_marker} if version_id_marker else {})
        operation = "list_object_versions"
        try:
            return self.repeat(operation, {"Bucket": bucket}, lambda: read_page(self._signed_gets(bucket).get(operation, query)))
        except PageError as error:
            told = f"{operation} s3://{bucket}/{prefix}: no whole page of versions came, {ATTEMPTS} times ({error})"
            raise StoreError(told, guidance="is the endpoint an S3, with no proxy before it that alters answers?") from error

    def versions(self, bucket: str, prefix: str) -> Iterator[ObjectVersion]:
        """List every version and marker below a prefix, with full keys, page by page: keys in order, newest first."""
        for _, lines, _ in pages(lambda *marker: self.page(bucket, prefix, *marker)):
            yield from map(parse_line, lines.split(b"\n"))

    def keys(self, bucket: str, prefix: str) -> Iterator[str]:
        """List the current keys below a prefix, in order, in full."""
        token: dict[str, str] = {}
        while True:
            page = self.call("list_objects_v2", Bucket=bucket, Prefix=prefix, **token)
            for entry in page.get("Contents", ()):
                yield entry["Key"]
            if not page.get("IsTruncated"):
                return
            token = {"ContinuationToken": page["NextContinuationToken"]}

    def presigned_get(self, seconds: int, bucket: str, key: str, version_id: str) -> str:
        """Return a URL that answers a GetObject of one version for so long."""
        if bucket not in self._presigners:
            # The real time, also where a sandbox's is moved: signatures are judged by it.
            self._presigners[bucket] = Presigner(self._address(bucket), self._credentials, self._client.meta.region_name, SystemClock())
        self.asked.add("get_object")  # by whoever is sent there
        return self._presigners[bucket].url(key, version_id, seconds)

    def fetch(self, bucket: str, url: str, headers: Mapping[str, str]) -> tuple[int, bytes]:
        """Return the status and the body of what a presigned URL answers; an answer that may be another next time is asked for again."""
        return self.repeat("get_object", {"Bucket": bucket}, lambda: self._signed_gets(bucket).fetch(url, headers))

    def _address(self, bucket: str) -> str:
        if bucket not in self._addresses:
            try:
                shown = str(self._client.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "-"}))
            except BotoCoreError as error:  # no credentials
                raise self._translate(error, "get_object", {"Bucket": bucket}) from error
            self._addresses[bucket] = shown.partition("?")[0].removesuffix("-")
        return self._addresses[bucket]

    def _signed_gets(self, bucket: str) -> SignedGets:
        if bucket not in self._gets:
            address = self._address(bucket)
            self._gets[bucket] = SignedGets(
                address.removesuffix("/") if self._endpoint else address,
                self._credentials,
                self._client.meta.region_name,
                verify=self._verify,
                timeouts_s=(CONNECT_S, READ_S),
                connections=CONNECTIONS,
            )
        return self._gets[bucket]

    def call(self, operation: str, **parameters: Any) -> dict[str, Any]:
        """Make one call, with repeats: only for what may be done twice. Raises the errors of `translate`."""
        return self.repeat(operation, parameters, lambda: self.call_raw(operation, parameters))

    def call_raw(self, operation: str, parameters: dict[str, Any]) -> dict[str, Any]:
        """Make one call inside `repeat`, whose errors are botocore's."""
        answer: dict[str, Any] = getattr(self._client, operation)(**parameters)
        return answer

    def repeat(self, operation: str, parameters: dict[str, Any], act: Callable[[], T]) -> T:
        """Run `act`, which makes one call and may read its body, with repeats."""
        me = object()

        def tell(state: RetryCallState) -> None:
            error = state.outcome.exception() if state.outcome else None
            if error_code(error) in SLOWER:
                self._slowed.add(me)
            self._on_retry(operation, state.attempt_number, short(error), state.upcoming_sleep)

        def attempt() -> T:
            self._slowed.go_on(me)
            self.asked.add(operation)
            return act()

        retrying = Retrying(
            stop=self._is_enough,
            wait=wait_random_exponential(multiplier=FIRST_WAIT_S, max=LONGEST_WAIT_S),
            retry=retry_if_exception(is_transient),
            before_sleep=tell,
            reraise=True,
        )
        try:
            done = retrying(attempt)
        except (ClientError, BotoCoreError) as error:
            raise self._translate(error, operation, parameters) from error
        finally:
            self._slowed.drop(me)
        self._was_reached = True
        return done

    def _is_enough(self, state: RetryCallState) -> bool:
        error = state.outcome.exception() if state.outcome else None
        is_cut_off = isinstance(error, ConnectTimeoutError) and not self._was_reached
        return state.attempt_number >= (ATTEMPTS_WITHOUT_A_WAY if is_cut_off else ATTEMPTS)

    def _translate(self, error: ClientError | BotoCoreError, operation: str, parameters: dict[str, Any]) -> MaintainerError:
        return translate(error, operation, str(parameters.get("Bucket", "")), str(parameters.get("Key", "")), self._endpoint)


class Asked:
    """How many requests were made, as S3 bills them: those that read one object, and those that write, copy or list. Deletions are free."""

    def __init__(self) -> None:
        self.reads = self.writes = 0
        self._lock = threading.Lock()

    def add(self, operation: str) -> None:
        """Count one."""
        with self._lock:
            if operation.startswith(("get_", "head_")):
                self.reads += 1
            elif not operation.startswith("delete_"):
                self.writes += 1


class _Slowed:
    """Who was told to slow down and waits: meanwhile nobody else asks, for a store that is asked by others at once slows them all down."""

    def __init__(self) -> None:
        self._who: set[object] = set()
        self._turn = threading.Condition()

    def add(self, who: object) -> None:
        with self._turn:
            self._who.add(who)

    def drop(self, who: object) -> None:
        with self._turn:
            self._who.discard(who)
            self._turn.notify_all()

    def go_on(self, who: object) -> None:
        """Wait for the others; no longer than one of them may wait once, since they may be told so again and again."""
        self.drop(who)
        with self._turn:
            self._turn.wait_for(lambda: not self._who, LONGEST_WAIT_S)
