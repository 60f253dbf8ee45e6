"""
Taking in logs that other scripts wrote, as records of origin `imported`.

One JSON object a line, with camelCase or snake_case names, for any client, onboarded or not.
What is kept: who, what, when, how it ended, and where it came from (file digest and line
number). What is not: query strings, and identifiers that are not numeric record ids. A line
that cannot be used is named with its number and cause; blank lines are not lines. A file is
read and judged as a whole before the first record of it is written.

A line is known by its content, so the same file adds nothing the second time, a log that has
grown since adds its new lines only, and an import that was interrupted is completed.

An object type that HubSpot does not name itself becomes `custom`: it may be anything, and
reports show it. Actor and correlation id are kept if short and plain: no report shows them.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NoReturn
from urllib.parse import urlsplit

import orjson
import polars as pl

from hsagency.audit import lake
from hsagency.audit.journal.writer import AuditWriter
from hsagency.audit.record import TO_FRAME, Event, Origin, outcome_of, timestamp
from hsagency.errors import UsageError
from hsagency.portals import AGENCY, looks_like_token, parse_portal_id, parse_slug, redact
from hsagency.progress import Progress, silent
from hsagency.routes import is_object_type, touched


@dataclass(frozen=True, slots=True)
class Malformed:
    """A line that was not taken in."""

    line: int
    cause: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportResult:
    """What an import did."""

    digest: str
    added: Mapping[str, int]
    known: int
    malformed: tuple[Malformed, ...]


def import_file(
    writer: AuditWriter, path: Path, *, name: str | None = None, progress: Progress = silent
) -> ImportResult:
    """
    Take in one file of JSON lines; raises `UsageError` if it cannot be read.

    `name` is what the records of the import call the file; its folders are not written down.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read ({error.strerror}); nothing was imported.",
            hint="Name a file of JSON lines, one record a line.",
        ) from error
    digest = hashlib.sha256(content).hexdigest()
    good, malformed = _parse(content.removeprefix(b"\xef\xbb\xbf"))
    before = lake.read(writer.folder, sorted({AGENCY, *(record["clientSlug"] for record in good)}))
    known = _known_calls(before)
    new = [record for record in good if record["callId"] not in known]
    with progress("importing", len(new)) as step:
        for record in new:
            writer.append(record["clientSlug"], {**record, "sourceDigest": digest}, durable=False)
            step(1)
    result = ImportResult(
        digest=digest,
        added=dict(sorted(Counter(record["clientSlug"] for record in new).items())),
        known=len(good) - len(new),
        malformed=malformed,
    )
    _note(writer, name or path.name, result, before)
    writer.flush()
    return result


