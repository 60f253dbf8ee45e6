"""
Records of calls joined into rows: one row a call, whatever wrote it and wherever.

A call is its first start, its first end and its first detail: what is said later cannot make
it look better. First is by place, not by time: a client's own log before those merged into it,
then by segment and line. An end without a start (imported, refused, of a damaged log) is a row
by itself. So what a row says depends on the records alone, not on when they were joined.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

import polars as pl

from hsagency.audit.lake.parsing import RAW, TYPES
from hsagency.audit.record import CALL_FIELDS, Event, Origin, Outcome

TIME: Final = pl.Datetime("us", "UTC")

CALLS: Final[Mapping[str, pl.DataType]] = {
    **{frame: TIME if kind == "time" else TYPES[kind]() for frame, kind in CALL_FIELDS.values()},
    "day_utc": pl.Date(),
    "day_local": pl.Date(),
    "segment": pl.String(),
    "seq": pl.Int64(),
}
"""
Columns and types of the frame of calls.

`day_local` is the day in the portal's time zone, null where that is not known. `segment` and
`seq` lead back to the record: line `seq` of that segment.
"""

_PLACES: Final = {
    "end_segment": pl.String(),
    "end_seq": pl.Int64(),
    "detail_segment": pl.String(),
    "detail_seq": pl.Int64(),
}
ROWS: Final[Mapping[str, pl.DataType]] = {**CALLS, **_PLACES}
"""Columns of the lake: those of calls, and where the end and the detail of each are."""

# What only the end of a call knows.
ENDING: Final = (
    "status_code",
    "outcome",
    "duration_ms",
    "rate_limit_remaining",
    "rate_limit_daily",
    "correlation_id",
    "error",
    "reason",
)
SAID: Final = ("said_object_id", "said_policy_name")  # by the detail
_FIELDS: Final = tuple(name for name in RAW if name not in ("event", "segment", "seq"))
_COLUMNS: Final = (*_FIELDS, "segment", "seq", *_PLACES, *SAID)


def joined(raw: pl.DataFrame) -> pl.DataFrame:
    """
    Join records of calls, given in order of place, into one row a call.

    A row may be of a call whose start is not among them: `is_loose` tells those of which there
    is a detail alone. `rows` makes of the others what a reader sees.
    """
    started, others = _parted(raw, Event.STARTED)
    told, ended = _parted(others, Event.DETAIL)
    started, told, ended = _first(started), _first(told), _first(ended)
    end = ended.select("call_id", *ENDING, end_segment="segment", end_seq="seq")
    detail = told.select(
        "call_id",
        said_object_id="object_id",
        said_policy_name="policy_name",
        detail_segment="segment",
        detail_seq="seq",
    )
    opened = started.drop(*ENDING).join(end, on="call_id", how="left")
    alone = ended.join(started.select("call_id"), on="call_id", how="anti").with_columns(
        end_segment="segment", end_seq="seq"
    )
    both = pl.concat(
        [
            one.select(*_FIELDS, "segment", "seq", "end_segment", "end_seq")
            for one in (opened, alone)
        ]
    )
    if not detail.height:
        nothing = [pl.lit(None, pl.String).alias(name) for name in (*SAID, "detail_segment")]
        return both.with_columns(*nothing, pl.lit(None, pl.Int64).alias("detail_seq")).select(
            *_COLUMNS
        )
    whole = both.join(detail, on="call_id", how="left").select(*_COLUMNS)
    loose = detail.join(both, on="call_id", how="anti")
    return pl.concat([whole, loose], how="diagonal").select(*_COLUMNS)


def _parted(records: pl.DataFrame, event: Event) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the records of one kind, and the others."""
    is_it = records["event"] == str(event)
    return (
        (records.filter(is_it), records.filter(~is_it))
        if is_it.any()
        else (records.clear(), records)
    )


def _first(records: pl.DataFrame) -> pl.DataFrame:
    """Keep what was said of each call first."""
    if records["call_id"].n_unique() == records.height:
        return records
    return records.unique("call_id", keep="first", maintain_order=True)


is_loose: Final = pl.col("seq").is_null()
_is_alone: Final = (
    (pl.col("seq") == pl.col("end_seq")) & (pl.col("segment") == pl.col("end_segment"))
).fill_null(value=False)
is_opened: Final = ~is_loose & ~_is_alone
may_begin_elsewhere: Final = (
    pl.col("origin").fill_null(str(Origin.WITNESSED)) == str(Origin.WITNESSED)
) & (pl.col("outcome").fill_null("") != str(Outcome.REFUSED))
"""Ends of calls that were witnessed, and so began in some record: perhaps an earlier one."""

