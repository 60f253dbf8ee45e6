"""
The audit log as frames: one row a call, whatever wrote it.

Reads whole lines only: a line that was torn by a power cut or damaged later is left out,
counted and named, and never makes the rest unreadable; a line that is being written is left
for the next reading. A call whose outcome no record tells is `unknown`. A call that is told
twice, by a copied file or two imports at once, is one row.

Does not follow the hash chain: that a line reads well does not show that nobody changed it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any, Final, NoReturn

import orjson
import polars as pl

from hsagency.audit.record import CALL_FIELDS, SCHEMA, TO_DISK, Event, Origin, Outcome
from hsagency.durable import try_lock
from hsagency.errors import AuditError, NewerSchema

_TYPES: Final[Mapping[str, type[pl.DataType]]] = {
    "text": pl.String,
    "number": pl.Int64,
    "time": pl.String,
}
_RAW: Final[dict[str, type[pl.DataType]]] = {
    "schema": pl.Int64,
    "event": pl.String,
    **{disk: _TYPES[kind] for disk, (_, kind) in CALL_FIELDS.items()},
}
_TIME: Final = pl.Datetime("us", "UTC")
_TIME_FORM: Final = "%Y-%m-%dT%H:%M:%S.%fZ"
_TIME_LENGTH: Final = 27
_CALL_EVENTS: Final = (Event.STARTED, Event.FINISHED, Event.DETAIL, Event.REFUSED)
# How segments follow one another is no news: whoever verifies the log reads that.
_NOT_ACTIVITY: Final = ("call.", Event.AUDIT_OPENED, Event.AUDIT_CLOSED)

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
    "details": pl.String(),
}
"""
Columns and types of the frame of what happened to connections and to the log itself.

`details` is a JSON object of whatever else the record says, null where that is nothing.
"""

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
    return sorted(
        one.name
        for one in _inside(folder)
        if one.name[0] != "_" and any(path.name == "journal" for path in _inside(one))
    )


def _inside(folder: Path) -> list[Path]:
    """Return what is in a folder, sorted; none there is nothing, one locked is an error."""
    try:
        return sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        _unreadable(folder, error)


def _unreadable(path: Path, error: OSError) -> NoReturn:
    raise AuditError(
        f"The audit log {path} cannot be read ({error.strerror}).",
        hint="A log that cannot be read is not an empty one: restore access to it.",
    ) from error


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
    frame of calls has the columns of `CALLS` and is sorted by time. Raises `AuditError` for a
    log that cannot be read and `NewerSchema` for one that a later version wrote.
    """
    damage: list[Damage] = []
    events: list[dict[str, Any]] = []
    frames = []
    for slug in slugs:
        for path in _inside(folder / slug / "journal"):
            if path.suffix != ".jsonl":
                continue
            content, torn = _whole_lines(path)
            found = [(content.count(b"\n") + 1, "torn last line")] if torn else []
            frame, bad = _frame(content, slug)
            damage.extend(
                Damage(client_slug=slug, file=path.name, line=number, cause=cause)
                for number, cause in [*bad, *found]
            )
            _refuse_newer(frame, path)
            frames.append(frame)
            events.extend(_events(content, slug))
    raw = pl.concat(frames) if frames else pl.DataFrame(schema=_RAW)
    calls = _joined(raw.lazy()).filter(_between(since, until)).sort("ts", "call_id")
    activity = _activity(events).filter(_between(since, until)).sort("ts", maintain_order=True)
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
    """Return a file up to its last line end, and whether what follows was left torn."""
    try:
        content = path.read_bytes()
        end = content.rfind(b"\n") + 1
        if end < len(content) and not _being_written(path):
            content = path.read_bytes()  # it may just have been finished
            end = content.rfind(b"\n") + 1
            return content[:end], end < len(content)
        return content[:end], False
    except OSError as error:
        _unreadable(path, error)


def _being_written(path: Path) -> bool:
    """Say whether a writer holds a file; a writer that dies lets go of it."""
    with path.open("rb") as file:
        return not try_lock(file.fileno())


def _refuse_newer(frame: pl.DataFrame, path: Path) -> None:
    newest = frame["schema"].max()
    if isinstance(newest, int) and newest > SCHEMA:
        raise NewerSchema(
            f"The audit log {path} has records of schema {newest}; this hsagency reads up to "
            f"{SCHEMA}. Nothing was counted.",
            hint="Use the later hsagency that wrote them.",
        )


def _frame(content: bytes, slug: str) -> tuple[pl.DataFrame, list[tuple[int, str]]]:
    """Parse a file at once; only if that fails, line by line to find out which are damaged."""
    if not content:
        return pl.DataFrame(schema=_RAW), []
    try:
        frame = pl.read_ndjson(BytesIO(content), schema=_RAW)
        if frame.height == content.count(b"\n") and frame.select(_usable(slug).all()).item():
            return frame, []
    except (pl.exceptions.PolarsError, ValueError):
        pass  # some line is damaged: found below
    rows, bad = [], []
    for number, line in enumerate(content.split(b"\n")[:-1], start=1):
        row, cause = _row(line, slug)
        if row is None:
            bad.append((number, cause))
        else:
            rows.append(row)
    return pl.DataFrame(rows, schema=_RAW), bad


