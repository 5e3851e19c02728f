"""Every command says what it does, describes each of its words, and gives an example; a word that is none is answered with the nearest."""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from maintainer.cli.commands import COMMANDS
from maintainer.cli.main import main
from maintainer.core.findings import WHAT_TO_DO

ROOT = Path(__file__).parents[2]


def parser_of(name: str) -> argparse.ArgumentParser:
    commands = argparse.ArgumentParser(prog="maintainer").add_subparsers(dest="command")
    import_module(f"maintainer.cli.{COMMANDS[name].module}").add(commands)
    return commands.choices[name]


def parts(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Yield what a command takes, that of its actions too."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            yield from action._choices_actions
            for inner in action.choices.values():
                yield from parts(inner)
        else:
            yield action


@pytest.mark.parametrize("name", COMMANDS)
def test_help_is_a_sentence_with_every_word_described_and_an_example(name: str) -> None:
    parser = parser_of(name)
    assert parser.description is not None
    assert parser.description[0].isupper()
    assert f"example:\n  {COMMANDS[name].example.splitlines()[0]}" in parser.format_help()
    assert [action.dest for action in parts(parser) if not action.help] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_an_example_is_a_command_line_that_is_understood(name: str) -> None:
    for line in COMMANDS[name].example.splitlines():
        words = shlex.split(line.removeprefix('eval "$(').removesuffix(')"'), comments=True)[1:]
        if words[0] == name and "--help" not in words:
            commands = argparse.ArgumentParser().add_subparsers(dest="command")
            import_module(f"maintainer.cli.{COMMANDS[name].module}").add(commands)
            commands.choices[name].parse_args(words[1:])


def test_the_list_names_every_command_with_its_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert ended.value.code == 0
    assert all(f"{name} {command.sentence}" in said for name, command in COMMANDS.items())


def test_a_command_that_is_none_is_answered_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["stauts"])
    assert ended.value.code == 2
    assert "no command 'stauts'; did you mean `status`?" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["restore"])
    assert "did you mean `serve`?" in capsys.readouterr().err


def test_every_command_that_a_message_or_a_page_advises_is_there() -> None:
    advised = " ".join(WHAT_TO_DO.values())
    pages = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")))
    sources = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "maintainer").rglob("*.py"))
    blocks = "\n".join(re.findall(r"^```.*?^```", pages, re.MULTILINE | re.DOTALL))
    named = {
        *re.findall(r"`maintainer ([a-z]+)", advised + pages + sources),
        *re.findall(r"^(?:\$ )?maintainer ([a-z]+)", blocks, re.MULTILINE),
    }
    assert named <= set(COMMANDS), named - set(COMMANDS)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("run", "web"), "maintainer run: it does not take 'web'\n    → to name a repository: maintainer run --repository web"),
        (("status", "--jsno"), "maintainer status: it does not take '--jsno'\n    → did you mean --json?"),
        (("run", "--reposotory=web"), "it does not take '--reposotory=web'\n    → did you mean --repository?"),
        (("completion", "bash", "web"), "it does not take 'web'\n    → maintainer completion --help lists what it takes"),
        (("accept",), "the following arguments are required: REPOSITORY\n"),
    ],
)
def test_a_word_that_a_command_does_not_take_is_answered_with_what_to_write(
    words: tuple[str, ...], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert says in capsys.readouterr().err
