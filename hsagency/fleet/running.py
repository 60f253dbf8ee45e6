"""
The portals of a fleet job side by side, each in a thread of its own.

A portal that waits its turn gives its place to the next and goes on at once when its turn has
come; so a portal that starves costs nobody a place. One that answers slowly keeps its place,
which is why there are as many places as portals, up to 128, unless the caller says otherwise.

An interrupt (Ctrl-C, or Jupyter's stop button) may arrive between any two steps of the main
thread. It keeps no result, so that none is lost: rows are put down by the threads that made them.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from queue import Empty, SimpleQueue
from typing import Final

from hsagency.fleet.rows import Outcome, Row, failure
from hsagency.portals import ClientSlug, Connection
from hsagency.progress import Step, silent
from hsagency.waiting import Waits

MOST: Final = 128
"""How many portals are at work at once, unless the caller says otherwise."""

_TICK: Final = 0.1  # seconds between two looks at the bar and at who cancels

Job = Callable[[Connection, Waits], Row]
"""Does the work of one portal; what it waits goes through the waits. It never raises."""


class Running:
    """One run over a fleet; `cancel` is what whoever asked for it may set."""

    def __init__(
        self, job: Job, *, places: int, step: Step, cancel: threading.Event | None = None
    ) -> None:
        self.rows: dict[ClientSlug, Row] = {}
        self._job, self._places, self._step = job, places, step
        self._asked = cancel or threading.Event()
        self._cancelled = threading.Event()
        self._todo: deque[Connection] = deque()
        self._threads: dict[ClientSlug, threading.Thread] = {}
        self._inbox: SimpleQueue[None] = SimpleQueue()
        self._lock = threading.Lock()
        self._at_work = 0
        self._waiting: dict[ClientSlug, str] = {}
        self._shown = 0

    def go(self, connections: Iterable[Connection]) -> None:
        """Do the work of every portal, and return when the last is done or given up."""
        self._todo.extend(connections)
        self._until_done()

    def give_up(self) -> None:
        """Begin nothing more, end all waiting, and return when what is in flight is done."""
        self._cancelled.set()
        self._until_done()

    def _until_done(self) -> None:
        while self._is_under_way():
            if self._asked.is_set():
                self._cancelled.set()
            while self._may_begin():
                self._begin(self._todo.popleft())
            self._show()
            with suppress(Empty):
                self._inbox.get(timeout=_TICK)
        self._show()

    def _is_under_way(self) -> bool:
        if self._todo and not self._cancelled.is_set():
            return True
        alive = (slug not in self.rows and one.is_alive() for slug, one in self._threads.items())
        return any(alive)

    def _may_begin(self) -> bool:
        return bool(self._todo) and self._at_work < self._places and not self._cancelled.is_set()

    def _begin(self, connection: Connection) -> None:
        # A daemon: whoever interrupts twice is not kept waiting for an answer that never comes.
        thread = threading.Thread(
            target=self._work, args=(connection,), name=connection.client_slug, daemon=True
        )
        self._threads[connection.client_slug] = thread
        with self._lock:
            self._at_work += 1
        try:
            thread.start()
        except RuntimeError as error:  # this machine has no more threads
            with self._lock:
                self._at_work -= 1
                others = self._at_work
            if others:  # make do with those there are
                self._places = others
                self._todo.appendleft(connection)
            else:
                self.rows[connection.client_slug] = failure(connection, error)

    def _work(self, connection: Connection) -> None:
        slug = connection.client_slug
        try:
            if not self._cancelled.is_set():
                aside = _Place(self, slug).aside
                waits = Waits(progress=silent, cancel=self._cancelled, aside=aside)
                self.rows[slug] = self._job(connection, waits)
        except BaseException as error:  # noqa: BLE001  (a portal that was begun has a row)
            self.rows[slug] = failure(connection, error)
        finally:
            with self._lock:
                self._at_work -= 1
            self._look_up()

    def leave(self, slug: ClientSlug, why: str) -> None:
        """Give back the place of a portal that waits."""
        with self._lock:
            self._at_work -= 1
            self._waiting[slug] = why
        self._look_up()

    def come_back(self, slug: ClientSlug) -> None:
        """Take a place again, also where none is free: its turn would be lost."""
        with self._lock:
            self._at_work += 1
            self._waiting.pop(slug, None)

    def _look_up(self) -> None:
        """Wake the main thread where there is something for it to do."""
        if self._todo or self._at_work == 0:
            self._inbox.put(None)

    def _show(self) -> None:
        rows = list(self.rows.values())
        failed = sum(row.outcome is Outcome.FAILED for row in rows)
        waiting = list(self._waiting.values())
        more = f" and {len(waiting) - 1} more" if len(waiting) > 1 else ""
        parts = [f"{failed} failed"] if failed else []
        parts += [f"{waiting[0]}{more}"] if waiting else []
        self._step(len(rows) - self._shown, ", ".join(parts))
        self._shown = len(rows)


class _Place:
    """One portal's place among those at work, which it gives back while all it does is wait."""

    def __init__(self, running: Running, slug: ClientSlug) -> None:
        self._running, self._slug = running, slug
        self._waiters = 0  # a function may call from threads of its own
        self._lock = threading.Lock()

    @contextmanager
    def aside(self, why: str) -> Iterator[None]:
        """Spend a wait without the place."""
        with self._lock:
            self._waiters += 1
            if self._waiters == 1:
                self._running.leave(self._slug, why)
        try:
            yield
        finally:
            with self._lock:
                self._waiters -= 1
                if self._waiters == 0:
                    self._running.come_back(self._slug)
