"""
Believable traffic of an agency on simulated portals, for the days before anybody called.

    history = History(sandbox.portals, first=date(2026, 10, 1), last=date(2026, 10, 31))
    history.stories         # what happens, when and to whom
    for call in history: ...

The same portals, period and seed give the same calls, and a longer period holds those of a
shorter one. What HubSpot's headers say is consistent: what is left of a day falls with every
call of ours and of the portal's other apps, and is whole again after the portal's own midnight.
Nothing here was ever sent; how busy agencies really are is an assumption.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from itertools import accumulate
from random import Random
from zoneinfo import ZoneInfo

from hsagency.errors import SandboxError
from hsagency.sandbox.history.stories import Story, StoryKind, bounds, stories_between
from hsagency.sandbox.history.work import IMPORT, LAUNCH, SYNC, TASKS, Operation, Task
from hsagency.sandbox.limits import BURST, DAILY, SECONDLY, limits_of, next_midnight
from hsagency.sandbox.portals import FOUNDED, Portal

MOST_ATTEMPTS = 3
# How busy the hours of a day are: people have a morning and an afternoon, programs never sleep.
_PEOPLE = (1, 1, 1, 1, 1, 2, 4, 10, 34, 80, 100, 88, 40, 58, 90, 92, 70, 38, 16, 9, 6, 4, 2, 1)
_PROGRAMS = (5, 5, 6, 5, 4, 4, 5, 6, 8, 10, 11, 11, 9, 9, 11, 11, 10, 8, 7, 6, 6, 6, 5, 5)
_BY_WEEKDAY = (1.15, 1.05, 1.0, 1.0, 0.8, 0.12, 0.1)
_OFF = 0.1
_HOLIDAYS = {
    "": {(1, 1), (12, 25), (12, 26), (12, 31)},
    "America": {(7, 4)},
    "Asia": {(1, 26), (8, 15)},
    "Australia": {(1, 26), (4, 25)},
    "Europe": {(5, 1)},
}
_PATIENCE = 60_000  # milliseconds after which a caller gives up


@dataclass(frozen=True, slots=True)
class PastCall:
    """
    One attempt of a call that never happened.

    `status` is None where no answer came in time. `daily` and `remaining` are what the answer's
    headers said of the portal's day, None where HubSpot sends none; `policy` names the limit
    that refused it.
    """

    at: datetime
    portal_id: int
    method: str
    path: str
    purpose: str
    attempt: int
    status: int | None
    duration_ms: int
    policy: str | None = None
    daily: int | None = None
    remaining: int | None = None


class History:
    """
    The calls of a fleet in a period of UTC days, both included, and the stories they tell.

    `stories` are planned from the seed unless others are given.
    """

    def __init__(
        self,
        portals: Iterable[Portal],
        *,
        first: date,
        last: date,
        seed: int = 0,
        stories: Iterable[Story] | None = None,
    ) -> None:
        self.first, self.last, self.seed = first, last, seed
        self._begin, self._end = bounds(first, last)
        self._portals = {portal.portal_id: portal for portal in portals}
        # A portal's day runs into the UTC days beside it, and is made with all that happens on it.
        day, fleet = timedelta(days=1), self._portals.values()
        self._told = (
            stories_between(fleet, self._begin - day, self._end + day, seed=seed)
            if stories is None
            else tuple(stories)
        )
        self.stories = tuple(one for one in self._told if one.touches(self._begin, self._end))

    def __iter__(self) -> Iterator[PastCall]:
        """Yield the calls of all portals, oldest first."""
        return heapq.merge(*map(self.of, self._portals), key=lambda call: call.at)

    def others(self, portal_id: int) -> int:
        """Return how many calls a portal's other apps make on a usual working day."""
        portal = self._portal(portal_id)
        return int(_Habits.of(portal, seed=self.seed).others * limits_of(portal).daily)

    def of(self, portal_id: int) -> Iterator[PastCall]:
        """Yield the calls of one portal, oldest first."""
        portal = self._portal(portal_id)
        stories = [story for story in self._told if portal_id in story.portal_ids]
        # The portal's days are not UTC's: one more on either side.
        for number in range(-1, (self.last - self.first).days + 2):
            day = _Day(portal, self.first + timedelta(days=number), stories, seed=self.seed)
            yield from (call for call in day.calls() if self._begin <= call.at < self._end)

    def _portal(self, portal_id: int) -> Portal:
        portal = self._portals.get(portal_id)
        if portal is None:
            raise SandboxError(f"This history knows no portal {portal_id}; nothing was made.")
        return portal


