"""
Taking in logs that other scripts wrote, as records of origin `imported`.

One JSON object a line, with camelCase or snake_case names, for any client, onboarded or not.
What is kept: who, what, when, how it ended, and on which line of its source it stood. What is
not: query strings, and identifiers that are not numeric record ids. A line that cannot be used
is named with its number and cause; blank lines are not lines. A file is read and judged as a
whole before the first record of it is written.

A record is known by what is kept of its line, its path apart, and by how many before it in the
file are alike: so the same file adds nothing the second time, also when the route table has
changed, a log that has grown since adds its new lines only, an import that was interrupted is
completed, and no digest tells anything of what was left out. Calls in two files that are alike
in all that, from the microsecond to what was left of the limit, are taken for the same.

`sourceDigest`, of a client's records, is that of all its records in the file, and so tells
nothing of other clients in it. The file's own digest and name, and the lines that were left
out, are in the agency's log alone; a digest of a short file can be guessed by whoever sees it.

An object type that HubSpot does not name itself becomes `custom`: it may be anything, and
reports show it. Of the actor only a program's name and version is kept, and of the correlation
id only a word: whoever could be meant by `Jane Doe` stays unnamed.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
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
from hsagency.portals import (
    AGENCY,
    PortalId,
    looks_like_token,
    parse_portal_id,
    parse_slug,
    plain_word,
    redact,
)
from hsagency.progress import Progress, silent
from hsagency.routes import Touched, is_object_type, looks_up, names_somebody, touched
from hsagency.words import counted


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
    found = _parse(content.removeprefix(b"\xef\xbb\xbf"))
    sources = _digests(found.good)
    before = lake.read(writer.folder, sorted({AGENCY, *sources}))
    known = _known_calls(before)
    new = [
        one for one in found.good if known.isdisjoint((one["callId"], found.earlier[one["callId"]]))
    ]
    with progress("importing", len(new)) as step:
        for record in new:
            slug = record["clientSlug"]
            writer.append(slug, {**record, "sourceDigest": sources[slug]}, durable=False)
            step(1)
    result = ImportResult(
        digest=hashlib.sha256(content).hexdigest(),
        added=dict(sorted(Counter(record["clientSlug"] for record in new).items())),
        known=len(found.good) - len(new),
        malformed=found.malformed,
    )
    _note(writer, name or path.name, result, sources, before)
    writer.settle()
    return result


@dataclass(frozen=True, slots=True)
class _Found:
    """What a file holds: records, and lines that cannot be used."""

    good: list[dict[str, Any]]
    malformed: tuple[Malformed, ...]
    earlier: dict[str, str]
    """By which id an earlier version knew each of them; it was made of the line as it stood."""


def _parse(content: bytes) -> _Found:
    good, malformed, earlier = [], [], {}
    alike, lines = Counter[bytes](), Counter[bytes]()
    for number, line in enumerate(content.split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            record = _record(line)
        except (_Unusable, UsageError) as error:
            malformed.append(Malformed(number, getattr(error, "message", str(error))))
            continue
        # the same call may well have been logged twice
        call_id = _call_id(b"hsagency import 2\0", _said(record), alike)
        earlier[call_id] = _call_id(b"hsagency import\0", line.strip(), lines)
        good.append({**record, "callId": call_id, "sourceLine": number})
    return _Found(good, tuple(malformed), earlier)


_KNOWN_BY: Final = (
    *("ts", "clientSlug", "portalId", "method", "statusCode", "durationMs"),
    *("rateLimitRemaining", "correlationId", "actor"),
)


def _said(record: Mapping[str, Any]) -> bytes:
    """Return what a record is known by: nothing that a later route table would read otherwise."""
    return orjson.dumps([record[name] for name in _KNOWN_BY])


def _call_id(kind: bytes, content: bytes, seen: Counter[bytes]) -> str:
    seen[content] += 1
    return hashlib.sha256(kind + content + b"\0%d" % seen[content]).hexdigest()[:32]


def _digests(good: list[dict[str, Any]]) -> dict[str, str]:
    """Return by client what its records of this file are known by together."""
    made: dict[str, Any] = {}
    for record in good:
        made.setdefault(record["clientSlug"], hashlib.sha256()).update(record["callId"].encode())
    return {slug: one.hexdigest() for slug, one in made.items()}


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
        "portalId": _portal(field),
        "method": method,
        "path": call.template,
        "operationClass": call.operation_class,
        "objectType": _object_type(field),
        "objectId": call.object_id or _object_id(field, call, query),
        "statusCode": status,
        "outcome": outcome_of(status),
        "durationMs": _count(field, "duration_ms"),
        # The source scripts wrote 0 where the header was absent: it says nothing.
        "rateLimitRemaining": _whole(field, "rate_limit_remaining") or None,
        "correlationId": _first_word(field, "correlation_id", "request_id", "requestId"),
        "actor": _program(field),
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


_PROGRAM: Final = re.compile(r"[A-Za-z][\w-]{0,39}(/[\w.+-]{1,20})?", re.ASCII)


def _program(field: Mapping[str, Any]) -> str | None:
    """Return a program's name and version; anything else may be a person or a secret."""
    value = field.get("actor")
    if not isinstance(value, str) or not _PROGRAM.fullmatch(value) or looks_like_token(value):
        return None
    return value


