"""
What an answer of HubSpot's means: try again or not and when, what becomes of the connection.

The table is `data/verdicts.toml`; `judge` and `judge_loss` are pure functions over it. They
promise that no answer makes them raise, whatever a header or a body holds; they do not promise
that HubSpot means what it says. Of an answer's own text nothing is passed on but machine words.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum
from functools import cache
from typing import Any, Final
from zoneinfo import ZoneInfo

import orjson

from hsagency import hubspot_errors
from hsagency.data import table
from hsagency.hubspot_errors import HubSpotError
from hsagency.portals import looks_like_token, plain_word
from hsagency.routes import OperationClass, Touched

ATTEMPTS: Final = 5
"""How often a call is made at most."""
PATIENCE: Final = 60.0
"""Seconds that a call waits at most between its attempts, all of them together."""
MOST: Final = 1 << 16
"""Bytes of a body that are looked at; an error of HubSpot's is smaller."""
_LONGEST: Final = 86_400.0 * 366  # seconds; a longer Retry-After is rubbish


class Fate(StrEnum):
    """What becomes of a connection after an answer."""

    NONE = "none"
    STOP = "stop"
    CONFIRM = "confirm"  # ask for the account's details: lost only if they are refused too
    REROUTE = "reroute"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Seen:
    """
    An answer as it came: `headers` by their names in small letters, or httpx's own.

    Of the body no more than `MOST` bytes count, and one that is longer counts as none.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """
    The circumstances of one attempt.

    `patience` is what is left of it, in seconds; `again` is false where the request cannot be
    sent twice; `chance` is drawn from 0 to 1; `zone` is the portal's time zone.
    """

    now: datetime
    number: int = 1
    patience: float = PATIENCE
    again: bool = True
    chance: float = 1.0
    zone: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """
    What an answer means, in words that may be written down.

    `retry` says whether to make the call again after `wait` seconds; `until` is when it makes
    sense, where the answer says so (UTC). `kind` is what it raises, and none where it is no
    error; `cause` follows the name of who answered, `action` says what to do. `executed` is
    false where the call had no effect, and none where nobody can tell.
    """

    rule: str
    retry: bool
    wait: float
    until: datetime | None
    fate: Fate
    kind: type[HubSpotError] | None
    cause: str
    action: str
    executed: bool | None
    budget: str | None = None  # which limit a 429 is about: burst, search or daily
    status_code: int | None = None
    category: str | None = None
    policy_name: str | None = None
    correlation_id: str | None = None
    scopes: tuple[str, ...] = ()
    hublet: str | None = None  # the data centre that a 488 names


def judge(seen: Seen, *, method: str, touched: Touched, attempt: Attempt) -> Verdict | None:
    """Return what an answer means; nothing for a success, but for one with failures inside."""
    if 200 <= seen.status < 300 and seen.status != 207:
        return None
    said = _Said.of(seen)
    row = _row(said, touched)
    midnight = next_midnight(attempt.now, zone=attempt.zone) if "midnight" in row else None
    asked = _asked(seen.headers, attempt.now)
    until = midnight or (_later(attempt.now, asked) if row["retry"] != "never" else None)
    return Verdict(
        **_decided(row, method, touched, attempt, asked),
        until=until,
        action=" ".join(_action(row, said, touched, attempt)),
        status_code=seen.status,
        category=said.category,
        policy_name=said.policy,
        correlation_id=said.correlation_id,
        scopes=said.scopes,
        hublet=said.hublet if row.get("fate") == Fate.REROUTE else None,
    )


def judge_loss(*, sent: bool, method: str, touched: Touched, attempt: Attempt) -> Verdict:
    """Return what it means that no answer came, or that nothing could be `sent` at all."""
    wanted = "unanswered" if sent else "unsent"
    row = next(one for one in rows() if one.get("lost") == wanted)
    decided = _decided(row, method, touched, attempt, None)
    return Verdict(**decided, until=None, action=row["action"])


def is_repeatable(method: str, touched: Touched) -> bool:
    """
    Say whether a call may be made again though nobody knows whether it took effect.

    So it is where making it twice is as good as once: reads, also those by POST, and what sets
    or removes something named. Never what creates, merges, reaches people, exports or erases.

    >>> from hsagency.routes import touched
    >>> is_repeatable("POST", touched("POST", "/crm/v3/objects/contacts/search"))
    True
    >>> is_repeatable("POST", touched("POST", "/crm/v3/objects/contacts"))
    False
    """
    if method in ("GET", "HEAD", "OPTIONS"):
        return True
    does, template = touched.operation_class, touched.template
    if does in _NEVER or "gdpr-delete" in template:
        return False
    if method == "POST":
        made = template.endswith("/links/generate")  # a read to whoever counts, but it makes one
        archives = template.endswith(("/batch/archive", "/batch/labels/archive"))
        return archives or (does is OperationClass.READ and not made)
    return method in ("PUT", "PATCH", "DELETE")


_NEVER: Final = frozenset({OperationClass.SEND, OperationClass.EXPORT, OperationClass.UNCLASSIFIED})


@cache
def rows() -> tuple[Mapping[str, Any], ...]:
    """Return the table's rows in their order."""
    return tuple(table("verdicts")["verdict"])


