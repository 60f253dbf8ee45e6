"""
HubSpot's budgets: calls in ten seconds per app, searches in a second per portal, calls a day.

The windows roll. The day is shared by all privately distributed apps of a portal and ends at
midnight in the portal's own time zone (facts 3.1). A call that one budget refuses is counted in
none. That searches and associations have a window of their own and count for the day, but not
for the app's ten seconds, is an assumption. Associations have a limit a day too, in some copies of
the documents, of which nobody is sure: it is not simulated.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any, Literal, TypeAlias
from zoneinfo import ZoneInfo

from hsagency.sandbox.others import Others
from hsagency.sandbox.portals import Credential, Portal
from hsagency.sandbox.wire import ApiError, Headers

Budget: TypeAlias = Literal["general", "search", "associations"]
# How a 429 says that it is one: by a word that HubSpot has always used, a newer one, or neither.
Marker: TypeAlias = Literal["errorType", "category", "none"]

BURST, DAILY, SECONDLY = "TEN_SECONDLY_ROLLING", "DAILY", "SECONDLY"
BURST_SECONDS = 10.0
SEARCHES = 5  # a second, for all apps of a portal
MARKETPLACE_BURST = 110


def too_many(
    policy: str | None,
    *,
    portal: Portal | None,
    credential: Credential | None,
    marker: Marker | None = None,
) -> ApiError:
    """
    Return the 429 of a policy (facts 3.3), or one that names none.

    Without `marker` it is in the words that the portal uses: there are two sets.
    """
    marker = marker or ("category" if portal and portal.newer_refusals else "errorType")
    extra: dict[str, Any] = {"errorType": "RATE_LIMIT"} if marker == "errorType" else {}
    if policy is not None:
        extra["policyName"] = policy
    # The group of an OAuth app's calls has a name that nobody has written down.
    if policy == BURST and portal and credential and credential.kind != "oauth":
        counted = f"{portal.portal_id}:{credential.app_id}"
        extra["groupName"] = f"publicapi:private_app-api-calls-ten-secondly:{counted}"
    message = f"You have reached your {policy.lower()} limit." if policy else "Too many requests."
    category = "RATE_LIMITS" if marker == "category" else None
    return ApiError(429, message, category=category, **extra)


@dataclass(frozen=True, slots=True)
class TierLimits:
    """What a portal may do: calls and association calls in ten seconds, calls a day."""

    burst: int
    daily: int
    associations: int


# HubSpot usage guidelines, 2026: privately distributed apps without the limit add-on.
TIER_LIMITS = {
    "starter": TierLimits(burst=100, daily=250_000, associations=100),
    "professional": TierLimits(burst=190, daily=625_000, associations=150),
    "enterprise": TierLimits(burst=190, daily=1_000_000, associations=150),
}


def limits_of(portal: Portal) -> TierLimits:
    """Return what a portal may do, with the API limit increases it bought."""
    usual, bought = TIER_LIMITS[portal.tier], portal.add_ons
    if not bought:
        return usual
    return TierLimits(burst=250, daily=usual.daily + bought * 1_000_000, associations=200)


def next_midnight(now: datetime, zone: ZoneInfo) -> datetime:
    """
    Return when the portal's next day begins, in UTC.

    Never "24 hours later" and never from a stored offset: days with a clock change have 23 or 25.
    """
    tomorrow = now.astimezone(zone).date() + timedelta(days=1)
    return datetime.combine(tomorrow, time(), tzinfo=zone).astimezone(UTC)


class Window:
    """The calls of the last so many seconds."""

    __slots__ = ("_calls", "_seconds", "limit")

    def __init__(self, limit: int, *, seconds: float = BURST_SECONDS) -> None:
        self.limit, self._seconds = limit, seconds
        self._calls: deque[float] = deque()

    def remaining(self, now: float) -> int:
        """How many calls fit now, never less than none."""
        calls = self._calls
        # a step back that is longer than the window leaves all behind, a shorter one keeps them
        if calls and calls[-1] > now + self._seconds:
            calls.clear()
        while calls and calls[0] <= now - self._seconds:
            calls.popleft()
        return max(0, self.limit - len(calls))

    def secondly_remaining(self, now: float) -> int:
        """A tenth of the limit less the last second's calls; reported by HubSpot, not enforced."""
        allowed = self.limit // 10
        for at in reversed(self._calls):
            if allowed == 0 or at <= now - 1:
                break
            allowed -= 1
        return allowed

    def take(self, now: float) -> None:
        """Count a call."""
        self._calls.append(now)


@dataclass(frozen=True, slots=True)
class Usage:
    """A portal's day so far: calls of the credentials that we hold, and of all other apps."""

    limit: int
    ours: int
    theirs: int
    left: int
    resets_at: datetime


