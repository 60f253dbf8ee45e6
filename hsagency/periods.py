"""Periods of whole UTC days, named as folders and commands name them."""

from __future__ import annotations

import contextlib
import re
from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from hsagency.errors import UsageError

_MONTH = re.compile(r"(\d{4})-(\d{2})", re.ASCII)
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Period:
    """Whole days from `first` to `last`, both included, in UTC."""

    first: date
    last: date

    def __post_init__(self) -> None:
        if self.last < self.first:
            raise UsageError(
                f"The period ends ({self.last}) before it begins ({self.first}).",
                hint="Both days are included, as in 2026-05-01 to 2026-05-31.",
            )

    @classmethod
    def of(
        cls, *, month: str | None = None, first: str | None = None, last: str | None = None
    ) -> Period:
        """
        Return the period that a month, or a first and last day, name.

        >>> Period.of(month="2026-02").last
        datetime.date(2026, 2, 28)
        """
        if month and not (first or last):
            return cls._month(month)
        if first and last and not month:
            return cls(parse_day(first), parse_day(last))
        raise UsageError(
            "A period is needed: either a month, or a first and a last day.",
            hint="Use --month 2026-05, or --from 2026-05-01 --to 2026-05-31.",
        )

    @classmethod
    def _month(cls, text: str) -> Period:
        found = _MONTH.fullmatch(text)
        if found is None or not 1 <= int(found[2]) <= 12 or int(found[1]) < 1:
            raise UsageError(f"{text[:20]!r} is not a month.", hint="Write it as 2026-05.")
        year, month = int(found[1]), int(found[2])
        return cls(date(year, month, 1), date(year, month, monthrange(year, month)[1]))

    @property
    def since(self) -> datetime:
        """The first moment of the period."""
        return datetime.combine(self.first, time(), UTC)

    @property
    def until(self) -> datetime:
        """The first moment after the period."""
        if self.last == date.max:
            return datetime.max.replace(tzinfo=UTC)
        return datetime.combine(self.last + timedelta(days=1), time(), UTC)

    @property
    def label(self) -> str:
        """The period as folders are named: a month where it is one, else both days."""
        month = self.first.isoformat()[:7]
        return month if self == self._month(month) else f"{self.first}_{self.last}"

    def __str__(self) -> str:
        return f"{self.first} to {self.last} (UTC days)"


def parse_day(text: str) -> date:
    """Return a day written as 2026-05-01, or raise `UsageError`."""
    with contextlib.suppress(ValueError):
        if _DAY.fullmatch(text):  # fromisoformat knows other forms, which are slips here
            return date.fromisoformat(text)
    raise UsageError(f"{text[:20]!r} is not a day.", hint="Write it as 2026-05-01.")


def as_day(value: str | date | None) -> date | None:
    """Return a day as people or programs write it; raises `UsageError`, also for a time of day."""
    if isinstance(value, str):
        return parse_day(value)
    if isinstance(value, datetime):
        raise UsageError(
            "Only whole days can be asked for, and a time was given.",
            hint="Give a day: '2026-05-01', or date(2026, 5, 1).",
        )
    if value is None or isinstance(value, date):
        return value
    raise UsageError(
        f"A day is wanted, and this is of the type {type(value).__name__}.",
        hint="Give a day: '2026-05-01', or date(2026, 5, 1).",
    )


def first_and_last(
    first: str | date | None, last: str | date | None
) -> tuple[date | None, date | None]:
    """Return the first and last day, both included; raises `UsageError` if there is none."""
    days = as_day(first), as_day(last)
    if days[0] is not None and days[1] is not None:
        Period(days[0], days[1])  # refuses one that ends before it begins
    return days


def days_between(
    since: str | date | None, until: str | date | None
) -> tuple[date | None, date | None]:
    """Return the days from `since` on and before `until`; raises `UsageError` if there is none."""
    first, after = as_day(since), as_day(until)
    if first is not None and after is not None and first >= after:
        raise UsageError(
            f"The days asked for end ({after}) before they begin ({first}).",
            hint="`since` is included and `until` is not: for one day, `until` is the next.",
        )
    return first, after
