"""What admission costs on top of a run in which one pack in a hundred is new: its step beside the whole, with and without new packs."""

from __future__ import annotations

from benchmarks.bench import repository
from benchmarks.result import Result
from maintainer.core.job import Keep
from maintainer.edges.clock import SystemClock
from tests.support.agents import Maintained, Ran
from tests.support.repositories import Repository

FILES, SIZE = 1200, 8 << 20
"""Nine gibibytes, and as much where they come from: restic makes six hundred packs of it, and six of one file in a hundred. What admission
takes beyond reading is the start of three restics: some 0.3 s, of however much."""
REPEATS = 3


def measure() -> Result:
    """Run nights with one new file in a hundred, and nights with none."""
    rows: list[dict[str, str | float]] = []
    with repository(FILES, SIZE) as made:
        maintained = Maintained(made, keep=Keep(last=1000))
        maintained.expect_host()
        _night(maintained, rows, "first contact")
        quiet: list[float] = []
        busy: list[float] = []
        shares: list[float] = []
        _night(maintained, [], "settling")
        for number in range(REPEATS):
            whole, _ = _night(maintained, rows, "quiet night")
            quiet.append(whole)
            _bring_new(made, 1 + number)
            whole, admission = _night(maintained, rows, "night with 1 % new")
            busy.append(whole)
            shares.append(admission / (whole - admission))
        share = _new_alone(maintained, rows)
    ratios = {
        "bytes read of all, a night with 1 % new and read_data = new": round(share, 4),
        "admission/rest of the night, median": round(sorted(shares)[REPEATS // 2], 3),
        "night with 1 % new/quiet night, medians": round(sorted(busy)[REPEATS // 2] / sorted(quiet)[REPEATS // 2], 3),
    }
    return Result("admission", rows, ratios)


def _bring_new(made: Repository, number: int) -> None:
    for one in range(0, FILES, 100):
        made.write(f"file{one}", SIZE, 1000 * number + one)
    made.backup(good=False)


def _new_alone(maintained: Maintained, rows: list[dict[str, str | float]]) -> float:
    """Run such a night where a check reads only what is new; return the share of the packs' bytes that were read, admission included."""
    maintained.limits["read_data"] = "new"
    _bring_new(maintained.repository, 1 + REPEATS)
    _night(maintained, rows, "night with 1 % new, read_data = new")
    last = maintained.fold().readings[-1]
    return last.bytes / last.of_bytes


def _night(maintained: Maintained, rows: list[dict[str, str | float]], subject: str) -> tuple[float, float]:
    """Run once; return how long it took, and the admission of it."""
    clock = SystemClock()
    started = clock.monotonic()
    ran = maintained.run()
    whole = clock.monotonic() - started
    if ran.code not in (0, 3):
        raise SystemExit(ran.why())
    admission = _step(ran, "admit")
    check = _step(ran, "check")
    rows.append({"subject": subject, "total_s": round(whole, 2), "admit_s": round(admission, 2), "check_s": round(check, 2)})
    return whole, admission


def _step(ran: Ran, name: str) -> float:
    return sum(float(str(event.fields["seconds"])) for event in ran.named("step.finished") if event.step == name)
