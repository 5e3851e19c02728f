"""Which findings a person has decided on, where no run has heeded that yet."""

from __future__ import annotations

from collections.abc import Sequence

from maintainer.core.entries import CONFIG_AT, REPOSITORY, Judgement
from maintainer.core.findings import Finding, Kind

_OF_THE_REPOSITORY = frozenset({Kind.CONFIRM, Kind.HIDDEN_BEFORE, Kind.EARLIER_LEDGER})


def decision(finding: Finding, pending: Sequence[Judgement]) -> Judgement | None:
    """Return the last of the pending judgements that decides on a finding; None where a person has still to decide."""
    return next((one for one in reversed(pending) if _decides(one, finding)), None)


def _decides(judgement: Judgement, finding: Finding) -> bool:
    subjects = judgement.subjects
    match judgement.action:
        case "accept" if finding.kind in _OF_THE_REPOSITORY:
            return REPOSITORY in subjects
        case "accept" if finding.kind in (Kind.OVERWRITTEN, Kind.MIGRATED) and finding.subject == "config":
            return f"{CONFIG_AT}{finding.evidence}" in subjects
        case "rebase":
            return finding.kind is Kind.EARLIER_LEDGER
        case "ack":
            return finding.identity in subjects
        case _:
            return finding.subject in subjects
