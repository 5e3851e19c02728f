"""Signed GETs of a bucket, without boto3's way to them: it takes longer to prepare a request and to parse its answer than S3 to give it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree as ET

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.exceptions import ClientError
from botocore.httpsession import URLLib3Session
from botocore.utils import get_environ_proxies

from maintainer.edges.s3errors import TRANSIENT_STATUS


class SignedGets:
    """GETs of one address under one set of credentials, which are renewed as botocore does it. Safe between threads."""

    def __init__(
        self, address: str, credentials: Any, region: str, *, verify: bool | str, timeouts_s: tuple[int, int], connections: int
    ) -> None:
        """`address` is the bucket's URL; `verify` a bundle of certificates, or whether to verify; `timeouts_s` to connect and to read."""
        self._address = address
        self._credentials = credentials
        self._region = region
        self._session = URLLib3Session(
            verify=verify,  # type: ignore[arg-type]  # its stub knows neither a bundle here nor two times below
            proxies=get_environ_proxies(address),
            timeout=timeouts_s,  # type: ignore[arg-type]  # it takes both, its stub says one
            max_pool_connections=connections,
        )

    def get(self, operation: str, query: Mapping[str, str]) -> bytes:
        """Return the answer's body; ClientError, as boto3 has it, for any status but 200, and botocore's errors of the network."""
        parameters = "&".join(f"{name}={quote(value, safe='~')}" for name, value in sorted(query.items()))
        request = AWSRequest("GET", f"{self._address}?{parameters}")
        S3SigV4Auth(self._credentials.get_frozen_credentials(), "s3", self._region).add_auth(request)
        answer = self._session.send(request.prepare())
        if answer.status_code != 200:  # noqa: PLR2004 - HTTP's own
            raise ClientError(_error(answer.content, answer.status_code), operation)
        return bytes(answer.content)

    def fetch(self, url: str, headers: Mapping[str, str]) -> tuple[int, bytes]:
        """Return the status and the body of what a URL answers that is signed already; ClientError for one of the store's own faults."""
        answer = self._session.send(AWSRequest("GET", url, headers=dict(headers)).prepare())
        if answer.status_code in TRANSIENT_STATUS:
            raise ClientError(_error(answer.content, answer.status_code), "get_object")
        return answer.status_code, bytes(answer.content)


def _error(body: bytes, status: int) -> Any:
    try:
        said = {element.tag.rpartition("}")[2]: element.text or "" for element in ET.fromstring(body)}  # noqa: S314 - expat's own limits hold
    except ET.ParseError:
        said = {}
    return {
        "Error": {"Code": said.get("Code", str(status)), "Message": said.get("Message", "")},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
