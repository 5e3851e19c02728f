"""Where a configuration keeps its runs' bills: nowhere, unless a month has a budget."""

from __future__ import annotations

from maintainer.core.errors import MaintainerError
from maintainer.edges.bills import Bills
from maintainer.edges.log import diagnostics
from maintainer.edges.s3 import S3
from maintainer.settings.load import Settings


def of(chosen: Settings) -> Bills | None:
    """Return where they are kept."""
    if not chosen.run.month_budget:
        return None
    place = chosen.state_place()
    return Bills(S3(chosen.access(), place.endpoint), place)


def add(bills: Bills | None, run_id: str, usd: float | None) -> None:
    """Keep a bill. That it can not be kept changes nothing of what it is for, and must be known: the budget is wrong then."""
    if bills is None:
        return
    try:
        bills.add(run_id, usd)
    except MaintainerError as error:
        diagnostics().warning("this run's cost could not be kept, and month_budget does not know of it", reason=str(error))
