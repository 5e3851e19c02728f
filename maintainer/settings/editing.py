"""Changing a configuration file where it must change, and leaving every other byte of it alone."""

from __future__ import annotations

import json
import os
from pathlib import Path

from maintainer.core.errors import ConfigurationError
from maintainer.settings.load import parse
from maintainer.settings.places import find_places

MARK = "\ufeff"
"""What some editors write before the first line of a file in UTF-8."""


def append(path: Path, block: str) -> bool:
    """Add a table at the end; return whether that could be done: the file is there, is ours to write, and is valid with it."""
    try:
        before = _read(path)
        text = before + block.replace("\n", _newline(before))
        parse(text.removeprefix(MARK), path)
        _write(path, text)
    except (OSError, ConfigurationError):
        return False
    return True


def set_in_repository(path: Path, name: str, key: str, value: str) -> bool:
    """Let a line of a repository's table say `key = value`, in TOML; return as `append`."""
    try:
        before = _read(path)
        text = before.removeprefix(MARK)
        (number,) = (number for number, one in enumerate(parse(text, path).repositories) if one.name == name)
        places = find_places(text)
        newline = _newline(text)
        lines = text.split(newline)
        line = f"{key} = {value}"
        if (found := places.get(("repository", number, key))) is not None:
            lines[found - 1] = line
        else:
            lines.insert(places["repository", number, "name"], line)
        text = newline.join(lines)
        parse(text, path)
        _write(path, MARK * before.startswith(MARK) + text)
    except (OSError, ConfigurationError, ValueError):
        return False
    return True


def quoted(text: str) -> str:
    """Write a text as TOML does: as JSON does, but that no letter is two halves of a surrogate pair, and DEL is none."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _read(path: Path) -> str:
    """Read a file with the ends of its lines, and the mark before its first, as they are."""
    return path.read_bytes().decode()


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _write(path: Path, text: str) -> None:
    """Put the new file in the old one's place, whole or not at all; through a link into the file that it leads to."""
    target = path.resolve()
    new = target.with_name(f".{target.name}.new")
    try:
        new.touch(mode=0o600)
        new.write_bytes(text.encode())
        new.chmod(target.stat().st_mode & 0o777)
        os.chown(new, target.stat().st_uid, target.stat().st_gid)
        new.replace(target)
    finally:
        new.unlink(missing_ok=True)