@dataclass(order=True, slots=True)
class _Try:
    """An attempt that is due at a time."""

    at: datetime
    task: Task = field(compare=False)
    operation: Operation = field(compare=False)
    path: str = field(compare=False)
    attempt: int = field(default=1, compare=False)


class _Day:
    """One day of one portal, from its own midnight to the next."""

    def __init__(self, portal: Portal, day: date, stories: list[Story], *, seed: int) -> None:
        self._portal, self._day, self._zone = portal, day, ZoneInfo(portal.time_zone)
        self._chance = _rng(f"{seed}/{portal.portal_id}/{day}")
        self._starts = datetime.combine(day, time(), self._zone).astimezone(UTC)
        self._ends = next_midnight(self._starts, self._zone)
        self._stories = [story for story in stories if story.touches(self._starts, self._ends)]
        self._limit = limits_of(portal).daily
        self._ours = 0
        self._habits = _Habits.of(portal, seed=seed)

    def calls(self) -> Iterator[PastCall]:
        """
        Yield the day's calls in order.

        (1) the day is planned: sittings of people, and a night's import; then, one try after
        the other, (2) it is dropped where people have given up, (3) it ends as the stories and
        chance have it, and (4) it is tried again later where a careful program would.
        """
        due = self._plan()  # (1)
        others = self._others(reserved=MOST_ATTEMPTS * len(due))
        heapq.heapify(due)
        while due:
            one = heapq.heappop(due)
            if self._given_up(one):  # (2)
                continue
            status, policy = self._ending(one)  # (3)
            self._ours += status is None or (status < 500 and status not in (401, 429))
            call = self._past(one, status, policy, left=others)
            yield call
            wait = _wait(one, status, policy)  # (4)
            again = one.at + timedelta(seconds=wait or 0, milliseconds=call.duration_ms)
            if wait is not None and again < self._ends:
                heapq.heappush(due, replace(one, at=again, attempt=one.attempt + 1))

    def _plan(self) -> list[_Try]:
        launch = self._story("launch", self._starts)
        count = round(self._habits.calls(self._day) * self._busy() * (2.2 if launch else 1))
        tasks = [*TASKS, LAUNCH] if launch else TASKS
        due: list[_Try] = []
        while count > 0:
            task = self._chance.choices(tasks, [one.weight for one in tasks])[0]
            size = min(count, self._chance.randint(task.least, task.most))
            self._sit(due, task, size, at=self._moment(), pause=0.9)
            count -= size
        for story in self._stories:
            if story.kind == "import" and self._starts <= story.starts < self._ends:
                size = self._chance.randint(IMPORT.least, IMPORT.most)
                self._sit(due, IMPORT, size, at=story.starts, pause=18.0, ends=story.ends)
            # Where people wait, a program goes on trying, every few minutes until it is over.
            if story.kind in ("incident", "runs_out") and self._starts <= story.starts < self._ends:
                self._sit(due, SYNC, SYNC.most, at=story.starts, pause=110.0, ends=story.ends)
        return [one for one in due if one.at < self._ends]

    def _sit(
        self,
        due: list[_Try],
        task: Task,
        size: int,
        *,
        at: datetime,
        pause: float,
        ends: datetime | None = None,
    ) -> None:
        """Plan one sitting: calls that follow each other."""
        for operation in task.some(size, self._chance):
            if ends is not None and at >= ends:
                return
            path = operation.path(self._day, self._chance)
            due.append(_Try(at, task, operation, path))
            at += timedelta(seconds=pause * self._chance.lognormvariate(0, 0.8))

    def _moment(self) -> datetime:
        """Return a time of the day as people's hours have it."""
        hour = self._chance.choices(range(24), _PEOPLE)[0]
        wall = time(hour, self._chance.randrange(60), self._chance.randrange(60))
        at = datetime.combine(self._day, wall, self._zone).astimezone(UTC)
        # An hour that the clocks skip lies on the edge of the day where they change at midnight.
        return min(max(at, self._starts), self._ends - timedelta(seconds=1))

    def _busy(self) -> float:
        off = _OFF if self._is_holiday() else 1.0
        return min(off, _BY_WEEKDAY[self._day.weekday()]) * self._chance.uniform(0.75, 1.25)

    def _is_holiday(self) -> bool:
        region = self._portal.time_zone.partition("/")[0]
        return (self._day.month, self._day.day) in _HOLIDAYS[""] | _HOLIDAYS.get(region, set())

    def _story(self, kind: StoryKind, at: datetime) -> Story | None:
        return next((one for one in self._stories if one.kind == kind and one.covers(at)), None)

    def _given_up(self, one: _Try) -> bool:
        """Whether people have noticed that it is no use, and wait."""
        if one.task is SYNC:
            return False
        if self._story("revoked", one.at) or self._story("runs_out", one.at):
            return self._chance.random() < 0.6
        return False

    def _ending(self, one: _Try) -> tuple[int | None, str | None]:
        """Return how a try ends: its status, and the policy that refused it."""
        if self._story("revoked", one.at):
            return 401, None
        if self._story("incident", one.at) and self._chance.random() < 0.6:
            return self._chance.choice((502, 502, 504, None)), None
        if self._story("runs_out", one.at):
            return 429, DAILY
        return self._usual_ending(one)

    def _usual_ending(self, one: _Try) -> tuple[int | None, str | None]:
        draw = self._chance.random()
        if one.task is IMPORT and draw < 0.07:
            return 429, BURST
        if one.operation.is_search and draw < 0.012:
            return 429, SECONDLY
        if draw < 0.988:
            return one.operation.done, None
        if draw < 0.996:
            return one.operation.trouble, None
        return self._chance.choice((502, 503, None)), None

    def _past(
        self, one: _Try, status: int | None, policy: str | None, *, left: _Others
    ) -> PastCall:
        # What stands in front of a portal knows nothing of its limits.
        told = status is not None and status != 401 and status < 500 and not one.operation.is_search
        remaining = 0 if policy == DAILY else max(0, self._limit - self._ours - left.used(one.at))
        return PastCall(
            at=one.at,
            portal_id=self._portal.portal_id,
            method=one.operation.method,
            path=one.path,
            purpose=one.task.purpose,
            attempt=one.attempt,
            status=status,
            duration_ms=self._duration(one.operation, status),
            policy=policy,
            daily=self._limit if told else None,
            remaining=remaining if told else None,
        )

    def _duration(self, operation: Operation, status: int | None) -> int:
        if status is None:
            return _PATIENCE
        usual = {401: 25, 429: 20, 502: 4_000, 503: 900, 504: 30_000}.get(status, operation.ms)
        return max(1, round(usual * self._chance.lognormvariate(0, 0.45)))

    def _others(self, *, reserved: int) -> _Others:
        """Return what the portal's other apps use today, of which `reserved` calls are ours."""
        share = self._habits.others * self._chance.uniform(0.75, 1.3)
        share *= 0.6 if self._day.weekday() >= 5 or self._is_holiday() else 1.0
        whole = min(0.92, share * (1.4 if self._story("launch", self._starts) else 1.0))
        for story in self._stories:
            if story.kind == "runs_out":
                until = max(story.starts, self._starts + timedelta(minutes=1))
                whole = 1 / _passed(until, self._starts, self._ends)
        return _Others(self._starts, self._ends, whole * (self._limit - reserved))


