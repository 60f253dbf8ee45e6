"""
What one line of the audit log says, and how its names translate.

On disk a record is one JSON object with the camelCase names of `data/record.schema.json`;
in Python and in frames the same names are snake_case. This module owns the mapping for calls.
A call leaves a `call.started` before it is sent and a `call.finished` when the headers of
its answer arrive; a reader joins the two by `call_id`. A start without an end is a call
whose outcome is `unknown`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from enum import StrEnum
from typing import Final

import orjson

from hsagency.errors import UsageError
from hsagency.periods import parse_day
from hsagency.portals import redact

SCHEMA: Final = 1
"""The version of the record format; fields are only ever added within a version."""

LONGEST: Final = 1 << 16
"""Bytes of a line as it is written. Readers go further: earlier versions knew no limit."""

_ROOM: Final = LONGEST - 75  # for a record without its hash and the line end


class Event(StrEnum):
    """What a record is about."""

    STARTED = "call.started"
    FINISHED = "call.finished"
    DETAIL = "call.detail"
    REFUSED = "call.refused"
    CONNECTION_JUDGING = "connection.judging"
    CONNECTION_ADDED = "connection.added"
    CONNECTION_ROTATED = "connection.rotated"
    CONNECTION_VERIFIED = "connection.verified"
    CONNECTION_FAILED = "connection.failed"
    CONNECTION_CHANGED = "connection.changed"
    CONNECTION_REMOVING = "connection.removing"
    CONNECTION_REMOVED = "connection.removed"
    AUDIT_OPENED = "audit.opened"
    AUDIT_CLOSED = "audit.closed"
    AUDIT_IDLE = "audit.idle"
    AUDIT_CLOCK = "audit.clock"
    AUDIT_WARNING = "audit.warning"
    AUDIT_READ = "audit.read"
    AUDIT_EXPORTED = "audit.exported"
    AUDIT_IMPORTED = "audit.imported"
    AUDIT_REPAIRED = "audit.repaired"
    AUDIT_MERGED = "audit.merged"
    AUDIT_RETIRED = "audit.retired"
    AUDIT_ERASED = "audit.erased"
    AUDIT_USAGE = "audit.usage"
    HALT_SET = "halt.set"
    HALT_CLEARED = "halt.cleared"
    STOP_SET = "stop.set"
    STOP_CLEARED = "stop.cleared"
    QUOTA_WARNING = "rate_limit_warning"


class Outcome(StrEnum):
    """How a call ended; only `ok` is success, and says that the answer names no error."""

    OK = "ok"
    CLIENT_ERROR = "client_error"
    SERVER_ERROR = "server_error"
    RATE_LIMITED = "rate_limited"
    REFUSED = "refused"
    UNKNOWN = "unknown"


class Origin(StrEnum):
    """Who vouches for a record."""

    WITNESSED = "witnessed"
    IMPORTED = "imported"
    SIMULATED = "simulated"


@dataclass(frozen=True, slots=True, kw_only=True)
class Author:
    """Who writes records: program and version, operating-system user, machine and run."""

    actor: str
    user: str
    host: str
    run_id: str

    def fields(self) -> dict[str, str]:
        """Return the author as record fields."""
        return {"actor": self.actor, "user": self.user, "host": self.host, "runId": self.run_id}


CALL_FIELDS: Final[Mapping[str, tuple[str, str]]] = {
    # on disk: (in frames, kind of value)
    "callId": ("call_id", "text"),
    "attempt": ("attempt", "number"),
    "ts": ("ts", "time"),
    "clientSlug": ("client_slug", "text"),
    "portalId": ("portal_id", "number"),
    "method": ("method", "text"),
    "path": ("path", "text"),
    "operationClass": ("operation_class", "text"),
    "objectType": ("object_type", "text"),
    "objectId": ("object_id", "text"),
    "identifiers": ("identifiers", "text"),
    "statusCode": ("status_code", "number"),
    "outcome": ("outcome", "text"),
    "durationMs": ("duration_ms", "number"),
    "rateLimitRemaining": ("rate_limit_remaining", "number"),
    "rateLimitDaily": ("rate_limit_daily", "number"),
    "policyName": ("policy_name", "text"),
    "correlationId": ("correlation_id", "text"),
    "actor": ("actor", "text"),
    "user": ("user", "text"),
    "host": ("host", "text"),
    "runId": ("run_id", "text"),
    "purpose": ("purpose", "text"),
    "credentialFingerprint": ("credential_fingerprint", "text"),
    "credentialGeneration": ("credential_generation", "number"),
    "origin": ("origin", "text"),
    "reason": ("reason", "text"),
    "error": ("error", "text"),
    "candidateSlug": ("candidate_slug", "text"),
    "sourceDigest": ("source_digest", "text"),
    "sourceLine": ("source_line", "number"),
}
"""The fields of a joined call, in the order in which frames and exports show them."""

DETAIL_FIELDS: Final = (
    "category",
    "errorType",
    "objectIds",
    "objectIdCount",
    "objectIdsDigest",
    "otherObjectIds",
    "otherObjectIdCount",
    "otherObjectIdsDigest",
    "objectIdsSource",
    "objectIdsDropped",
    "partsOk",
    "partsFailed",
)
"""What only the detail of a call says; frames leave it out, what is forwarded has it."""

TO_DISK: Final[Mapping[str, str]] = {frame: disk for disk, (frame, _) in CALL_FIELDS.items()}
TO_FRAME: Final[Mapping[str, str]] = {disk: frame for disk, (frame, _) in CALL_FIELDS.items()}


CALL_EVENTS: Final = frozenset({Event.STARTED, Event.FINISHED, Event.DETAIL, Event.REFUSED})
KINDS: Final[Mapping[str, str]] = {
    **{disk: kind for disk, (_, kind) in CALL_FIELDS.items()},
    "schema": "number",
    "event": "text",
    "hash": "text",
    "message": "text",
}
"""What every reader looks at in a record, and of which kind it is where it is there."""

TIME_FORM: Final = "%Y-%m-%dT%H:%M:%S.%fZ"
_TIME: Final = re.compile(r"[\d:.TZ-]{27}", re.ASCII)


def flaw(record: object) -> str:
    """
    Return why something that a line holds is no record, for any reader, or nothing if it is one.

    Whose it is, and whether a later version wrote it, is asked of a record, not of damage.
    """
    if not isinstance(record, dict) or not all(_fits(record.get(k), KINDS[k]) for k in KINDS):
        return "not a record"
    if not all(record.get(name) for name in ("schema", "event", "ts", "clientSlug", "hash")):
        return "not a record"
    try:
        datetime.strptime(record["ts"], TIME_FORM)  # noqa: DTZ007  (the form says UTC)
    except ValueError:
        return "not a record"
    if not _TIME.fullmatch(record["ts"]):
        return "not a record"
    is_call = record["event"] in CALL_EVENTS and record.get("callId") is not None
    return "not a record of a call" if record["event"].startswith("call.") and not is_call else ""


def _fits(value: object, kind: str) -> bool:
    if kind == "number" and value is not None:
        return type(value) is int and -(2**63) <= value < 2**63
    return value is None or isinstance(value, str)


def outcome_of(status_code: int | None) -> Outcome:
    """
    Return how a call ended from its status code; none, or one that is no status, is unknown.

    `ok` is an answer that names no error: a redirect, which is never followed, is one, and so
    is a batch of which a part failed (207). The status code stands beside it.

    >>> [str(outcome_of(code)) for code in (204, 304, 404, 429, 503, 0, None)]
    ['ok', 'ok', 'client_error', 'rate_limited', 'server_error', 'unknown', 'unknown']
    """
    if status_code is None or not 100 <= status_code <= 599:
        return Outcome.UNKNOWN
    if status_code == 429:
        return Outcome.RATE_LIMITED
    if status_code >= 500:
        return Outcome.SERVER_ERROR
    return Outcome.CLIENT_ERROR if status_code >= 400 else Outcome.OK


def timestamp(at: datetime) -> str:
    """Return a time as records write it: UTC, microseconds, `Z`, always 27 characters."""
    if at.tzinfo is not UTC:
        at = at.astimezone(UTC)
    if at.microsecond:  # of the two ways the quicker: every record needs its time
        return orjson.dumps(at)[1:27].decode() + "Z"
    return at.isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


def encode(fields: Mapping[str, object]) -> bytes:
    """
    Return a record as bytes; these bytes, as written, are what the chain hashes.

    A value that JSON or a reader has no room for is never the reason that a call goes
    unrecorded: half a character becomes a question mark, a boundless number is left out, and
    texts that would make a line longer than `LONGEST` are cut, and end in a word of that.
    """
    given = {name: value for name, value in fields.items() if value is not None}
    try:
        body = orjson.dumps(given, option=orjson.OPT_STRICT_INTEGER)
    except TypeError:
        kept = {name: _writable(value) for name, value in given.items()}
        given = {name: value for name, value in kept.items() if value is not None}
        body = orjson.dumps(given)
    return body if len(body) <= _ROOM else _shortened(given)


def _shortened(fields: Mapping[str, object]) -> bytes:
    """Return a record with its longest texts cut, and without lists where that is not enough."""
    for most in (8192, 1024, 128):
        cut = {name: _cut(value, most) for name, value in fields.items()}
        body = orjson.dumps(cut)
        if len(body) <= _ROOM:
            return body
    return orjson.dumps({name: one for name, one in cut.items() if isinstance(one, str | int)})


def _cut(value: object, most: int) -> object:
    if isinstance(value, str) and len(value) > most:
        return f"{value[:most]} ... (cut: it had {len(value)} characters)"
    return value


def _writable(value: object) -> object:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    try:
        orjson.dumps(value, option=orjson.OPT_STRICT_INTEGER)
    except TypeError:
        return None
    return value


_PURPOSE: Final = re.compile(r"\w[\w .:/+-]{0,63}")


def is_purpose(text: str) -> bool:
    """Say whether a text can be a purpose: short and plain, since records and bills show it."""
    return _PURPOSE.fullmatch(text) is not None


When = str | date | datetime | None
"""A day or a time, as whoever asks for records gives it."""


def moment(when: When) -> datetime | None:
    """Return the time that is meant, a day as its beginning in UTC; raises `UsageError`."""
    if when is None:
        return None
    if isinstance(when, str):
        when = _written(when)
    if not isinstance(when, date):
        raise UsageError(
            f"A day or a time is wanted, and this is of the type {type(when).__name__}.",
            hint="Give a day ('2026-05-01', or date(2026, 5, 1)) or a time with its zone.",
        )
    if not isinstance(when, datetime):
        return datetime.combine(when, time(), UTC)
    if when.tzinfo is None:
        raise UsageError("A time needs its zone.", hint="Use a day, or datetime(..., tzinfo=UTC).")
    return when


def between(since: When, until: When) -> tuple[datetime | None, datetime | None]:
    """Return the times between which records are meant; raises `UsageError` if none can be."""
    begin, end = moment(since), moment(until)
    if begin is not None and end is not None and begin >= end:
        raise UsageError(
            f"The time asked for ends ({timestamp(end)}) before it begins ({timestamp(begin)}).",
            hint="`since` is included and `until` is not: for one day, `until` is the next.",
        )
    return begin, end


def _written(text: str) -> date | datetime:
    if "T" not in text:
        return parse_day(text)
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"{redact(text[:40])!r} is not a time.", hint="Write it as 2026-05-01T09:00:00Z."
        ) from None
