"""
The audit log as frames: one row a call, whatever wrote it and wherever it is by now.

Covers the lake, and what is not in it: the open journal, and closed segments that could not be
sealed. A segment is read in one of these places, never in two. Where the lake of a client is
not as its manifest says, the log is read from the segments themselves, which takes longer.

A line that was torn by a power cut or damaged later is left out, counted and named, and never
makes the rest unreadable; a line that is being written is left for the next reading. A call
whose outcome no record tells is `unknown`. A call that is told twice, by a copied file, two
imports at once or two machines' logs, is one row.

Does not follow the hash chain: that a line reads well does not show that nobody changed it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO, Final

import polars as pl

from hsagency.audit import evidence
from hsagency.audit.lake import trusted
from hsagency.audit.lake.catalog import Catalog, Source, by_place, home, sources
from hsagency.audit.lake.harvest import records_of
from hsagency.audit.lake.joining import CALLS, ROWS, TIME, joined, known_zone, rows, settled
from hsagency.audit.lake.parsing import EVENTS, TIME_FORM, blocks
from hsagency.audit.lake.parts import Parts
from hsagency.audit.record import TO_DISK
from hsagency.durable import after_last_line_end, entries, try_lock, unreadable
from hsagency.errors import AuditError

__all__ = [
    "ACTIVITY",
    "CALLS",
    "Damage",
    "Reading",
    "calls_of",
    "clients",
    "joined_records",
    "read",
]

ACTIVITY: Final[Mapping[str, pl.DataType]] = {
    name: TIME if name == "ts" else kind()
    for name, kind in EVENTS.items()
    if name not in ("segment", "seq")
}
"""
Columns and types of the frame of what happened to connections and to the log itself.

`details` is a JSON object of whatever else the record says, null where that is nothing.
"""

_LOOKS: Final = 5  # at a log that is sealed while it is read
_NO_ZONES: Final[Mapping[str, str]] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """A line that could not be read, by file and number; its content is left where it is."""

    client_slug: str
    file: str
    line: int
    cause: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a reading of the log found."""

    calls: pl.LazyFrame
    activity: pl.DataFrame
    damage: tuple[Damage, ...]


def clients(folder: Path) -> list[str]:
    """Return the slugs that have a log, sorted; the agency's own is not a client's."""
    names = (one.name for one in entries(folder))
    return [one for one in names if one[0] != "_" and evidence.is_log(folder / one)]


def read(
    folder: Path,
    slugs: Iterable[str],
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    zones: Mapping[str, str] = _NO_ZONES,
) -> Reading:
    """
    Read the logs of some clients, from the lake and what is not in it.

    `since` is inclusive and `until` exclusive, both by the time a call was started. The
    frame of calls has the columns of `CALLS` and is sorted by time; it reads the files of the
    months between when it is collected, whose digests are compared before. Where one of them
    was merged with others since, that fails: read again (see `steady`). `zones` are the time
    zones of portals, for days that the lake does not know yet. Raises `AuditError` for a log
    that cannot be read and `NewerSchema` for one that a later version wrote.
    """
    logs = [_read(folder, slug, zones.get(slug), thorough=True) for slug in slugs]
    activity = pl.concat([pl.DataFrame(schema=ACTIVITY), *(log.activity() for log in logs)])
    return Reading(
        calls=_calls(logs, since, until).sort("ts", "call_id"),
        activity=activity.filter(_between(since, until)).sort("ts", maintain_order=True),
        damage=tuple(one for log in logs for one in log.damage()),
    )


def calls_of(
    folder: Path,
    slugs: Iterable[str],
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    zones: Mapping[str, str] = _NO_ZONES,
) -> pl.LazyFrame:
    """
    Return the calls that `read` gives, in no order, and leave the rest unread.

    A file of the lake with the size and the time of its last change that the signed manifest
    has counts as it is; the digest of any other is compared (see `audit.lake.trusted`).
    """
    logs = [_read(folder, slug, zones.get(slug), thorough=False, only=True) for slug in slugs]
    return _calls(logs, since, until)


