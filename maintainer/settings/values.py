"""Single values of the configuration: text → meaning, or a Mistake that says what was expected and what to do."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta
from urllib.parse import urlsplit

from maintainer.core.job import FOR_EVER, Place


class Mistake(ValueError):  # noqa: N818 - the word that the reader of a configuration is told
    """One value is wrong: what was found, what was expected, what to do. Never quotes what may be a secret."""

    def __init__(self, found: str, expected: str, do: str) -> None:
        super().__init__(found)
        self.found = found
        self.expected = expected
        self.do = do


_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_TIME = re.compile(r"([01]\d|2[0-3]):([0-5]\d)")
_DURATION = re.compile(r"(?:(\d{1,30})d)?(?:(\d{1,30})h)?(?:(\d{1,30})m)?", re.ASCII)
LONGEST_DAYS = 36_500
_WITHIN = re.compile(r"(?=\d)(?:\d+y)?(?:\d+m)?(?:\d+d)?(?:\d+h)?")
_FORM = "restic's form `s3:https://host/bucket/prefix`"


def parse_location(url: str) -> Place:
    """Read a location as restic does (its `internal/backend/s3/config.go`)."""
    scheme, _, rest = url.partition(":")
    if scheme != "s3" or not rest:
        raise Mistake(f"{url!r}", _FORM, "maintainer looks after restic repositories in versioned S3 buckets")
    address = rest if rest.startswith(("http://", "https://")) else f"https://{rest.removeprefix('//')}"
    try:
        parts = urlsplit(address)
        host = parts.hostname or ""
        _ = parts.port
    except ValueError as error:
        raise Mistake("a URL that can not be read", _FORM, "correct host and port") from error
    if "@" in parts.netloc:
        raise Mistake("a URL with credentials in it", _FORM, "take them out, and change them: use [s3] profile")
    if parts.query or parts.fragment:
        raise Mistake("a URL with `?` or `#` in it", _FORM, "remove that part")
    if not host or ("." not in host and ":" not in parts.netloc and host != "localhost"):
        do = f"restic takes the first part for the host: write s3:https://s3.amazonaws.com/{host}{parts.path}".rstrip("/")
        raise Mistake(f"the host {host!r}", _FORM, do)
    bucket, _, prefix = parts.path.strip("/").partition("/")
    if not _BUCKET.fullmatch(bucket):
        raise Mistake(f"the bucket {bucket!r}" if bucket else "no bucket", "3 to 63 of a-z, 0-9, dot and hyphen", f"write {_FORM}")
    if any(part in {"", ".", ".."} for part in prefix.split("/")) and prefix:
        raise Mistake(f"the prefix {prefix!r}", "names between single slashes", "remove `.`, `..` and doubled slashes")
    return Place(bucket, prefix, f"{parts.scheme}://{parts.netloc}")


def parse_endpoint(url: str) -> str:
    """Check the URL of a service's endpoint: scheme and host, nothing behind."""
    form = "`https://host` or `http://host:port`"
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise Mistake("a URL that can not be read", form, "correct host and port") from error
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise Mistake(repr(url), form, "write the endpoint as a URL, or leave the key out for AWS's own")
    if "@" in parts.netloc or parts.path.strip("/") or parts.query or parts.fragment:
        raise Mistake("a URL with more than scheme, host and port", form, "remove credentials, path and query")
    return url.rstrip("/")


def parse_api(url: str) -> str:
    """Check the URL of an API that takes a token: without TLS only on this machine."""
    checked = parse_endpoint(url)
    if checked.startswith("http:") and urlsplit(checked).hostname not in {"127.0.0.1", "localhost", "::1"}:
        raise Mistake(repr(url), "`https://host`", "a token is sent there: use TLS")
    return checked


def parse_name(name: str) -> str:
    """Check a name that becomes part of keys and file names."""
    if not _NAME.fullmatch(name):
        raise Mistake(f"the name {name!r}", "1 to 64 of a-z, 0-9, dot, hyphen and underscore, a letter or digit first", "rename it")
    return name


def parse_host(text: str) -> str:
    """Check a host's name, or its IPv4 address."""
    if not re.fullmatch(r"(?=.{1,253}\Z)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*", text):
        expected = "a host's name or IPv4 address, such as `backup.example.com`"
        raise Mistake(repr(text), expected, "write the name alone: there is TLS always, and the port has a key of its own")
    return text


def parse_parameter(text: str) -> str:
    """Check a source in the parameter store: where a role can read it, and nobody else."""
    if not re.fullmatch(r"ssm:(?:/[A-Za-z0-9_.-]+)+", text):
        # What it says may be a private key itself.
        raise Mistake("no parameter", "a source such as `ssm:/maintainer/gateway/NAME/tls`", "put it there, as a SecureString")
    return text


