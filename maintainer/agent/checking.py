"""The check of what a run is about to commit: by restic, of every byte, or of those that nothing has read yet at their version."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from functools import partial

from maintainer.agent.beside import again
from maintainer.agent.proving import prove_packs
from maintainer.agent.run import Opened, Run, short
from maintainer.agent.smallfiles import read_contents
from maintainer.core import reading
from maintainer.core.errors import CheckFailedError
from maintainer.core.repofiles import FileType
from maintainer.core.versions import ObjectVersion
from maintainer.core.view import View
from maintainer.edges import restic
from maintainer.edges.viewserver import ViewServer

PROGRESS_S = 5.0


def check(run: Run, server: ViewServer, opened: Opened, view: View, *, before_prune: bool = False) -> dict[str, int]:
    """Check the view as it now is; return what was read of its packs in this run, and how much there is.

    CheckFailedError if anything is wrong. Where only what is new is read, the structure of everything is checked all the same.
    After a check `before_prune` that read everything, another reads what has been put since.
    """
    started = run.clock.monotonic()
    packs = partial(view.standing, f"{FileType.PACK.value}/")
    there = _sum(packs())
    is_due = run.job.read_data == "always" or reading.is_due(run.fold.readings, run.job.reread, run.now)
    is_again = run.has_read_everything
    if is_due and not is_again:
        with _progress(run, server, *there):
            _ask(run, server, opened, read_data=True)
        run.read.update((key, version.version_id) for key, version in packs())
        run.has_read_everything = True
        read = there
    else:
        _ask(run, server, opened, read_data=False)
        wanted = _unread(run, packs())
        _read(run, opened, view, wanted)
        run.read.update((key, version.version_id) for key, version in wanted.items())
        read = _sum((key, version) for key, version in packs() if run.read.get(key) == version.version_id)
    checked = {"packs": read[0], "bytes": read[1], "of_packs": there[0], "of_bytes": there[1]}
    before = run.fold.readings[0].at if read < there else ""
    order = "before the prune" if before_prune else "again" if is_again else ""
    run.recorder.record("check.finished", **checked, before=before, order=order, seconds=round(run.clock.monotonic() - started, 3))
    return checked


def _sum(packs: Iterable[tuple[str, ObjectVersion]]) -> tuple[int, int]:
    """Return how many packs there are, and their bytes."""
    count = size = 0
    for _, version in packs:
        count, size = count + 1, size + version.size
    return count, size


def _unread(run: Run, packs: Iterable[tuple[str, ObjectVersion]]) -> dict[str, ObjectVersion]:
    """Return what neither this run nor any before it has read."""
    records = run.fold.records
    return {
        key: version
        for key, version in packs
        if run.read.get(key) != version.version_id and reading.is_unread(records.get(key), version.version_id)
    }


def _ask(run: Run, server: ViewServer, opened: Opened, *, read_data: bool) -> None:
    outcome = run.ask(server, opened, restic.check_argv(read_data=read_data))
    if not restic.is_sound(outcome):
        told = restic.parse_check(outcome)
        raise _failed(", ".join(told.get("broken_packs") or ()) or restic.last_words(outcome))


def _read(run: Run, opened: Opened, view: View, packs: Mapping[str, ObjectVersion]) -> None:
    """Let restic read these packs, and compare what they hold with what the view's indexes say of them."""
    proof = prove_packs(run, packs, opened)
    if proof.unsound:
        raise _failed("; ".join(f"{short(key)}: {why}" for key, why in sorted(proof.unsound.items())))
    for key, version in view.standing(f"{FileType.INDEX.value}/") if packs else ():
        said = read_contents(run, version, opened)
        wrong = sorted(pack for pack, holds in proof.contents.items() if said.get(pack, holds) != holds)
        if wrong:
            raise _failed(f"index {short(key)} says what is not so of {', '.join(wrong)}")


def _failed(what: str) -> CheckFailedError:
    return CheckFailedError(
        f"check --read-data failed: {what}", guidance="nothing was deleted; restore what is damaged from the host's local repository"
    )


def _progress(run: Run, server: ViewServer, of_packs: int, of_bytes: int) -> AbstractContextManager[None]:
    """Tell now and then how much of the packs was read: the check of a large repository takes hours."""
    server.count_packs()

    def tell() -> bool:
        packs, size = server.packs_read
        run.recorder.record("check.progressed", packs=packs, of_packs=of_packs, bytes=size, of_bytes=of_bytes)
        return True

    return again(tell, PROGRESS_S, "progress")