def _calls(logs: list[_Log], since: datetime | None, until: datetime | None) -> pl.LazyFrame:
    frames = [frame for log in logs for frame in log.frames(since, until)]
    parts = [one for log in logs for one in log.parts(since, until)]
    if cut := [path for path, is_whole in parts if not is_whole]:
        frames.append(_scan(cut))
    if since is not None or until is not None:
        frames = [one.filter(_between(since, until)) for one in frames]
    # A filter that lets everything pass, like an order, costs columns that nobody asked for.
    if whole := [path for path, is_whole in parts if is_whole]:
        frames.append(_scan(whole))
    return pl.concat(frames) if frames else pl.LazyFrame(schema=CALLS)


def joined_records(calls: pl.DataFrame, *, placed: bool = False) -> Iterator[dict[str, Any]]:
    """Yield a frame of calls as one record a call, named as on disk; `placed` with its place."""
    names = {**TO_DISK, "segment": "segment", "seq": "seq"} if placed else TO_DISK
    for row in calls.select(*names).iter_rows(named=True):
        yield {names[name]: _plain(value) for name, value in row.items() if value is not None}


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat(timespec="microseconds").replace("+00:00", "Z")
    return value


def _between(since: datetime | None, until: datetime | None) -> pl.Expr:
    inside = pl.lit(value=True)
    if since is not None:
        inside &= pl.col("ts") >= since.astimezone(UTC)
    if until is not None:
        inside &= pl.col("ts") < until.astimezone(UTC)
    return inside


def _scan(parts: list[str]) -> pl.LazyFrame:
    """Scan parts; a column that is newer than one of them is null there."""
    return pl.scan_parquet(
        parts, schema=ROWS, missing_columns="insert", hive_partitioning=False, glob=False
    ).select(*CALLS)


@dataclass(slots=True)
class _Log:
    """One client's log as it is found: what is in the lake, and what is not."""

    slug: str
    folder: Path  # in the lake
    catalog: Catalog
    only: bool = False  # calls are asked for, and what else there is need not be read
    events: list[dict[str, Any]] = field(default_factory=list)
    bad: dict[str, list[tuple[int, str]]] = field(default_factory=dict)
    new: pl.DataFrame | None = None  # rows of calls that are not in the lake
    hidden: pl.Series | None = None  # calls whose row in the lake is not the one that counts

    def parts(self, since: datetime | None, until: datetime | None) -> list[tuple[str, bool]]:
        """
        Return the parts of the months between, and whether those are between as a whole.

        Nothing where parts cannot be scanned as they are.
        """
        return self._parts(since, until) if self.hidden is None else []

    def _parts(self, since: datetime | None, until: datetime | None) -> list[tuple[str, bool]]:
        first = since.astimezone(UTC).isoformat() if since else ""
        after = until.astimezone(UTC).isoformat() if until else "9999-99"
        return [
            (f"{self.folder}/{one.path}", first <= f"{one.month}-01T00:00:00+00:00" <= end < after)
            for one in self.catalog.parts
            if first[:7] <= one.month <= after[:7] and (end := f"{one.month}-32")
        ]

    def frames(self, since: datetime | None, until: datetime | None) -> Iterator[pl.LazyFrame]:
        """Yield the calls that are not in the lake, and all of it where they amend it."""
        if self.new is not None:
            yield self.new.lazy().select(*CALLS)
        if self.hidden is not None and (parts := self._parts(since, until)):
            yield _scan([path for path, _ in parts]).join(
                self.hidden.to_frame().lazy(), on="call_id", how="anti"
            )

    def activity(self) -> pl.DataFrame:
        """Return what is not a call, in order of place."""
        frames = [pl.DataFrame(self.events, schema=EVENTS)] if self.events else []
        if self.catalog.activity is not None:
            frames.insert(0, _parquet(self.folder / self.catalog.activity.path, self.slug))
        if not frames:
            return pl.DataFrame(schema=ACTIVITY)
        parsed = pl.col("ts").str.to_datetime(TIME_FORM, time_unit="us")
        return (
            pl.concat(frames)
            .sort(pl.col("segment").str.contains("/", literal=True), "segment", "seq")
            .with_columns(parsed.dt.replace_time_zone("UTC"))
            .select(*ACTIVITY)
        )

    def damage(self) -> Iterator[Damage]:
        """Yield the lines that could not be read, in order of place."""
        bad = {**{name: one.damage for name, one in self.catalog.segments.items()}, **self.bad}
        for segment in sorted(bad, key=by_place):
            for line, cause in bad[segment]:
                yield Damage(client_slug=self.slug, file=f"{segment}.jsonl", line=line, cause=cause)