def _parse(content: bytes) -> tuple[list[dict[str, Any]], tuple[Malformed, ...]]:
    good, malformed, seen = [], [], Counter[bytes]()
    for number, line in enumerate(content.split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            record = _record(line)
        except (_Unusable, UsageError) as error:
            malformed.append(Malformed(number, getattr(error, "message", str(error))))
            continue
        seen[line.strip()] += 1  # the same call may well have been logged twice
        identity = line.strip() + b"\0%d" % seen[line.strip()]
        call_id = hashlib.sha256(b"hsagency import\0" + identity).hexdigest()[:32]
        good.append({**record, "callId": call_id, "sourceLine": number})
    return good, tuple(malformed)


class _Unusable(ValueError):
    """Why a line cannot be taken in."""


def _record(line: bytes) -> dict[str, Any]:
    """Return a line as record fields; raises with the cause if it is not one."""
    try:
        given = orjson.loads(line)
    except ValueError:
        raise _Unusable("not JSON") from None
    if not isinstance(given, dict):
        raise _Unusable("not a JSON object")
    field: dict[str, Any] = {TO_FRAME.get(name, name): one for name, one in given.items()}
    if {"call_id", "origin"} <= field.keys():
        raise _Unusable("a record of hsagency itself, which would be counted twice")
    path, query = _address(field)
    method = _method(field)
    call = touched(method, path, query)
    status = _whole(field, "status_code")
    if status is not None and not 100 <= status <= 999:
        status = None  # 0 was written where there was no answer
    return {
        "event": Event.FINISHED,
        "ts": timestamp(_moment(field)),
        "clientSlug": parse_slug(_text(field, "client_slug")),
        "portalId": parse_portal_id(_whole(field, "portal_id") or 0),
        "method": method,
        "path": call.template,
        "operationClass": call.operation_class,
        "objectType": _object_type(field),
        "objectId": None if "idProperty" in query else _digits(field, "object_id"),
        "statusCode": status,
        "outcome": outcome_of(status),
        "durationMs": _count(field, "duration_ms"),
        # The source scripts wrote 0 where the header was absent: it says nothing.
        "rateLimitRemaining": _whole(field, "rate_limit_remaining") or None,
        "correlationId": _word(field, "correlation_id") or _word(field, "request_id"),
        "actor": _word(field, "actor"),
        "user": None,
        "host": None,
        "runId": None,
        "origin": Origin.IMPORTED,
    }


_METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")


def _address(field: Mapping[str, Any]) -> tuple[str, str]:
    """Return path and query of what may be a whole address."""
    given = _text(field, "path")
    try:
        address = urlsplit(given)
    except ValueError:
        raise _Unusable("path is not one") from None
    return "/" + address.path.removeprefix("/"), address.query


def _method(field: Mapping[str, Any]) -> str:
    method = _text(field, "method").upper()
    if method not in _METHODS:
        raise _Unusable("method is not one of HTTP's")
    return method


def _text(field: Mapping[str, Any], name: str) -> str:
    value = field.get(name)
    if not isinstance(value, str) or not value:
        _missing(name)
    return value


def _count(field: Mapping[str, Any], name: str) -> int | None:
    value = field.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 2**53:
        raise _Unusable(f"{name} is not a count")
    return round(value)


def _whole(field: Mapping[str, Any], name: str) -> int | None:
    """Return a count that must not be rounded: half a portal is another portal."""
    value = _count(field, name)
    if value != field.get(name):
        raise _Unusable(f"{name} is not a whole number")
    return value


def _word(field: Mapping[str, Any], name: str) -> str | None:
    """Return a short plain text; anything longer or stranger may be personal or secret."""
    value = field.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= 64 or not value.isascii():
        return None
    return (
        value if value.isprintable() and "@" not in value and not looks_like_token(value) else None
    )


def _object_type(field: Mapping[str, Any]) -> str | None:
    """Reports show it, to clients too, so it is a word of HubSpot's and nobody else's."""
    given = field.get("object_type")
    if not isinstance(given, str) or given in ("", "other"):
        return None
    return given if is_object_type(given) else "custom"


def _digits(field: Mapping[str, Any], name: str) -> str | None:
    value = str(field.get(name) or "")
    return value if value.isascii() and value.isdigit() and len(value) <= 20 else None


def _moment(field: Mapping[str, Any]) -> datetime:
    try:
        at = datetime.fromisoformat(_text(field, "ts"))
    except ValueError as error:
        if isinstance(error, _Unusable):
            raise
        raise _Unusable("ts is not a time") from None
    if at.tzinfo is None:
        raise _Unusable("ts does not say its time zone")
    try:
        return at.astimezone(UTC)
    except OverflowError:
        raise _Unusable("ts is not a time") from None


def _missing(name: str) -> NoReturn:
    raise _Unusable(f"{name} is missing")


def _known_calls(before: lake.Reading) -> set[str]:
    imported = before.calls.filter(pl.col("origin") == Origin.IMPORTED)
    return set(imported.select("call_id").collect()["call_id"])


_SHOWN: Final = 20  # malformed lines named in a record; the command names them all


def _note(writer: AuditWriter, name: str, result: ImportResult, before: lake.Reading) -> None:
    """
    Record the import with each client it added to, then with the agency.

    Where it is recorded already it is not again; where an earlier run was interrupted before
    it came to that, it is now, with the records of both.
    """
    source = f"(SHA-256 {result.digest[:16]}...)"
    noted = before.activity.filter(
        pl.col("event") == Event.AUDIT_IMPORTED,
        pl.col("message").str.contains(source, literal=True),
    )
    counts = _of_this_file(before, result.digest) + Counter(result.added)
    totals = {**dict(sorted(counts.items())), AGENCY: counts.total()}
    for slug in [one for one in totals if one not in set(noted["client_slug"])]:
        message = (
            f"Imported {totals[slug]} records from {_plain(name)} {source}{_left_out(result)}."
        )
        fields = {"event": Event.AUDIT_IMPORTED, "message": message, "sourceDigest": result.digest}
        writer.append(slug, fields, durable=False)


def _of_this_file(before: lake.Reading, digest: str) -> Counter[str]:
    records = before.calls.filter(pl.col("source_digest") == digest).select("client_slug")
    return Counter(records.collect()["client_slug"])


def _left_out(result: ImportResult) -> str:
    numbers = [str(one.line) for one in result.malformed]
    listed = ", ".join(numbers[:_SHOWN]) + (", ..." if len(numbers) > _SHOWN else "")
    return f"; {len(numbers)} malformed lines were left out: {listed}" if numbers else ""


def _plain(name: str) -> str:
    """Return a file's name as it may be written down."""
    shown = "".join(one if one.isprintable() and one != "@" else "?" for one in name[:100])
    return redact(shown)


def malformed_lines(malformed: tuple[Malformed, ...]) -> Iterator[str]:
    """Yield each malformed line as a person reads it."""
    for one in malformed:
        yield f"line {one.line}: {one.cause}"