@dataclass(frozen=True, slots=True)
class _Others:
    """How the calls of a portal's other apps add up over a day."""

    starts: datetime
    ends: datetime
    calls: float

    def used(self, at: datetime) -> int:
        """Return how many they have made by now."""
        return int(self.calls * _passed(at, self.starts, self.ends))


@dataclass(frozen=True, slots=True)
class _Habits:
    """How much is done on one portal: by us on a usual day, by others of its limit."""

    usual: float
    monthly: float
    others: float

    @classmethod
    def of(cls, portal: Portal, *, seed: int) -> _Habits:
        chance = _rng(f"{seed}/{portal.portal_id}/habits")
        return cls(
            usual=min(120.0, max(15.0, chance.lognormvariate(3.4, 0.5))),
            monthly=chance.uniform(0, 0.03),
            others=chance.uniform(0.15, 0.55),
        )

    def calls(self, day: date) -> float:
        """Return a usual working day's calls, which grow for the first five years."""
        months = (day - FOUNDED.date()).days / 30
        return self.usual * (1 + self.monthly * min(60.0, max(0.0, months)))


_SUM = [0, *accumulate(_PROGRAMS)]


def _passed(at: datetime, starts: datetime, ends: datetime) -> float:
    """Return which part of a day's work programs have done by a time of it."""
    hours = 24 * ((at - starts) / (ends - starts))
    hour = min(23, int(hours))
    return (_SUM[hour] + (hours - hour) * _PROGRAMS[hour]) / _SUM[-1]


def _wait(one: _Try, status: int | None, policy: str | None) -> float | None:
    """Return how long to wait before another attempt; None: there is none."""
    if one.attempt >= MOST_ATTEMPTS or policy == DAILY:
        return None
    if status == 429:
        return (10.0 if policy == BURST else 1.0) * one.attempt
    if (status is None or status >= 500) and one.operation.may_repeat:
        return 2.0 * one.attempt
    return None


def _rng(text: str) -> Random:
    return Random(text)  # noqa: S311 - repeatable is the point
