"""One portal's limits, kept by all processes of this machine together."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hsagency.audit.journal.writer import AuditWriter
from hsagency.errors import WorkspaceError
from hsagency.pacing import tally
from hsagency.pacing.budgets import ALWAYS, LENGTHS, Budget, budget_of, held, is_check, share
from hsagency.pacing.layout import SECOND, USAGE, Word
from hsagency.pacing.learning import (
    Ticket,
    crossing,
    is_no_news,
    learn,
    may_reopen,
    reopen,
)
from hsagency.pacing.ring import Ring
from hsagency.pacing.standing import Standing, standing_of
from hsagency.pacing.tally import AHEAD, moment, nanoseconds
from hsagency.pacing.terms import Terms
from hsagency.pacing.told import NOTHING, told_by
from hsagency.pacing.warning import Day, Low, closed, spent, warn
from hsagency.portals import Connection
from hsagency.routes import Touched
from hsagency.settings import Priority, QuotaSettings

if TYPE_CHECKING:
    import httpx

    from hsagency.verdicts import DayEnd

_RANKS: Final = {one: rank for rank, one in enumerate(Priority)}
_SOON: Final = 0.1  # seconds within which calls ask again that let others go before them
_LIMITED: Final = 429


class Pacer:
    """
    The limits of one portal; ask `Pacing.of` for it.

    Its methods may be called from any thread, and after a fork. They raise `WorkspaceError` where
    the file that all processes share cannot be used: then nothing may be sent.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        path: Path,
        settings: QuotaSettings,
        writer: AuditWriter,
        now: Callable[[], int],
    ) -> None:
        self._path, self._settings, self._writer, self._now = path, settings, writer, now
        self._rings: dict[int, Ring] = {}  # by process: a forked child opens its own
        self._terms = Terms(connection, settings)
        self._moved = True  # whether the day is to be reckoned by another zone

    @property
    def connection(self) -> Connection:
        """What the index knows of the portal."""
        return self._terms.connection

    def know(self, connection: Connection) -> None:
        """Go by what the index knows of the portal now."""
        terms = Terms(connection, self._settings)
        self._moved = self._moved or terms.zone != self._terms.zone
        self._terms = terms

    def reserve(self, touched: Touched, priority: Priority, *, purpose: str = "") -> Ticket:
        """
        Return when a call may leave; its turn is taken where it is near.

        Raises `QuotaSpent` where the day has no room for calls of that priority, and `PortalAway`
        where HubSpot is moving the portal. Our own checks always have the critical one.
        """
        budget, terms, now = budget_of(touched), self._terms, self._now()
        check, ring = is_check(touched, purpose), self._ring()
        ring.acquire()
        try:
            self._prepare(ring, now)
            words = ring.words
            limit, left = terms.limit(words), tally.left(ring)
            if check and purpose in ALWAYS:
                priority = Priority.CRITICAL
            else:
                self._refuse_closed(ring, now)
                if limit is not None:
                    self._refuse_spent(ring, limit, left, priority, purpose)
            rank = _RANKS[priority]
            slowed = left is not None and terms.marks(limit).is_low(left)
            most = tally.limit_of(ring, budget, terms.known.windows[budget])
            at = tally.turn(ring, budget, share(most, priority, slowed=slowed), now)
            if at > now + AHEAD:
                # Whoever comes with more priority meanwhile goes first. Not all wake at once.
                later = at - now - int(AHEAD * random.random())  # noqa: S311
                tally.wait(ring, budget, rank, until=now + later)
                return Ticket(budget, later / SECOND, granted=False)
            before = tally.first_come(ring, budget, rank, now)
            if before > now:
                soon = min(before - now, AHEAD) / SECOND + _SOON * random.random()  # noqa: S311
                return Ticket(budget, soon, granted=False)
            number = tally.enter(ring, budget, at, is_check=check)
            wait = (at - now) / SECOND
            return Ticket(budget, wait, True, number, words[Word.DAY_BEGINS], at, check)
        finally:
            ring.release()

    def told(self, ticket: Ticket, response: httpx.Response) -> None:
        """
        Learn from the headers of an answer; what is absent or unreadable changes nothing.

        Where that cannot be written down, a person is told: the answer is there all the same.
        """
        told, ring = told_by(response.headers), self._ring()
        reopens = response.is_success and may_reopen(ring, ticket)
        refused = response.status_code == _LIMITED
        if not (reopens or refused) and (
            told is NOTHING or is_no_news(ring, self._terms, ticket, told)
        ):
            return
        try:
            with self._held() as (ring, now):
                low = learn(ring, self._terms, ticket, told, now)
                if reopens:
                    reopen(ring, ticket, told)
                if refused and ticket.day == ring.words[Word.DAY_BEGINS]:
                    tally.give_back(ring, ticket.number)
                ring.save()
            self._warn(low)
        except WorkspaceError as error:
            if self._writer.is_first(("pacing", self._path)):
                self._writer.tell(f"What HubSpot told of its limits is lost. {error.message}")

    def returned(self, ticket: Ticket) -> None:
        """Count a call no more that certainly never left."""
        with self._held() as (ring, _):
            if ticket.granted and ticket.day == ring.words[Word.DAY_BEGINS]:
                tally.give_back(ring, ticket.number)
                ring.save()

    def checked(self, calls: int) -> None:
        """Count calls that were made to find out whose portal it is, before that was known."""
        with self._held() as (ring, now):
            for _ in range(calls):
                limit = tally.limit_of(ring, Budget.BURST, self._terms.known.windows[Budget.BURST])
                at = tally.turn(ring, Budget.BURST, limit, now)
                tally.enter(ring, Budget.BURST, at, is_check=True)
            ring.save()

    def back_off(self, budget: Budget, seconds: float) -> None:
        """Let nobody on this machine go for so long, at most ten minutes: HubSpot said so."""
        with self._held() as (ring, now):
            until = now + min(int(max(0.0, seconds) * SECOND), tally.LONGEST_HOLD)
            ring.words[Word.HOLDS + budget] = max(ring.words[Word.HOLDS + budget], until)
            ring.save()

    def close(self, until: datetime | None, reason: str) -> None:
        """
        Refuse every call of this machine until then, but for those that find out more.

        No `until` is the portal's next midnight, because the day is used up; an answer that tells
        of calls left opens it again, and so does, whatever the reason, a good one to a check. At
        most a day and an hour. `reason` follows "because".
        """
        with self._held() as (ring, now):
            words = ring.words
            end = tally.used_up_until(ring, now) if until is None else nanoseconds(until)
            words[Word.CLOSED_UNTIL] = min(end, now + tally.LONGEST_CLOSE)
            words[Word.CLOSED_AT], words[Word.CLOSED_FOR_DAY] = now, until is None
            ring.text = reason
            ring.save()

    def day_end(self, ticket: Ticket) -> DayEnd:
        """Return when the day is over of which a call was told that it is used up."""
        from hsagency.verdicts import DayEnd  # which the table of portals does without

        with self._held() as (ring, now):
            at = tally.used_up_until(ring, now)
            if ticket.day != ring.words[Word.DAY_BEGINS]:  # it ended meanwhile
                at = min(now, ring.words[Word.DAY_BEGINS] * SECOND)
        return DayEnd(moment(at), self._terms.zone.shown(moment(at)))

    def usage(self, limit: int, used: int, *, resets_at: datetime | None = None) -> None:
        """
        Learn from the usage endpoint.

        It counts legacy private apps only, so that a header of today is believed before it.
        """
        if limit <= 0 or used < 0:
            return
        with self._held() as (ring, now):
            tally.learn_midnight(ring, resets_at, now)
            tally.learn_limit(ring, limit, now, source=USAGE)
            number, left = ring.words[Word.NUMBER], max(0, limit - used)
            tally.learn_left(ring, left, number=number, limit=limit, now=now, source=USAGE)
            low = crossing(ring, self._terms)
            ring.save()
        self._warn(low)

    def standing(self) -> Standing:
        """Return what is known of the portal's limits now."""
        with self._held() as (ring, now):
            return standing_of(ring, self._terms, now)

    def let_go(self) -> None:
        """Close the file; the next call opens it again."""
        ring = self._rings.pop(os.getpid(), None)
        if ring is not None:
            ring.close()

    def _ring(self) -> Ring:
        """Return the file as this process has it open."""
        ring = self._rings.get(os.getpid())
        if ring is None:
            made = Ring(self._path, now=self._now, tell=self._writer.tell)
            ring = self._rings.setdefault(os.getpid(), made)
        return ring

    @contextmanager
    def _held(self) -> Iterator[tuple[Ring, int]]:
        """Hold the tally, as it is now, and the time."""
        ring = self._ring()
        ring.acquire()
        try:
            now = self._now()
            self._prepare(ring, now)
            yield ring, now
        finally:
            ring.release()

    def _prepare(self, ring: Ring, now: int) -> None:
        """Bring what was read up to date."""
        words = ring.words
        is_today = words[Word.DAY_BEGINS] * SECOND <= now < words[Word.DAY_ENDS] * SECOND
        if is_today and not (self._moved or ring.begun_anew or ring.is_new):
            return
        if ring.begun_anew or (ring.is_new and self._was_there(now)):
            tally.hold_all(ring, now)
        tally.roll(ring, self._terms.zone, now, moved=self._moved)
        ring.save()
        ring.begun_anew = ring.is_new = self._moved = False

    def _was_there(self, now: int) -> bool:
        """Say whether the portal may have been called before: then its file was lost."""
        since = now - nanoseconds(self.connection.added_at)
        return not 0 <= since <= held(LENGTHS[Budget.BURST])

    def _refuse_closed(self, ring: Ring, now: int) -> None:
        if tally.is_closed(ring, now):
            words = ring.words
            until, for_day = moment(words[Word.CLOSED_UNTIL]), bool(words[Word.CLOSED_FOR_DAY])
            raise closed(self._terms, until, ring.text, for_day=for_day)

    def _refuse_spent(
        self, ring: Ring, limit: int, left: int | None, priority: Priority, purpose: str
    ) -> None:
        left = limit - tally.ours(ring) if left is None else left
        day = Day(limit, left, self._terms.marks(limit).reserve, tally.midnight(ring))
        if day.is_reserved or day.stops(priority):
            raise spent(self._terms, day, priority, purpose)

    def _warn(self, low: Low | None) -> None:
        if low is None or warn(self._writer, self._terms, low):
            return
        with self._held() as (ring, _):  # what is not on record is told again
            ring.words[Word.WARNED] = 0
            ring.save()
