"""Whether a bucket answers without TLS: asked of it, signed as always, where the store's own port for that is known."""

from __future__ import annotations

from urllib.parse import urlsplit

from maintainer.core.errors import AccessDeniedError, MaintainerError, NotFoundError
from maintainer.core.job import Access, Place
from maintainer.edges.capabilities import PROBE, Capability
from maintainer.edges.s3 import S3

NAME = "TLS alone"
_DO = "deny s3:* where aws:SecureTransport is false in the bucket's policy, as Terraform's module repository does"


def without_tls(endpoint: str) -> str:
    """Return where the same store would answer in plain text: at port 80 of one that has no port of its own. Else nothing."""
    parts = urlsplit(endpoint)
    return f"http://{parts.hostname}" if parts.scheme == "https" and parts.hostname and parts.port in (None, 443) else ""


def ask_plainly(access: Access, place: Place, plain: str) -> Capability:
    """Ask a bucket for an object that is not there. `plain` is what `without_tls` returns of its endpoint."""
    if place.endpoint.startswith("http://"):
        do = "whoever is on the way reads what is sent, and may send something else: https://, unless the way is your own"
        return Capability(NAME, False, "the location itself is http://", do, is_needed=False)
    if not plain:
        return Capability(NAME, None, "the store has a port of its own", "see that it answers by https:// alone", is_needed=False)
    try:
        S3(access, plain).call("head_object", Bucket=place.bucket, Key=f"{place.prefix}/{PROBE}plain".lstrip("/"))
    except AccessDeniedError:
        return Capability(NAME, True, "plain HTTP is refused", "", is_needed=False)
    except NotFoundError:
        pass  # it looked
    except MaintainerError as error:
        return Capability(NAME, True, f"nothing answers plain HTTP ({error.message})", "", is_needed=False)
    return Capability(NAME, False, "the bucket answers plain HTTP, too", _DO, is_needed=False)
