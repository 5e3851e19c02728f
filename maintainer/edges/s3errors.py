"""S3's errors, and botocore's, in our words: what may be repeated, and what a person can do about the rest."""

from __future__ import annotations

from urllib.parse import urlsplit

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    HTTPClientError,
    NoCredentialsError,
    PartialCredentialsError,
    ResponseStreamingError,
)
from botocore.exceptions import (
    ConnectionError as BotoConnectionError,
)

from maintainer.core.errors import (
    AccessDeniedError,
    AlreadyExistsError,
    ConfigurationError,
    MaintainerError,
    NotFoundError,
    PermissionDeniedError,
    Problem,
    StoreError,
)
from maintainer.edges.versionlist import PageError

CONNECT_S = 10
SLOWER = frozenset({"SlowDown", "Throttling", "ThrottlingException"})
_TRANSIENT = SLOWER | frozenset({"RequestTimeout", "InternalError", "ServiceUnavailable"})
TRANSIENT_STATUS = frozenset({500, 502, 503, 504})


def error_code(error: BaseException | None) -> str:
    """Return S3's code of an error, or of the error that it was raised from; empty for others."""
    if isinstance(error, ClientError):
        return str(error.response.get("Error", {}).get("Code", ""))
    return error_code(error.__cause__) if error is not None and error.__cause__ is not None else ""


def is_transient(error: BaseException) -> bool:
    """Tell whether a repeat may help."""
    if isinstance(error, ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        return error_code(error) in _TRANSIENT or status in TRANSIENT_STATUS
    return isinstance(error, (BotoConnectionError, HTTPClientError, ResponseStreamingError, PageError))


def short(error: BaseException | None) -> str:
    """Name an error in a word."""
    return error_code(error) or type(error).__name__


_STATEMENTS = {
    "list_object_versions": ("s3:ListBucketVersions", ""),
    "list_objects_v2": ("s3:ListBucket", ""),
    "get_bucket_versioning": ("s3:GetBucketVersioning", ""),
    "get_object": ("s3:GetObject and s3:GetObjectVersion", "/*"),
    "head_object": ("s3:GetObject and s3:GetObjectVersion", "/*"),
    "put_object": ("s3:PutObject", "/*"),
    "copy_object": ("s3:PutObject and s3:GetObjectVersion", "/*"),
    "delete_object": ("s3:DeleteObject", "/*"),
    "get_object_tagging": ("s3:GetObjectVersionTagging", "/*"),
    "put_object_tagging": ("s3:PutObjectVersionTagging", "/*"),
}
"""What an operation needs, and what follows the bucket's ARN."""


def translate(error: ClientError | BotoCoreError, operation: str, bucket: str, key: str, endpoint: str) -> MaintainerError:
    """Say in our words what S3 refused: which call, and what would let it pass. Never quotes a signature or a credential."""
    at = f"s3://{bucket}/{key}".rstrip("/")
    if isinstance(error, (NoCredentialsError, PartialCredentialsError)):
        return AccessDeniedError(
            f"{operation} {at}: no AWS credentials", guidance="set [s3] profile, AWS_PROFILE, or run where a role is given"
        )
    if not isinstance(error, ClientError):
        return _unreachable(error, f"{operation} {at}: {urlsplit(endpoint).netloc or 'AWS'}")
    code = error_code(error)
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    match code:
        case "NoSuchBucket":
            return NotFoundError(f"there is no bucket {bucket!r}", guidance="correct the location, or create the bucket with versioning on")
        case "NoSuchKey" | "NoSuchVersion" | "404":
            return NotFoundError(f"{operation} {at}: not there", guidance="it may have expired; the next run surveys anew")
        case "PreconditionFailed" | "ConditionalRequestConflict":
            return AlreadyExistsError(f"{at} exists already", guidance="another run was faster; nothing is lost")
        case "RequestTimeTooSkewed":
            return ConfigurationError(
                (Problem("this machine's clock", "minutes off from S3's", "NTP time", "set the clock, for example with chrony"),)
            )
        case "PermanentRedirect" | "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException":
            do = "name the bucket's region in the location (s3.REGION.amazonaws.com), or as [s3] region"
            return StoreError(f"{operation} {at}: the bucket is in another region ({code})", guidance=do)
        case "InvalidAccessKeyId" | "SignatureDoesNotMatch" | "ExpiredToken":
            return AccessDeniedError(f"{operation} {at}: S3 does not know these credentials ({code})", guidance="correct or renew them")
    if status == 403 or code in {"AccessDenied", "Forbidden"}:  # noqa: PLR2004 - HTTP's own
        action, below = _STATEMENTS.get(operation, (f"s3:{operation}", "/*"))
        needed = f"allow {action} on arn:aws:s3:::{bucket}{below}; if the policy has it: is there a bucket {bucket!r} at all?"
        return PermissionDeniedError(f"{operation} {at}: permission denied", guidance=needed)
    return StoreError(f"{operation} {at}: {code or status}", guidance="the next run repeats it; if it stays, ask the storage's operator")


def _unreachable(error: BotoCoreError, what: str) -> StoreError:
    if isinstance(error, ConnectTimeoutError):
        do = "is there a way there? An instance's subnet needs a gateway endpoint for S3 in its route table, or a NAT gateway"
        return StoreError(f"{what} can not be reached within {CONNECT_S} s", guidance=do)
    return StoreError(f"{what} does not answer ({type(error).__name__})", guidance="is the endpoint right, and up?")
