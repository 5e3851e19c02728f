"""Which indexes are believed: exactly those that say of every pack what it holds; what others named truly is named anew."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maintainer.core.admission import Doubt, IndexVerdict, contents, judge_indexes, name_of
from maintainer.core.findings import Kind

A, B = ("1", "data", 0, 50, 0), ("2", "tree", 50, 60, 90)
ONE, TWO, LIE = (contents([("p", blobs)])["p"] for blobs in ((A,), (B,), (("1", "data", 0, 50, 1),)))
TRUTH = {"p": ONE, "q": TWO}


def test_what_an_index_says_of_a_pack_in_several_places_counts_together_and_in_any_order() -> None:
    assert contents([("p", (A,)), ("p", (B,))]) == contents([("p", (B, A))])
    assert contents([("p", (A,)), ("p", (A,))]) != contents([("p", (A,))])
    scattered = contents([("p", (A,)), ("q", (A,)), ("p", (B,))])
    assert scattered["p"] not in (ONE, TWO, contents([("p", (A, B))])["p"])


def test_the_truth_is_trusted_and_nothing_is_named_anew() -> None:
    assert judge_indexes({"i": TRUTH}, {}, TRUTH, set(), ()) == IndexVerdict(trusted=("i",))


def test_one_lie_among_truths_costs_an_index_its_trust_and_the_truths_are_named_anew() -> None:
    verdict = judge_indexes({"i": {"p": ONE, "q": ONE}}, {}, TRUTH, set(), ())
    assert (verdict.trusted, set(verdict.doubted), verdict.reindex) == ((), {"i"}, frozenset({"p", "q"}))


def test_what_another_index_names_truly_is_not_named_anew() -> None:
    verdict = judge_indexes({"lie": {"p": LIE, "q": LIE}, "true": {"q": TWO}}, {}, TRUTH, set(), {"p"})
    assert (verdict.trusted, verdict.reindex) == (("true",), frozenset())


def test_a_pack_that_is_not_there_or_not_sound_makes_a_lie() -> None:
    assert judge_indexes({"i": {"x": ONE}}, {}, TRUTH, set(), ()).doubted == {"i": Doubt(absent=frozenset({"x"}), packs=1)}


def test_naming_condemned_packs_is_no_lie_and_yet_not_believed() -> None:
    verdict = judge_indexes({"i": {"p": ONE, "gone": TWO}}, {}, TRUTH, {"gone", "other"}, {"q"})
    assert (verdict.doubted, verdict.reviving, verdict.reindex) == ({}, {"i": frozenset({"gone"})}, frozenset({"p"}))


def test_what_could_be_read_otherwise_is_not_believed_however_true() -> None:
    verdict = judge_indexes({}, {"i": ("it has fields", {"p": ONE})}, TRUTH, set(), ())
    assert (verdict.doubted, verdict.reindex) == ({"i": Doubt(strange="it has fields", packs=1)}, frozenset({"p", "q"}))


WRONG, ABSENT, STRANGE = (Doubt(frozenset({"p"}), packs=2), Doubt(absent=frozenset({"x", "y"}), packs=2), Doubt(strange="fields", packs=2))


@pytest.mark.parametrize(
    ("doubt", "facts", "kind"),
    [
        (WRONG, {}, Kind.POISONED_INDEX),
        (WRONG, {"is_older": True}, Kind.POISONED_INDEX),
        (WRONG, {"is_part": True}, Kind.PARTIAL_INDEX),
        (ABSENT, {}, Kind.POISONED_INDEX),
        (ABSENT, {"is_older": True}, Kind.DAMAGED_INDEX),
        (ABSENT, {"unreadable": 1}, Kind.POISONED_INDEX),
        (ABSENT, {"unreadable": 2}, Kind.UNREADABLE_INDEX),
        (ABSENT, {"unreadable": 1, "is_older": True}, Kind.UNREADABLE_INDEX),
        (STRANGE, {}, Kind.FOREIGN_INDEX),
        (STRANGE, {"is_legible": False}, Kind.POISONED_INDEX),
        (replace(STRANGE, wrong=frozenset({"p"})), {}, Kind.POISONED_INDEX),
        (replace(STRANGE, wrong=frozenset({"p"})), {"is_part": True}, Kind.FOREIGN_INDEX),
        (replace(STRANGE, absent=frozenset({"x"})), {"is_older": True}, Kind.DAMAGED_INDEX),
    ],
)
def test_only_a_lie_accuses_anybody(doubt: Doubt, facts: dict[str, object], kind: Kind) -> None:
    known = {"is_part": False, "unreadable": 0, "is_legible": True, "is_older": False, **facts}
    assert name_of(doubt, **known)[0] is kind  # type: ignore[arg-type]


_PACKS = st.sampled_from(["p", "q", "gone", "absent"])
_CLAIM = st.dictionaries(_PACKS, st.sampled_from([ONE, TWO, LIE]))


@given(st.dictionaries(st.sampled_from(["a", "b", "c"]), _CLAIM), st.sets(_PACKS), st.sets(st.sampled_from(["p", "q"])))
def test_no_lie_is_ever_trusted_and_no_sound_pack_loses_its_name(
    claims: dict[str, dict[str, bytes]], condemned: set[str], covered: set[str]
) -> None:
    verdict = judge_indexes(claims, {}, TRUTH, condemned, covered)
    for key in verdict.trusted:
        assert all(TRUTH.get(pack) == blobs and pack not in condemned for pack, blobs in claims[key].items())
    assert {*verdict.trusted, *verdict.doubted, *verdict.reviving} == claims.keys()
    named = {pack for claim in claims.values() for pack in claim} & TRUTH.keys()
    trusted = {pack for key in verdict.trusted for pack in claims[key]}
    assert named <= {*verdict.reindex, *covered, *trusted}
