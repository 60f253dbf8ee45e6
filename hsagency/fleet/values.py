"""
What a function returned for each portal, as one column of a frame.

Numbers, texts, truth, times, dicts, lists and polars frames get a column of their kind, in
which what a portal has not is null. Where two portals returned what no one type can hold (a
number here, a text there), or anything else, the column is `Object` and holds what they
returned; nothing is turned into text and nothing is dropped.
"""

from __future__ import annotations

from collections.abc import Coroutine, Iterator, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from functools import reduce
from typing import Any, Final, cast

import httpx
import polars as pl

from hsagency.client import PortalClient
from hsagency.errors import UsageError
from hsagency.objects import Results

_PLAIN: Final[Mapping[type, pl.DataType]] = {
    bool: pl.Boolean(),
    int: pl.Int64(),
    float: pl.Float64(),
    str: pl.String(),
    bytes: pl.Binary(),
    date: pl.Date(),
    time: pl.Time(),
    timedelta: pl.Duration("us"),
}
_WORD: Final = 2**63  # what an Int64 holds, and no more
_WIDE: Final = {pl.UInt64(), pl.Int128(), pl.UInt128()}


class _Mixed(Exception):
    """No one type holds all of it."""


def settled(value: object) -> object:
    """
    Return a value that needs no client any more: what is yet to be read is read now.

    An iterator becomes a list, and so does a series; pages and lazy frames become frames. Raises
    `UsageError` for what is of no use once the client is closed: the client itself, an answer that
    was not read, a call that was never awaited.
    """
    useless = isinstance(value, PortalClient | Coroutine)
    if isinstance(value, httpx.Response):
        useless = not (value.is_closed and value.is_stream_consumed)
    if useless:
        cast("Any", value).close()
        raise UsageError(
            f"The function returned a {type(value).__name__}, which is of no use once its client is "
            "closed; what it had done until then is done.",
            hint="Return what you read: portal.get(...).json(), or portal.pages(...).frame().",
        )
    if isinstance(value, Results):
        return value.frame()
    if isinstance(value, pl.LazyFrame):
        return value.collect()
    if isinstance(value, pl.Series):
        return value.to_list()
    if isinstance(value, Iterator):
        return list(value)
    return value


def column(name: str, values: Sequence[object]) -> pl.Series:
    """Return values as a column; polars frames as lists of structs, one for each row."""
    try:
        if any(isinstance(one, pl.DataFrame) for one in values):
            return _of_frames(name, values)
        shape = _Shape()
        for one in values:
            shape.see(one)
        return pl.Series(name, values, dtype=shape.dtype(), strict=True)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException:  # noqa: BLE001  (polars may panic; no value costs others their rows)
        return pl.Series(name, values, dtype=pl.Object())


def _of_frames(name: str, values: Sequence[object]) -> pl.Series:
    frames = [None if one is None else _frame(one) for one in values]
    held = [one for one in frames if one is not None]
    nothing: pl.DataType = pl.Null()
    # Raises where concat would rather make text of what does not go together.
    reduce(_both, (pl.Struct(one.schema) for one in held), nothing)
    rows = pl.concat(held, how="diagonal_relaxed").to_struct()
    parts, start = list[pl.Series | None](), 0
    for one in frames:
        parts.append(None if one is None else rows.slice(start, one.height))
        start += 0 if one is None else one.height
    return pl.Series(name, parts, dtype=pl.List(rows.dtype))


def _frame(value: object) -> pl.DataFrame:
    if not isinstance(value, pl.DataFrame) or pl.Object() in value.dtypes:
        raise _Mixed
    return value if value.width else pl.DataFrame()


class _Shape:
    """What was seen of values in one place: which kinds, and the same of what they hold."""

    __slots__ = ("fields", "items", "kinds")

    def __init__(self) -> None:
        self.kinds: set[object] = set()
        self.fields: dict[str, _Shape] = {}
        self.items: _Shape | None = None

    def see(self, value: object) -> None:
        """Take a value into account; raises `_Mixed` for what polars has no type for."""
        kind = type(value)
        if kind in _PLAIN:
            if kind is int and not -_WORD <= value < _WORD:  # type: ignore[operator]
                raise _Mixed
            self.kinds.add(kind)
        elif isinstance(value, dict):
            self.kinds.add(dict)
            self._see_fields(value)
        elif isinstance(value, list | tuple):
            self.kinds.add(list)
            self.items = items = self.items or _Shape()
            for one in value:
                items.see(one)
        elif value is not None:
            self.kinds.add(_kind_of(value))

    def _see_fields(self, value: dict[object, object]) -> None:
        for name, one in value.items():
            if not isinstance(name, str):
                raise _Mixed
            field = self.fields.get(name)
            if field is None:
                field = self.fields[name] = _Shape()
            field.see(one)

    def dtype(self) -> pl.DataType:
        """Return the type that holds all of it, or raise `_Mixed`."""
        if self.kinds == {int, float}:
            return pl.Float64()
        if len(self.kinds) > 1:
            raise _Mixed
        for kind in self.kinds:
            if kind is dict:
                return pl.Struct({name: one.dtype() for name, one in self.fields.items()})
            if kind is list:
                return pl.List(self.items.dtype() if self.items else pl.Null())
            return kind if isinstance(kind, pl.DataType) else _PLAIN[cast("type", kind)]
        return pl.Null()


def _kind_of(value: object) -> object:
    if isinstance(value, str):  # a member of an enumeration
        return str
    if isinstance(value, datetime):
        return pl.Datetime("us", None if value.tzinfo is None else "UTC")
    raise _Mixed


def _both(one: pl.DataType, other: pl.DataType) -> pl.DataType:
    """Return the type that holds what either of two holds, unchanged."""
    if one == other or isinstance(other, pl.Null):
        return one
    if isinstance(one, pl.Null):
        return other
    if one.is_numeric() and other.is_numeric():
        return _number(one, other)
    if isinstance(one, pl.Struct) and isinstance(other, pl.Struct):
        fields = {field.name: _known(field.dtype) for field in one.fields}
        for field in other.fields:
            before = fields.get(field.name, pl.Null())
            fields[field.name] = _both(before, _known(field.dtype))
        return pl.Struct(fields)
    if isinstance(one, pl.List) and isinstance(other, pl.List):
        return pl.List(_both(_known(one.inner), _known(other.inner)))
    raise _Mixed


def _number(one: pl.DataType, other: pl.DataType) -> pl.DataType:
    if one.is_decimal() or other.is_decimal() or {one, other} & _WIDE:
        raise _Mixed
    return pl.Float64() if one.is_float() or other.is_float() else pl.Int64()


def _known(dtype: object) -> pl.DataType:
    return cast("pl.DataType", dtype() if isinstance(dtype, type) else dtype)
