"""Moments are read as restic reads them, and written so that their texts sort as they do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maintainer.core.moments import EARLIEST, LATEST, earlier, from_text, later, to_minute, to_text

MOMENTS = st.datetimes(timezones=st.just(UTC))
ZONES = st.integers(-23 * 60 - 59, 23 * 60 + 59).map(lambda minutes: timezone(timedelta(minutes=minutes)))
SPANS = st.timedeltas(timedelta(0), timedelta.max)


@given(MOMENTS)
def test_what_is_written_is_read_back(moment: datetime) -> None:
    assert from_text(to_text(moment)) == moment


@given(MOMENTS, MOMENTS)
def test_texts_sort_as_their_moments_do(left: datetime, right: datetime) -> None:
    assert (to_text(left) < to_text(right)) == (left < right)


@given(st.datetimes(), ZONES)
def test_a_time_of_any_year_and_zone_is_read_and_one_beyond_the_calendar_is_its_nearest_end(local: datetime, zone: timezone) -> None:
    read = from_text(local.replace(tzinfo=zone).isoformat())
    offset = zone.utcoffset(None)
    assert read == (earlier(local.replace(tzinfo=UTC), offset) if offset > timedelta(0) else later(local.replace(tzinfo=UTC), -offset))


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("0001-01-01T00:00:00+14:00", EARLIEST),
        ("0000-02-29T00:00:00Z", EARLIEST),
        ("9999-12-31T23:59:59-14:00", LATEST),
        ("2026-11-30T03:31:07.123456789+01:00", datetime(2026, 11, 30, 2, 31, 7, 123456, UTC)),
        ("2026-11-30T03:31:07.1Z", datetime(2026, 11, 30, 3, 31, 7, 100000, UTC)),
    ],
)
def test_times_that_restic_writes_and_takes(text: str, moment: datetime) -> None:
    assert from_text(text) == moment


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-11-30",
        "2026-11-30 03:31:07Z",
        "2026-11-30T03:31:07",
        "20261130T033107Z",
        "2026-W49-1T00:00:00Z",
        "2026-13-30T03:31:07Z",
        "2026-11-30T03:31:07,5Z",
        "2026-11-30T03:31:07+24:00",
        "\uff12\uff10\uff12\uff16-11-30T03:31:07Z",
        "1-01-01T00:00:00Z",
        "2026-11-30T03:31:07Z\n",
    ],
)
def test_what_is_no_rfc_3339_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\d|no time|hour|offset|month"):
        from_text(text)


@given(MOMENTS, SPANS)
def test_no_span_leads_beyond_the_calendar(moment: datetime, span: timedelta) -> None:
    assert EARLIEST <= earlier(moment, span) <= moment <= later(moment, span) <= LATEST


def test_a_minute_for_people_has_four_digits_of_its_year() -> None:
    assert to_minute(EARLIEST) == "0001-01-01 00:00"