def _decided(
    row: Mapping[str, Any],
    method: str,
    touched: Touched,
    attempt: Attempt,
    asked: float | None,
) -> dict[str, Any]:
    """Return what a row says of any call, and whether to make this one again."""
    allowed = row["retry"] == "refused" or (
        row["retry"] == "unsure" and is_repeatable(method, touched)
    )
    wait = _wait(row, attempt, asked)
    patient = wait is not None and wait <= attempt.patience
    kind = row.get("error")
    return {
        "rule": row["rule"],
        "retry": allowed and patient and attempt.again and attempt.number < ATTEMPTS,
        "wait": wait or 0.0,
        "fate": Fate(row.get("fate", Fate.NONE)),
        "kind": getattr(hubspot_errors, kind) if kind else None,
        "cause": row["cause"],
        "executed": False if row.get("executed") == "no" else None,
        "budget": row.get("budget"),
    }


def _wait(row: Mapping[str, Any], attempt: Attempt, asked: float | None) -> float | None:
    """Return the seconds to wait, or nothing where nobody says how long."""
    backoff = row.get("backoff", {})
    wait = asked
    if wait is None and "steps" in backoff:
        # Somewhat longer, never shorter: callers that were refused together part ways.
        wait = min(backoff["most"], backoff["steps"] * attempt.number) * (1 + attempt.chance / 10)
    if wait is None and "doubling" in backoff:
        doubled = backoff["doubling"] * 2 ** min(attempt.number, 30)
        wait = min(backoff["most"], doubled) * attempt.chance
    return None if wait is None else max(wait, backoff.get("least", 0.0))


def _asked(headers: Mapping[str, str], now: datetime) -> float | None:
    """Return the seconds that Retry-After asks for; what is no such thing is absent."""
    text = headers.get("retry-after", "").strip()
    if _SECONDS.fullmatch(text):
        seconds = float(text)
    else:
        try:
            at = parsedate_to_datetime(text)
            at = at if at.tzinfo else at.replace(tzinfo=UTC)
            seconds = max(0.0, (at - now).total_seconds())
        except (ValueError, TypeError, OverflowError, IndexError):
            return None
    return seconds if math.isfinite(seconds) and seconds <= _LONGEST else None


_SECONDS: Final = re.compile(r"\d{1,15}(\.\d{0,15})?|\.\d{1,15}", re.ASCII)


def _later(now: datetime, seconds: float | None) -> datetime | None:
    if seconds is None:
        return None
    try:
        return now.astimezone(UTC) + timedelta(seconds=seconds)
    except OverflowError:
        return None


def next_midnight(now: datetime, *, zone: str | None) -> datetime:
    """
    Return when the next day begins in a time zone, in UTC; an unknown zone counts as UTC.

    >>> next_midnight(datetime(2026, 3, 7, 12, tzinfo=UTC), zone="US/Eastern").isoformat()
    '2026-03-08T05:00:00+00:00'
    """
    place = _zone(zone) or UTC
    try:
        tomorrow = now.astimezone(place).date() + timedelta(days=1)
        return datetime.combine(tomorrow, time(), place).astimezone(UTC)
    except OverflowError:  # the calendar ends
        return now.astimezone(UTC)


@cache
def _zone(name: str | None) -> ZoneInfo | None:
    try:
        return ZoneInfo(name) if name else None
    # Whatever a name from outside makes of a path: unknown, a folder, not to be read.
    except (KeyError, ValueError, OSError):
        return None


def _action(
    row: Mapping[str, Any], said: _Said, touched: Touched, attempt: Attempt
) -> Iterator[str]:
    """Yield what to do, with what this answer adds to it."""
    if "midnight" in row:
        whole = next_midnight(attempt.now, zone=attempt.zone)
        unknown = "UTC, as the portal's own time zone is not known"
        zone = attempt.zone if _zone(attempt.zone) else unknown
        yield f"The limit is whole again at {whole:%Y-%m-%d %H:%M} UTC (midnight in {zone})."
    yield row["action"]
    if row.get("error") == "ScopeMissing" and said.scopes:
        yield f"Needed: {', '.join(said.scopes)}."
    if row.get("error") == "NotFound" and touched.object_type:
        yield f"Asked for: {touched.object_type} {touched.object_id or ''}".rstrip() + "."
    if row.get("fate") == Fate.REROUTE and said.hublet:
        yield f"HubSpot names {said.hublet} as the right one."


