"""
How many calls there were since a month began, of many clients at once, and nothing else of them.

The number is that of the rows which a reading of the same logs gives. What is sealed, the signed
manifest has counted, so that no row is touched; what is not in the lake yet is parsed, for many
clients together. Where a call may be told of in both it is looked for in the lake, and only
where it is found there that log is read as any reading does it. It is looked for by its time:
a call that is told again under a later time than it had, which no program here does, counts twice.

No record is handed out, only how many there are, so counting is not recorded as a reading.
Nothing is sealed or written, and no key is needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Final

import polars as pl

from hsagency.audit import evidence
from hsagency.audit.lake import calls_of, trusted
from hsagency.audit.lake.catalog import Catalog, Source, home, sources
from hsagency.audit.lake.joining import ROWS, may_begin_elsewhere
from hsagency.audit.lake.parsing import BLOCK, calls_at_once
from hsagency.audit.lake.steady import steadily
from hsagency.audit.record import Event
from hsagency.durable import unreadable
from hsagency.errors import HsAgencyError

_CALL: Final = ["client_slug", "call_id"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Log:
    """One client's log: what is in the lake, and the lines that are not."""

    slug: str
    catalog: Catalog
    content: bytes

    def paths(self, audit: Path, *, since: str = "") -> Iterator[str]:
        """Yield the parts of the months from one on."""
        folder = home(audit, self.slug)
        return (f"{folder}/{one.path}" for one in self.catalog.parts if one.month >= since)


def calls_since(
    audit: Path, slugs: Iterable[str], month: date
) -> dict[str, int | HsAgencyError | None]:
    """
    Return how many calls each client's log has since a month began in UTC.

    Nothing for a client without a log, and the error of a log that cannot be read.
    """
    begin = datetime.combine(month.replace(day=1), time(), UTC)
    counts: dict[str, int | HsAgencyError | None] = {}
    logs: list[_Log] = []
    for slug in slugs:
        try:
            counts[slug] = None
            log = _look(audit, slug) if evidence.is_log(audit / slug) else None
        except _FAILURES:
            log, counts[slug] = None, _read(audit, slug, begin)
        if log is not None:
            logs.append(log)
            counts[slug] = _sealed(log.catalog, begin)
    for batch in _batches([one for one in logs if b"call." in one.content]):
        counts |= _added(audit, batch, begin)
    return counts


def _sealed(known: Catalog, begin: datetime) -> int:
    return sum(one.rows for one in known.parts if one.month >= f"{begin:%Y-%m}")


def _look(audit: Path, slug: str) -> _Log:
    """Return what is to be counted; raises where that takes a whole reading."""
    known = trusted.look(audit, slug, thorough=False).catalog
    there = sources(audit / slug, without=known.segments)
    if there:  # what is sealed since is in the lake
        known = trusted.look(audit, slug, thorough=False).catalog
    if trusted.hidden(known, there):
        raise _Unusual
    new = [one for name, one in there.items() if name not in known.segments]
    return _Log(slug=slug, catalog=known, content=b"".join(_lines(new)))


class _Unusual(Exception):
    """A log is not to be counted by its lines."""


_FAILURES: Final = (_Unusual, HsAgencyError, OSError, pl.exceptions.PolarsError)


def _lines(new: Iterable[Source]) -> Iterator[bytes]:
    """Yield the whole lines of segments, in order of place; raises where there are too many."""
    room = BLOCK
    for one in new:
        with evidence.open_segment(one.path) as file:
            content = file.read(room + 1)
        room -= len(content)
        if room < 0:
            raise _Unusual
        yield content[: content.rfind(b"\n") + 1]


def _batches(logs: Iterable[_Log]) -> Iterator[list[_Log]]:
    """Yield as many logs at once as a block has room for, at least one."""
    batch: list[_Log] = []
    for one in logs:
        if batch and sum(len(log.content) for log in [*batch, one]) > BLOCK:
            yield batch
            batch = []
        batch.append(one)
    if batch:
        yield batch


def _added(
    audit: Path, batch: list[_Log], begin: datetime
) -> dict[str, int | HsAgencyError | None]:
    """Count the calls of some logs, those of the lake and those that are not in it."""
    records = calls_at_once([(one.slug, one.content) for one in batch])
    if records is None and len(batch) > 1:  # some line of one is damaged: each for itself
        parted = [_added(audit, [one], begin) for one in batch]
        return {slug: count for one in parted for slug, count in one.items()}
    if records is None:
        return {one.slug: _read(audit, one.slug, begin) for one in batch}
    rows = _rows(records)
    try:
        again = {slug for some in _told_again(audit, batch, rows) for slug in some}
    except _FAILURES:
        again = {one.slug for one in batch}
    new = dict(rows.filter(pl.col("ts") >= begin).group_by("client_slug").len().iter_rows())
    return {
        one.slug: _read(audit, one.slug, begin)
        if one.slug in again
        else _sealed(one.catalog, begin) + new.get(one.slug, 0)
        for one in batch
    }


def _rows(records: pl.DataFrame) -> pl.DataFrame:
    """Return a row for each call, as joining its records does: its first start, or first end."""
    started, ended = (
        records.filter(pl.col("event").is_in([str(event) for event in events])).unique(
            _CALL, keep="first", maintain_order=True
        )
        for events in ([Event.STARTED], [Event.FINISHED, Event.REFUSED])
    )
    alone = ended.join(started, on=_CALL, how="anti")
    return pl.concat(
        [
            started.select(*_CALL, "ts", stray=pl.lit(value=False)),
            alone.select(*_CALL, "ts", stray=may_begin_elsewhere),
        ]
    )


def _told_again(audit: Path, batch: list[_Log], rows: pl.DataFrame) -> Iterator[pl.Series]:
    """
    Yield the clients of whom some call is in the lake too.

    The end of a call may be that of any earlier one. Any other record can only be of a call in
    the lake that is as late as itself, or later, and there mostly are no such files.
    """
    strays = rows.filter("stray")
    first = dict(rows.group_by("client_slug").agg(pl.col("ts").min()).iter_rows())
    straying = set(strays["client_slug"])
    every = [path for one in batch if one.slug in straying for path in one.paths(audit)]
    late = [
        path
        for one in batch
        if one.slug in first
        for path in one.paths(audit, since=f"{first[one.slug]:%Y-%m}")
    ]
    if every:
        yield _among(every, strays)
    if late:
        yield _among(late, rows, since=rows["ts"].min())


def _among(paths: list[str], rows: pl.DataFrame, *, since: object = None) -> pl.Series:
    """Return the clients of whom some row is in these parts, from a time on."""
    known = pl.scan_parquet(
        paths, schema=ROWS, missing_columns="insert", hive_partitioning=False, glob=False
    )
    if since is not None:
        known = known.filter(pl.col("ts") >= pl.lit(since))
    found = known.select(*_CALL).join(rows.lazy().select(*_CALL), on=_CALL, how="semi")
    return found.select("client_slug").unique().collect()["client_slug"]


def _read(audit: Path, slug: str, begin: datetime) -> int | HsAgencyError:
    """Count the calls of one log as a reading of it gives them."""
    try:
        return steadily(
            lambda: int(calls_of(audit, [slug], since=begin).select(pl.len()).collect().item())
        )
    except HsAgencyError as error:
        return error
    except OSError as error:
        return unreadable(error.filename or slug, error)