def _first_word(field: Mapping[str, Any], *names: str) -> str | None:
    words = (plain_word(field.get(name)) for name in names)
    return next((word for word in words if word), None)


def _portal(field: Mapping[str, Any]) -> PortalId:
    number = _whole(field, "portal_id")
    return _missing("portal_id") if number is None else parse_portal_id(number)


def _object_type(field: Mapping[str, Any]) -> str | None:
    """Reports show it, to clients too, so it is a word of HubSpot's and nobody else's."""
    given = field.get("object_type")
    if not isinstance(given, str) or given in ("", "other"):
        return None
    return given if is_object_type(given) else "custom"


def _object_id(field: Mapping[str, Any], call: Touched, query: str) -> str | None:
    """
    Return the id that a line gives apart from its path, where that has a place for one.

    Some scripts logged the template of a path and the id beside it. Where something is left
    out of an address, the id beside it may be the same thing.
    """
    has_place = "{id}" in call.template.split("/")
    if not has_place or call.hides or looks_up(query) or names_somebody(query):
        return None
    value = str(field.get("object_id") or "")
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


def _note(
    writer: AuditWriter,
    name: str,
    result: ImportResult,
    sources: Mapping[str, str],
    before: lake.Reading,
) -> None:
    """
    Record the import with each client it added to, then with the agency.

    Where it is recorded already it is not again; where an earlier run was interrupted before
    it came to that, it is now, with the records of both.
    """
    stored = before.calls.select("client_slug", "source_digest").collect()
    there = Counter(slug for slug, digest in stored.iter_rows() if digest == sources.get(slug, ""))
    totals = dict(sorted((there + Counter(result.added)).items()))
    noted = before.activity.filter(pl.col("event") == Event.AUDIT_IMPORTED)
    said = list(noted.select("client_slug", "message").iter_rows())
    for slug, total in totals.items():
        digest = sources[slug]
        what = f"Imported {counted(total, 'record')} from a file"
        source = f"(source {digest[:16]}...)"
        more = _left_out(result, named=False)
        _note_once(writer, slug, said, what=what, source=source, digest=digest, more=more)
    _note_once(
        writer,
        AGENCY,
        said,
        what=f"Imported {counted(sum(totals.values()), 'record')} from {_plain(name)}",
        source=f"(SHA-256 {result.digest[:16]}...)",
        digest=result.digest,
        more=_left_out(result, named=True),
    )


def _note_once(
    writer: AuditWriter,
    slug: str,
    said: Collection[tuple[str, str]],
    *,
    what: str,
    source: str,
    digest: str,
    more: str,
) -> None:
    if not any(one == slug and source in message for one, message in said):
        message = f"{what} {source}{more}."
        fields = {"event": Event.AUDIT_IMPORTED, "message": message, "sourceDigest": digest}
        writer.append(slug, fields, durable=False)


def _left_out(result: ImportResult, *, named: bool) -> str:
    """Say how many lines were left out, which may be anybody's; where, is for the agency."""
    numbers = [str(one.line) for one in result.malformed]
    if not numbers:
        return ""
    listed = ", ".join(numbers[:_SHOWN]) + (", ..." if len(numbers) > _SHOWN else "")
    were = "was" if len(numbers) == 1 else "were"
    where = f": {listed}" if named else ""
    return f"; {counted(len(numbers), 'malformed line')} {were} left out{where}"


def _plain(name: str) -> str:
    """Return a file's name as it may be written down."""
    shown = "".join(one if one.isprintable() and one != "@" else "?" for one in name[:100])
    return redact(shown)


def malformed_lines(malformed: tuple[Malformed, ...]) -> Iterator[str]:
    """Yield each malformed line as a person reads it."""
    for one in malformed:
        yield f"line {one.line}: {one.cause}"
