"""
From segments to parts: rows of calls by month, in memory that does not grow with the log.

What is not complete where a block of lines ends is kept for the next one, so a call that spans
segments is one row; only where too many wait, the first of them go on as they are. Rows may
then be of calls that have rows already: `sealing` brings those together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

import polars as pl

from hsagency.audit.evidence import open_segment
from hsagency.audit.lake.catalog import File, Source, Told
from hsagency.audit.lake.joining import SAID, is_loose, is_opened, is_stray, joined, rows, settled
from hsagency.audit.lake.parsing import EVENTS, RAW, Block, blocks
from hsagency.audit.lake.parts import Parts

_WAITING: Final = 200_000  # records that wait for others at most
_NEAR: Final = 2_000  # lines after the end of a call within which its detail is waited for


@dataclass(slots=True)
class Harvest:
    """What came of some segments, beside the rows that went into parts."""

    told: dict[str, Told]
    ids: list[pl.Series] = field(default_factory=list)  # of calls that have a new row
    events: list[pl.DataFrame] = field(default_factory=list)
    strays: list[pl.DataFrame] = field(default_factory=list)


def gather(some: Iterable[Source], slug: str, zone: str | None, *, into: Parts) -> Harvest:
    """
    Bring the records of some segments, given in order of place, into parts.

    What is left are strays: ends and details of calls that began elsewhere. Raises
    `NewerSchema` and, where a file cannot be read, `OSError`.
    """
    listed = list(some)
    harvest = Harvest(told={one.segment: Told(lines=0, damage=()) for one in listed})
    waiting = pl.DataFrame(schema=RAW)

    def emit(joins: pl.DataFrame) -> None:
        ready = rows(joins, zone)
        harvest.ids.append(ready["call_id"])
        into.add(ready)

    for segment, block in _ahead(listed, slug):
        before = harvest.told[segment]
        harvest.told[segment] = Told(lines=block.lines, damage=(*before.damage, *block.damage))
        if block.events:
            harvest.events.append(pl.DataFrame(block.events, schema=EVENTS))
        waiting = pl.concat([waiting, block.calls])
        joins = joined(waiting)
        is_ready = _is_ready(segment, block.lines)
        emit(joins.filter(is_ready))
        waiting = _of(waiting, joins.filter(~is_ready)["call_id"])
        if waiting.height > _WAITING:
            waiting = _spilt(waiting, emit, harvest)
    _spilt(waiting, emit, harvest)
    return harvest


def _is_ready(segment: str, lines: int) -> pl.Expr:
    """Say of each join whether nothing more is to be expected of it."""
    told = pl.col("detail_seq").is_not_null()
    long_ago = (pl.col("end_segment") != segment) | (pl.col("end_seq") < lines - _NEAR)
    done = pl.col("end_seq").is_not_null() & (told | long_ago)
    return (is_opened & done) | ~(is_opened | is_stray)


def _of(records: pl.DataFrame, ids: pl.Series) -> pl.DataFrame:
    return records.join(ids.to_frame(), on="call_id", how="semi", maintain_order="left")


def _spilt(
    waiting: pl.DataFrame, emit: Callable[[pl.DataFrame], None], harvest: Harvest
) -> pl.DataFrame:
    """Let what waits go on as it is; nothing waits then."""
    joins = joined(waiting)
    emit(joins.filter(~is_stray))
    harvest.strays.append(joins.filter(is_stray))
    return waiting.clear()


def records_of(some: Iterable[Source], slug: str, ids: pl.Series) -> pl.DataFrame:
    """Return all records of some calls, from all segments that are given."""
    found = [pl.DataFrame(schema=RAW)]
    if ids.len():
        found += [_of(block.calls, ids) for _, block in _ahead(list(some), slug)]
    return pl.concat(found)


def _ahead(some: list[Source], slug: str) -> Iterator[tuple[str, Block]]:
    """Yield blocks, while the next one is parsed already."""
    coming = _blocks(some, slug)
    with ThreadPoolExecutor(1, "parsing") as pool:
        following = pool.submit(next, coming, None)
        while (this := following.result()) is not None:
            following = pool.submit(next, coming, None)
            yield this


def _blocks(some: list[Source], slug: str) -> Iterator[tuple[str, Block]]:
    for one in some:
        with open_segment(one.path) as file:
            for block in blocks(file, slug, one.segment):
                yield one.segment, block


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """Calls that have new rows, strays that have none yet, and details known to be loose."""

    ids: pl.Series
    strays: pl.DataFrame
    loose: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Brought:
    """The parts of the lake once every call is one row there, and the details left over."""

    parts: list[File]
    loose: tuple[str, ...]


def bring_together(
    gathered: Gathered,
    *,
    old: tuple[File, ...],
    parts: Parts,
    anew: Callable[[pl.Series], pl.DataFrame],
    zone: str | None,
) -> Brought:
    """
    Make one row a call of old parts and new ones.

    (1) What is told again of a call that has a row, and changes nothing, goes. (2) A stray
    amends the row of its call, or is a row. (3) Where rows do not suffice to say what is
    right, `anew` joins those calls from all their records. (4) Parts are written anew without
    what changed.
    """
    ids, strays, new = gathered.ids, gathered.strays, list(parts.files)
    redo = {*_twice(ids), *_twice(strays["call_id"])}
    redo |= {*gathered.loose} & {*_among(gathered.loose, ids, strays["call_id"])}
    # (1) told again
    again = parts.find(old, ids)
    later = parts.find(new, again["call_id"])
    changed, conflicts = settled(again, later.with_columns(_SAID_NOTHING))
    redo |= {*changed["call_id"], *conflicts}
    # A stray would amend the row that was told again, and not the one that counts.
    redo |= {*again["call_id"]} & {*strays["call_id"]}
    told_again = {*again["call_id"]} - redo
    # (2) strays
    mine = strays.filter(~pl.col("call_id").is_in(list(redo)))
    found = parts.find([*old, *new], mine["call_id"])
    changed, conflicts = settled(found, mine)
    redo |= {*conflicts}
    lonely = mine.join(found, on="call_id", how="anti")
    parts.add(rows(lonely, zone))
    # (3) anew
    joins = anew(_series(redo))
    parts.add(rows(joins, zone))
    parts.finish()
    # (4) parts
    gone = redo | {*changed["call_id"]}
    kept = parts.without(old, _series(gone), changed)
    kept += parts.without(new, _series(gone | told_again), changed)
    loose = {*gathered.loose} - redo | {*joins.filter(is_loose)["call_id"]}
    loose |= {*lonely.filter(is_loose)["call_id"]}
    return Brought(parts=[*kept, *parts.files[len(new) :]], loose=tuple(sorted(loose)))


_SAID_NOTHING: Final = [pl.lit(None, pl.String).alias(name) for name in SAID]


def _twice(ids: pl.Series) -> pl.Series:
    return ids.filter(ids.is_duplicated()).unique()


def _among(wanted: Iterable[str], *ids: pl.Series) -> Iterator[str]:
    names = pl.Series("call_id", list(wanted), pl.String)
    for some in ids if names.len() else ():
        yield from some.filter(some.is_in(names.implode()))


def _series(ids: Iterable[str]) -> pl.Series:
    return pl.Series("call_id", list(ids), pl.String)
