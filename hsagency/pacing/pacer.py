"""One portal's limits, kept by all processes of this machine together."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import httpx

from hsagency.audit.journal.writer import AuditWriter
from hsagency.errors import WorkspaceError
from hsagency.pacing import account
from hsagency.pacing.account import AHEAD, SECOND, USAGE, Word, moment, nanoseconds
from hsagency.pacing.budgets import ALWAYS, CHECKS, Budget, budget_of, room, share
from hsagency.pacing.learning import Ticket, crossing, is_no_news, learn
from hsagency.pacing.ring import Ring
from hsagency.pacing.standing import Standing, standing_of
from hsagency.pacing.terms import Terms
from hsagency.pacing.told import NOTHING, told_by
from hsagency.pacing.warning import Low, closed, spent, warn
from hsagency.portals import Connection
from hsagency.routes import Touched
from hsagency.settings import Priority, QuotaSettings


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

        Raises `QuotaSpent` where the day has no room for calls of that priority.
        """
        budget, terms, now = budget_of(touched), self._terms, self._now()
        ring = self._ring()
        ring.acquire()
        try:
            self._prepare(ring, now)
            words = ring.words
            limit, left = terms.limit(words), account.left(ring)
            if purpose not in ALWAYS:
                self._refuse_closed(ring, now)
                if limit is not None:
                    self._refuse_spent(ring, limit, left, priority, purpose)
            slowed = left is not None and terms.marks(limit).is_low(left)
            most = account.limit_of(ring, budget, terms.known.windows[budget])
            at = account.turn(ring, budget, share(most, priority, slowed=slowed), now)
            if at > now + AHEAD:
                # Whoever comes with more priority meanwhile goes first. Not all wake at once.
                later = at - now - int(AHEAD * random.random())  # noqa: S311
                return Ticket(budget, later / SECOND, granted=False)
            number = account.enter(ring, budget, at, is_check=purpose in CHECKS)
            return Ticket(
                budget,
                (at - now) / SECOND,
                True,
                number,
                words[Word.DAY_BEGINS],
                at,
            )
        finally:
            ring.release()

    def told(self, ticket: Ticket, response: httpx.Response) -> None:
        """
        Learn from the headers of an answer; what is absent or unreadable changes nothing.

        Where that cannot be written down, a person is told: the answer is there all the same.
        """
        told = told_by(response.headers)
        if told is NOTHING or is_no_news(self._ring(), self._terms, ticket, told):
            return
        try:
            with self._held() as (ring, now):
                low = learn(ring, self._terms, ticket, told, now)
                ring.save()
            self._warn(low)
        except WorkspaceError as error:
            if self._writer.is_first(("pacing", self._path)):
                self._writer.tell(f"What HubSpot told of its limits is lost. {error.message}")

    def returned(self, ticket: Ticket) -> None:
        """Count a call no more that certainly never left."""
        with self._held() as (ring, _):
            if ticket.granted and ticket.day == ring.words[Word.DAY_BEGINS]:
                account.give_back(ring, ticket.number)
                ring.save()

    def checked(self, calls: int) -> None:
        """Count calls that were made to find out whose portal it is, before that was known."""
        with self._held() as (ring, now):
            for _ in range(calls):
                limit = account.limit_of(
                    ring, Budget.BURST, self._terms.known.windows[Budget.BURST]
                )
                at = account.turn(ring, Budget.BURST, limit, now)
                account.enter(ring, Budget.BURST, at, is_check=True)
            ring.save()

    def back_off(self, budget: Budget, seconds: float) -> None:
        """Let nobody on this machine go for so long, at most ten minutes: HubSpot said so."""
        with self._held() as (ring, now):
            until = now + min(int(max(0.0, seconds) * SECOND), account.LONGEST_HOLD)
            ring.words[Word.HOLDS + budget] = max(ring.words[Word.HOLDS + budget], until)
            ring.save()

    def close(self, until: datetime | None, reason: str) -> None:
        """
        Refuse every call of this machine until then, but for those that find out more.

        No `until` is the portal's next midnight, because the day is used up; an answer that tells
        of calls left opens it again. At most a day and an hour. `reason` follows "because".
        """
        with self._held() as (ring, now):
            words = ring.words
            end = words[Word.DAY_ENDS] * SECOND if until is None else nanoseconds(until)
            words[Word.CLOSED_UNTIL] = min(end, now + account.LONGEST_CLOSE)
            words[Word.CLOSED_AT], words[Word.CLOSED_FOR_DAY] = now, until is None
            ring.text = reason
            ring.save()

    def open(self) -> bool:
        """Take back a `close`; say whether there was one."""
        with self._held() as (ring, now):
            was_closed = account.is_closed(ring, now)
            ring.words[Word.CLOSED_UNTIL] = ring.words[Word.CLOSED_FOR_DAY] = 0
            ring.save()
            return was_closed

    def usage(
        self,
        limit: int,
        used: int,
        *,
        resets_at: datetime | None = None,
        fetch_status: str = "SUCCESS",
    ) -> None:
        """
        Learn from the usage endpoint, unless it says itself that it does not know.

        It counts legacy private apps only, so that a header of today is believed before it.
        """
        if fetch_status not in ("SUCCESS", "CACHED") or limit <= 0 or used < 0:
            return
        with self._held() as (ring, now):
            account.learn_midnight(ring, resets_at, now)
            account.learn_limit(ring, limit, now, source=USAGE)
            number, left = ring.words[Word.NUMBER], max(0, limit - used)
            account.learn_left(ring, left, number=number, limit=limit, now=now, source=USAGE)
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
        """Hold the account, as it is now, and the time."""
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
        if is_today and not self._moved and not ring.begun_anew:
            return
        if ring.begun_anew:
            account.hold_all(ring, now)
        account.roll(ring, self._terms.zone, now, moved=self._moved)
        ring.save()
        ring.begun_anew = self._moved = False

    def _refuse_closed(self, ring: Ring, now: int) -> None:
        if account.is_closed(ring, now):
            raise closed(self._terms, moment(ring.words[Word.CLOSED_UNTIL]), ring.text)

    def _refuse_spent(
        self, ring: Ring, limit: int, left: int | None, priority: Priority, purpose: str
    ) -> None:
        left = limit - account.ours(ring) if left is None else left
        reserve = self._terms.marks(limit).reserve
        if room(limit, left, reserve=reserve, priority=priority):
            return
        raise spent(
            self._terms,
            limit=limit,
            left=max(0, left),
            reserve=reserve,
            priority=priority,
            purpose=purpose,
            until=account.midnight(ring),
        )

    def _warn(self, low: Low | None) -> None:
        if low is None or warn(self._writer, self._terms, low):
            return
        with self._held() as (ring, _):  # what is not on record is told again
            ring.words[Word.WARNED] = 0
            ring.save()
