"""
The audit log as frames: one row a call, whatever wrote it.

Reads whole lines only: a line that is still being written, torn by a power cut or damaged
later is left out, counted and named, and never makes the rest unreadable. A call whose
outcome no record tells is `unknown`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import orjson
import polars as pl

from hsagency.audit.record import CALL_FIELDS, TO_DISK, Event, Origin, Outcome
from hsagency.errors import AuditError

_TYPES: Final[Mapping[str, type[pl.DataType]]] = {
    "text": pl.String,
    "number": pl.Int64,
    "time": pl.String,
}
_RAW: Final[dict[str, type[pl.DataType]]] = {
    "event": pl.String,
    **{disk: _TYPES[kind] for disk, (_, kind) in CALL_FIELDS.items()},
}
_TIME: Final = pl.Datetime("us", "UTC")

CALLS: Final[Mapping[str, pl.DataType]] = {
    frame: _TIME if kind == "time" else _TYPES[kind]() for frame, kind in CALL_FIELDS.values()
}
"""Columns and types of the frame of calls."""

ACTIVITY: Final[Mapping[str, pl.DataType]] = {
    "ts": _TIME,
    "client_slug": pl.String(),
    "event": pl.String(),
    "portal_id": pl.Int64(),
    "message": pl.String(),
    "actor": pl.String(),
    "user": pl.String(),
    "host": pl.String(),
    "run_id": pl.String(),
}
"""Columns and types of the frame of what happened to connections and to the log itself."""

# What only the end of a call knows.
_ENDING: Final = (
    "statusCode",
    "outcome",
    "durationMs",
    "rateLimitRemaining",
    "rateLimitDaily",
    "correlationId",
    "error",
    "reason",
)


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
    """Return the slugs that have a journal, sorted; the agency's own is not a client's."""
    if not folder.is_dir():
        return []
    return sorted(
        one.name for one in folder.iterdir() if one.name[0] != "_" and (one / "journal").is_dir()
    )


def read(
    folder: Path,
    slugs: Iterable[str],
    *,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Reading:
    """
    Read the journals of some clients.

    `since` is inclusive and `until` exclusive, both by the time a call was started. The
    frame of calls has the columns of `CALLS` and is sorted by time.
    """
    damage: list[Damage] = []
    events: list[dict[str, Any]] = []
    frames = []
    for slug in slugs:
        for path in sorted((folder / slug / "journal").glob("*.jsonl")):
            content, torn = _whole_lines(path)
            if torn:
                number = content.count(b"\n") + 1
                damage.append(
                    Damage(client_slug=slug, file=path.name, line=number, cause="torn last line")
                )
            frames.append(_frame(content, slug, path, damage))
            events.extend(_events(content))
    raw = pl.concat(frames) if frames else pl.DataFrame(schema=_RAW)
    calls = _joined(raw.lazy()).filter(_between(since, until)).sort("ts", "call_id")
    activity = pl.DataFrame(events, schema=ACTIVITY).filter(_between(since, until)).sort("ts")
    return Reading(calls=calls, activity=activity, damage=tuple(damage))


def joined_records(calls: pl.DataFrame) -> Iterator[dict[str, Any]]:
    """Yield a frame of calls as one record a call, with the names used on disk."""
    for row in calls.iter_rows(named=True):
        yield {TO_DISK[name]: _plain(value) for name, value in row.items() if value is not None}


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


def _whole_lines(path: Path) -> tuple[bytes, bool]:
    """Return a file up to its last line end, and whether anything follows it."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise AuditError(
            f"The audit log {path} cannot be read ({error.strerror}).",
            hint="A log that cannot be read is not an empty one: restore access to it.",
        ) from error
    end = content.rfind(b"\n") + 1
    return content[:end], end < len(content)


def _frame(content: bytes, slug: str, path: Path, damage: list[Damage]) -> pl.DataFrame:
    """Parse a file at once; only if that fails, line by line to find out which are damaged."""
    if not content:
        return pl.DataFrame(schema=_RAW)
    try:
        return pl.read_ndjson(BytesIO(content), schema=_RAW)
    except (pl.exceptions.PolarsError, ValueError):
        rows = []
        for number, line in enumerate(content.splitlines(), start=1):
            row = _row(line)
            if row is None:
                damage.append(
                    Damage(client_slug=slug, file=path.name, line=number, cause="not a record")
                )
            else:
                rows.append(row)
        return pl.DataFrame(rows, schema=_RAW, strict=False)


def _row(line: bytes) -> dict[str, Any] | None:
    try:
        record = orjson.loads(line)
        return {name: record.get(name) for name in _RAW} if "event" in record else None
    except (ValueError, AttributeError, TypeError):
        return None


def _events(content: bytes) -> Iterator[dict[str, Any]]:
    """Yield what is not a call; the few lines among many are found without parsing all."""
    for line in content.splitlines():
        if b'"event":"call.' in line[:200]:
            continue
        try:
            record = orjson.loads(line)
            at = datetime.fromisoformat(record["ts"])
            names = {"client_slug": "clientSlug", "portal_id": "portalId", "run_id": "runId"}
            yield {name: record.get(names.get(name, name)) for name in ACTIVITY} | {"ts": at}
        except (ValueError, KeyError, TypeError, AttributeError):
            continue  # named as damage by the frame of calls


def _joined(raw: pl.LazyFrame) -> pl.LazyFrame:
    """Join starts with their ends; what stands alone (imported, simulated, refused) stays."""
    event = pl.col("event")
    started = raw.filter(event == Event.STARTED)
    finished = raw.filter(event == Event.FINISHED)
    cause = raw.filter(event == Event.DETAIL).select("callId", "policyName").unique("callId")
    witnessed = (
        started.drop(*_ENDING, "policyName")
        .join(finished.select("callId", *_ENDING).unique("callId"), on="callId", how="left")
        .with_columns(pl.col("outcome").fill_null(pl.lit(str(Outcome.UNKNOWN))))
        .join(cause, on="callId", how="left")
    )
    alone = pl.concat(
        [
            finished.join(started, on="callId", how="anti"),
            raw.filter(event == Event.REFUSED),
        ]
    )
    return (
        pl.concat([witnessed.select(*_RAW), alone.select(*_RAW)])
        .with_columns(pl.col("origin").fill_null(pl.lit(str(Origin.WITNESSED))))
        .select(
            pl.col(disk).alias(frame) if kind != "time" else _time(disk).alias(frame)
            for disk, (frame, kind) in CALL_FIELDS.items()
        )
    )


def _time(name: str) -> pl.Expr:
    parsed = pl.col(name).str.to_datetime("%Y-%m-%dT%H:%M:%S%.fZ", time_unit="us", strict=False)
    return parsed.dt.replace_time_zone("UTC")
