"""What a person reads of a run: each kind of thing once, the first few of many, and what to do."""

from __future__ import annotations

from maintainer.core.events import VOCABULARY, Event, Json
from maintainer.report.lines import Narrator


def told(*events: tuple[str, dict[str, Json]]) -> list[str]:
    narrator = Narrator()
    return [
        line
        for seq, (name, fields) in enumerate(events, start=1)
        for line in narrator.lines(Event("2026-01-01T00:00:00Z", "r", "agent", seq, name, VOCABULARY[name], "web", "x", fields))
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


COMMITTED: tuple[str, dict[str, Json]] = ("run.committed", {"sequence": 3, "forgotten": 0, "doomed": 0})


def test_of_many_the_first_three_are_shown_and_the_rest_counted() -> None:
    lines = told(*(healed(number) for number in range(10)), COMMITTED)
    assert [line.split(maxsplit=2)[2] for line in lines[:4]] == [*["healed data/00000000 (overwritten)"] * 3, "… and 7 more healed"]
    assert len(lines) == 5


def test_findings_of_a_kind_are_one_line_new_ones_with_what_to_do() -> None:
    lines = told(finding(1, "new"), finding(2, "new"), finding(3, "open"), finding(4, "gone"), finding(5, "acknowledged"), COMMITTED)
    assert len(lines) == 3
    assert "NEW: garbage: index/00000000, index/00000000 — no JSON" in lines[0]
    assert "→ look" in lines[0]
    assert "still open: 1 garbage" in lines[1]


def test_a_plan_does_not_say_that_it_committed() -> None:
    assert len(told(("plan.finished", {"heal": 0, "mark": 0, "evict": 0, "new": 0}), ("run.closed", {"exit_code": 0}))) == 1
