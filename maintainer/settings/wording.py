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
            owner = _INNER.get(str(loc[0]), model) if len(loc) > 1 else model
            return unknown("key", key, tuple(name for name in owner.model_fields if not (name == "name" and table.startswith("[group"))))
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


def unknown(what: str, name: str, known: tuple[str, ...]) -> Mistake:
    """Say that a name is unknown; name the nearest right one."""
    nearest = get_close_matches(name.lower(), known, n=1)
    if nearest:
        return Mistake(f"unknown {what}", f"`{nearest[0]}`", f"rename it to `{nearest[0]}`, or remove it")
    return Mistake(f"unknown {what}", f"one of {', '.join(sorted(known))}", "remove it, or correct its name")
