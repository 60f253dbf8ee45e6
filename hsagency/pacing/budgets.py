"""What limits a portal's calls: which window counts a call, and how much it holds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum, StrEnum
from typing import Any, Final

from hsagency.data import table
from hsagency.portals import Connection, CredentialKind
from hsagency.routes import OperationClass, Touched
from hsagency.settings import Priority


class Source(StrEnum):
    """Who says how many calls a day a portal has, or how many of them are left."""

    HEADER = "header"
    USAGE = "usage endpoint"
    FACT = "connection"
    TIER = "tier"
    LOWEST = "lowest tier"
    UNLIMITED = "marketplace app"


class Budget(IntEnum):
    """Which of HubSpot's windows counts a call."""

    BURST = 0
    """All calls of one app that have no window of their own."""
    ASSOCIATIONS = 1
    SEARCH = 2
    """Of the whole portal, whichever app asks."""


def budget_of(touched: Touched) -> Budget:
    """
    Return which window counts a call.

    >>> from hsagency.routes import touched
    >>> budget_of(touched("POST", "/crm/v3/objects/contacts/search")).name
    'SEARCH'
    """
    path = touched.template
    if path.startswith("/crm/") and path.endswith("/search"):
        return Budget.SEARCH
    linking = path.startswith("/crm/") and "/associations/" in path
    return Budget.ASSOCIATIONS if linking else Budget.BURST


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the index knows of a portal's limits, for as long as no answer tells better."""

    windows: tuple[int, int, int]  # by budget
    daily: int | None  # none for apps that have no daily limit
    source: Source
    at: datetime | None = None

    @property
    def windows_source(self) -> Source:
        """Who says how much a window holds: nobody's fact is about that alone."""
        return Source.TIER if self.source is Source.FACT else self.source


def known_of(connection: Connection) -> Known:
    """Return the limits that a connection's facts point to, else the lowest tier's."""
    limits, facts = table("limits"), connection.facts
    if (
        connection.kind is CredentialKind.OAUTH
        and _said(facts.get("distribution")) == "marketplace"
    ):
        tier = _tier(limits, None)
        windows = (limits["marketplace"]["burst"], tier["associations"], limits["search"]["limit"])
        return Known(windows=windows, daily=None, source=Source.UNLIMITED)
    named = facts.get("tier")
    tier = _tier(limits, _said(named))
    daily, source = tier["daily"], Source.TIER if tier["name"] == _said(named) else Source.LOWEST
    at = named.at if named and source is Source.TIER else None
    fact = facts.get("daily_limit")
    if fact is not None and isinstance(fact.value, int) and fact.value > 0:
        daily, source, at = fact.value, Source.FACT, fact.at
    # More a day than the highest tier has, or than this one: bought, and the windows grow with it.
    bought = limits["add_on"] if daily >= tier["daily"] + limits["add_on"]["daily"] else tier
    windows = (bought["burst"], bought["associations"], limits["search"]["limit"])
    return Known(windows=windows, daily=daily, source=source, at=at)


def _said(fact: Any) -> object:
    return None if fact is None else fact.value


def _tier(limits: Mapping[str, Any], name: object) -> Mapping[str, Any]:
    tiers: list[dict[str, Any]] = limits["tier"]
    return next((one for one in tiers if one["name"] == name), tiers[0])


_PRIORITY: Final[Mapping[str, Mapping[str, int]]] = table("limits")["priority"]
DAY_SHARE: Final = {one: _PRIORITY[one]["day"] for one in Priority}
"""The percentage of the daily limit that calls of a priority may use up."""

WINDOW_SHARE: Final = {one: _PRIORITY[one]["window"] for one in Priority}
"""The percentage of a window that calls of a priority may use."""

CHECKS: Final = frozenset(table("limits")["checks"]["purposes"])
"""The purposes of our own proofs and probes."""

ALWAYS: Final = frozenset(table("limits")["checks"]["always"])
"""Those of them that leave whatever is used up or closed."""

_ASKED: Final = re.compile(table("limits")["checks"]["asked"], re.ASCII)

SLOWED: Final[int] = table("limits")["pace"]["slowed"]
_YIELDING: Final = (Priority.NORMAL, Priority.LOW)
_LONGER: Final[int] = table("limits")["pace"]["longer"]
_AT_LEAST: Final[int] = table("limits")["pace"]["at_least"] * 1_000_000
LENGTHS: Final = tuple(table("limits")["window"][one.name.lower()] * 1_000_000 for one in Budget)
"""Nanoseconds over which HubSpot counts, by budget."""


def is_check(touched: Touched, purpose: str) -> bool:
    """
    Say whether a call is one of our own proofs and probes, by what it asks and by its purpose.

    >>> from hsagency.routes import touched
    >>> is_check(touched("GET", "/account-info/v3/details"), "verification")
    True
    >>> is_check(touched("GET", "/crm/v3/objects/contacts"), "verification")
    False
    """
    asks = touched.operation_class is OperationClass.READ and _ASKED.fullmatch(touched.template)
    return bool(asks) and purpose in CHECKS


def held(length: int) -> int:
    """Return for how long we hold a window of HubSpot's, both in nanoseconds."""
    return length + max(length * _LONGER // 100, _AT_LEAST)


def share(limit: int, priority: Priority, *, slowed: bool) -> int:
    """Return how many calls of a window's limit a priority may use, at least one."""
    percent = WINDOW_SHARE[priority]
    if slowed and priority in _YIELDING:
        percent = percent * SLOWED // 100
    return max(1, -(-limit * percent // 100))


def room(limit: int, left: int, *, reserve: int, priority: Priority) -> int:
    """
    Return how many calls of a priority a day has room for, of those that are left.

    >>> room(1_000, 500, reserve=0, priority=Priority.LOW)
    300
    >>> room(1_000, 500, reserve=450, priority=Priority.LOW)
    50
    """
    kept = limit - limit * DAY_SHARE[priority] // 100
    return max(0, left - max(kept, reserve))
