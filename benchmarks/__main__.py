"""`python -m benchmarks NAME [--json]`: run one benchmark, and print its rows and ratios."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable

from benchmarks import admission, bombs, crowds, faults, folders, guard, hashing, heal, ledger, overhead, packs, sidebyside, survey, view
from benchmarks.result import Result

NAMES: dict[str, Callable[[], Result]] = {
    "admission": admission.measure,
    "bombs": bombs.measure,
    "crowds": crowds.measure,
    "faults": faults.measure,
    "folders": folders.measure,
    "guard": guard.measure,
    "hashing": hashing.measure,
    "heal": heal.measure,
    "ledger": ledger.measure,
    "overhead": overhead.measure,
    "packs": packs.measure,
    "sidebyside": sidebyside.measure,
    "survey": survey.measure,
    "view": view.measure,
}


def main() -> None:
    """Run the named benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("name", choices=NAMES)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    result = NAMES[arguments.name]()
    print(json.dumps(result.as_dict(), indent=2) if arguments.json else result.table())


main()