class Day:
    """
    The calls of all apps of one portal since its last midnight.

    A day that the clock is taken out of is forgotten: back in it, nothing is used up.
    """

    __slots__ = (
        "_by_kind", "_others", "_reached", "_resets", "_starts", "_zone", "limit", "resets_at",
        "theirs", "used",
    )  # fmt: skip

    def __init__(self, limit: int, *, zone: ZoneInfo) -> None:
        self.limit, self._zone = limit, zone
        self.used = self.theirs = 0
        self._by_kind: Counter[str] = Counter()
        self._others: dict[str, Others] = {}
        self._reached: Counter[str] = Counter()
        self._starts = self._resets = 0.0
        self.resets_at = datetime.fromtimestamp(0, UTC)

    def remaining(self, at: datetime, now: float) -> int:
        """How many calls are left today, never less than none."""
        if not self._starts <= now < self._resets:
            self._begin(at)
        if self._others:
            self._let_in(now)
        return max(0, self.limit - self.used)

    def usage(self, at: datetime) -> Usage:
        """Return the day so far."""
        left = self.remaining(at, at.timestamp())
        return Usage(self.limit, self.used - self.theirs, self.theirs, left, self.resets_at)

    def used_by(self, *kinds: str) -> int:
        """How many of today's calls were made with these kinds of credential."""
        return sum(self._by_kind[kind] for kind in kinds)

    def take(self, kind: str, calls: int = 1, *, theirs: bool = False) -> None:
        """Count calls."""
        self.used += calls
        self._by_kind[kind] += calls
        if theirs:
            self.theirs += calls

    def share(self, others: Others, at: datetime) -> None:
        """Let other apps call too, as if they always had; they take the place of their kind."""
        self.remaining(at, at.timestamp())  # those that were there until now
        others.begin(at.astimezone(self._zone).date())
        self._others[others.kind] = others

    def move(self, zone: ZoneInfo, at: datetime) -> None:
        """Reckon midnight by another zone; what was used today remains used."""
        self.remaining(at, at.timestamp())
        self._zone = zone
        self._bound(at)

    def _begin(self, at: datetime) -> None:
        self._bound(at)
        self.used = self.theirs = 0
        self._by_kind.clear()
        self._reached.clear()

    def _bound(self, at: datetime) -> None:
        self.resets_at = next_midnight(at, self._zone)
        self._resets = self.resets_at.timestamp()
        today = at.astimezone(self._zone).date()
        self._starts = datetime.combine(today, time(), tzinfo=self._zone).timestamp()
        for others in self._others.values():
            others.begin(today)

    def _let_in(self, now: float) -> None:
        """Count what the others did since the last look; what the day refuses is not made good."""
        gone = (now - self._starts) / (self._resets - self._starts)
        room = max(0, self.limit - self.used)
        for kind, others in self._others.items():
            by_now = others.by(gone)
            granted = min(room, max(0, by_now - self._reached[kind]))
            self._reached[kind] = max(by_now, self._reached[kind])
            if granted:
                self.take(kind, granted, theirs=True)
                room -= granted


class Meter:
    """All budgets of one portal; one that is not `enforced` counts and refuses nothing."""

    def __init__(self, portal: Portal, *, enforced: bool = True) -> None:
        self.limits, self.enforced = limits_of(portal), enforced
        self.day = Day(self.limits.daily, zone=ZoneInfo(portal.time_zone))
        self._portal = portal
        self._windows: dict[tuple[int, Budget], Window] = {}

    def suit(self, portal: Portal, at: datetime) -> None:
        """Go by what the portal is now."""
        if portal.time_zone != self._portal.time_zone:
            self.day.move(ZoneInfo(portal.time_zone), at)
        self._portal = portal
        if self.limits != limits_of(portal):
            self.limits = limits_of(portal)
            self.day.limit = self.limits.daily
            for (_, budget), window in self._windows.items():
                if budget != "search" and window.limit != MARKETPLACE_BURST:
                    window.limit = self._allowed(budget)

    def admit(self, at: datetime, credential: Credential, *, budget: Budget = "general") -> None:
        """Count one call, or refuse it."""
        now, window = at.timestamp(), self._window(credential, budget)
        if window.remaining(now) <= 0 and self.enforced:
            policy = SECONDLY if budget == "search" else BURST
            raise too_many(policy, portal=self._portal, credential=credential)
        if credential.distribution == "private":
            if self.day.remaining(at, now) <= 0 and self.enforced:
                raise too_many(DAILY, portal=self._portal, credential=credential)
            self.day.take(credential.kind)
        window.take(now)

    def headers(
        self,
        at: datetime,
        credential: Credential,
        *,
        budget: Budget = "general",
        refused: object = None,
    ) -> Headers:
        """
        Return the rate limit headers; a refusal by a policy says that nothing of it is left.

        Answers to searches have none, or tell the day where the portal `search_headers`; those to
        OAuth tokens say nothing of the day.
        """
        if budget == "search":
            told = self._portal.search_headers and credential.kind != "oauth"
            return self._of_day(at, refused=refused) if told else ()
        now, window = at.timestamp(), self._window(credential, budget)
        left = 0 if refused == BURST else window.remaining(now)
        burst = (
            ("X-HubSpot-RateLimit-Interval-Milliseconds", "10000"),
            ("X-HubSpot-RateLimit-Max", str(window.limit)),
            ("X-HubSpot-RateLimit-Remaining", str(left)),
            ("X-HubSpot-RateLimit-Secondly", str(window.limit // 10)),
            ("X-HubSpot-RateLimit-Secondly-Remaining", str(window.secondly_remaining(now))),
        )
        return burst if credential.kind == "oauth" else (*self._of_day(at, refused=refused), *burst)

    def _of_day(self, at: datetime, *, refused: object) -> Headers:
        left = 0 if refused == DAILY else self.day.remaining(at, at.timestamp())
        return (
            ("X-HubSpot-RateLimit-Daily", str(self.day.limit)),
            ("X-HubSpot-RateLimit-Daily-Remaining", str(left)),
        )

    def _window(self, credential: Credential, budget: Budget) -> Window:
        key = (0 if budget == "search" else credential.app_id, budget)
        window = self._windows.get(key)
        if window is None:
            window = self._windows[key] = self._opened(credential, budget)
        return window

    def _opened(self, credential: Credential, budget: Budget) -> Window:
        if budget == "search":
            return Window(SEARCHES, seconds=1.0)
        if credential.distribution == "marketplace":
            return Window(MARKETPLACE_BURST)
        return Window(self._allowed(budget))

    def _allowed(self, budget: Budget) -> int:
        """How many calls in ten seconds the account's own apps may make."""
        return self.limits.associations if budget == "associations" else self.limits.burst