is_stray: Final = is_loose | (_is_alone & may_begin_elsewhere)
"""Rows of which a start may be elsewhere: a detail, or the end of a call that was witnessed."""


def rows(joins: pl.DataFrame, zone: str | None) -> pl.DataFrame:
    """Return the rows of calls as a reader sees them (columns: `ROWS`); details alone are none."""
    return (
        joins.filter(~is_loose)
        .with_columns(
            object_id=pl.when(is_opened)
            .then(pl.coalesce("object_id", "said_object_id"))
            .otherwise("object_id"),
            policy_name=pl.when(is_opened).then("said_policy_name").otherwise("policy_name"),
            outcome=pl.col("outcome").fill_null(str(Outcome.UNKNOWN)),
            origin=pl.col("origin").fill_null(str(Origin.WITNESSED)),
            day_utc=pl.col("ts").dt.date(),
            day_local=local_day(zone),
        )
        .select(*ROWS)
    )


def local_day(zone: str | None) -> pl.Expr:
    """Return the day of each call in a time zone; null where none is known."""
    if zone is None:
        return pl.lit(None, pl.Date)
    return pl.col("ts").dt.convert_time_zone(zone).dt.date()


def known_zone(name: object) -> str | None:
    """Return the name of a time zone if it is one, of IANA's or an older one as US/Eastern."""
    return _zone(name) if isinstance(name, str) and name else None


@lru_cache
def _zone(name: str) -> str | None:
    try:
        pl.Series([], dtype=TIME).dt.convert_time_zone(name)
    except pl.exceptions.PolarsError:
        return None
    return name


def settled(found: pl.DataFrame, later: pl.DataFrame) -> tuple[pl.DataFrame, list[str]]:
    """
    Bring rows of the lake up to date with what was joined elsewhere of the same calls.

    Returns the rows that change, as they are then, and the ids of those for which the rows do
    not suffice, since records come before those that made them: they are joined anew from all
    records. What is said again, later, changes nothing.
    """
    pairs = found.join(later, on="call_id", how="inner", suffix="_new")
    if not pairs.height:
        return found.clear(), []
    start, end, detail = (_place(*one) for one in _pairs(""))
    start_new, end_new, detail_new = (_place(*one) for one in _pairs("_new"))
    alone, alone_new = start == end, (start_new == end_new).fill_null(value=False)
    start_new = pl.when(alone_new).then(None).otherwise(start_new)
    judged = pairs.with_columns(
        conflict=_any(
            start_new.is_not_null() & (alone | (start_new < start)),
            end_new < end,
            detail_new.is_not_null() & alone,
            detail_new < detail,
        ),
        ends=_any(end.is_null() & end_new.is_not_null()),
        tells=_any(detail.is_null() & detail_new.is_not_null()),
    )
    conflicts = judged.filter("conflict")["call_id"].unique().to_list()
    changed = judged.filter(~pl.col("conflict") & (pl.col("ends") | pl.col("tells")))
    end_columns = (*ENDING, "end_segment", "end_seq")
    return (
        changed.with_columns(
            *(_when("ends", pl.col(f"{name}_new"), name) for name in end_columns),
            *(_when("tells", pl.col(f"{name}_new"), name) for name in _TOLD),
            _when("tells", pl.col("said_policy_name"), "policy_name"),
            _when("tells", pl.coalesce("object_id", "said_object_id"), "object_id"),
        )
        .with_columns(outcome=pl.col("outcome").fill_null(str(Outcome.UNKNOWN)))
        .select(*ROWS),
        conflicts,
    )


_TOLD: Final = ("detail_segment", "detail_seq")


def _pairs(suffix: str) -> list[tuple[str, str]]:
    names = (("segment", "seq"), ("end_segment", "end_seq"), ("detail_segment", "detail_seq"))
    return [(segment + suffix, seq + suffix) for segment, seq in names]


def _place(segment: str, seq: str) -> pl.Expr:
    """Return a place as a text that sorts as places do; null where there is none."""
    merged = pl.when(pl.col(segment).str.contains("/", literal=True)).then(pl.lit("1"))
    number = pl.col(seq).cast(pl.String).str.zfill(19)
    return pl.concat_str(merged.otherwise(pl.lit("0")), pl.col(segment), number)


def _any(*these: pl.Expr) -> pl.Expr:
    return pl.any_horizontal(*(one.fill_null(value=False) for one in these))


def _when(flag: str, then: pl.Expr, name: str) -> pl.Expr:
    return pl.when(flag).then(then).otherwise(pl.col(name)).alias(name)
