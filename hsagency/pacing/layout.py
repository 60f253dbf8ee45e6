"""
Where each number of a portal's tally is in its file, and which numbers make sense there.

All are whole numbers of eight bytes. Moments are nanoseconds since 1970 where nothing else is said.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

WORDS: Final = 64
"""How many numbers there are, before the text."""

SECOND: Final = 1_000_000_000
HEADER, USAGE = 1, 2  # sources
_BUDGETS: Final = range(3)


class Word:
    """Where each number of a portal's tally is."""

    ZONE_KNOWN: Final = 2
    DAY_BEGINS: Final = 3  # seconds
    DAY_ENDS: Final = 4
    NUMBER: Final = 5  # of the last call today
    UNSENT: Final = 6  # calls of today that never left, or were refused for a limit
    LEFT: Final = 7  # told by HubSpot + the number of the call it was told about
    LEFT_NUMBER: Final = 8
    LEFT_AT: Final = 9  # 0 while nothing was told today
    LEFT_SOURCE: Final = 10
    LIMIT: Final = 11  # 0 while none was ever told
    LIMIT_AT: Final = 12
    LIMIT_SOURCE: Final = 13
    WARNED: Final = 14
    CHECKS: Final = 15
    CLOSED_UNTIL: Final = 16
    CLOSED_AT: Final = 17
    CLOSED_FOR_DAY: Final = 18  # because the day is used up, which an answer may disprove
    HEADS: Final = 24  # how many entries each ring ever had, by budget
    LIMITS: Final = 27  # of each window, where told
    LENGTHS: Final = 30  # nanoseconds over which HubSpot counts, where told
    HOLDS: Final = 33  # until when nobody may go, by budget
    RINGS: Final = 36  # checksum of the rings
    WAITING: Final = 40  # until when a call of a priority waits, by budget and priority


LONGEST_WINDOW: Final = 60 * SECOND
_LAST: Final = 253_402_300_799 - 7 * 86_400  # seconds: the calendar ends a week later
_MOST: Final = 10**12  # more calls than anybody ever made

_BOUNDS: Final = {
    **dict.fromkeys((Word.ZONE_KNOWN, Word.WARNED, Word.CLOSED_FOR_DAY), 1),
    **dict.fromkeys((Word.DAY_BEGINS, Word.DAY_ENDS), _LAST),
    **dict.fromkeys((Word.NUMBER, Word.UNSENT, Word.LEFT, Word.LEFT_NUMBER, Word.CHECKS), _MOST),
    **dict.fromkeys((Word.LIMIT, *(Word.LIMITS + one for one in _BUDGETS)), _MOST),
    **dict.fromkeys((Word.LEFT_SOURCE, Word.LIMIT_SOURCE), USAGE),
    **{Word.LENGTHS + one: LONGEST_WINDOW for one in _BUDGETS},
}
_EVERY: Final = tuple(_BOUNDS.get(one, 2**63 - 1) for one in range(WORDS))


def make_sense(words: Sequence[int]) -> bool:
    """Say whether numbers whose checksum is right can be a tally at all."""
    if any(not 0 <= one <= most for one, most in zip(words[2:], _EVERY[2:], strict=True)):
        return False
    if words[Word.UNSENT] > words[Word.NUMBER]:
        return False
    sourced = ((Word.LEFT_AT, Word.LEFT_SOURCE), (Word.LIMIT, Word.LIMIT_SOURCE))
    return all(words[source] for told, source in sourced if words[told])
