"""Values of Python's as HubSpot takes them: as text."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from math import isfinite

from hsagency.errors import UsageError


def text_of(value: object, name: str) -> str:
    """
    Return one value as text; a moment must name its zone.

    Raises `UsageError` for what no property holds, and names the property, not the value.

    >>> text_of(True, "vip"), text_of(date(2026, 11, 20), "closedate"), text_of(9.5, "amount")
    ('true', '2026-11-20', '9.5')
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime):
        return _moment(value, name)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, str | int | Decimal) or (isinstance(value, float) and isfinite(value)):
        return str(value)
    if isinstance(value, list | tuple):  # several choices of an enumeration
        return ";".join(text_of(one, name) for one in value)
    raise UsageError(
        f"The value for {name} is a {type(value).__name__}, which no property holds, so nothing "
        "was sent.",
        hint="Give text, a number, true or false, or a date.",
    )


def _moment(value: datetime, name: str) -> str:
    if value.tzinfo is None:
        raise UsageError(
            f"The moment for {name} names no time zone, so nothing was sent.",
            hint="Give it one: datetime(2026, 11, 20, 12, tzinfo=UTC).",
        )
    return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def listed(names: Sequence[str]) -> list[str]:
    """Return names, each once; a single text is one of them, and not its letters."""
    return [names] if isinstance(names, str) else list(dict.fromkeys(names))
