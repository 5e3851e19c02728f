"""The overlay is admitted plus written minus deleted, whatever the order of calls."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from maintainer.core.repofiles import FileType, RepositoryFile
from maintainer.core.versions import ObjectVersion
from maintainer.core.view import View
from tests.support.fakestore import WHEN

FILES = st.builds(
    lambda kind, digit: RepositoryFile(kind, digit * 64),
    st.sampled_from([FileType.PACK, FileType.INDEX, FileType.SNAPSHOT, FileType.KEY]),
    st.sampled_from("0123"),
)


def version(file: RepositoryFile, number: int) -> ObjectVersion:
    return ObjectVersion(file.key(), f"v{number}", False, number, WHEN)


class Overlay(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        start = [RepositoryFile(FileType.PACK, "0" * 64), RepositoryFile(FileType.SNAPSHOT, "1" * 64)]
        self.model = {file.key(): version(file, 0) for file in start}
        self.view = View({**self.model, "notes.txt": version(start[0], 9), "locks/" + "0" * 64: version(start[0], 9)})
        self.frozen = dict(self.model)
        self.written: set[str] = set()
        self.deleted: set[str] = set()
        self.number = 0

    @rule(file=FILES)
    def write(self, file: RepositoryFile) -> None:
        self.number += 1
        self.view.wrote(file, version(file, self.number))
        self.model[file.key()] = version(file, self.number)
        self.written.add(file.key())

    @rule(file=FILES)
    def delete(self, file: RepositoryFile) -> None:
        was_there = self.model.pop(file.key(), None) is not None
        assert self.view.delete(file) is was_there
        if was_there:
            self.deleted.add(file.key())

    @rule(name=st.sampled_from("ab"))
    def lock(self, name: str) -> None:
        self.view.lock(name, b"x")
        assert self.view.read_lock(name) == b"x"
        assert self.view.unlock(name)
        assert not self.view.unlock(name)

    @invariant()
    def it_shows_the_model(self) -> None:
        assert dict(self.view.standing()) == self.model
        assert set(self.view.written) == self.written
        assert set(self.view.deleted) == self.deleted
        for kind in (FileType.PACK, FileType.SNAPSHOT):
            expected = {key.rpartition("/")[2]: v.size for key, v in self.model.items() if key.startswith(kind.value)}
            assert dict(self.view.listing(kind)) == expected


TestOverlay = Overlay.TestCase
