"""
Audit log, login history and security history of an account (facts 2.4).

What is seeded goes back ninety days from the clock's now, and is drawn day by day, so that a
clock that moves finds new days and the same old ones. What really happens in the sandbox is
added with `Activity.note` and `Activity.note_change`, and is never forgotten.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from random import Random
from typing import Literal, TypeAlias

from hsagency.sandbox.api.records import next_page
from hsagency.sandbox.contents.people import Person, people
from hsagency.sandbox.routes import Endpoint, Outcome, Route, forms
from hsagency.sandbox.state import Call, PortalState
from hsagency.sandbox.wire import ApiError, JsonObject, invalid, stamp

Log: TypeAlias = Literal["audit", "login", "security"]

SCOPE = "account-info.security.read"
VERSIONS = ("v3", "2025-09", "2026-03", "2026-09")
# How far back the seeded history goes, and how many items a page holds at most.
HISTORY_DAYS, PAGE_MAX, PAGE = 90, 200, 100

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


def audit_logs(call: Call) -> Outcome:
    """Answer a page of the audit log, which only Enterprise has."""
    if call.state.portal.tier != "enterprise":
        raise ApiError(
            403,
            "This account does not have access to the audit log, which is part of Enterprise.",
            category="GATED",
        )
    users = {_whole(text, "actingUserId") for text in call.request.params("actingUserId")}
    since, until = _moment(call, "occurredAfter"), _moment(call, "occurredBefore")
    if call.request.param("fillFinalTimestamp") not in (None, "true", "false"):
        raise invalid("fillFinalTimestamp must be true or false")
    events = [
        event
        for event in call.state.part(Activity).events("audit", now=call.now)
        if (not users or event.user_id in users)
        and (since is None or event.at > since)
        and (until is None or event.at < until)
    ]
    return 200, _page(call, events, newest_first=_newest_first(call))


def login_history(call: Call) -> Outcome:
    """Answer a page of the login history."""
    return 200, _page(call, _of_user(call, "login"))


def security_history(call: Call) -> Outcome:
    """Answer a page of the security history."""
    since, until = _milliseconds(call, "fromTimestamp"), _milliseconds(call, "toTimestamp")
    events = [
        event
        for event in _of_user(call, "security")
        if (since is None or event.at.timestamp() * 1000 >= since)
        and (until is None or event.at.timestamp() * 1000 <= until)
    ]
    return 200, _page(call, events)


def activity_routes() -> list[Route]:
    """Return the routes of this module."""
    return [
        route
        for name, handler in (
            ("audit-logs", audit_logs),
            ("login", login_history),
            ("security", security_history),
        )
        for route in forms(
            {"GET": Endpoint(handler, (SCOPE,))},
            f"/account-info/{{dated}}/activity/{name}",
            dated=VERSIONS,
        )
    ]


def _of_user(call: Call, log: Log) -> list[Event]:
    text = call.request.param("userId")
    wanted = None if text is None else _whole(text, "userId")
    events = call.state.part(Activity).events(log, now=call.now)
    return [event for event in events if wanted in (None, event.user_id)]


def _page(call: Call, events: Iterable[Event], *, newest_first: bool = True) -> JsonObject:
    """Cut a page; the cursor is an id, so that new events in between move nothing."""
    limit = call.number("limit", default=PAGE, least=1, most=PAGE_MAX)
    after = call.request.param("after")
    ordered = [(int(event.id), event) for event in events]
    if newest_first:
        ordered.reverse()
    if after is not None:
        last = _whole(after, "after")
        ordered = [
            (id_, event) for id_, event in ordered if (id_ < last if newest_first else id_ > last)
        ]
    page = [{"id": event.id} | event.content for _, event in ordered[:limit]]
    content: JsonObject = {"results": page}
    if len(ordered) > limit:
        content["paging"] = next_page(call, page[-1]["id"])
    return content


def _newest_first(call: Call) -> bool:
    order = call.request.params("sort") or ["-occurredAt"]
    if order not in (["occurredAt"], ["-occurredAt"]):
        raise invalid("sort must be occurredAt or -occurredAt")
    return order == ["-occurredAt"]


def _whole(text: str, name: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 24):
        raise invalid(f"{name} must be a whole number")
    return int(text)


def _milliseconds(call: Call, name: str) -> int | None:
    text = call.request.param(name)
    return None if text is None else _whole(text, name)


def _moment(call: Call, name: str) -> datetime | None:
    text = call.request.param(name)
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise invalid(f"{name} must be a date and time with a zone")
    return at


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
