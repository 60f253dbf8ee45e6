"""
Segments as frames: whole lines, in blocks, so that memory does not grow with a segment.

A line that is no record of this client is left out and named by its number and cause, and
never makes the rest unreadable. What is read depends on the bytes of the segment alone, so a
segment gives the same rows from the journal, from the evidence, today and in a year.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from io import BufferedReader
from typing import Any, Final

import orjson
import polars as pl

from hsagency.audit.record import CALL_EVENTS, CALL_FIELDS, KINDS, SCHEMA, TO_FRAME, Event, flaw
from hsagency.audit.standalone.segments import LONGEST
from hsagency.errors import DamagedEvidence, NewerSchema

TYPES: Final[Mapping[str, type[pl.DataType]]] = {
    "text": pl.String,
    "number": pl.Int64,
    "time": pl.String,
}

_FIELDS: Final[dict[str, type[pl.DataType]]] = {disk: TYPES[kind] for disk, kind in KINDS.items()}
_TIME: Final = pl.Datetime("us", "UTC")
RAW: Final[dict[str, pl.DataType]] = {
    "event": pl.String(),
    **{frame: _TIME if kind == "time" else TYPES[kind]() for frame, kind in CALL_FIELDS.values()},
    "segment": pl.String(),
    "seq": pl.Int64(),
}
"""Columns of records of calls, and where each is: its segment and line."""

_NAMES: Final = {"client_slug": "clientSlug", "portal_id": "portalId", "run_id": "runId"}
_SHOWN: Final = (
    *("ts", "client_slug", "event", "portal_id", "message"),
    *("actor", "user", "host", "run_id"),
)
EVENTS: Final[dict[str, type[pl.DataType]]] = {
    **{name: pl.Int64 if name == "portal_id" else pl.String for name in _SHOWN},
    "details": pl.String,
    "segment": pl.String,
    "seq": pl.Int64,
}
"""Columns of records of what is not a call, and where each is."""

TIME_FORM: Final = "%Y-%m-%dT%H:%M:%S.%6fZ"
"""How frames read the times that records write; another form of them takes four times as long."""

_TIME_LENGTH: Final = 27
# How segments follow one another is no news: whoever verifies the log reads that.
_NOT_ACTIVITY: Final = ("call.", Event.AUDIT_OPENED, Event.AUDIT_CLOSED)
_VERSION: Final = b'{"schema":%d,' % SCHEMA
BLOCK: Final = 8 << 20
"""Bytes that are parsed at once."""

_FEW: Final = 64  # lines among which a damaged one is looked for one by one


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Some lines of a segment: records of calls, other events, and what is neither."""

    calls: pl.DataFrame  # columns: RAW
    events: list[dict[str, Any]]  # columns: EVENTS
    damage: list[tuple[int, str]]  # line, cause
    lines: int  # of the segment, up to the end of this block


def blocks(
    file: BufferedReader,
    slug: str,
    segment: str,
    *,
    size: int | None = None,
    only: bool = False,
) -> Iterator[Block]:
    """
    Yield a segment as blocks of whole lines, of its first `size` bytes or of all.

    With `only`, what is not about calls is passed over where that is quicker.
    Raises `NewerSchema` for records of a later version. Where evidence is damaged, what can
    still be unpacked is read, and the rest is one damaged line.
    """
    lines = 0
    for content, cause in _whole_lines(file, size):
        if cause:
            damage = [(lines + 1, cause)]
            lines += content.count(b"\n")
            yield Block(calls=pl.DataFrame(schema=RAW), events=[], damage=damage, lines=lines)
            continue
        if not (only and _is_without_calls(content)):
            yield _block(content, slug, segment, lines)
        lines += content.count(b"\n")


def _is_without_calls(content: bytes) -> bool:
    """Say for sure that there is no record of a call here, nor one of a later version."""
    is_plain = b"call." not in content and b"\\u" not in content
    return is_plain and content.count(_VERSION) == content.count(b"\n")


