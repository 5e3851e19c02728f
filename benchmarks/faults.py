"""What becomes of a run that a fault strikes: its exit code, which run commits, and the seconds from the fault until then."""

from __future__ import annotations

from benchmarks.result import Result
from tests.support.faults import FAULTS, suffer
from tests.support.instances import fleet


def measure() -> Result:
    """Let a run suffer each fault in turn, in one sandbox, and look afterwards whether every good snapshot is whole."""
    rows: list[dict[str, str | float]] = []
    with fleet() as shared:
        for fault in FAULTS:
            park = shared.anew(fault.name)
            repository = fault.repository(park)
            suffered = suffer(park, fault, repository, "web")
            if suffered.code != fault.code or fault.says not in suffered.output:
                raise SystemExit(f"{fault.name}: exit {suffered.code}\n{suffered.output}")
            park.nothing_is_left()
            for snapshot in repository.trees:
                repository.verify(snapshot)
            rows.append(
                {
                    "subject": fault.name,
                    "exit": suffered.code,
                    "committed_by": "the next run" if suffered.again else "this run",
                    "recovered_s": round(suffered.seconds, 1),
                }
            )
    again = sum(row["committed_by"] == "the next run" for row in rows)
    return Result("faults", rows, {"needs another run": round(again / len(rows), 2)})
