"""What a person is told of a portal that runs out of calls."""

from __future__ import annotations

import contextlib
from datetime import datetime
from typing import Final, NamedTuple

from hsagency.audit.journal.writer import AuditWriter
from hsagency.audit.record import Event, timestamp
from hsagency.errors import AuditError, CallRefused, PortalAway, QuotaSpent
from hsagency.pacing.budgets import DAY_SHARE, room
from hsagency.pacing.terms import Terms
from hsagency.settings import Priority
from hsagency.words import listed


class Low(NamedTuple):
    """A portal that has just fallen below its warning threshold."""

    left: int
    threshold: int
    limit: int
    resets_at: datetime


class Day(NamedTuple):
    """What is left of a portal's day, of which the last `reserve` are the client's own."""

    limit: int
    left: int
    reserve: int
    ends: datetime

    @property
    def is_reserved(self) -> bool:
        """Say whether all that is left is reserved."""
        return self.left <= self.reserve

    def stops(self, priority: Priority) -> bool:
        """Say whether calls of a priority have used up their share."""
        return not room(self.limit, self.left, reserve=0, priority=priority)

    def enough(self, priority: Priority) -> Priority | None:
        """Return the lowest priority, from this one on, that still has a share."""
        higher = _LOWEST_FIRST[_LOWEST_FIRST.index(priority) :]
        return next((one for one in higher if not self.stops(one)), None)


_LOWEST_FIRST: Final = sorted(Priority, key=DAY_SHARE.__getitem__)
_NAMES: Final = {one: str(one) for one in Priority} | {Priority.NORMAL: "normal (the default)"}


def _who_stops(day: Day) -> str:
    """Say which calls are refused now, what can be done, and which come next."""
    if day.left <= 0:
        return "All calls are refused until then."
    if day.is_reserved:
        return "All calls are refused until then: what is left is the client's own apps'."
    stopped = [one for one in _LOWEST_FIRST if day.stops(one)]
    later = [one for one in _LOWEST_FIRST if not day.stops(one)]
    shares = listed([f"{_NAMES[one]} at {DAY_SHARE[one]} %" for one in later[:2]])
    if not stopped:
        return f"None is refused yet; calls of priority {shares} are. Who calls: hsagency quota."
    now = listed([_NAMES[one] for one in stopped])
    if not later:
        return f"Calls of every priority are refused until then: {now}."
    return (
        f"Calls of priority {now} are refused until then; {shares}. What must go on needs a "
        f'higher one in hsagency.toml, under [purposes]: "PURPOSE" = "{later[0]}"'
    )


def warn(writer: AuditWriter, terms: Terms, low: Low) -> bool:
    """Make a record in the client's log and tell a person; say whether it is on record."""
    connection, reserve = terms.connection, terms.marks(low.limit).reserve
    message = (
        f"{connection.portal}: {low.left:,} of {low.limit:,} calls are left today, fewer than the "
        f"threshold of {low.threshold:,}; the count begins anew at {terms.zone.shown(low.resets_at)}. "
        + _who_stops(Day(low.limit, low.left, reserve, low.resets_at))
    )
    fields = {
        "event": Event.QUOTA_WARNING,
        "message": message,
        "portalId": connection.portal_id,
        "dailyRemaining": low.left,
        "threshold": low.threshold,
        "resetsAt": timestamp(low.resets_at),
    }
    recorded = True
    try:
        writer.append(connection.client_slug, fields, durable=False)
    except AuditError:
        recorded = False  # the answer is there all the same, and so is who wants it
    with contextlib.suppress(Exception):  # whoever cannot be told does not stop work
        writer.tell(message)
    return recorded


def closed(terms: Terms, until: datetime, reason: str, *, for_day: bool) -> CallRefused:
    """Return the refusal of a call to a portal that is closed."""
    connection = terms.connection
    kind = QuotaSpent if for_day else PortalAway
    return kind(
        f"Refused for {connection.client_slug}: calls to portal {connection.portal_id} wait until "
        f"{terms.zone.shown(until)}, because {reason}. Nothing was sent.",
        until=until,
        hint=_AGAIN.format(slug=connection.client_slug),
    )


_AGAIN: Final = (
    "Call again then. If you know that it is over: hsagency verify {slug}, and a good answer opens "
    "it again."
)


def spent(terms: Terms, day: Day, priority: Priority, purpose: str) -> QuotaSpent:
    """Return the refusal of a call that the day has no room for."""
    connection = terms.connection
    whose = f"of {priority} priority" + (f", as with purpose {purpose!r}," if purpose else "")
    stops = []
    if day.stops(priority):
        stops.append(f"calls {whose} stop when {DAY_SHARE[priority]} % are used")
    if day.is_reserved:
        stops.append(f"the last {day.reserve:,} are reserved for the client's own apps")
    return QuotaSpent(
        f"Refused for {connection.client_slug}: {max(0, day.left):,} of the {day.limit:,} calls a "
        f"day of portal {connection.portal_id} are left, and {', and '.join(stops)}. The count "
        f"begins anew at {terms.zone.shown(day.ends)}. Nothing was sent.",
        until=day.ends,
        hint=_instead(connection.client_slug, day, priority, purpose),
    )


def _instead(slug: str, day: Day, priority: Priority, purpose: str) -> str:
    """Return what would let this very call pass, if anything does."""
    enough = day.enough(priority)
    if enough is None or day.left <= 0:
        return "Call again then: no setting lets any more pass today."
    lines = []
    if enough is not priority:
        lines.append(f'under [purposes]: "{purpose or "interactive"}" = "{enough}"')
    if day.is_reserved:
        lines.append(f"under [quota.clients.{slug}]: reserve = {day.left // 2}")
    return f"Call again then. If it cannot wait, in hsagency.toml, {'; and '.join(lines)}"
