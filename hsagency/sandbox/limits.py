"""
HubSpot's two budgets: so many calls in ten seconds per app, so many a day per portal.

The burst window rolls and belongs to one app; the day is shared by all apps of a portal and
ends at midnight in the portal's own time zone (HubSpot usage guidelines, 2026). A call that
either budget refuses is counted in neither.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from hsagency.sandbox.wire import ApiError, Headers

BURST_SECONDS = 10.0
BURST, DAILY = "TEN_SECONDLY_ROLLING", "DAILY"


@dataclass(frozen=True, slots=True)
class TierLimits:
    """What a subscription tier may do: calls in ten seconds, calls a day."""

    burst: int
    daily: int


# HubSpot usage guidelines, 2026: privately distributed apps without the limit add-on.
TIER_LIMITS = {
    "starter": TierLimits(burst=100, daily=250_000),
    "professional": TierLimits(burst=190, daily=625_000),
    "enterprise": TierLimits(burst=190, daily=1_000_000),
}


def next_midnight(now: datetime, zone: ZoneInfo) -> datetime:
    """
    Return when the portal's next day begins, in UTC.

    Never "24 hours later" and never from a stored offset: days with a clock change have 23 or 25.
    """
    tomorrow = now.astimezone(zone).date() + timedelta(days=1)
    return datetime.combine(tomorrow, time(), tzinfo=zone).astimezone(UTC)


class Burst:
    """The calls of one app in the last ten seconds."""

    __slots__ = ("_calls", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._calls: deque[float] = deque()

    def remaining(self, now: float) -> int:
        """How many calls fit now."""
        calls = self._calls
        if calls and calls[-1] > now:  # the clock was set back
            calls.clear()
        while calls and calls[0] <= now - BURST_SECONDS:
            calls.popleft()
        return self.limit - len(calls)

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


class Day:
    """The calls of all apps of one portal since its last midnight."""

    __slots__ = ("_by_kind", "_resets", "_starts", "_zone", "limit", "resets_at", "used")

    def __init__(self, limit: int, *, zone: ZoneInfo) -> None:
        self.limit, self._zone = limit, zone
        self.used = 0
        self._by_kind: Counter[str] = Counter()
        self._starts = self._resets = 0.0
        self.resets_at = datetime.fromtimestamp(0, UTC)

    def remaining(self, at: datetime, now: float) -> int:
        """How many calls are left today, never less than none."""
        if not self._starts <= now < self._resets:
            self._begin(at)
        return max(0, self.limit - self.used)

    def used_by(self, kind: str) -> int:
        """How many of today's calls were made with this kind of credential."""
        return self._by_kind[kind]

    def take(self, kind: str, calls: int = 1) -> None:
        """Count calls."""
        self.used += calls
        self._by_kind[kind] += calls

    def _begin(self, at: datetime) -> None:
        self.resets_at = next_midnight(at, self._zone)
        self._resets = self.resets_at.timestamp()
        today = at.astimezone(self._zone).date()
        self._starts = datetime.combine(today, time(), tzinfo=self._zone).timestamp()
        self.used = 0
        self._by_kind.clear()


class Meter:
    """Both budgets of one portal."""

    def __init__(self, portal_id: int, *, tier: str, zone: ZoneInfo) -> None:
        self.limits = TIER_LIMITS[tier]
        self.day = Day(self.limits.daily, zone=zone)
        self._portal_id = portal_id
        self._bursts: dict[int, Burst] = {}

    def admit(self, at: datetime, *, app_id: int, kind: str) -> None:
        """Count one call, or refuse it."""
        now, burst = at.timestamp(), self._burst(app_id)
        if burst.remaining(now) <= 0:
            raise self.burst_refusal(app_id)
        if self.day.remaining(at, now) <= 0:
            raise daily_refusal()
        burst.take(now)
        self.day.take(kind)

    def burst_refusal(self, app_id: int) -> ApiError:
        """Return the 429 of an app that is too fast."""
        return ApiError(
            429,
            "You have reached your ten_secondly_rolling limit.",
            errorType="RATE_LIMIT",
            policyName=BURST,
            groupName=f"publicapi:private_app-api-calls-ten-secondly:{self._portal_id}:{app_id}",
        )

    def headers(self, at: datetime, *, app_id: int, refused: object = None) -> Headers:
        """Return the rate limit headers; a refusal by a policy says that nothing of it is left."""
        now, burst = at.timestamp(), self._burst(app_id)
        day_left = 0 if refused == DAILY else self.day.remaining(at, now)
        left = 0 if refused == BURST else burst.remaining(now)
        return (
            ("X-HubSpot-RateLimit-Daily", str(self.day.limit)),
            ("X-HubSpot-RateLimit-Daily-Remaining", str(day_left)),
            ("X-HubSpot-RateLimit-Interval-Milliseconds", "10000"),
            ("X-HubSpot-RateLimit-Max", str(burst.limit)),
            ("X-HubSpot-RateLimit-Remaining", str(left)),
            ("X-HubSpot-RateLimit-Secondly", str(burst.limit // 10)),
            ("X-HubSpot-RateLimit-Secondly-Remaining", str(burst.secondly_remaining(now))),
        )

    def _burst(self, app_id: int) -> Burst:
        burst = self._bursts.get(app_id)
        if burst is None:
            burst = self._bursts[app_id] = Burst(self.limits.burst)
        return burst


def daily_refusal() -> ApiError:
    """Return the 429 of a portal whose day is used up."""
    return ApiError(
        429, "You have reached your daily limit.", errorType="RATE_LIMIT", policyName=DAILY
    )
