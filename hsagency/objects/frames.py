"""
Frames of what HubSpot answered: text as it came, absent as null, dates as aware UTC.

HubSpot writes one moment in two ways: milliseconds since 1970 and ISO 8601. A frame reads both.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import orjson
import polars as pl

from hsagency.errors import UsageError

MOMENT: Final = pl.Datetime("ms", "UTC")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECONDS: Final = re.compile(r"-?\d{1,14}", re.ASCII)
# What a frame of records has beside the properties, in the order of its columns.
_BEFORE: Final[Mapping[str, pl.DataType]] = {"id": pl.String()}
_BEHIND: Final[Mapping[str, pl.DataType]] = {
    "createdAt": MOMENT,
    "updatedAt": MOMENT,
    "archived": pl.Boolean(),
}


def records_frame(
    records: Iterable[Mapping[str, Any]],
    *,
    properties: Sequence[str] | None = None,
    dates: Collection[str] = (),
) -> pl.DataFrame:
    """
    Return a frame of records: `id`, the properties, `createdAt`, `updatedAt`, `archived`.

    All are text but for the last three and for the properties in `dates`, which are moments in
    UTC, and `archived`, which is true or false. With `properties` the columns are these, in
    this order and also where there is no record; else all that any record has. A property
    whose name is one of the other columns' is called `properties.id`. Raises `UsageError` where
    a property in `dates` holds what is none.
    """
    rows = list(records)
    if properties is None:
        properties = list(dict.fromkeys(name for one in rows for name in _properties(one)))
    columns = [pl.Series(name, [_text(one.get(name)) for one in rows]) for name in _BEFORE]
    columns += property_columns(
        [_properties(one) for one in rows],
        properties=properties,
        dates=dates,
        taken={*_BEFORE, *_BEHIND},
    )
    for name, kind in _BEHIND.items():
        if kind == MOMENT:
            values: list[Any] = [moment(one.get(name), name) for one in rows]
        else:
            values = [_bool(one.get(name)) for one in rows]
        columns.append(pl.Series(name, values, dtype=kind))
    return pl.DataFrame(columns, schema_overrides={"id": pl.String()})


def property_columns(
    rows: Sequence[Mapping[str, Any]],
    *,
    properties: Sequence[str],
    dates: Collection[str] = (),
    taken: Collection[str] = (),
) -> list[pl.Series]:
    """Return a column for each property: text, or moments; a `taken` name gets a prefix."""
    made = []
    for name in dict.fromkeys(properties):
        title = f"properties.{name}" if name in taken else name
        if name in dates:
            moments = [moment(one.get(name), name) for one in rows]
            made.append(pl.Series(title, moments, dtype=MOMENT))
        else:
            made.append(pl.Series(title, [_text(one.get(name)) for one in rows], dtype=pl.String()))
    return made


def plain_frame(
    things: Iterable[Mapping[str, Any]],
    *,
    columns: Sequence[str] | None = None,
    dates: Collection[str] = (),
) -> pl.DataFrame:
    """
    Return a frame of things that are no records: owners, members of lists, associations.

    Each field is a column of text, what is nested as JSON; those in `dates` are moments in UTC.
    """
    rows = list(things)
    if columns is None:
        columns = list(dict.fromkeys(name for one in rows for name in one))
    return pl.DataFrame(property_columns(rows, properties=columns, dates=dates))


def moment(value: object, name: str) -> datetime | None:
    """
    Return a moment that HubSpot wrote in either of its ways; empty is absent.

    >>> moment("1791979200001", "closedate") == moment("2026-10-14T12:00:00.001Z", "closedate")
    True
    """
    if value is None or value == "":
        return None
    text = str(value)
    try:
        if _MILLISECONDS.fullmatch(text):
            return _EPOCH + timedelta(milliseconds=int(text))
        at = datetime.fromisoformat(text)
        # a date without a time is midnight in UTC, as HubSpot keeps it
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise UsageError(
            f"{name} holds what is no date, so no frame was made.",
            hint="Leave it out of dates=, and it stays the text that it is.",
        ) from None


def _properties(record: Mapping[str, Any]) -> Mapping[str, Any]:
    found = record.get("properties")
    return found if isinstance(found, dict) else {}


def _text(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return orjson.dumps(value).decode()


def _bool(value: object) -> bool | None:
    return value if isinstance(value, bool) else None
