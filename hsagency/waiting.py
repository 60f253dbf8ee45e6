"""
Waiting for a portal's turn: shown when it is long, and given up when it is cancelled.

Nothing in this library sleeps by other means while a call waits to be sent.
"""

from __future__ import annotations

import math
import threading
import time
from typing import Final

from hsagency.errors import Cancelled
from hsagency.progress import Progress, bar

_SHOWN_FROM: Final = 2.0  # seconds; what is shorter is no wait for a person
_TICK: Final = 0.2  # seconds between two steps of the bar


class Waits:
    """
    How calls wait: with a bar where a person looks on, until `cancel` is set.

    Several threads may wait at once, each by itself.
    """

    def __init__(self, *, progress: Progress = bar, cancel: threading.Event | None = None) -> None:
        self._progress = progress
        self._cancel = threading.Event() if cancel is None else cancel

    def wait(self, seconds: float, *, why: str) -> None:
        """
        Return after so many seconds; `why` stands beside the bar: "acme-corp waits its turn".

        Raises `Cancelled`, also where nothing is left to wait for.
        """
        if seconds < _SHOWN_FROM:
            self._rest(seconds)
            return
        until = time.monotonic() + seconds
        with self._progress(why, math.ceil(seconds)) as step:
            shown = 0
            while (left := until - time.monotonic()) > 0:
                self._rest(min(left, _TICK))
                passed = int(seconds - max(0.0, until - time.monotonic()))
                step(passed - shown)
                shown = passed

    def _rest(self, seconds: float) -> None:
        if self._cancel.wait(max(0.0, seconds)):
            raise Cancelled("The call was cancelled while it waited its turn. Nothing was sent.")
