"""
The arithmetic of one portal's tally: whose turn it is, and what is left of the day.

It works on the numbers that a `Ring` has read and knows nothing of files, locks or sleep.

Of a window: a call leaves no earlier than one window after the call that is as many calls back
as the limit, and no call leaves before the one ahead of it. So there are never more than the
limit in any window, whoever asks.

Of a day: calls are numbered as they are reserved. `remaining + number` of an answered call is
what the day began with, less what others use; less the number of the last call, it is what is
left now. So answers may come in any order, and a later call's word replaces an earlier one's.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from hsagency.pacing.budgets import LENGTHS, Budget, held
from hsagency.pacing.day import Zone
from hsagency.pacing.layout import HEADER, SECOND, USAGE, Word
from hsagency.pacing.ring import SLOTS, Ring
from hsagency.settings import Priority

AHEAD: Final = SECOND // 2
"""Nanoseconds ahead for which a turn may be reserved; for a later one, ask again."""

LONGEST_HOLD: Final = 600 * SECOND
LONGEST_CLOSE: Final = (25 * 3600 + 120) * SECOND
"""A day with a change of clocks, and as much as clocks may differ."""

_SET_BACK: Final = AHEAD + SECOND  # no reservation is further ahead
LATE: Final = SECOND  # how much later than it was due a call may have been counted
_GUARD: Final = 120  # seconds after midnight in which HubSpot may still count the day before


_RANKS: Final = len(Priority)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def moment(at: int) -> datetime:
    """Return a time that is kept in nanoseconds."""
    return _EPOCH + timedelta(microseconds=at // 1000)


def nanoseconds(at: datetime) -> int:
    """Return a time as it is kept."""
    return (at - _EPOCH) // timedelta(microseconds=1) * 1000


def roll(ring: Ring, zone: Zone, now: int, *, moved: bool = False) -> None:
    """Begin another day where the last one is over: nothing is known of it until it is told."""
    words, seconds = ring.words, now // SECOND
    inside = words[Word.DAY_BEGINS] <= seconds < words[Word.DAY_ENDS]
    if inside and not (moved and zone.is_known):
        return
    words[Word.DAY_BEGINS], words[Word.DAY_ENDS] = zone.day(seconds)
    words[Word.ZONE_KNOWN] = zone.is_known
    if not inside:
        for word in (
            *(Word.NUMBER, Word.UNSENT, Word.LEFT, Word.LEFT_NUMBER, Word.LEFT_AT),
            *(Word.LEFT_SOURCE, Word.WARNED, Word.CHECKS),
        ):
            words[word] = 0


def hold_all(ring: Ring, now: int) -> None:
    """Let nobody go until every call that may have been forgotten counts no longer."""
    for budget in Budget:
        until = now + held(length_of(ring, budget)) + AHEAD
        ring.words[Word.HOLDS + budget] = max(ring.words[Word.HOLDS + budget], until)


def limit_of(ring: Ring, budget: int, fallback: int) -> int:
    """Return how many calls HubSpot lets through in a window."""
    return min(ring.words[Word.LIMITS + budget] or fallback, SLOTS[budget] - 1)


def length_of(ring: Ring, budget: int) -> int:
    """Return over how many nanoseconds HubSpot counts."""
    return ring.words[Word.LENGTHS + budget] or LENGTHS[budget]


def turn(ring: Ring, budget: int, limit: int, now: int) -> int:
    """Return when one more call may leave, so that no window holds more than the limit."""
    words, times = ring.words, ring.rings[budget]
    head, slots = words[Word.HEADS + budget], SLOTS[budget]
    last = times[(head - 1) % slots]
    if last > now + _SET_BACK:
        set_clock_back(ring, budget, now)
        last = now
    at = max(now, last)
    earlier = times[(head - limit) % slots]
    if earlier:
        at = max(at, earlier + held(length_of(ring, budget)))
    hold = words[Word.HOLDS + budget]
    if hold > now:
        if hold > now + LONGEST_HOLD:
            words[Word.HOLDS + budget] = 0
        else:
            at = max(at, hold)
    return at


def wait(ring: Ring, budget: int, rank: int, *, until: int) -> None:
    """Write down that a call of a priority waits, so that lower ones do not go before it."""
    place = Word.WAITING + budget * _RANKS + rank
    ring.words[place] = max(ring.words[place], until)
    ring.save()


def first_come(ring: Ring, budget: int, rank: int, now: int) -> int:
    """Return until when calls of higher priorities wait, and somewhat longer; else a time past."""
    places = range(Word.WAITING + budget * _RANKS, Word.WAITING + budget * _RANKS + rank)
    until = max((ring.words[place] for place in places), default=0) + SECOND // 10
    # A longer wait than there can be is a clock's that was set back since.
    longest = max(ring.words[Word.HOLDS + budget], now + held(length_of(ring, budget))) + SECOND
    return until if until <= longest else 0


def set_clock_back(ring: Ring, budget: int, now: int) -> None:
    """Count calls of times to come, which a clock that was set back left, as made just now."""
    times = ring.rings[budget]
    for place, at in enumerate(times):
        if at > now:
            times[place] = now
    ring.put_all(budget)
    ring.save()


def used_of_window(ring: Ring, budget: int, since: int) -> int:
    """Return how many entries of a ring are later than a moment."""
    times, slots = ring.rings[budget], SLOTS[budget]
    head, count = ring.words[Word.HEADS + budget], 0
    while count < slots and times[(head - 1 - count) % slots] > since:
        count += 1
    return count


def take(ring: Ring, budget: int, turns: int, now: int) -> None:
    """Take turns that others took, as if just now; never more than a window holds."""
    words, times, slots = ring.words, ring.rings[budget], SLOTS[budget]
    head = words[Word.HEADS + budget]
    at = max(now, times[(head - 1) % slots])
    for place in range(head, head + min(turns, slots - 1)):
        times[place % slots] = at
    ring.put_all(budget)
    words[Word.HEADS + budget] = head + min(turns, slots - 1)


def enter(ring: Ring, budget: int, at: int, *, is_check: bool) -> int:
    """Write down a call that leaves then, and return its number of the day."""
    words = ring.words
    head, number = words[Word.HEADS + budget], words[Word.NUMBER] + 1
    ring.put(budget, head, at)
    words[Word.HEADS + budget], words[Word.NUMBER] = head + 1, number
    if is_check:
        words[Word.CHECKS] += 1
    ring.save()
    return number


def midnight(ring: Ring) -> datetime:
    """Return when the portal's day ends."""
    return moment(ring.words[Word.DAY_ENDS] * SECOND)


