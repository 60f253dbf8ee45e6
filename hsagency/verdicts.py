"""
What an answer of HubSpot's means: try again or not and when, what becomes of the connection.

The table is `data/verdicts.toml`; `judge` and `judge_loss` are pure functions over it. They
promise that no answer makes them raise, whatever a header or a body holds; they do not promise
that HubSpot means what it says. Of an answer's own text nothing is passed on but machine words.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum
from functools import cache
from typing import Any, Final, NamedTuple

from hsagency import hubspot_errors
from hsagency.data import table
from hsagency.hubspot_errors import HubSpotError
from hsagency.portals import Cause, CredentialKind
from hsagency.routes import OperationClass, Touched
from hsagency.said import Said, Seen

ATTEMPTS: Final = 5
"""How often a call is made at most."""
PATIENCE: Final = 60.0
"""Seconds that a call waits at most between its attempts, all of them together."""
_LONGEST: Final = 86_400.0 * 366  # seconds; a longer Retry-After is rubbish


class Fate(StrEnum):
    """What becomes of a connection after an answer."""

    NONE = "none"
    STOP = "stop"
    CONFIRM = "confirm"  # ask for the account's details: lost only if they are refused too
    LACK = "lack"  # of a scope: it counts where the connection type cannot do without
    REROUTE = "reroute"
    EXPIRED = "expired"


class DayEnd(NamedTuple):
    """When a portal's day ends, in UTC and as a person there reads it."""

    at: datetime
    shown: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """
    The circumstances of one attempt.

    `patience` is what is left of it, in seconds; `again` is false where the request cannot be
    sent twice; `chance` is drawn from 0 to 1; `day_end` is the portal's, and where nobody knows
    it, UTC's counts. `kind` is what sort of credential it is, and `replace` the command that
    stores another one.
    """

    now: datetime
    number: int = 1
    patience: float = PATIENCE
    again: bool = True
    chance: float = 1.0
    day_end: DayEnd | None = None
    kind: CredentialKind = CredentialKind.STATIC
    replace: str = "hsagency reconnect SLUG"


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
    closes: str = ""  # why the whole portal is not to be called `until` then; follows "because"
    status_code: int | None = None
    category: str | None = None
    policy_name: str | None = None
    correlation_id: str | None = None
    scopes: tuple[str, ...] = ()
    hublet: str | None = None  # the data centre that a 488 names
    breaks: Cause = Cause.UNKNOWN  # why the connection no longer works, where it does not


def judge(seen: Seen, *, method: str, touched: Touched, attempt: Attempt) -> Verdict | None:
    """Return what an answer means; nothing for a success, but for one with failures inside."""
    if 200 <= seen.status < 300 and seen.status != 207:
        return None
    said = Said.of(seen)
    row = _row(said, touched)
    asked = _asked(seen.headers, attempt.now)
    return Verdict(
        **_decided(row, method, touched, attempt, asked),
        until=_until(row, attempt, asked),
        closes=_closes(row, asked),
        action=" ".join(_action(row, said, touched, attempt, asked)),
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
        if template.startswith("/oauth/"):
            # Whoever lost the answer of a token endpoint can only ask again: what is lost is lost.
            return template.endswith(("/token", "/token/revoke", "/token/introspect"))
        made = template.endswith("/links/generate")  # a read to whoever counts, but it makes one
        # Updates say what is to be, not what to change; an upsert finds what it made by its name.
        same = template.endswith(("/batch/archive", "/batch/labels/archive")) or (
            template.startswith("/crm/")
            and "/objects/" in template
            and template.endswith(("/batch/update", "/batch/upsert"))
        )
        return same or (does is OperationClass.READ and not made)
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
        "breaks": Cause(row.get("breaks", Cause.UNKNOWN)),
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
    parts = [part.strip() for part in text.split(",")]  # of headers that somebody joined
    if all(_SECONDS.fullmatch(part) for part in parts):
        seconds = max(map(float, parts))
    else:
        at = _date(text)
        if at is None:
            return None
        sent = _date(headers.get("date", "").strip()) or now  # by one clock, where it tells
        seconds = max(0.0, (at - sent).total_seconds())
    return seconds if math.isfinite(seconds) and seconds <= _LONGEST else None


def _date(text: str) -> datetime | None:
    try:
        at = parsedate_to_datetime(text)
        at = at if at.tzinfo else at.replace(tzinfo=UTC)
        return at.astimezone(UTC)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


_SECONDS: Final = re.compile(r"\d{1,15}(\.\d{0,15})?|\.\d{1,15}", re.ASCII)


def _later(now: datetime, seconds: float | None) -> datetime | None:
    if seconds is None:
        return None
    try:
        return now.astimezone(UTC) + timedelta(seconds=seconds)
    except OverflowError:
        return None


def _until(row: Mapping[str, Any], attempt: Attempt, asked: float | None) -> datetime | None:
    """Return when it makes sense to call again, as far as that is known or decided here."""
    if "midnight" in row:
        return _day_end(attempt).at
    if asked is None:
        asked = row.get("closes")
    return _later(attempt.now, asked) if row["retry"] != "never" else None


def _closes(row: Mapping[str, Any], asked: float | None) -> str:
    if "closes" not in row:
        return ""
    return str(row["cause"]) + (", and did not say until when" if asked is None else "")


def _day_end(attempt: Attempt) -> DayEnd:
    if attempt.day_end is not None:
        return attempt.day_end
    now = attempt.now.astimezone(UTC)
    try:
        at = now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    except OverflowError:  # the calendar ends
        at = now
    return DayEnd(at, f"{_shown(at)} (the portal's time zone is not known)")


def _shown(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _action(
    row: Mapping[str, Any],
    said: Said,
    touched: Touched,
    attempt: Attempt,
    asked: float | None,
) -> Iterator[str]:
    """Yield what to do, with what this answer adds to it."""
    if "midnight" in row:
        yield f"The limit is whole again at {_day_end(attempt).shown}."
    if "closes" in row and (until := _until(row, attempt, asked)):
        unsaid = "" if asked is not None else "Until when was not said. "
        yield f"{unsaid}Calls to the portal are refused here until {_shown(until)}."
    if row.get("error") == "ScopeMissing" and said.scopes:
        yield f"Needed: {', '.join(said.scopes)}."
    places: Mapping[str, str] = table("verdicts")["place"]
    action = row["action"]
    if attempt.kind is CredentialKind.OAUTH:
        action = row.get("authorised", action)
    yield action.format(place=places[attempt.kind], replace=attempt.replace)
    if row.get("error") == "NotFound" and touched.object_type:
        yield f"Asked for: {touched.object_type} {touched.object_id or ''}".rstrip() + "."
    if row.get("fate") == Fate.REROUTE and said.hublet:
        yield f"HubSpot names {said.hublet} as the right one."


def _row(said: Said, touched: Touched) -> Mapping[str, Any]:
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


def _by_name(row: Mapping[str, Any], said: Said) -> bool:
    return not said.named.isdisjoint(row.get("named", ()))


def _by_words(row: Mapping[str, Any], said: Said) -> bool:
    return "words" in row and re.search(row["words"], said.message) is not None


def _by_header(row: Mapping[str, Any], said: Said) -> bool:
    return said.policy is None and row.get("spent") in said.spent


def _by_status(row: Mapping[str, Any], said: Said) -> bool:
    del said
    return "named" not in row and "words" not in row
