"""Presigned GETs of versions by AWS's signature 4, with the day's key kept: restic waits for a URL at each of its reads."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any
from urllib.parse import quote, urlsplit

from maintainer.edges.clock import Clock

_ALGORITHM = "AWS4-HMAC-SHA256"


class Presigner:
    """URLs below one address. Credentials are asked for each time, so that renewed ones sign from then on. Safe between threads.

    AWS's "Authenticating Requests: Using Query Parameters" is the source; botocore's signer says the same, at a fifth of the rate.
    """

    def __init__(self, address: str, credentials: Any, region: str, clock: Clock) -> None:
        """`address` is what a key follows; `credentials` are botocore's, refreshable or not."""
        url = urlsplit(address)
        usual = {"https": ":443", "http": ":80"}.get(url.scheme, "")
        self._host = url.netloc.removesuffix(usual)  # or one client sends the port and the next does not, and one host is signed
        self._path = url.path
        self._address = f"{url.scheme}://{self._host}{url.path}"
        self._credentials = credentials
        self._region = region
        self._clock = clock
        self._kept: tuple[tuple[str, str], bytes] | None = None

    def url(self, key: str, version_id: str, seconds: int) -> str:
        """Return a URL that answers a GetObject of one version for so long."""
        credentials = self._credentials.get_frozen_credentials()
        moment = self._clock.now().strftime("%Y%m%dT%H%M%SZ")
        scope = f"{moment[:8]}/{self._region}/s3/aws4_request"
        token = f"&X-Amz-Security-Token={quote(credentials.token, safe='~')}" if credentials.token else ""
        # In the order in which the signature wants them: it is never sorted here.
        query = (
            f"X-Amz-Algorithm={_ALGORITHM}&X-Amz-Credential={quote(f'{credentials.access_key}/{scope}', safe='~')}"
            f"&X-Amz-Date={moment}&X-Amz-Expires={seconds}{token}&X-Amz-SignedHeaders=host&versionId={quote(version_id, safe='~')}"
        )
        name = quote(key, safe="/~")
        canonical = f"GET\n{self._path}{name}\n{query}\nhost:{self._host}\n\nhost\nUNSIGNED-PAYLOAD"
        signed = f"{_ALGORITHM}\n{moment}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
        signature = hmac.digest(self._key(credentials.secret_key, moment[:8]), signed.encode(), "sha256").hex()
        return f"{self._address}{name}?{query}&X-Amz-Signature={signature}"

    def _key(self, secret: str, day: str) -> bytes:
        kept = self._kept
        if kept is not None and kept[0] == (secret, day):
            return kept[1]
        key = f"AWS4{secret}".encode()
        for part in (day, self._region, "s3", "aws4_request"):
            key = hmac.digest(key, part.encode(), "sha256")
        self._kept = ((secret, day), key)
        return key