@dataclass(frozen=True, slots=True)
class _Said:
    """What an answer says in machine words; its message only for looking words up in it."""

    status: int
    named: frozenset[str]
    message: str
    spent: frozenset[str]  # the headers by which nothing is left
    category: str | None
    policy: str | None
    correlation_id: str | None
    scopes: tuple[str, ...]
    hublet: str | None

    @classmethod
    def of(cls, seen: Seen) -> _Said:
        body = _object(seen.body)
        words = {name: plain_word(body.get(name)) for name in _NAMING}
        message = body.get("message")
        message = message.lower() if isinstance(message, str) else ""
        headers = seen.headers
        return cls(
            status=seen.status,
            named=frozenset(word for word in words.values() if word),
            message=message,
            spent=frozenset(name for name in _REMAINING if headers.get(name, "").strip() == "0"),
            category=words["category"] or words["errorType"],
            policy=words["policyName"],
            correlation_id=plain_word(headers.get("x-hubspot-correlation-id"))
            or plain_word(body.get("correlationId")),
            scopes=tuple(_scopes(body)),
            hublet=_hublet(body, headers, message),
        )


_NAMING: Final = ("policyName", "category", "subCategory", "errorType")
_REMAINING: Final = ("x-hubspot-ratelimit-daily-remaining", "x-hubspot-ratelimit-remaining")
_HUBLET: Final = re.compile(r"[a-z]{2}\d{1,3}", re.ASCII)
_IN_HUBLET: Final = re.compile(r"exist in hublet ([a-z]{2}\d{1,3})\b", re.ASCII)
_SCOPE: Final = re.compile(r"[a-z][a-z0-9._-]{0,99}", re.ASCII)
_SCOPES_MOST: Final = 30


def _object(body: bytes) -> Mapping[str, Any]:
    """Return a body's JSON object; an empty one for whatever is none."""
    if not body or len(body) > MOST:
        return {}
    try:
        found = orjson.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _hublet(body: Mapping[str, Any], headers: Mapping[str, str], message: str) -> str | None:
    told = _IN_HUBLET.search(message)
    named = (body.get("correctHublet"), headers.get("x-hubspot-correct-hublet"))
    for one in (*named, told and told[1]):
        if isinstance(one, str) and _HUBLET.fullmatch(one.strip().lower()):
            return one.strip().lower()
    return None


def _scopes(body: Mapping[str, Any]) -> Iterator[str]:
    """Yield the scopes that an answer asks for, each once."""
    errors = body.get("errors")
    places = [body, *(errors if isinstance(errors, list) else [])]
    contexts = [one.get("context") for one in places if isinstance(one, dict)]
    told = [
        scope
        for context in contexts
        if isinstance(context, dict)
        for name in ("requiredGranularScopes", "requiredScopes")
        for scope in _listed(context.get(name))
        if isinstance(scope, str) and _SCOPE.fullmatch(scope) and not looks_like_token(scope)
    ]
    yield from tuple(dict.fromkeys(told))[:_SCOPES_MOST]


def _listed(value: object) -> Iterable[object]:
    return value if isinstance(value, list) else ()


def _row(said: _Said, touched: Touched) -> Mapping[str, Any]:
    """Return the row that fits best: what is named counts for more than what is written."""
    fitting = [row for row in rows() if _is_about(row, said.status, touched)]
    for recognises in (_by_name, _by_words, _by_header, _by_status):
        for row in fitting:
            if recognises(row, said):
                return row
    raise AssertionError("the table ends in a row for anything")


def _is_about(row: Mapping[str, Any], status: int, touched: Touched) -> bool:
    if "lost" in row:
        return False
    families = row.get("families")
    statuses = row.get("status", (status,))
    return (families is None or touched.family in families) and (
        status in statuses or f"{status // 100}xx" in statuses
    )


def _by_name(row: Mapping[str, Any], said: _Said) -> bool:
    return not said.named.isdisjoint(row.get("named", ()))


def _by_words(row: Mapping[str, Any], said: _Said) -> bool:
    return "words" in row and re.search(row["words"], said.message) is not None


def _by_header(row: Mapping[str, Any], said: _Said) -> bool:
    return row.get("spent") in said.spent


def _by_status(row: Mapping[str, Any], said: _Said) -> bool:
    del said
    return "named" not in row and "words" not in row