def parse_store(text: str) -> str:
    """Check where passwords are kept: a path of parameters, or a folder."""
    if not re.fullmatch(r"(?:ssm|file):(?:/[A-Za-z0-9_. -]+)+", text):
        expected = "`ssm:/path` or `file:/path`, below which each repository's password has its name"
        raise Mistake("no place of passwords", expected, "name a path, from its root on")  # what it says may be a password itself
    return text


def parse_duration(text: str) -> timedelta:
    """Read a duration such as `14d` or `36h`, of a hundred years at most."""
    found = _DURATION.fullmatch(text)
    if not text or found is None:
        raise Mistake(repr(text), "a duration such as `14d`, `36h` or `1d12h`", "write number and unit (d, h, m) without spaces")
    days, hours, minutes = (int(part or 0) for part in found.groups())
    if days + hours / 24 + minutes / 1440 > LONGEST_DAYS:
        raise Mistake(f"{text[:20]!r}", f"at most {LONGEST_DAYS}d, a hundred years", "correct the number")
    return timedelta(days=days, hours=hours, minutes=minutes)


def parse_time(text: str) -> timedelta:
    """Read a time of day such as `03:30`."""
    found = _TIME.fullmatch(text)
    if not found:
        raise Mistake(repr(text), "a time of day such as `03:30`, in UTC", "write hours and minutes, two digits each")
    return timedelta(hours=int(found[1]), minutes=int(found[2]))


def parse_period(text: str) -> timedelta:
    """Read a duration that is one."""
    if not (read := parse_duration(text)):
        raise Mistake(repr(text), "a duration such as `1d`", "write number and unit (d, h, m); a run takes some minutes at least")
    return read


def parse_until(value: object) -> str:
    """Read until when a retired host's repository is kept: a date, or "for ever"; return the date as ISO 8601 writes it."""
    if isinstance(value, date) and not isinstance(value, datetime):
        return value.isoformat()
    if value == FOR_EVER:
        return FOR_EVER
    try:
        return date.fromisoformat(str(value)).isoformat()
    except ValueError:
        raise Mistake(repr(value), f'a date such as 2031-12-31, or "{FOR_EVER}"', "write year, month and day") from None


def parse_key_id(text: str) -> str:
    """Check the id of a key file, or its beginning."""
    if text and not re.fullmatch("[0-9a-f]{8,64}", text):
        raise Mistake(repr(text), "8 to 64 hexadecimal digits: the beginning of a key's id", "restic key list shows the first 8")
    return text


def parse_kms_key(text: str) -> str:
    """Check the ARN of a KMS key, as S3 names it in its answers."""
    if not re.fullmatch(r"arn:aws[a-z-]*:kms:[a-z0-9-]+:\d{12}:key/[A-Za-z0-9-]+", text):
        raise Mistake(repr(text), "`arn:aws:kms:REGION:ACCOUNT:key/ID`", "write the key's ARN, not its alias: aws kms describe-key")
    return text


def parse_host_key(text: str) -> str:
    """Read an ed25519 host key as OpenSSH writes it, alone or as a line of known_hosts; return its kind and itself."""
    found = re.search(r"(?:^|\s)(ssh-ed25519 [A-Za-z0-9+/]{68})(?:\s|$)", text)
    if not found:
        do = "take it from /etc/ssh/ssh_host_ed25519_key.pub on the machine itself"
        raise Mistake(repr(text), "`ssh-ed25519 AAAA…`", do)
    return found[1]


def parse_digest(text: str) -> str:
    """Check a SHA-256 in hexadecimal."""
    if not re.fullmatch(r"[0-9a-f]{64}", text):
        raise Mistake(repr(text), "64 hexadecimal digits", "take it from: maintainer image list")
    return text


def parse_within(text: str) -> str:
    """Check a duration as restic's --keep-within takes it."""
    if not _WITHIN.fullmatch(text):
        raise Mistake(repr(text), "restic's duration such as `30d` or `1y6m`", "write number and unit: y, m (months), d, h")
    return text


_SOURCES = {
    "ssm": ("/", "`ssm:/name` of a parameter"),
    "secretsmanager": ("", "`secretsmanager:id` of a secret"),
    "file": ("/", "`file:/path`, absolute"),
    "command": ("", "`command:words of a command`"),
    "env": ("", "`env:NAME` of a variable"),
}


def parse_password(text: str) -> str:
    """Check where a password or a key comes from. What is wrong may be the secret itself: it is never quoted."""
    scheme, colon, rest = text.partition(":")
    if not colon or scheme not in _SOURCES:
        do = "if this is the secret itself, take it out of the file and change it; put it into a file and name that here"
        raise Mistake("no source of a secret", "`ssm:` `secretsmanager:` `file:` `command:` or `env:`", do)
    begin, form = _SOURCES[scheme]
    if not rest.strip() or not rest.startswith(begin):
        raise Mistake(f"an incomplete source of {scheme!r}", form, "name it in full")
    return text
