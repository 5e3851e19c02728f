"""The documentation's table of faults is the one that is made to happen."""

from __future__ import annotations

from pathlib import Path

from maintainer.controller.once import ATTEMPTS
from maintainer.edges.compute import instance
from maintainer.settings.models import InstanceSection
from tests.support.faults import FAULTS

PAGE = (Path(__file__).parents[2] / "docs/faults.md").read_text()


def test_each_row_is_a_fault_with_its_exit_code() -> None:
    rows = [line.strip("| ").split(" | ") for line in PAGE.splitlines() if line.startswith("| ") and "---" not in line][1:]
    assert [row[:2] for row in rows] == [[fault.name, "killed" if fault.code < 0 else str(int(fault.code))] for fault in FAULTS]


def test_the_times_that_it_tells_are_the_code_s() -> None:
    assert (instance.REACHED_WITHIN_S, instance.BEGUN_WITHIN_S, instance.BACK_WITHIN_S) == (5 * 60, 3 * 60, 10 * 60)
    assert InstanceSection.model_fields["try_for"].default.total_seconds() == 30 * 60
    assert ATTEMPTS == 3


def test_the_patience_that_its_seconds_were_measured_with_is_what_the_faults_have() -> None:
    patience = {patience for fault in FAULTS for patience in fault.impatient}
    # The last is for the second machine behind a cut network, which must not be too little for the first.
    assert patience == {("REACHED_WITHIN_S", 12), ("BEGUN_WITHIN_S", 6), ("BACK_WITHIN_S", 8), ("REACHED_WITHIN_S", 60)}
    told = "12 s for a machine that never answers, 6 s for one that starts no agent, 8 s for a cut network"
    assert told in " ".join(PAGE.split())
