"""The sandbox's own time, so that a test can walk past midnight without waiting for it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from threading import Lock
from time import monotonic

from hsagency.errors import SandboxError

# Time zone rules outside of these years are guesses.
FIRST_YEAR, LAST_YEAR = 1990, 2199
_END = datetime(LAST_YEAR, 12, 31, 23, 59, 59, tzinfo=UTC)
# Above this a portal's day is shorter than one of its answers takes.
SPEED_MAX = 100_000.0


@dataclass(frozen=True, slots=True)
class _Pace:
    """From which moment on which time has been running how fast; 0 stands still."""

    since: float
    shown: datetime
    speed: float


class Clock:
    """
    Real time, or a time that stands still until it is moved.

    >>> clock = Clock(datetime(2026, 11, 1, 3, 59, tzinfo=UTC))
    >>> clock.advance(60)
    datetime.datetime(2026, 11, 1, 4, 0, tzinfo=datetime.timezone.utc)

    `Clock()` runs, and goes on running from wherever it is moved to; `Clock(at)` stands still,
    and `Clock(at, speed=3600)` runs from there, an hour in every second. `freeze` and `run`
    change from one to the other. While it stands still nothing that a limit counts ever ends:
    a burst used up stays so until it is moved. Time ends with the year 2199. A
    simulated latency always takes real seconds.
    """

    def __init__(self, at: datetime | None = None, *, speed: float | None = None) -> None:
        pace = _speed((1.0 if at is None else 0.0) if speed is None else speed)
        shown = datetime.now(UTC) if at is None else _utc(at)
        self._pace = _Pace(monotonic(), shown, pace)
        self._lock = Lock()

    def now(self) -> datetime:
        """Return the time, aware and in UTC."""
        pace = self._pace  # one look, so that no lock is needed
        if not pace.speed:
            return pace.shown
        # not by this machine's own clock, which may be set back while a window of limits is open
        gone = timedelta(seconds=(monotonic() - pace.since) * pace.speed)
        return min(pace.shown + gone, _END)

    @property
    def speed(self) -> float:
        """How many seconds pass in every real one; 0 while it stands still."""
        return self._pace.speed

    def advance(self, seconds: float) -> datetime:
        """Move by so many seconds, and return the new time."""
        with self._lock:
            try:
                to = self.now() + timedelta(seconds=seconds)
            except (OverflowError, ValueError) as error:
                raise SandboxError(
                    f"The clock cannot advance by {seconds} seconds; it was left alone."
                ) from error
            return self._change(_utc(to), self._pace.speed)

    def set(self, at: datetime) -> datetime:
        """Move to a time, which must name its zone; backwards is allowed."""
        with self._lock:
            return self._change(_utc(at), self._pace.speed)

    def freeze(self) -> datetime:
        """Stand still from now on, and return the time that is shown."""
        with self._lock:
            return self._change(self.now(), 0.0)

    def run(self, *, speed: float = 1.0) -> datetime:
        """Run on from the time that is shown, so many seconds in every real one."""
        with self._lock:
            return self._change(self.now(), _speed(speed))

    def _change(self, shown: datetime, speed: float) -> datetime:
        self._pace = _Pace(monotonic(), shown, speed)
        return shown


def _speed(speed: float) -> float:
    if not 0 <= speed <= SPEED_MAX:
        raise SandboxError(
            f"A clock does not run {speed} times as fast as time; it was left alone.",
            hint=f"A speed is a number from 0, which stands still, to {SPEED_MAX:,.0f}.",
        )
    return speed


def _utc(at: datetime) -> datetime:
    if at.tzinfo is None:
        raise SandboxError(
            "The clock needs a time with its zone; it was left alone.",
            hint="Write it as 2026-11-01T05:00:00+00:00.",
        )
    if not FIRST_YEAR <= at.year <= LAST_YEAR:
        raise SandboxError(
            f"The clock knows the years {FIRST_YEAR} to {LAST_YEAR}; it was left alone."
        )
    return at.astimezone(UTC)
