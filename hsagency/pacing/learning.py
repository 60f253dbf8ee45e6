"""What is learnt from answers: the limits, what is left of the day, and how much others call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from hsagency.pacing import tally
from hsagency.pacing.budgets import LENGTHS, Budget
from hsagency.pacing.layout import HEADER, LONGEST_WINDOW, SECOND, Word
from hsagency.pacing.ring import Ring
from hsagency.pacing.tally import LATE
from hsagency.pacing.terms import Terms
from hsagency.pacing.told import Told
from hsagency.pacing.warning import Low

_AGAIN: Final = 60 * SECOND  # after so long it is written down that the same was told again
_MILLION: Final = 1_000_000


@dataclass(slots=True)
class Ticket:
    """
    A call's turn: in `wait` seconds it may leave, or, where it is not `granted`, ask again.

    `number` is the call's of its portal's day, which began at `day`, in seconds; `at` is when
    it leaves, in nanoseconds. `is_check` is of our own proofs and probes.
    """

    budget: Budget
    wait: float
    granted: bool
    number: int = 0
    day: int = 0
    at: int = 0
    is_check: bool = False


def is_no_news(ring: Ring, terms: Terms, ticket: Ticket, told: Told) -> bool:
    """Say, without waiting for anybody, whether an answer tells only what is known."""
    words = ring.peek()
    if words is None or ticket.day != words[Word.DAY_BEGINS]:
        return False
    if told.limit is not None and words[Word.LIMIT] != told.limit:
        return False
    if told.left is not None and _is_news_of_day(words, terms, ticket, told.left):
        return False
    if ticket.budget is not Budget.BURST or told.most is None:
        return True
    if words[Word.LIMITS] != told.most:
        return False
    return told.room is None or not _may_be_others(ring, words, ticket, told.most - told.room)


def _is_news_of_day(words: Sequence[int], terms: Terms, ticket: Ticket, left: int) -> bool:
    marks = terms.marks(terms.limit(words))
    if words[Word.WARNED] and marks.rearms(left):
        return True
    if (marks.is_low(left) and not words[Word.WARNED]) or words[Word.CLOSED_FOR_DAY]:
        return True
    if words[Word.LEFT_NUMBER] > ticket.number:
        return tally.less(words, left) > 0
    is_same = words[Word.LEFT] == left + ticket.number
    return not is_same or ticket.at - words[Word.LEFT_AT] > _AGAIN


def _may_be_others(ring: Ring, words: Sequence[int], ticket: Ticket, counted: int) -> bool:
    """Say whether HubSpot counted more calls than this machine can have made."""
    if counted <= 0:
        return False
    oldest = ring.entry(ticket.budget, words[Word.HEADS + ticket.budget] - counted)
    length = words[Word.LENGTHS + ticket.budget] or LENGTHS[ticket.budget]
    return oldest <= ticket.at - length - LATE


def learn(ring: Ring, terms: Terms, ticket: Ticket, told: Told, now: int) -> Low | None:
    """Take in what an answer tells; return what to warn of, if anything."""
    if told.limit is not None:
        tally.learn_limit(ring, told.limit, now, source=HEADER)
    if ticket.budget is Budget.BURST and told.most is not None:
        _learn_window(ring, ticket, told, told.most, now)
    if told.left is None or ticket.day != ring.words[Word.DAY_BEGINS]:
        return None  # of another day it says nothing
    limit, number = terms.limit(ring.words), ticket.number
    if not tally.learn_left(ring, told.left, number=number, limit=limit, now=now, source=HEADER):
        return None
    _open_again(ring, ticket, told.left)
    return crossing(ring, terms)


def _learn_window(ring: Ring, ticket: Ticket, told: Told, most: int, now: int) -> None:
    """Take in how much a window holds, and turns that other programs of the app took."""
    words, budget = ring.words, ticket.budget
    words[Word.LIMITS + budget] = most
    if told.millis is not None and SECOND <= told.millis * _MILLION <= LONGEST_WINDOW:
        words[Word.LENGTHS + budget] = told.millis * _MILLION
    if told.room is None or now >= ticket.at + tally.length_of(ring, budget):
        return
    # HubSpot may have counted, or not yet, what was under way: in doubt it was ours.
    since = ticket.at - tally.length_of(ring, budget) - LATE
    others = most - told.room - tally.used_of_window(ring, budget, since)
    if others > 0:
        tally.take(ring, budget, others, now)


def _open_again(ring: Ring, ticket: Ticket, left: int) -> None:
    """Take back that the day is used up, where a later answer says that it is not."""
    words = ring.words
    if words[Word.CLOSED_FOR_DAY] and left and ticket.at > words[Word.CLOSED_AT]:
        words[Word.CLOSED_UNTIL] = words[Word.CLOSED_FOR_DAY] = 0


def may_reopen(ring: Ring, ticket: Ticket) -> bool:
    """Say, without waiting for anybody, whether a good answer to a check may tell something."""
    words = ring.peek()
    return ticket.is_check and (words is None or bool(words[Word.CLOSED_UNTIL]))


def reopen(ring: Ring, ticket: Ticket, told: Told) -> None:
    """Open a portal again that answered well after it was closed, unless nothing is left."""
    words = ring.words
    if told.left != 0 and ticket.at > words[Word.CLOSED_AT]:
        words[Word.CLOSED_UNTIL] = words[Word.CLOSED_FOR_DAY] = 0


def crossing(ring: Ring, terms: Terms) -> Low | None:
    """Return what to warn of, the first time that so little is left."""
    words, left = ring.words, tally.left(ring)
    limit = terms.limit(words)
    marks = terms.marks(limit)
    if limit is None or left is None or marks.warn_below is None:
        return None
    if words[Word.WARNED]:
        words[Word.WARNED] = not marks.rearms(left)
        return None
    if not marks.is_low(left):
        return None
    words[Word.WARNED] = 1
    return Low(left, marks.warn_below, limit, tally.midnight(ring))
