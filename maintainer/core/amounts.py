"""Amounts as people read them."""

from __future__ import annotations


def counted(count: int, noun: str, several: str = "") -> str:
    """Write a number with its noun, in the plural but for one; `several` is a plural that is not made with s."""
    return f"{count:,} {noun if count == 1 else several or noun + 's'}"


def size(count: float) -> str:
    """Write a number of bytes for people."""
    amount = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:  # noqa: PLR2004 - the step between units
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"
