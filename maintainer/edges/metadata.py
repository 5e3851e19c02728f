"""The metadata service of an EC2 instance (IMDSv2): what EC2 tells the machine about its own end."""

from __future__ import annotations

import json
import urllib.request
from dataclasses import dataclass
from http import HTTPStatus
from urllib.error import HTTPError

from maintainer.core.errors import ConnectionLostError
from maintainer.core.events import escape

SERVICE = "http://169.254.169.254"
ANSWERS_WITHIN_S = 2.0
TOKEN_S = 21_600
LONGEST = 4_096


@dataclass(frozen=True, slots=True)
class Notice:
    """EC2 takes the instance back: `action` is terminate, stop or hibernate, `at` RFC 3339 in UTC, about two minutes ahead."""

    action: str
    at: str


class MetadataService:
    """One metadata service. Raises ConnectionLostError where it does not answer, or not as documented (EC2 user guide, "Use IMDS")."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._token = ""
        # Link-local: a proxy that the environment names would answer for another machine.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def interruption(self) -> Notice | None:
        """Return the notice of a spot interruption, once there is one."""
        found = self._read("spot/instance-action")
        return None if found is None else Notice(_field(found, "action"), _field(found, "time"))

    def rebalance(self) -> str | None:
        """Return when EC2 recommended to leave this instance, if it did: earlier than a notice, and less certain."""
        found = self._read("events/recommendations/rebalance")
        return None if found is None else _field(found, "noticeTime")

    def _read(self, path: str) -> bytes | None:
        try:
            self._token = self._token or self._new_token()
            return self._ask("GET", f"meta-data/{path}", {"X-aws-ec2-metadata-token": self._token})
        except HTTPError as error:
            if error.code == HTTPStatus.NOT_FOUND:
                return None
            self._token = ""  # expired, or forgotten: the next look takes another
            raise _unclear(f"status {error.code}") from error
        except OSError as error:
            raise _unclear(str(error)) from error

    def _new_token(self) -> str:
        return self._ask("PUT", "api/token", {"X-aws-ec2-metadata-token-ttl-seconds": str(TOKEN_S)}).decode("ascii", "replace")

    def _ask(self, method: str, path: str, headers: dict[str, str]) -> bytes:
        request = urllib.request.Request(f"{self._url}/latest/{path}", method=method, headers=headers)  # noqa: S310 - the job's own
        with self._opener.open(request, timeout=ANSWERS_WITHIN_S) as answer:
            return bytes(answer.read(LONGEST))


def _field(body: bytes, name: str) -> str:
    try:
        return escape(str(json.loads(body)[name]))
    except (ValueError, KeyError, TypeError) as error:
        raise _unclear(f"no {name} in {body[:80]!r}") from error


def _unclear(reason: str) -> ConnectionLostError:
    return ConnectionLostError(f"the metadata service does not answer: {reason}", guidance="an end of this instance comes unannounced")
