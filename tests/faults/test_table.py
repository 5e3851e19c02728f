"""The table of faults: each is made to happen in a sandbox, and afterwards nothing runs, nothing is lost, and what was said was true."""

from __future__ import annotations

import pytest

from tests.support.faults import FAULTS, Fault, suffer
from tests.support.instances import Fleet


@pytest.mark.matrix(kind=lambda fault: fault.kind)
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_after_a_fault_nothing_is_left_and_nothing_is_lost(park: Fleet, fault: Fault) -> None:
    repository = fault.repository(park)
    suffered = suffer(park, fault, repository, "web")
    assert suffered.code == fault.code, suffered.output
    assert fault.says in suffered.output, suffered.output
    assert "Traceback" not in suffered.output
    assert suffered.again == (fault.code != 0), suffered.output
    assert len({one["InstanceId"] for one in park.instances(living=False)}) <= 3
    park.nothing_is_left()
    assert not park.templates()
    for snapshot in repository.trees:
        repository.verify(snapshot)
