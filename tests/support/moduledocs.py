"""The tables of inputs and outputs in the READMEs of Terraform's modules and examples. `python -m tests.support.moduledocs` writes them anew."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hcl2

from tests.support.terraform import TREE

BEGIN, END = "<!-- inputs and outputs: written by tests.support.moduledocs -->", "<!-- end -->"


def readmes() -> Iterator[Path]:
    """Return the README of each module and example."""
    yield from sorted(folder / "README.md" for folder in (*TREE.glob("modules/*"), *TREE.glob("examples/*")))


def tables(folder: Path) -> str:
    """Return the tables of a folder's variables and outputs."""
    variables = [found for file in sorted(folder.glob("*.tf")) for found in _blocks(file, "variable")]
    outputs = [found for file in sorted(folder.glob("*.tf")) for found in _blocks(file, "output")]
    lines = ["| input | type | default | what it is |", "|---|---|---|---|"]
    lines += [
        f"| `{name}` | `{_type(body['type'])}` | {_default(body)} | {_text(body['description'])} |"
        for name, body in sorted(variables, key=lambda found: "default" in found[1])
    ]
    if not variables:
        lines = []
    lines += ["", "| output | what it is |", "|---|---|"] + [f"| `{name}` | {_text(body['description'])} |" for name, body in outputs]
    return "\n".join(lines).strip() + "\n"


def written(readme: Path) -> str:
    """Return the README as it should be."""
    text = readme.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    return f"{before}{BEGIN}\n{tables(readme.parent)}{END}{after}"


def _blocks(file: Path, kind: str) -> list[tuple[str, dict[str, Any]]]:
    with file.open(encoding="utf-8") as source:
        return [(name.strip('"'), body) for block in hcl2.load(source).get(kind, []) for name, body in block.items()]


def _type(raw: str) -> str:
    return re.sub(r"\s+", " ", raw.removeprefix("${").removesuffix("}").strip('"'))


def _default(body: dict[str, Any]) -> str:
    if "default" not in body:
        return "**required**"
    value = body["default"]
    if value is None or value in ([], {}):
        return "none"
    return f"`{_plain(value)}`"


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(_plain(one) for one in value)
    if isinstance(value, dict):
        return ", ".join(f"{name} = {_plain(one)}" for name, one in value.items() if not name.startswith("__"))
    return str(value).strip('"').replace("True", "true").replace("False", "false")


def _text(raw: str) -> str:
    return raw.strip('"').replace('\\"', '"').replace("|", "\\|")


if __name__ == "__main__":
    for readme in readmes():
        readme.write_text(written(readme), encoding="utf-8")
