"""Changing a configuration file where it must change, and leaving every other byte of it alone."""

from __future__ import annotations

import os
from pathlib import Path

from maintainer.core.errors import ConfigurationError
from maintainer.settings.load import parse
from maintainer.settings.places import find_places


def append(path: Path, block: str) -> bool:
    """Add a table at the end; return whether that could be done: the file is there, is ours to write, and is valid with it."""
    try:
        text = path.read_text(encoding="utf-8") + block
        parse(text, path)
        _write(path, text)
    except (OSError, ConfigurationError):
        return False
    return True


def set_in_repository(path: Path, name: str, key: str, value: str) -> bool:
    """Let a line of a repository's table say `key = value`, in TOML; return as `append`."""
    try:
        text = path.read_text(encoding="utf-8")
        (number,) = (number for number, one in enumerate(parse(text, path).repositories) if one.name == name)
        places = find_places(text)
        lines = text.splitlines(keepends=True)
        line = f"{key} = {value}\n"
        if (found := places.get(("repository", number, key))) is not None:
            lines[found - 1] = line
        else:
            lines.insert(places["repository", number, "name"], line)
        text = "".join(lines)
        parse(text, path)
        _write(path, text)
    except (OSError, ConfigurationError, ValueError):
        return False
    return True


def _write(path: Path, text: str) -> None:
    """Put the new file in the old one's place, whole or not at all; through a link into the file that it leads to."""
    target = path.resolve()
    new = target.with_name(f".{target.name}.new")
    try:
        new.touch(mode=0o600)
        new.write_text(text, encoding="utf-8")
        new.chmod(target.stat().st_mode & 0o777)
        os.chown(new, target.stat().st_uid, target.stat().st_gid)
        new.replace(target)
    finally:
        new.unlink(missing_ok=True)
