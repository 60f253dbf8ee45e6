"""Frames: text as it came, absent as null, and one kind of moment for HubSpot's two."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsagency.errors import UsageError
from hsagency.objects.frames import moment, plain_frame, records_frame

FROM = datetime(1970, 1, 1, tzinfo=UTC).replace(tzinfo=None)
UNTIL = datetime(2100, 1, 1, tzinfo=UTC).replace(tzinfo=None)
MOMENTS = st.datetimes(FROM, UNTIL, timezones=st.just(UTC))


@given(MOMENTS, st.integers(-14, 14))
def test_both_ways_of_writing_a_moment_are_read_alike(at: datetime, hours: int) -> None:
    at = at.replace(microsecond=at.microsecond // 1000 * 1000)
    milliseconds = str((at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1))
    local = at.astimezone(timezone(timedelta(hours=hours)))
    for text in (milliseconds, int(milliseconds), at.isoformat(), local.isoformat()):
        read = moment(text, "closedate")
        assert read == at
        assert read is not None
        assert read.tzinfo is UTC


def test_a_date_without_a_time_is_midnight_in_utc() -> None:
    assert moment("2026-11-20", "closedate") == datetime(2026, 11, 20, tzinfo=UTC)
    assert moment("", "closedate") is moment(None, "closedate") is None


@pytest.mark.parametrize("text", ["soon", "2026-13-01", "999999999999999", "12.5", True])
def test_what_is_no_date_is_told_without_being_quoted(text: object) -> None:
    with pytest.raises(UsageError, match="closedate holds what is no date") as raised:
        records_frame([{"id": "1", "properties": {"closedate": text}}], dates=["closedate"])
    assert str(text) not in str(raised.value)


def test_a_frame_of_nobody_has_all_its_columns() -> None:
    some = records_frame([{"id": "1", "properties": {"a": "x"}}], properties=["a", "b"])
    none = records_frame([], properties=["a", "b"])
    assert none.schema == some.schema
    assert none.columns == ["id", "a", "b", "createdAt", "updatedAt", "archived"]
    assert records_frame([]).schema == records_frame([{}]).schema


def test_a_property_that_is_called_like_a_column_stands_beside_it() -> None:
    frame = records_frame([{"id": "1", "properties": {"id": "x", "archived": "y"}}])
    assert frame.row(0, named=True) == {
        "id": "1",
        "properties.id": "x",
        "properties.archived": "y",
        "createdAt": None,
        "updatedAt": None,
        "archived": None,
    }


def test_what_is_no_text_is_shown_as_json() -> None:
    frame = plain_frame([{"id": 7, "teams": [{"id": "1"}]}, {"id": "8", "active": True}])
    assert frame.schema == {"id": pl.String(), "teams": pl.String(), "active": pl.String()}
    assert frame.rows() == [("7", '[{"id":"1"}]', None), ("8", None, "true")]
    assert plain_frame([], columns=["id"]).columns == ["id"]