def calls_at_once(contents: Iterable[tuple[str, bytes]]) -> pl.DataFrame | None:
    """
    Return the records of calls among whole lines of several clients (columns: RAW but the place).

    Nothing where some line is no record of its client, or one of a later version; `blocks` says
    which. Parsing them together takes a tenth of the time where there are many clients.
    """
    some = list(contents)
    counts = [content.count(b"\n") for _, content in some]
    try:
        frame = _timed(pl.read_ndjson(b"".join(content for _, content in some), schema=_FIELDS))
    except (pl.exceptions.PolarsError, ValueError):
        return None
    if frame.height != sum(counts):
        return None
    whose = [slug for (slug, _), count in zip(some, counts, strict=True) for _ in range(count)]
    frame = frame.with_columns(pl.Series("whose", whose, pl.String))
    is_known = _usable(pl.col("whose")) & (pl.col("schema") <= SCHEMA)
    if not frame.select(is_known.all()).item():
        return None
    return frame.filter(pl.col("event").str.starts_with("call.")).rename(TO_FRAME)


def _whole_lines(file: BufferedReader, size: int | None) -> Iterator[tuple[bytes, str]]:
    """Yield whole lines, many at once; or what stands for some, and why they are damaged."""
    left = sys.maxsize if size is None else size
    while left > 0:
        content, cause = _read(file, min(BLOCK, left))
        left -= len(content)
        if left and not cause and content and not content.endswith(b"\n"):
            end, cause = _rest_of_line(file, min(LONGEST, left))
            left -= len(end)
            content += end
        whole = content.rfind(b"\n") + 1
        if whole:
            yield content[:whole], ""  # a copy only where the end is not whole
        if cause:
            yield b"", cause
            return
        if whole < len(content):
            length, is_line = _skip_line(file, left)
            left -= length
            yield (b"\n", "not a record") if is_line else (b"", "torn last line")
        elif not content:
            return


def _read(file: BufferedReader, count: int) -> tuple[bytes, str]:
    """Return so many bytes, or as many as there are, and why there are no more."""
    parts: list[bytes] = []
    try:
        while count > 0 and (part := file.read1(count)):
            parts.append(part)
            count -= len(part)
    except DamagedEvidence as error:
        return b"".join(parts), f"the evidence is damaged here: {error.cause}"
    return b"".join(parts), ""


def _rest_of_line(file: BufferedReader, count: int) -> tuple[bytes, str]:
    try:
        return file.readline(count), ""
    except DamagedEvidence as error:
        return b"", f"the evidence is damaged here: {error.cause}"


def _skip_line(file: BufferedReader, left: int) -> tuple[int, bool]:
    """Pass over the rest of a line; return its length, and whether it has an end."""
    length = 0
    while length < left:
        part, cause = _rest_of_line(file, min(BLOCK, left - length))
        length += len(part)
        if part.endswith(b"\n"):
            return length, True
        if cause or not part:
            break
    return length, False


def _block(content: bytes, slug: str, segment: str, before: int) -> Block:
    count = content.count(b"\n")
    frame, damage = _frame(content, slug, before, count)
    newest = frame["schema"].max()
    if isinstance(newest, int) and newest > SCHEMA:
        raise NewerSchema(
            f"Segment {segment} of the audit log of {slug} has records of schema {newest}; this "
            f"hsagency reads up to {SCHEMA}. Nothing was counted.",
            hint="Use the later hsagency that wrote them.",
        )
    is_call = frame["event"].str.starts_with("call.")
    events: list[dict[str, Any]] = []
    if not is_call.all():
        lines = content.split(b"\n")
        for number in frame.filter(~is_call)["seq"].to_list():
            _add_event(lines[number - before - 1], slug, segment, number, events, damage)
        damage.sort()
        frame = frame.filter(is_call)
    calls = frame.rename(TO_FRAME).with_columns(segment=pl.lit(segment)).select(*RAW)
    return Block(calls=calls, events=events, damage=damage, lines=before + count)


