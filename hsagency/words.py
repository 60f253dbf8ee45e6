"""Words of which messages are made."""

from __future__ import annotations

from collections.abc import Sequence


def counted(number: int, what: str) -> str:
    """
    Return a number of things in words.

    >>> counted(1, "call"), counted(0, "call"), counted(1200, "record")
    ('1 call', '0 calls', '1,200 records')
    """
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def listed(words: Sequence[str]) -> str:
    """
    Return words as a sentence lists them.

    >>> listed(["low"]), listed(["low", "normal"]), listed(["low", "normal", "high"])
    ('low', 'low and normal', 'low, normal and high')
    """
    return " and ".join([*filter(None, [", ".join(words[:-1])]), *words[-1:]])


def span(seconds: float) -> str:
    """
    Return a time in the largest unit of which there are two.

    >>> span(90), span(7200), span(17375006)
    ('90 s', '120 min', '201 days')
    """
    for unit, length in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds > 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"
