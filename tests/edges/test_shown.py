"""What is shown is a mapping like any other, wherever it lies, and its folders are what a look at all of it finds."""

from __future__ import annotations

import threading

from hypothesis import given
from hypothesis import strategies as st

from maintainer.core.records import Record, Records, RecordsInMemory, State
from maintainer.core.repofiles import FileType
from maintainer.core.revert import Truth
from maintainer.core.versions import ObjectVersion
from maintainer.core.view import Admitted, Few, Layers, Shown, Standing
from maintainer.edges import shelves
from maintainer.edges.shelf import RecordShelf
from maintainer.edges.shelves import ShownShelf
from tests.support.fakestore import WHEN

KINDS = (FileType.PACK, FileType.INDEX, FileType.SNAPSHOT)
KEYS = ["config", "keys/1", *(f"{kind.value}/{name}" for kind in KINDS for name in ("00/a", "0", "f"))]
VERSIONS = st.dictionaries(st.sampled_from(KEYS), st.integers(0, 9))


def versions(numbers: dict[str, int]) -> dict[str, ObjectVersion]:
    return {key: ObjectVersion(key, f'v{number}\t"\ud800', False, number, WHEN) for key, number in numbers.items()}


def held_to(one: Shown, model: dict[str, ObjectVersion]) -> None:
    assert dict(one) == model
    assert len(one) == len(model)
    assert {key: one.get(key) for key in KEYS} == {key: model.get(key) for key in KEYS}
    for folder in ("", "data/", "data/0", "index/", "snapshots/", "keys/", "d"):
        wanted = {key: version for key, version in model.items() if key.startswith(folder)}
        found = list(one.below(folder))
        assert dict(found) == wanted
        assert len(found) == len(wanted), "each once"
        assert dict(one.sizes(folder)) == {key: version.size for key, version in wanted.items()}


@given(st.lists(VERSIONS, min_size=1, max_size=3))
def test_layers_in_memory_and_on_a_shelf(numbers: list[dict[str, int]]) -> None:
    layers = [versions(one) for one in numbers]
    model: dict[str, ObjectVersion] = {}
    for layer in reversed(layers):
        model |= layer
    held_to(Layers(*layers), model)
    held_to(Few(model), model)
    held_to(ShownShelf(Layers(*layers)), model)
    held_to(Layers(ShownShelf(Few(layers[0])), *layers[1:]), model)


@given(VERSIONS, st.dictionaries(st.sampled_from(KEYS), st.sampled_from([State.ADMITTED, State.DOOMED])), st.booleans())
def test_what_is_admitted_and_stands(numbers: dict[str, int], states: dict[str, State], on_shelves: bool) -> None:
    records: Records = RecordShelf() if on_shelves else RecordsInMemory()
    standing = shelves.truths() if on_shelves else {}
    records.update({key: Record(state, "v", 1, WHEN, WHEN) for key, state in states.items()})
    there = versions(numbers)
    standing.update({key: Truth(version, WHEN) for key, version in there.items()})
    wanted = {key: version for key, version in there.items() if key.startswith(tuple(f"{kind.value}/" for kind in KINDS))}
    held_to(Standing(standing, KINDS), wanted)
    held_to(Admitted(records, standing, KINDS), {key: one for key, one in wanted.items() if states.get(key) is State.ADMITTED})
    held_to(
        Admitted(records, standing, [FileType.CONFIG]),
        {key: one for key, one in there.items() if key == "config" and states.get(key) is State.ADMITTED},
    )


def test_what_is_frozen_does_not_change_with_what_it_came_from() -> None:
    before = versions({"data/00/a": 1})
    few = Few(before)
    frozen = ShownShelf(few)
    few["data/00/a"] = versions({"data/00/a": 2})["data/00/a"]
    few["data/f"] = few["data/00/a"]
    assert dict(frozen) == before


def test_many_threads_may_ask_at_once() -> None:
    names = [f"data/{number:06d}" for number in range(3_000)]
    frozen = ShownShelf(Few({name: ObjectVersion(name, name, False, 1, WHEN) for name in names}))
    wrong: list[str] = []

    def ask(first: int) -> None:
        wrong.extend(name for name in (*names[first:], *reversed(names[:first])) if frozen[name].version_id != name)

    threads = [threading.Thread(target=ask, args=(first,)) for first in (0, 700, 1_500, 2_900)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
