"""Where a repository's password comes from: a source is named in the configuration, and read only where it is needed."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path
from secrets import token_hex

from botocore.exceptions import BotoCoreError, ClientError, ConnectTimeoutError, EndpointConnectionError

from maintainer.core.errors import SecretError
from maintainer.core.job import Access
from maintainer.edges.s3 import session

COMMAND_LIMIT_S = 60


def is_there(source: str, access: Access) -> bool:
    """Tell whether a source that can be written (`ssm:`, `file:`) holds anything. SecretError where that can not be told."""
    if source.startswith("file:"):
        return Path(source.removeprefix("file:")).exists()
    client = session(access).client("ssm", endpoint_url=access.endpoint or None)
    try:
        client.get_parameter(Name=source.removeprefix("ssm:"))
    except (ClientError, BotoCoreError) as error:
        if isinstance(error, ClientError) and error.response["Error"]["Code"] == "ParameterNotFound":
            return False
        raise _refused(error, source, "ssm", "get_parameter") from None
    return True


def read(source: str, access: Access) -> str:
    """Return the password. SecretError says what is wrong with the source, and never what it gave."""
    scheme, _, rest = source.partition(":")
    match scheme:
        case "file":
            password = _file(rest)
        case "env":
            password = os.environ.get(rest, "")
        case "command":
            password = _command(rest)
        case "ssm":
            password = _aws(source, access, "ssm", "get_parameter", Name=rest, WithDecryption=True)
        case "secretsmanager":
            password = _aws(source, access, "secretsmanager", "get_secret_value", SecretId=rest)
        case _:
            raise SecretError(f"no source of a secret: {scheme}:…", guidance="use ssm: secretsmanager: file: command: or env:")
    password = password.rstrip("\r\n")
    if not password:
        raise SecretError(f"{source!r} is empty", guidance="fill it, or name another source")
    return password


def read_below(source: str, access: Access) -> dict[str, str]:
    """Return all parameters right below a path (`ssm:/path`) by the last part of their names. SecretError as `read`."""
    path = source.removeprefix("ssm:").rstrip("/")
    client = session(access).client("ssm", endpoint_url=access.endpoint or None)
    try:
        pages = client.get_paginator("get_parameters_by_path").paginate(Path=path, WithDecryption=True)
        return {one["Name"].rpartition("/")[2]: one["Value"] for page in pages for one in page["Parameters"]}
    except (ClientError, BotoCoreError) as error:
        raise _refused(error, source, "ssm", "get_parameters_by_path") from None


def write(source: str, value: str, access: Access) -> None:
    """Put a SecureString at a parameter (`ssm:/path`), or write a file that its owner alone may read, over what is there. SecretError."""
    if source.startswith("file:"):
        path = Path(source.removeprefix("file:"))
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_secret(path, value + "\n")
        except OSError as error:
            raise SecretError(f"{path} can not be written ({error.strerror})", guidance="look at its folder's owner and mode") from None
        return
    client = session(access).client("ssm", endpoint_url=access.endpoint or None)
    try:
        client.put_parameter(Name=source.removeprefix("ssm:"), Value=value, Type="SecureString", Overwrite=True)
    except (ClientError, BotoCoreError) as error:
        raise _refused(error, source, "ssm", "put_parameter") from None


def write_secret(path: Path, text: str) -> None:
    """Write a file that its owner alone may read, from before its first byte; one that others may read is replaced. OSError.

    Through a link into the file that it leads to.
    """
    target = path.resolve()
    new = target.with_name(f".{target.name}.{token_hex(4)}")
    try:
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:  # noqa: PTH123 - its mode
            file.write(text)
        new.replace(target)
    finally:
        new.unlink(missing_ok=True)


def delete(source: str, access: Access) -> bool:
    """Delete a parameter, and return whether it was there. SecretError as `read`."""
    client = session(access).client("ssm", endpoint_url=access.endpoint or None)
    try:
        client.delete_parameter(Name=source.removeprefix("ssm:"))
    except (ClientError, BotoCoreError) as error:
        if not isinstance(error, ClientError) or error.response["Error"]["Code"] != "ParameterNotFound":
            raise _refused(error, source, "ssm", "delete_parameter") from None
        return False
    return True


def _file(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SecretError(f"the file {path} can not be read ({type(error).__name__})", guidance="create it, or correct the path") from None


def _command(words: str) -> str:
    try:
        done = subprocess.run(  # noqa: S603 - the operator's own command
            shlex.split(words), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=COMMAND_LIMIT_S
        )
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        raise SecretError(f"the command did not run ({type(error).__name__})", guidance=f"try it by hand: {words}") from None
    if done.returncode:
        raise SecretError(f"the command ended with status {done.returncode}", guidance=f"try it by hand: {words}")
    return done.stdout


def _aws(source: str, access: Access, service: str, call: str, **parameters: object) -> str:
    client = session(access).client(service, endpoint_url=access.endpoint or None)  # type: ignore[call-overload]  # a name known at run time
    try:
        answer = getattr(client, call)(**parameters)
    except (ClientError, BotoCoreError) as error:
        raise _refused(error, source, service, call) from None
    return str(answer["Parameter"]["Value"] if service == "ssm" else answer["SecretString"])


def _refused(error: ClientError | BotoCoreError, source: str, service: str, call: str) -> SecretError:
    why = error.response["Error"]["Code"] if isinstance(error, ClientError) else type(error).__name__
    if isinstance(error, (ConnectTimeoutError, EndpointConnectionError)):
        do = f"is there a way there? An instance without internet needs an interface endpoint for {service} in its VPC"
        return SecretError(f"{source}: {service} can not be reached", guidance=do)
    if why in {"ParameterNotFound", "ResourceNotFoundException"}:
        return SecretError(f"{source}: {why}", guidance="create it in this account and region, or correct the name")
    return SecretError(f"{source}: {why}", guidance=f"allow {service}:{call.replace('_', ' ').title().replace(' ', '')} on it")