def _frame(
    content: bytes, slug: str, before: int, count: int
) -> tuple[pl.DataFrame, list[tuple[int, str]]]:
    """Parse lines at once; only where that fails, fewer and fewer, to find the damaged ones."""
    try:
        frame = _timed(pl.read_ndjson(content, schema=_FIELDS))
        if frame.height == count and frame.select(_usable(slug).all()).item():
            return frame.with_row_index("seq", before + 1).cast({"seq": pl.Int64}), []
    except (pl.exceptions.PolarsError, ValueError):
        pass  # some line is damaged: found below
    if count <= _FEW:
        return _one_by_one(content, slug, before)
    middle = content.find(b"\n", len(content) // 2) + 1
    if middle in (0, len(content)):  # the last line is longer than all the others
        middle = content.rfind(b"\n", 0, len(content) - 1) + 1
    half = content.count(b"\n", 0, middle)
    first, damage = _frame(content[:middle], slug, before, half)
    second, more = _frame(content[middle:], slug, before + half, count - half)
    return pl.concat([first, second]), damage + more


def _one_by_one(content: bytes, slug: str, before: int) -> tuple[pl.DataFrame, Any]:
    rows, damage = [], []
    for number, line in enumerate(content.split(b"\n")[:-1], start=before + 1):
        row, cause = _row(line, slug)
        if row is None:
            damage.append((number, cause))
        else:
            rows.append({"seq": number, **row})
    return _timed(pl.DataFrame(rows, schema={"seq": pl.Int64, **_FIELDS})), damage


def _timed(frame: pl.DataFrame) -> pl.DataFrame:
    """Read the times; what is no time as records write it is null."""
    written = pl.col("ts")
    parsed = written.str.to_datetime(TIME_FORM, time_unit="us", strict=False)
    # Frames know a year 0 and leap seconds; no time of a record is one of those.
    is_whole = (written.str.len_bytes() == _TIME_LENGTH) & (written.str.slice(17, 2) < "60")
    is_whole &= parsed.dt.year() > 0
    return frame.with_columns(
        pl.when(is_whole).then(parsed.dt.replace_time_zone("UTC")).alias("ts")
    )


def _usable(slug: str | pl.Expr) -> pl.Expr:
    """Say of each row whether every question that a reader asks of a record has an answer."""
    event = pl.col("event")
    known = pl.col("callId").is_not_null() & event.is_in([str(one) for one in CALL_EVENTS])
    named = (pl.col(name).str.len_bytes() > 0 for name in ("event", "hash"))
    return (
        pl.all_horizontal(*named, pl.col("schema") != 0).fill_null(value=False)
        & pl.col("ts").is_not_null()
        & (pl.col("clientSlug") == slug).fill_null(value=False)
        & (known | ~event.str.starts_with("call."))
    )


def _row(line: bytes, slug: str) -> tuple[dict[str, Any] | None, str]:
    """Return a line as a row, or nothing and why it is none; what `_usable` says, in words."""
    try:
        record = orjson.loads(line)
    except ValueError:
        return None, "not a record"
    if cause := flaw(record):
        return None, cause
    if record["clientSlug"] != slug:
        return None, "not a record of this client"
    return {name: record.get(name) for name in _FIELDS}, ""


def _add_event(
    line: bytes,
    slug: str,
    segment: str,
    number: int,
    events: list[dict[str, Any]],
    damage: list[tuple[int, str]],
) -> None:
    """Add a record of what is not a call; frames are more lenient than its own reading."""
    row, cause = _row(line, slug)
    if row is None or row["event"].startswith("call."):
        damage.append((number, cause or "not a record"))
    elif not row["event"].startswith(_NOT_ACTIVITY):
        record = orjson.loads(line)
        event = {name: _said(record, name) for name in _SHOWN}
        events.append({**event, "details": _details(record), "segment": segment, "seq": number})


def _said(record: Mapping[str, Any], name: str) -> Any:
    value = record.get(_NAMES.get(name, name))
    kind = int if name == "portal_id" else str
    return value if type(value) is kind else None


def _details(record: Mapping[str, Any]) -> str | None:
    shown = {"schema", "seq", "hash", *(_NAMES.get(name, name) for name in _SHOWN)}
    rest = {name: value for name, value in record.items() if name not in shown}
    return orjson.dumps(rest).decode() if rest else None