def used_up_until(ring: Ring, now: int) -> int:
    """Return until when the day counts as used up: at its beginning, the last one may be meant."""
    begins, ends = ring.words[Word.DAY_BEGINS], ring.words[Word.DAY_ENDS]
    young = now // SECOND < begins + _GUARD
    return (begins + _GUARD if young else ends) * SECOND


def is_closed(ring: Ring, now: int) -> bool:
    """Say whether the portal is closed; one that is closed for too long never was."""
    return now < ring.words[Word.CLOSED_UNTIL] <= now + LONGEST_CLOSE


def left(ring: Ring) -> int | None:
    """Return how many calls are left of the day, or nothing where that was not told."""
    words = ring.words
    if not words[Word.LEFT_AT]:
        return None
    return max(0, words[Word.LEFT] - words[Word.NUMBER])


def ours(ring: Ring) -> int:
    """Return how many calls this machine made today, as far as they may have left."""
    return ring.words[Word.NUMBER] - ring.words[Word.UNSENT]


def learn_limit(ring: Ring, limit: int, now: int, *, source: int) -> None:
    """Take in a daily limit; the usage endpoint's is not taken over a header's of today."""
    words = ring.words
    of_today = words[Word.LIMIT_AT] // SECOND >= words[Word.DAY_BEGINS]
    if source == USAGE and words[Word.LIMIT_SOURCE] == HEADER and of_today:
        return
    words[Word.LIMIT], words[Word.LIMIT_AT], words[Word.LIMIT_SOURCE] = limit, now, source


def learn_left(
    ring: Ring, remaining: int, *, number: int, limit: int | None, now: int, source: int
) -> bool:
    """Take in what is left of the day, told about a call of today; say whether it was."""
    words = ring.words
    if words[Word.LEFT_AT]:
        if number < words[Word.LEFT_NUMBER]:
            return _learn_less(ring, remaining, source=source)
        if source == USAGE and words[Word.LEFT_SOURCE] == HEADER:
            return False
    # Where clocks differ, this may be what was left of the day that has just ended.
    young = now // SECOND < words[Word.DAY_BEGINS] + _GUARD
    if young and limit is not None and remaining * 2 < limit:
        return False
    words[Word.LEFT], words[Word.LEFT_NUMBER] = remaining + number, number
    words[Word.LEFT_AT], words[Word.LEFT_SOURCE] = now, source
    return True


def less(words: Sequence[int], remaining: int) -> int:
    """Return by how much an earlier call's answer tells less than a later one's did."""
    return words[Word.LEFT] - words[Word.LEFT_NUMBER] - remaining


def _learn_less(ring: Ring, remaining: int, *, source: int) -> bool:
    """Take in that calls overtook each other on their way: less is left than was told last."""
    lower = less(ring.words, remaining)
    if lower <= 0 or source != ring.words[Word.LEFT_SOURCE]:
        return False
    ring.words[Word.LEFT] -= lower
    return True


def give_back(ring: Ring, number: int) -> None:
    """Count a call of today no more that never left, or that HubSpot did not count."""
    words = ring.words
    words[Word.UNSENT] += 1
    if words[Word.LEFT_AT] and number > words[Word.LEFT_NUMBER]:
        words[Word.LEFT] += 1


def learn_midnight(ring: Ring, resets_at: datetime | None, now: int) -> None:
    """Go by when HubSpot says the day ends, where nobody knows the time zone."""
    words = ring.words
    if resets_at is None or words[Word.ZONE_KNOWN]:
        return
    ends = nanoseconds(resets_at) // SECOND
    if now // SECOND < ends <= now // SECOND + LONGEST_CLOSE // SECOND:
        words[Word.DAY_ENDS] = ends
        if words[Word.CLOSED_FOR_DAY]:
            words[Word.CLOSED_UNTIL] = min(words[Word.CLOSED_UNTIL], ends * SECOND)