def _parquet(path: Path, slug: str) -> pl.DataFrame:
    try:
        return pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise AuditError(
            f"{path} cannot be read ({type(error).__name__}).",
            hint=f"It is made anew from the evidence by: hsagency audit rebuild {slug}",
        ) from error


def _read(folder: Path, slug: str, zone: str | None, *, thorough: bool, only: bool = False) -> _Log:
    for look in range(_LOOKS):
        log = _Log(slug, home(folder, slug), Catalog(), only)
        try:
            return _look(log, folder, zone, thorough=thorough)
        except pl.exceptions.PolarsError:  # the lake cannot be read as it is
            log = _Log(slug, home(folder, slug), Catalog(), only)
            return _with(log, sources(folder / slug), folder, zone)
        except FileNotFoundError as error:
            # What was there a moment ago is sealed, or merged, by now.
            if look == _LOOKS - 1:
                raise unreadable(folder / slug, error) from error
        except OSError as error:
            raise unreadable(folder / slug, error) from error
    raise AssertionError


def _look(log: _Log, folder: Path, zone: str | None, *, thorough: bool) -> _Log:
    known = trusted.look(folder, log.slug, thorough=thorough).catalog
    there = sources(folder / log.slug, without=known.segments)
    if there:  # what is sealed since is in the lake
        known = trusted.look(folder, log.slug, thorough=thorough).catalog
    if trusted.hidden(known, there):
        there = sources(folder / log.slug)
    else:
        log.catalog = known
    return _with(log, there, folder, zone)


def _with(log: _Log, there: Mapping[str, Source], folder: Path, zone: str | None) -> _Log:
    """Add to a lake what is not in it."""
    raw: list[pl.DataFrame] = []
    for name in [name for name in there if name not in log.catalog.segments]:
        _add(log, there[name], raw)
    records = pl.concat(raw) if raw else None
    if records is not None and records.height:
        everything = list(sources(folder / log.slug).values())
        _join(log, records, everything, known_zone(zone) or log.catalog.zone)
    return log


def _add(log: _Log, one: Source, raw: list[pl.DataFrame]) -> None:
    """Read a segment that is not in the lake."""
    bad = log.bad[one.segment] = []
    lines = 0
    with evidence.open_segment(one.path) as file:
        size, torn = (None, False) if evidence.is_evidence(one.path) else _whole(file)
        for block in blocks(file, log.slug, one.segment, size=size, only=log.only):
            raw.append(block.calls)
            log.events.extend(block.events)
            bad.extend(block.damage)
            lines = block.lines
    if torn:
        bad.append((lines + 1, "torn last line"))


def _whole(file: BinaryIO) -> tuple[int | None, bool]:
    """Return how far a journal file goes in whole lines, and whether what follows is torn."""
    try:
        descriptor = file.fileno()
    except OSError:
        return None, False  # it was sealed a moment ago
    end, torn = _end(descriptor)
    if torn and try_lock(descriptor):  # a writer that dies lets go of it
        end, torn = _end(descriptor)  # it may just have been finished
        return end, torn
    return end, False


def _end(descriptor: int) -> tuple[int, bool]:
    size = os.fstat(descriptor).st_size
    torn = len(after_last_line_end(descriptor, size))
    return size - torn, torn > 0


def _join(log: _Log, records: pl.DataFrame, all_of_it: list[Source], zone: str | None) -> None:
    """Join what is not in the lake, also with what is."""
    joins = joined(records)
    parts = Parts(log.folder)
    found = parts.find(log.catalog.parts, joins["call_id"])
    known = pl.Series("call_id", list(log.catalog.loose), pl.String)
    of_loose = joins.join(known.to_frame(), on="call_id", how="semi")["call_id"]
    changed, conflicts = settled(found, joins)
    redo = pl.concat([of_loose, pl.Series("call_id", conflicts, pl.String)]).unique()
    lone = joins.join(found, on="call_id", how="anti")
    lone = lone.join(redo.to_frame(), on="call_id", how="anti")
    changed = changed.join(redo.to_frame(), on="call_id", how="anti")
    anew = joined(records_of(all_of_it, log.slug, redo))
    log.new = pl.concat([rows(lone, zone), changed, rows(anew, zone)])
    hidden = pl.concat([changed["call_id"], redo])
    log.hidden = hidden if hidden.len() else None
