"""
What a batch is given, checked before anything is sent.

Rows are mappings or a polars frame: names of properties and their values. What is null is left
out; an empty text empties the property.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import polars as pl

from hsagency.errors import UsageError
from hsagency.objects.asking import JsonObject
from hsagency.objects.values import text_of

Rows = pl.DataFrame | Iterable[Mapping[str, Any]]
"""A row is {"email": "a@example.com"}, or {"properties": {…}, "associations": […]} as HubSpot has it."""

TRACE: Final = "objectWriteTraceId"
_OWN: Final = frozenset({"id", "idProperty", "associations"})


def created(rows: Rows) -> list[JsonObject]:
    """Return the inputs that create each row."""
    return [_with_properties(row, number) for number, row in _rows(rows)]


def updated(rows: Rows, *, unique: str | None) -> list[JsonObject]:
    """Return the inputs that change what `id`, or the property `unique`, names; each once."""
    inputs = []
    for number, row in _rows(rows):
        named = _naming(row, number, unique=unique)
        properties = _with_properties(row, number, without=unique)["properties"]
        inputs.append(named | {"properties": properties})
    _demand_distinct(inputs)
    return inputs


def upserted(rows: Rows, *, unique: str) -> list[JsonObject]:
    """Return the inputs that change what `unique` names, and create what it does not."""
    inputs = []
    for number, row in _rows(rows):
        named = _naming(row, number, unique=unique)
        inputs.append(named | _with_properties(row, number))
    _demand_distinct(inputs)
    return inputs


def identified(ids: Iterable[object]) -> list[str]:
    """Return ids, or values of a unique property, as text."""
    if isinstance(ids, str):
        raise UsageError("The ids are one text, and not a list of ids; nothing was sent.")
    texts = []
    for number, one in enumerate(ids):
        text = "" if one is None else text_of(one, f"id {number}").strip()
        if not text:
            raise UsageError(f"Id {number}, counted from 0, is empty; nothing was sent.")
        texts.append(text)
    return texts


def chunks(inputs: Sequence[Any], size: int) -> Iterator[range]:
    """Yield the places of each chunk of inputs."""
    for start in range(0, len(inputs), size):
        yield range(start, min(start + size, len(inputs)))


def _rows(rows: Rows) -> Iterator[tuple[int, Mapping[str, Any]]]:
    found = rows.iter_rows(named=True) if isinstance(rows, pl.DataFrame) else rows
    for number, row in enumerate(found):
        if not isinstance(row, Mapping):
            raise UsageError(f"Row {number}, counted from 0, is no mapping; nothing was sent.")
        if TRACE in row:
            raise UsageError(
                f"Row {number} has {TRACE!r}, by which answers are told apart here; nothing was "
                "sent.",
                hint="Leave it out: the frame says of each row what became of it.",
            )
        yield number, row


def _with_properties(
    row: Mapping[str, Any], number: int, *, without: str | None = None
) -> JsonObject:
    """Return the part of an input that says what is written."""
    spelled = isinstance(row.get("properties"), Mapping)
    given = row["properties"] if spelled else {k: v for k, v in row.items() if k not in _OWN}
    properties = {
        name: text_of(value, name)
        for name, value in given.items()
        if value is not None and name != without
    }
    if not properties:
        raise UsageError(f"Row {number}, counted from 0, says nothing to write; nothing was sent.")
    made: JsonObject = {"properties": properties}
    if row.get("associations"):
        made["associations"] = row["associations"]
    return made


def _naming(row: Mapping[str, Any], number: int, *, unique: str | None) -> JsonObject:
    """Return the part of an input that says which record it is about."""
    given = row.get("id")
    if unique is not None:
        inner = row.get("properties")
        given = (inner if isinstance(inner, Mapping) else row).get(unique, given)
    text = "" if given is None else text_of(given, unique or "id").strip()
    if not text:
        raise UsageError(
            f"Row {number}, counted from 0, has no {unique or 'id'}; nothing was sent."
        )
    return {"id": text} if unique is None else {"id": text, "idProperty": unique}


def _demand_distinct(inputs: Sequence[JsonObject]) -> None:
    """Refuse a second row about one record: HubSpot refuses it in one batch, and not in two."""
    seen: dict[str, int] = {}
    for number, one in enumerate(inputs):
        earlier = seen.setdefault(one["id"].lower(), number)
        if earlier != number:
            raise UsageError(
                f"Rows {earlier} and {number}, counted from 0, are about the same record; nothing "
                "was sent.",
                hint="Put what they say into one row.",
            )
