"""What a person reads of a run: each kind of thing once, the first few of many, and what to do."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from maintainer.cli.output import wrapped
from maintainer.core.events import VOCABULARY, Event, Json, Source
from maintainer.report.lines import Narrator


def told(*events: tuple[str, dict[str, Json]]) -> list[str]:
    narrator = Narrator()
    return [
        line
        for seq, (name, fields) in enumerate(events, start=1)
        for line in narrator.lines(Event("2026-01-01T00:00:00Z", "r", "agent", seq, name, VOCABULARY[name].level, "web", "x", fields))
    ]


def healed(number: int) -> tuple[str, dict[str, Json]]:
    return "object.healed", {"key": f"data/00/{number:064x}", "why": "overwritten"}


def finding(number: int, standing: str) -> tuple[str, dict[str, Json]]:
    return "finding.reported", {
        "kind": "garbage",
        "subject": f"index/{number:064x}",
        "detail": "no JSON",
        "standing": standing,
        "since": "",
        "do": "look",
    }


COMMITTED: tuple[str, dict[str, Json]] = (
    "run.committed",
    {"sequence": 3, "forgotten": 0, "doomed": 0, "packs": 0, "indexes": 0, "left": 0},
)


def test_of_many_the_first_three_are_shown_and_the_rest_counted() -> None:
    lines = told(*(healed(number) for number in range(10)), COMMITTED)
    assert [line.split(maxsplit=2)[2] for line in lines[:4]] == [*["healed data/00000000 (overwritten)"] * 3, "… and 7 more healed"]
    assert len(lines) == 5


def test_ids_are_cut_to_the_digits_that_the_run_says_tell_them_apart() -> None:
    forgot: tuple[str, dict[str, Json]] = "snapshot.forgotten", {"snapshot": "ab" * 32, "time": "2026-01-01T00:00:00Z", "host": "web"}
    for digits, shown in ((12, 12), (3, 8), (1_000_000, 64)):
        lines = told(("ids.shortened", {"digits": digits}), healed(1), finding(1, "new"), forgot)
        assert f"healed data/{f'{1:064x}'[:shown]} (overwritten)" in lines[0]
        assert f"garbage: index/{f'{1:064x}'[:shown]} — no JSON" in lines[1]
        assert f"forgot snapshot {('ab' * 32)[:shown]} of 2026" in lines[2]


def test_findings_of_a_kind_are_one_line_new_ones_with_what_to_do() -> None:
    lines = told(finding(1, "new"), finding(2, "new"), finding(3, "open"), finding(4, "gone"), finding(5, "acknowledged"), COMMITTED)
    assert len(lines) == 3
    assert "NEW: garbage: index/00000000, index/00000000 — no JSON" in lines[0]
    assert "→ look" in lines[0]
    assert "still open: 1 garbage" in lines[1]


def test_a_plan_does_not_say_that_it_committed() -> None:
    assert len(told(("plan.finished", {"heal": 0, "mark": 0, "evict": 0, "new": 0}), ("run.closed", {"exit_code": 0}))) == 1


def test_one_is_singular_and_more_are_plural() -> None:
    (line,) = told(("objects.admitted", {"snapshots": 1, "packs": 2, "indexes": 1}))
    assert line.endswith("admitted 1 snapshot, 2 packs, 1 index")


def checked(order: str) -> tuple[str, dict[str, Json]]:
    return "check.finished", {"packs": 2, "bytes": 10, "of_packs": 2, "of_bytes": 10, "before": "", "order": order, "seconds": 1.0}


def test_every_byte_is_said_to_be_checked_once_and_why_there_is_a_second_check() -> None:
    (only,), (first, second) = told(checked("")), told(checked("before the prune"), checked("again"))
    assert "checked every byte: 2 packs" in only
    assert "checked every byte before the prune, because the run before did not commit: 2 packs" in first
    assert "checked again after the prune" in second
    assert "every byte" not in second


def test_a_commit_says_why_it_dooms_files_though_it_forgets_nothing() -> None:
    (line,) = told(("run.committed", {**COMMITTED[1], "doomed": 6, "packs": 3, "indexes": 1, "left": 2}))
    assert "0 snapshots forgotten, 6 files doomed: 3 packs that no snapshot needs, 1 index that others replace, 2 left by runs" in line


def test_a_run_that_did_not_commit_says_why_at_its_end() -> None:
    failed: tuple[str, dict[str, Json]] = ("run.failed", {"reason": "no space is left in /tmp", "guidance": "make room", "exit_code": 4})
    narrator = Narrator()
    lines: list[str] = []
    for name, fields in (failed, ("run.closed", {"exit_code": 4})):
        source: Source = "agent" if name == "run.failed" else "controller"
        repository = "web" if name == "run.failed" else None
        lines += narrator.lines(Event("2026-01-01T00:00:00Z", "r", source, 1, name, VOCABULARY[name].level, repository, None, fields))
    assert lines[-1] == "  exit 4: not committed; nothing was deleted: web: no space is left in /tmp (run r)"


def test_an_agent_that_was_asked_to_end_names_no_signal_that_the_user_did_not_send() -> None:
    (line,) = told(("run.signalled", {"signal": "SIGTERM"}))
    assert "SIG" not in line


@given(st.lists(st.text("abc,.-/ ", min_size=1), max_size=5), st.integers(20, 100))
def test_lines_are_wrapped_at_spaces_and_no_word_is_broken_or_lost(lines: list[str], width: int) -> None:
    shown = wrapped("\n".join(lines), width)
    assert shown.split() == "\n".join(lines).split()
    assert all(len(line) <= width or len(line.split()) == 1 for line in shown.splitlines())
