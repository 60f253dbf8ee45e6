"""
What happens to a simulated fleet, month by month: what a history tells, and where to look for it.

Every calendar month has its own: an hour in which HubSpot itself is in trouble, a portal whose
day runs out, a token that is revoked and replaced the next morning, launches and nights of
import. Which days and which portals follows from the seed, the month and the fleet alone.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from random import Random
from typing import Literal, TypeAlias
from zoneinfo import ZoneInfo

from hsagency.errors import SandboxError
from hsagency.sandbox.clock import FIRST_YEAR, LAST_YEAR
from hsagency.sandbox.limits import next_midnight
from hsagency.sandbox.portals import Portal

StoryKind: TypeAlias = Literal["incident", "runs_out", "revoked", "launch", "import"]

# Stories stay within these days of a month, so that any two months in a row hold a whole set.
_FIRST_DAY, _LAST_DAY = 3, 22
_LAUNCHES, _IMPORTS = 0.2, 0.5  # of the fleet, each month
_LONGEST = timedelta(days=6)


@dataclass(frozen=True, slots=True)
class Story:
    """One thing that happens to some portals, from `starts` until just before `ends` (UTC)."""

    kind: StoryKind
    portal_ids: frozenset[int]
    starts: datetime
    ends: datetime
    text: str

    def covers(self, at: datetime) -> bool:
        """Whether it is going on at a time."""
        return self.starts <= at < self.ends

    def touches(self, begin: datetime, end: datetime) -> bool:
        """Whether it is going on at any time between two."""
        return self.starts < end and self.ends > begin


def stories_between(
    portals: Iterable[Portal], begin: datetime, end: datetime, *, seed: int
) -> tuple[Story, ...]:
    """
    Return what happens between two times, in the order in which it begins.

    A longer period tells the stories of a shorter one and more.
    """
    fleet = sorted(portals, key=lambda portal: portal.portal_id)
    # A story may reach in from the month before, or from the one after.
    months = _months((begin - _LONGEST).date(), (end + _LONGEST).date())
    found = [
        story
        for year, month in months
        for story in (_month(fleet, year, month, seed=seed) if fleet else ())
        if story.touches(begin, end)
    ]
    return tuple(sorted(found, key=lambda story: (story.starts, story.kind, story.text)))


def bounds(first: date, last: date) -> tuple[datetime, datetime]:
    """Return when a period of UTC days begins, and when the day after it does."""
    # A day is left on both sides for time zones, a story for what began before.
    if not FIRST_YEAR < first.year <= last.year < LAST_YEAR or last < first:
        raise SandboxError(
            f"There is no history from {first} to {last}; nothing was made.",
            hint=f"It has a first and a later last day, in {FIRST_YEAR + 1} to {LAST_YEAR - 1}.",
        )
    begin = datetime.combine(first, time(), UTC)
    return begin, datetime.combine(last + timedelta(days=1), time(), UTC)


def _months(first: date, last: date) -> Iterator[tuple[int, int]]:
    year, month = first.year, first.month
    while (year, month) <= (last.year, last.month):
        yield year, month
        year, month = (year, month + 1) if month < 12 else (year + 1, 1)


def _month(fleet: Sequence[Portal], year: int, month: int, *, seed: int) -> Iterator[Story]:
    """Yield the stories of one month; no two of the troubles share a day."""
    chance = Random(f"{seed}/stories/{year}-{month:02}")  # noqa: S311 - repeatable is the point
    open_days = [
        date(year, month, day)
        for day in range(_FIRST_DAY, min(_LAST_DAY, monthrange(year, month)[1]) + 1)
        if date(year, month, day).weekday() < 5
    ]
    trouble, runs_out, revoked = chance.sample(open_days, 3)
    yield _incident(fleet, trouble, chance)
    yield _runs_out(chance.choice(fleet), runs_out, chance)
    yield _revoked(chance.choice(fleet), revoked, chance)
    for portal in chance.sample(fleet, max(1, round(_LAUNCHES * len(fleet)))):
        yield _launch(portal, chance.choice(open_days))
    calm = [day for day in open_days if day not in (trouble, runs_out, revoked)]
    for portal in chance.sample(fleet, max(1, round(_IMPORTS * len(fleet)))):
        yield _import(portal, chance.choice(calm), chance)


def _incident(fleet: Sequence[Portal], day: date, chance: Random) -> Story:
    # When both sides of the Atlantic are at work.
    starts = datetime.combine(day, time(14, chance.randrange(60)), UTC)
    return Story(
        kind="incident",
        portal_ids=frozenset(portal.portal_id for portal in fleet),
        starts=starts,
        ends=starts + timedelta(hours=1),
        text="HubSpot answers 502 and 504, or not at all",
    )


def _runs_out(portal: Portal, day: date, chance: Random) -> Story:
    starts = _local(portal, day, time(chance.randint(13, 16), chance.randrange(60)))
    return Story(
        kind="runs_out",
        portal_ids=frozenset({portal.portal_id}),
        starts=starts,
        ends=next_midnight(starts, ZoneInfo(portal.time_zone)),
        text=f"other apps use up the day of {portal.name}",
    )


def _revoked(portal: Portal, day: date, chance: Random) -> Story:
    morning = day + timedelta(days=3 if day.weekday() == 4 else 1)
    return Story(
        kind="revoked",
        portal_ids=frozenset({portal.portal_id}),
        starts=_local(portal, day, time(chance.randint(10, 12), chance.randrange(60))),
        ends=_local(portal, morning, time(9, chance.randrange(60))),
        text=f"the token of {portal.name} is revoked, and replaced the next working day",
    )


def _launch(portal: Portal, day: date) -> Story:
    monday = day - timedelta(days=day.weekday())
    return Story(
        kind="launch",
        portal_ids=frozenset({portal.portal_id}),
        starts=_local(portal, monday, time()),
        ends=_local(portal, monday + timedelta(days=5), time()),
        text=f"{portal.name} launches a campaign",
    )


def _import(portal: Portal, day: date, chance: Random) -> Story:
    starts = _local(portal, day, time(21, chance.randrange(60)))
    return Story(
        kind="import",
        portal_ids=frozenset({portal.portal_id}),
        starts=starts,
        ends=starts + timedelta(hours=2),
        text=f"contacts are imported into {portal.name} overnight",
    )


def _local(portal: Portal, day: date, at: time) -> datetime:
    return datetime.combine(day, at, ZoneInfo(portal.time_zone)).astimezone(UTC)