def _usable(slug: str) -> pl.Expr:
    """Say of each row whether every question that a reader asks of a record has an answer."""
    event = pl.col("event")
    known = pl.col("callId").is_not_null() & event.is_in(_CALL_EVENTS)
    return (
        event.is_not_null()
        & (pl.col("ts").str.len_bytes() == _TIME_LENGTH)
        & _time("ts").is_not_null()
        & (pl.col("clientSlug") == slug).fill_null(value=False)
        & (known | ~event.str.starts_with("call."))
    )


def _row(line: bytes, slug: str) -> tuple[dict[str, Any] | None, str]:
    """Return a line as a row, or nothing and why it is none; what `_usable` says, in words."""
    try:
        record = orjson.loads(line)
        row = {name: _typed(record.get(name), kind) for name, kind in _RAW.items()}
        event = row["event"]
        datetime.strptime(row["ts"], _TIME_FORM)  # noqa: DTZ007  (the form says UTC)
    except (ValueError, AttributeError, TypeError):
        return None, "not a record"
    if event is None or len(row["ts"]) != _TIME_LENGTH:
        return None, "not a record"
    if row["clientSlug"] != slug:
        return None, "not a record of this client"
    if event.startswith("call.") and (row["callId"] is None or event not in _CALL_EVENTS):
        return None, "not a record of a call"
    return row, ""


def _typed(value: Any, kind: type[pl.DataType]) -> Any:
    if value is None or (kind is pl.String and isinstance(value, str)):
        return value
    if kind is pl.Int64 and type(value) is int and -(2**63) <= value < 2**63:
        return value
    raise TypeError


def _events(content: bytes, slug: str) -> Iterator[dict[str, Any]]:
    """Yield what is not a call; the few lines among many are found without parsing all."""
    names = {"client_slug": "clientSlug", "portal_id": "portalId", "run_id": "runId"}
    for line in content.split(b"\n"):
        if line and b'"event":"call.' not in line[:200]:
            row, _ = _row(line, slug)  # one that is damaged is named by the frame of calls
            if row is not None and not row["event"].startswith(_NOT_ACTIVITY):
                record = orjson.loads(line)
                event = {name: record.get(names.get(name, name)) for name in ACTIVITY}
                yield {**event, "details": _details(record, names)}


def _details(record: dict[str, Any], names: Mapping[str, str]) -> str | None:
    shown = {"schema", "seq", "hash", *(names.get(name, name) for name in ACTIVITY)}
    rest = {name: value for name, value in record.items() if name not in shown}
    return orjson.dumps(rest).decode() if rest else None


def _activity(events: list[dict[str, Any]]) -> pl.DataFrame:
    raw = pl.DataFrame(events, schema={**ACTIVITY, "ts": pl.String()}, strict=False)
    return raw.with_columns(_time("ts"))


def _joined(raw: pl.LazyFrame) -> pl.LazyFrame:
    """Join starts with their ends; what stands alone (imported, simulated, refused) stays."""
    event = pl.col("event")
    started, finished, detail, refused = (_first(raw.filter(event == one)) for one in _CALL_EVENTS)
    said = detail.select("callId", "policyName", named="objectId")
    witnessed = (
        started.drop(*_ENDING, "policyName")
        .join(finished.select("callId", *_ENDING), on="callId", how="left")
        .join(said, on="callId", how="left")
        .with_columns(pl.coalesce("objectId", "named").alias("objectId"))
    )
    alone = _first(pl.concat([refused, finished])).join(started, on="callId", how="anti")
    return (
        pl.concat([witnessed.select(*_RAW), alone.select(*_RAW)])
        .with_columns(
            pl.col("outcome").fill_null(pl.lit(str(Outcome.UNKNOWN))),
            pl.col("origin").fill_null(pl.lit(str(Origin.WITNESSED))),
        )
        .select(
            pl.col(disk).alias(frame) if kind != "time" else _time(disk).alias(frame)
            for disk, (frame, kind) in CALL_FIELDS.items()
        )
    )


def _first(calls: pl.LazyFrame) -> pl.LazyFrame:
    """Keep what was said of each call first: what is said later cannot make it look better."""
    return calls.unique("callId", keep="first", maintain_order=True)


def _time(name: str) -> pl.Expr:
    parsed = pl.col(name).str.to_datetime("%Y-%m-%dT%H:%M:%S%.fZ", time_unit="us", strict=False)
    return parsed.dt.replace_time_zone("UTC")
