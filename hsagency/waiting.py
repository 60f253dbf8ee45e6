"""
Waiting for a portal's turn: shown when it is long, and given up when it is cancelled.

Nothing in this library sleeps by other means while a call waits to be sent.
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
            return
        began = time.monotonic()
        try:
            with self._aside(why):
                self._wait_until(began + seconds, why)
        finally:
            with self._adding:
                self._waited += time.monotonic() - began

    def _wait_until(self, until: float, why: str) -> None:
        while (left := until - time.monotonic()) >= _SHOWN_FROM and self._progress is not silent:
            if self._showing.acquire(blocking=False):
                try:
                    self._show(until, why)
                finally:
                    self._showing.release()
            else:  # another wait has the bar; this one has it next
                self._rest(min(left, _TICK))
        self._rest(left)

    def _show(self, until: float, why: str) -> None:
        seconds = until - time.monotonic()
        with self._progress(why, math.ceil(seconds)) as step:
            shown = 0
            while (left := until - time.monotonic()) > 0:
                self._rest(min(left, _TICK))
                passed = int(seconds - max(0.0, until - time.monotonic()))
                step(passed - shown)
                shown = passed

    def _rest(self, seconds: float) -> None:
        self._cancel.wait(max(0.0, seconds))
        self._refuse_if_cancelled()

    def _refuse_if_cancelled(self) -> None:
        if self._cancel.is_set():
            raise Cancelled("The call was cancelled while it waited its turn. Nothing was sent.")
