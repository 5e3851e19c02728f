"""On which line of a TOML text each key stands: tomllib does not tell, and a message without the line is a search."""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

Path: TypeAlias = tuple[str | int, ...]
"""The way to a value: names of tables and keys, and the position in an array of tables, from 0."""


def line_of(places: Mapping[Path, int], path: Path) -> int:
    """Return the line (from 1) of the nearest part of the path that stands in the text; 1 when none does."""
    return next((places[path[:length]] for length in range(len(path), 0, -1) if path[:length] in places), 1)


def find_places(text: str) -> dict[Path, int]:
    """Map the path of each table and key to its line (from 1). The text must be valid TOML.

    Statements are told apart by tomllib itself: lines are joined until they parse, so that brackets and quotes in strings do not mislead.
    """
    places: dict[Path, int] = {}
    lengths: Counter[Path] = Counter()
    table: Path = ()
    for line, statement in _statements(text):
        parsed = tomllib.loads(statement)
        if statement.lstrip().startswith("["):
            names, is_array = _header(parsed)
            for depth in range(1, len(names)):
                places.setdefault(_resolved(names[:depth], lengths), line)
            table = _resolved(names[:-1], lengths)
            here = (*table, names[-1])
            places.setdefault(here, line)
            if is_array:
                lengths[here] += 1
            table = _resolved(names, lengths)
            places.setdefault(table, line)
        else:
            for path in _paths(parsed, table):
                places.setdefault(path, line)
    return places


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Yield each header or assignment with the line on which it begins."""
    held: list[str] = []
    for number, line in enumerate(text.split("\n"), start=1):  # str.splitlines knows ends of lines that TOML does not
        held.append(line.removesuffix("\r"))
        statement = "\n".join(held)
        try:
            is_empty = not tomllib.loads(statement)
        except tomllib.TOMLDecodeError:
            continue
        if not is_empty:
            yield number - len(held) + 1, statement
        held = []


def _header(parsed: dict[str, Any]) -> tuple[tuple[str, ...], bool]:
    """Return the names of `[a.b]` or `[[a.b]]`, and whether it was the second."""
    names: list[str] = []
    inner: Any = parsed
    while isinstance(inner, dict) and inner:
        ((name, inner),) = inner.items()
        names.append(name)
    return tuple(names), isinstance(inner, list)


def _resolved(names: tuple[str, ...], lengths: Counter[Path]) -> Path:
    """Put the position of the newest element behind each name of an array of tables."""
    path: Path = ()
    for name in names:
        path = (*path, name)
        if lengths[path]:
            path = (*path, lengths[path] - 1)
    return path


def _paths(value: object, path: Path) -> Iterator[Path]:
    """Yield the paths of the keys in an assignment, inline tables included."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, below in inner:
        yield (*path, name)
        yield from _paths(below, (*path, name))
