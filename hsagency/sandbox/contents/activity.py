"""
Audit log, login history and security history of a portal (facts 2.4).

What is seeded goes back ninety days from the clock's now, and is drawn day by day, so that a
clock that moves finds new days and the same old ones. What really happens in the sandbox is
added with `Activity.note` and `Activity.note_change`, and is never forgotten.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from random import Random
from typing import Literal, TypeAlias

from hsagency.sandbox.contents.people import Person, people
from hsagency.sandbox.contents.state import PortalState
from hsagency.sandbox.wire import JsonObject, stamp

Log: TypeAlias = Literal["audit", "login", "security"]

# How far back the seeded history goes.
HISTORY_DAYS = 90

_PLACES = (
    ("192.0.2", "Dublin, Ireland", "IE", "L"),
    ("198.51.100", "Boston, United States", "US", "MA"),
    ("203.0.113", "Berlin, Germany", "DE", "BE"),
)
_BROWSERS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/141.0",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) Safari/605.1.15",
    "Mozilla/5.0 (X11; Linux x86_64) Firefox/143.0",
)
# No event of a credential is among them: those that the history holds really happened.
_SECURITY_TYPES = (
    "CONTACT_DATA_EXPORT", "CONTACT_DATA_EXPORT", "PERSONAL_ACCESS_KEY_VIEW", "ADD_USER",
    "INSTALL_INTEGRATION",
)  # fmt: skip
_CHANGES = (
    ("CRM_OBJECT", "CONTACT", "UPDATE"), ("CRM_OBJECT", "DEAL", "CREATE"),
    ("CRM_OBJECT", "COMPANY", "ARCHIVE"), ("PROPERTY", "CONTACT", "CREATE"),
    ("WORKFLOWS", "WORKFLOW", "UPDATE"), ("LISTS", "LIST", "CREATE"),
)  # fmt: skip
_A_DAY: dict[Log, int] = {"audit": 6, "login": 5, "security": 1}


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a log; `number` tells events of the same millisecond apart."""

    at: datetime
    number: int
    user_id: int
    content: JsonObject

    @property
    def id(self) -> str:
        """The event's id; a later event has the greater one."""
        return f"{int(self.at.timestamp() * 1000)}{self.number:06}"


class Activity:
    """What people did in one account."""

    def __init__(self, state: PortalState) -> None:
        self._state = state
        self._people = people(state.portal, seed=state.seed)
        self._noted: dict[Log, list[Event]] = {"audit": [], "login": [], "security": []}
        self._seeded: dict[tuple[Log, date], list[Event]] = {}

    def note(
        self,
        type_: str,
        *,
        at: datetime,
        user_id: int | None = None,
        object_id: str | None = None,
    ) -> None:
        """
        Add an event to the security history, such as `SERVICE_KEY_ROTATE` or `CONTACT_DATA_EXPORT`.

        Without `user_id` it was the account's first user.
        """
        person = self._person(user_id)
        content: JsonObject = {"type": type_, "userId": person.user_id, "actingUser": person.email}
        if object_id is not None:
            content["objectId"] = object_id
        self._add("security", person, at, content | {"createdAt": stamp(at)} | _place(0, 10))

    def note_change(
        self,
        category: str,
        action: str,
        *,
        at: datetime,
        user_id: int | None = None,
        target: str | None = None,
    ) -> None:
        """Add a line to the audit log."""
        person = self._person(user_id)
        content = _change(person, category, None, action, target=target)
        self._add("audit", person, at, content | {"occurredAt": stamp(at)})

    def events(self, log: Log, *, now: datetime) -> list[Event]:
        """Return a log up to now, oldest first."""
        today = now.astimezone(self._state.zone).date()
        found = [
            event
            for ago in range(HISTORY_DAYS, -1, -1)
            for event in self._day(log, today - timedelta(days=ago))
        ]
        found += self._noted[log]
        return sorted(
            (event for event in found if event.at <= now), key=lambda event: int(event.id)
        )

    def _add(self, log: Log, person: Person, at: datetime, content: JsonObject) -> None:
        noted = self._noted[log]
        noted.append(Event(at, 1000 + len(noted), person.user_id, content))

    def _person(self, user_id: int | None) -> Person:
        for person in self._people:
            if user_id in (None, person.user_id):
                return person
        slug = self._state.portal.client_slug
        return Person(user_id or 0, "", "", f"user-{user_id}@{slug}.example")

    def _day(self, log: Log, day: date) -> list[Event]:
        found = self._seeded.get((log, day))
        if found is None:
            found = self._seeded[log, day] = self._drawn(log, day)
        return found

    def _drawn(self, log: Log, day: date) -> list[Event]:
        text = f"{self._state.seed}/{self._state.portal.portal_id}/{log}/{day}"
        rng = Random(text)  # noqa: S311 - repeatable is the point
        most = _A_DAY[log] if day.weekday() < 5 else 1
        found = []
        for number in range(rng.randint(0, most)):
            local = datetime.combine(day, time(8), tzinfo=self._state.zone)
            # added in UTC: in local time an hour may come twice
            at = local.astimezone(UTC) + timedelta(milliseconds=rng.randrange(10 * 3_600_000))
            person = rng.choice(self._people)
            found.append(Event(at, number, person.user_id, _SEEDED[log](person, rng, at)))
        return found


def _place(which: int, host: int) -> JsonObject:
    network, location, country, region = _PLACES[which]
    return {
        "ipAddress": f"{network}.{host}",
        "location": location,
        "countryCode": country,
        "regionCode": region,
    }


def _somewhere(person: Person, rng: Random) -> JsonObject:
    """Return where a person usually is, from one of a few machines there."""
    return _place(person.user_id % len(_PLACES), 10 + rng.randrange(4))


def _login(person: Person, rng: Random, at: datetime) -> JsonObject:
    return {
        "userId": person.user_id,
        "email": person.email,
        "loginAt": stamp(at),
        "loginSucceeded": rng.random() > 0.04,
        "userAgent": _BROWSERS[person.user_id % len(_BROWSERS)],
        **_somewhere(person, rng),
    }


def _security(person: Person, rng: Random, at: datetime) -> JsonObject:
    return {
        "type": rng.choice(_SECURITY_TYPES),
        "userId": person.user_id,
        "actingUser": person.email,
        "createdAt": stamp(at),
        **_somewhere(person, rng),
    }


def _audit(person: Person, rng: Random, at: datetime) -> JsonObject:
    category, sub, action = rng.choice(_CHANGES)
    target = str(101 + 50 * rng.randrange(200))
    return _change(person, category, sub, action, target=target) | {"occurredAt": stamp(at)}


def _change(
    person: Person, category: str, sub: str | None, action: str, *, target: str | None
) -> JsonObject:
    content: JsonObject = {
        "category": category,
        "action": action,
        "actingUser": {"userId": person.user_id, "userEmail": person.email},
    }
    if sub is not None:
        content["subCategory"] = sub
    return content if target is None else content | {"targetObjectId": target}


_SEEDED: dict[Log, Callable[[Person, Random, datetime], JsonObject]] = {
    "audit": _audit,
    "login": _login,
    "security": _security,
}
