"""
Taking in logs that other scripts wrote, as records of origin `imported`.

One JSON object a line, with camelCase or snake_case names, for any client, onboarded or not.
What is kept: who, what, when, how it ended, and where it came from (file digest and line
number). What is not: query strings, and identifiers that are not numeric record ids. A line
that cannot be used is named with its number and cause; blank lines are not lines.

A line is known by its content, so the same file adds nothing the second time, a log that has
grown since adds its new lines only, and an import that was interrupted is completed.
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
from hsagency.audit.journal import AuditWriter
from hsagency.audit.record import TO_FRAME, Event, Origin, outcome_of, timestamp
from hsagency.errors import UsageError
from hsagency.portals import AGENCY, looks_like_token, parse_portal_id, parse_slug
from hsagency.progress import Progress, silent
from hsagency.routes import touched


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
    good, malformed = _parse(content)
    known = _known_calls(writer.folder, {record["clientSlug"] for record in good})
    new = [record for record in good if record["callId"] not in known]
    added: Counter[str] = Counter()
    with progress("importing", len(new)) as step:
        for record in new:
            writer.append(record["clientSlug"], {**record, "sourceDigest": digest}, durable=False)
            added[record["clientSlug"]] += 1
            step(1)
    result = ImportResult(
        digest=digest,
        added=dict(sorted(added.items())),
        known=len(good) - len(new),
        malformed=malformed,
    )
    if new or not good:  # the same file again leaves no trace at all
        _note(writer, name or path.name, result)
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
    address = urlsplit(_text(field, "path"))
    method = _text(field, "method").upper()
    call = touched(method if method.isalpha() else "OTHER", address.path, address.query)
    status = _count(field, "status_code") or None  # 0 was written where there was no answer
    return {
        "event": Event.FINISHED,
        "ts": timestamp(_moment(field)),
        "clientSlug": parse_slug(_text(field, "client_slug")),
        "portalId": parse_portal_id(_count(field, "portal_id") or 0),
        "method": method[:10],
        "path": call.template,
        "operationClass": call.operation_class,
        "objectType": _word(field, "object_type"),
        "objectId": _digits(field, "object_id"),
        "statusCode": status,
        "outcome": outcome_of(status),
        "durationMs": _count(field, "duration_ms"),
        # The source scripts wrote 0 where the header was absent: it says nothing.
        "rateLimitRemaining": _count(field, "rate_limit_remaining") or None,
        "correlationId": _word(field, "correlation_id") or _word(field, "request_id"),
        "actor": _word(field, "actor"),
        "user": None,
        "host": None,
        "runId": None,
        "origin": Origin.IMPORTED,
    }


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


def _word(field: Mapping[str, Any], name: str) -> str | None:
    """Return a short plain text; anything longer or stranger may be personal or secret."""
    value = field.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= 64 or not value.isascii():
        return None
    return (
        value if value.isprintable() and "@" not in value and not looks_like_token(value) else None
    )


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
    return at.astimezone(UTC)


def _missing(name: str) -> NoReturn:
    raise _Unusable(f"{name} is missing")


def _known_calls(folder: Path, slugs: set[str]) -> set[str]:
    present = sorted(slugs & set(lake.clients(folder)))
    imported = lake.read(folder, present).calls.filter(pl.col("origin") == Origin.IMPORTED)
    return set(imported.select("call_id").collect()["call_id"])


_SHOWN: Final = 20  # malformed lines named in a record; the command names them all


def _note(writer: AuditWriter, name: str, result: ImportResult) -> None:
    """Record the import, in the agency's journal and in that of each client it added to."""
    numbers = [str(one.line) for one in result.malformed]
    listed = ", ".join(numbers[:_SHOWN]) + (", ..." if len(numbers) > _SHOWN else "")
    malformed = f"; {len(numbers)} malformed lines were left out: {listed}" if numbers else ""
    for slug, count in {AGENCY: sum(result.added.values()), **result.added}.items():
        message = (
            f"Imported {count} records from {_plain(name)} "
            f"(SHA-256 {result.digest[:16]}...){malformed}."
        )
        fields = {"event": Event.AUDIT_IMPORTED, "message": message, "sourceDigest": result.digest}
        writer.append(slug, fields, durable=False)


def _plain(name: str) -> str:
    return "".join(one if one.isprintable() else "?" for one in name[:100])


def malformed_lines(malformed: tuple[Malformed, ...]) -> Iterator[str]:
    """Yield each malformed line as a person reads it."""
    for one in malformed:
        yield f"line {one.line}: {one.cause}"
