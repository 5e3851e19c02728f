"""What a person may take back, and what they are kept from: what would gain nothing, and hold every run after it."""

from __future__ import annotations

import pytest

from maintainer.cli.judge import _accept, _described, _reading, _records, _reject, _snapshots
from maintainer.core.errors import ArgumentError
from maintainer.core.findings import Finding, Kind, Reported, Standing
from maintainer.core.ledger import Fold
from maintainer.core.moments import to_minute
from maintainer.core.records import ADOPTED, Record, RecordsInMemory, State
from maintainer.core.revert import NOTHING_TRUE
from maintainer.settings.models import RepositorySection
from tests.support.fakestore import WHEN

ID = "ab" * 32
WEB = RepositorySection.model_validate({"name": "web", "group": "g", "location": "s3:s3.amazonaws.com/backups/web", "password": "env:P"})


def known(key: str, state: State, reason: str) -> Fold:
    return Fold(RecordsInMemory({key: Record(state, "", 1, WHEN, WHEN, reason)}))


@pytest.mark.parametrize(
    ("key", "reason", "says"),
    [
        (f"snapshots/{ID}", NOTHING_TRUE, "no version is what its name says"),
        (f"data/ab/{ID}", NOTHING_TRUE, "no version is what its name says"),
        (f"index/{ID}", "it does not authenticate", "was not believed"),
    ],
)
def test_what_was_never_true_and_an_index_that_was_not_believed_stay_away(key: str, reason: str, says: str) -> None:
    with pytest.raises(ArgumentError, match=says):
        _records(known(key, State.EVICTED, reason), [ID], "web")


@pytest.mark.parametrize(
    ("key", "state", "reason"),
    [
        (f"snapshots/{ID}", State.DOOMED, "forgotten"),
        (f"snapshots/{ID}", State.EVICTED, "rejected by ann"),
        (f"index/{ID}", State.DOOMED, "pruned"),
        (f"keys/{ID}", State.EVICTED, "more keys than the 20 that restic tries"),
        (f"data/ab/{ID}", State.EVICTED, "it holds something else than its header says"),
    ],
)
def test_all_else_may_come_back(key: str, state: State, reason: str) -> None:
    assert _records(known(key, state, reason), [ID], "web") == (key,)


def test_with_a_snapshot_what_it_needs_comes_back_and_no_key_that_may_have_been_retired() -> None:
    keys = (f"snapshots/{ID}", f"data/ab/{ID}", f"index/{ID}", f"keys/{ID}")
    lost = Fold(RecordsInMemory({key: Record(State.DOOMED, "", 1, WHEN, WHEN, ADOPTED) for key in keys}))
    assert _records(lost, [f"snapshots/{ID}"], "web") == (keys[1], keys[2], keys[0])
    assert _records(lost, [f"keys/{ID}"], "web") == (keys[3],)


def test_accept_lists_the_hidden_snapshots_that_it_lets_go_and_wants_to_be_told_twice() -> None:
    hidden = Fold(RecordsInMemory({f"snapshots/{ID}": Record(State.DOOMED, "", 1, WHEN, WHEN, ADOPTED)}), head=(2, ""))
    made = _accept(hidden, [], WEB)
    assert made.told[-1] == f"lets snapshots/{ID[:8]} go, which was there at {to_minute(WHEN)}"
    assert "maintainer undelete web ID" in made.shown_first
    assert not _accept(Fold(head=(2, "")), [], WEB).shown_first


CODE = f"reading:{'0f' * 16}"


def test_a_code_chooses_a_repository_that_no_run_has_pinned() -> None:
    assert _reading(Fold(), [CODE], "web") == (CODE,)


@pytest.mark.parametrize(
    ("head", "subjects", "says"),
    [
        ((0, ""), ["reading:123"], "maintainer plan --repository web prints it"),
        ((0, ""), [CODE, "config"], "and nothing else"),
        ((2, ""), [CODE], "take another prefix"),
    ],
)
def test_what_is_no_code_or_comes_too_late_is_told(head: tuple[int, str], subjects: list[str], says: str) -> None:
    with pytest.raises(ArgumentError, match=says):
        _reading(Fold(head=head), subjects, "web")


def test_an_id_that_has_become_ambiguous_is_refused_with_those_that_are_not() -> None:
    ids = ["0" * 20 + digit * 44 for digit in "123456"]
    known = Fold(records=RecordsInMemory({f"snapshots/{one}": Record(State.ADMITTED, "", 1, WHEN, WHEN) for one in ids}))
    with pytest.raises(ArgumentError) as raised:
        _snapshots(known, ["0" * 12], "web", (State.ADMITTED,))
    (problem,) = raised.value.problems
    assert problem.found == f"{', '.join(f'snapshots/{one[:21]}' for one in ids[:5])} and 1 more begin so"
    for one in ids:
        assert _snapshots(known, [f"snapshots/{one[:21]}"], "web", (State.ADMITTED,)) == (f"snapshots/{one}",)
        assert _described(known, (f"snapshots/{one}",))[0].startswith(f"snapshots/{one[:21]}, ")


def test_all_that_is_undecided_or_unopened_is_let_go_after_a_look() -> None:
    finding = Reported(Finding(Kind.UNOPENED, f"snapshots/{ID}", "it does not authenticate"), "", Standing.OPEN)
    found = Fold(findings={finding.finding.identity: finding}, head=(2, ""))
    made = _reject(found, ["unopened"], WEB)
    assert made.subjects == ("unopened",)
    assert made.told == [f"rejects snapshots/{ID[:8]} (unopened: it does not authenticate)"]
    assert made.shown_first
    for words, says in ((["undecided"], "nothing of the kind"), (["unopened", ID], "an id beside")):
        with pytest.raises(ArgumentError) as raised:
            _reject(found, words, WEB)
        assert says in str(raised.value)
