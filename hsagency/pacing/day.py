"""A portal's day, from midnight to midnight in its own time zone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

from hsagency.portals import Connection


@dataclass(frozen=True, slots=True)
class Zone:
    """A portal's time zone; UTC stands for one that is not known."""

    name: str
    zone: tzinfo
    is_known: bool

    def day(self, now: int) -> tuple[int, int]:
        """Return when the day of a moment begins and ends, all in seconds of the epoch."""
        today = datetime.fromtimestamp(now, self.zone).date()
        # By the calendar: days on which clocks change have 23 or 25 hours.
        begins, ends = (
            int(datetime.combine(one, time(), tzinfo=self.zone).timestamp())
            for one in (today, today + timedelta(days=1))
        )
        return begins, ends

    def shown(self, at: datetime) -> str:
        """Return a moment as a person there reads it, and in UTC."""
        utc = f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
        if not self.is_known:
            return f"{utc} (the portal's time zone is not known)"
        return f"{at.astimezone(self.zone):%Y-%m-%d %H:%M} {self.name} ({utc})"


UNKNOWN = Zone("UTC", UTC, is_known=False)


def zone_of(connection: Connection) -> Zone:
    """Return a portal's time zone as the index knows it."""
    fact = connection.facts.get("time_zone")
    return UNKNOWN if fact is None else _named(str(fact.value))


@lru_cache(maxsize=256)
def _named(name: str) -> Zone:
    try:
        return Zone(name, ZoneInfo(name), is_known=True)
    except (KeyError, OSError, ValueError):  # none of that name here, or no name at all
        return UNKNOWN
