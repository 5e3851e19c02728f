"""What a reader is told of each kind of mistake: pydantic's findings in the words of the file."""

from __future__ import annotations

from difflib import get_close_matches

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from maintainer.settings.models import ExpectSection, KeepSection
from maintainer.settings.values import Mistake

_INNER: dict[str, type[BaseModel]] = {"keep": KeepSection, "expect": ExpectSection}
_KINDS = {
    "string": "text in quotes",
    "int": "a whole number",
    "float": "a number",
    "tuple": 'a list such as ["a", "b"]',
    "list": 'a list such as ["a", "b"]',
    "model": "a table such as { daily = 7 }",
}
_BOUNDS = {"ge": "at least", "gt": "more than", "le": "at most", "min_length": "at least"}


def explain(details: ErrorDetails, model: type[BaseModel], table: str) -> Mistake:
    """Turn one of pydantic's findings about a section into a mistake."""
    kind, loc = details["type"], details["loc"]
    context = details.get("ctx", {})
    if isinstance(mistake := context.get("error"), Mistake):
        return mistake
    key = str(loc[-1])
    match kind:
        case "extra_forbidden":
            return unknown("key", key, _keys(loc, model, table))
        case "missing":
            return Mistake("it is missing", f"`{key} = …` in {table}", "add it")
        case "literal_error":
            return Mistake(repr(details["input"]), str(context.get("expected", "")), "write one of these")
        case "string_too_short" | "too_short":
            return Mistake(
                "nothing", "some text" if kind.startswith("string") else "at least one", "fill it in, or leave an optional key out"
            )
    bound = next((f"{word} {context[name]}" for name, word in _BOUNDS.items() if name in context), None)
    if bound is not None:
        return Mistake(str(details["input"]), bound, "correct the number")
    expected = _KINDS.get(kind.partition("_")[0], details["msg"])
    found = "something else" if key == "password" else f"{details['input']!r:.40}"
    return Mistake(found, expected, f"write {expected}")


def nearest(details: ErrorDetails, model: type[BaseModel], table: str) -> tuple[int | str, ...]:
    """Return the key that is nearest to an unknown key, both with what leads to them; empty for another mistake, and where none is near."""
    loc = details["loc"]
    if details["type"] != "extra_forbidden":
        return ()
    near = _near(str(loc[-1]), _keys(loc, model, table))
    return (*loc[:-1], near) if near else ()


def unknown(what: str, name: str, known: tuple[str, ...]) -> Mistake:
    """Say that a name is unknown; name the nearest right one."""
    if near := _near(name, known):
        return Mistake(f"unknown {what}", f"`{near}`", f"rename it to `{near}`, or remove it")
    return Mistake(f"unknown {what}", f"one of {', '.join(sorted(known))}", "remove it, or correct its name")


def unknown_word(what: str, name: str, known: tuple[str, ...]) -> Mistake:
    """Say the same of a word on the command line: nothing in the file is to be changed for it."""
    if near := _near(name, known):
        return Mistake(f"unknown {what}", f"`{near}`", f"did you mean `{near}`?")
    there = f"one of {', '.join(sorted(known))}" if known else f"a {what} of the configuration, which has none"
    return Mistake(f"unknown {what}", there, "maintainer status lists what there is")


def _near(name: str, known: tuple[str, ...]) -> str:
    return next(iter(get_close_matches(name.lower(), known, n=1)), "")


def _keys(loc: tuple[int | str, ...], model: type[BaseModel], table: str) -> tuple[str, ...]:
    """Return the keys that a section, or the table within it that `loc` leads to, may have."""
    owner = _INNER.get(str(loc[0]), model) if len(loc) > 1 else model
    return tuple(name for name in owner.model_fields if not (name == "name" and table.startswith("[group")))
