"""A store that lists its versions in pages, as S3 does it or a little differently."""

from __future__ import annotations

from maintainer.edges.versionlist import Page, Row, write_lines

MADE = b"2026-11-28T00:47:37Z"


class PagedStore:
    """Lists its rows in pages of so many, as S3 does it or a little differently."""

    def __init__(
        self, rows: list[Row], size: int, *, inclusive: bool = False, repeats: bool = False, names_next: bool = True, loses: bool = False
    ) -> None:
        """`inclusive`: a key marker alone begins with itself; `repeats`: a page begins with what the last one ended with.

        `loses`: after a key marker alone the first version is left out, as moto 5.2.5 does it.
        """
        self.rows, self.size = rows, size
        self.inclusive, self.repeats, self.names_next = inclusive, repeats, names_next
        self.loses = loses
        self.asked = 0

    def ask(self, key: str, version_id: str) -> Page:
        """Return the page after a key marker, or after a version of it."""
        self.asked += 1
        at = 0
        marker = key.encode(errors="surrogateescape")
        if version_id:
            at = next(n for n, row in enumerate(self.rows) if row[:2] == (marker, version_id.encode())) + (not self.repeats)
        elif key:
            at = next((n for n, row in enumerate(self.rows) if (row[0] >= marker if self.inclusive else row[0] > marker)), len(self.rows))
            at += self.loses
        rows = self.rows[at : at + self.size + self.repeats]
        more = at + len(rows) < len(self.rows)
        said = (rows[-1][0].decode(), rows[-1][1].decode()) if more and self.names_next else ("", "")
        return Page(rows, write_lines(rows), more, *said)
