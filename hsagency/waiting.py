"""
Waiting for a portal's turn: shown when it is long, and given up when it is cancelled.

So waits a call for its turn, for a place on the wire, for another thread's proof and for its
next attempt. What is under way already (a proof that is asked for, a connection that is being
opened) ends by its time-outs, not by `cancel`.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Final

from hsagency.errors import Cancelled
from hsagency.progress import Progress, bar, silent

_SHOWN_FROM: Final = 2.0  # seconds; what is shorter is no wait for a person
_TICK: Final = 0.2  # seconds between two steps of the bar

Aside = Callable[[str], AbstractContextManager[object]]
"""What a wait is spent in, from its beginning to its end; it is told why."""

Come = Callable[[float], bool]
"""Waits at most so many seconds for something, and says whether it came."""


class Waits:
    """
    How calls wait: with a bar where a person looks on, until `cancel` is set.

    Several threads may wait at once, each by itself; there is one bar, for one of them at a
    time. `aside` is entered for every wait and left when it is over or given up.
    """

    def __init__(
        self,
        *,
        progress: Progress = bar,
        cancel: threading.Event | None = None,
        aside: Aside = nullcontext,
    ) -> None:
        self._progress, self._aside = progress, aside
        self._cancel = threading.Event() if cancel is None else cancel
        self._showing, self._adding = threading.Lock(), threading.Lock()
        self._waited = 0.0

    @property
    def progress(self) -> Progress:
        """What shows that something takes long."""
        return self._progress

    @property
    def waited(self) -> float:
        """How many seconds were spent waiting, of all threads together."""
        return self._waited

    def wait(self, seconds: float, *, why: str) -> None:
        """
        Return after so many seconds; `why` stands beside the bar: "acme-corp waits its turn".

        Raises `Cancelled`, also where nothing is left to wait for.
        """
        if seconds <= 0:
            self._refuse_if_cancelled()
        else:
            self.until(self._cancel.wait, seconds, why=why)

    def until(self, come: Come, seconds: float | None, *, why: str) -> bool:
        """
        Return whether something came within so many seconds; without any, it is waited for.

        `come` waits for it a moment, as long as it is told, and says whether it came. Raises
        `Cancelled` as `wait` does.
        """
        if seconds is not None and seconds <= 0:
            self._refuse_if_cancelled()
            return come(0.0)
        began = time.monotonic()
        try:
            with self._aside(why):
                came = self._wait_until(math.inf if seconds is None else began + seconds, why, come)
        finally:
            with self._adding:
                self._waited += time.monotonic() - began
        self._refuse_if_cancelled()
        return came

    def _wait_until(self, until: float, why: str, come: Come) -> bool:
        came = False
        while not came and (left := until - time.monotonic()) > 0:
            shows = left >= _SHOWN_FROM and self._progress is not silent
            if shows and self._showing.acquire(blocking=False):
                try:
                    came = self._show(until, why, come)
                finally:
                    self._showing.release()
            else:  # where another wait has the bar, this one has it next
                came = self._rest(left, come)
        return came

    def _show(self, until: float, why: str, come: Come) -> bool:
        began = time.monotonic()
        with self._progress(why, 0 if until == math.inf else math.ceil(until - began)) as step:
            came, shown = False, 0
            while not came and (left := until - time.monotonic()) > 0:
                came = self._rest(left, come)
                passed = int(min(time.monotonic(), until) - began)
                step(passed - shown)
                shown = passed
        return came

    def _rest(self, seconds: float, come: Come) -> bool:
        came = come(min(seconds, _TICK))
        self._refuse_if_cancelled()
        return came

    def _refuse_if_cancelled(self) -> None:
        if self._cancel.is_set():
            raise Cancelled("The call was cancelled while it waited its turn. Nothing was sent.")
