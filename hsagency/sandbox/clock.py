"""The sandbox's own time, so that a test can walk past midnight without waiting for it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from threading import Lock

from hsagency.errors import SandboxError

# Time zone rules outside of these years are guesses.
FIRST_YEAR, LAST_YEAR = 1990, 2199


class Clock:
    """
    Real time, or a time that stands still until it is moved.

    >>> clock = Clock(datetime(2026, 11, 1, 3, 59, tzinfo=UTC))
    >>> clock.advance(60)
    datetime.datetime(2026, 11, 1, 4, 0, tzinfo=datetime.timezone.utc)

    `Clock()` runs, and goes on running from wherever it is moved to; `Clock(at)` stands still.
    """

    def __init__(self, at: datetime | None = None) -> None:
        self._still = None if at is None else _utc(at)
        self._ahead = timedelta()
        self._lock = Lock()

    def now(self) -> datetime:
        """Return the time, aware and in UTC."""
        still = self._still
        return still if still is not None else datetime.now(UTC) + self._ahead

    def advance(self, seconds: float) -> datetime:
        """Move by so many seconds, and return the new time."""
        with self._lock:
            try:
                return self._move(_utc(self.now() + timedelta(seconds=seconds)))
            except (OverflowError, ValueError) as error:
                raise SandboxError(
                    f"The clock cannot advance by {seconds} seconds; it was left alone."
                ) from error

    def set(self, at: datetime) -> datetime:
        """Move to a time, which must name its zone; backwards is allowed."""
        with self._lock:
            return self._move(_utc(at))

    def _move(self, at: datetime) -> datetime:
        if self._still is not None:
            self._still = at
        else:
            self._ahead = at - datetime.now(UTC)
        return at


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
