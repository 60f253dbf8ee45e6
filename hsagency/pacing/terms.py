"""What the index and the settings say of one portal's limits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hsagency.pacing.budgets import Known, known_of
from hsagency.pacing.day import Zone, zone_of
from hsagency.pacing.layout import Word
from hsagency.portals import Connection
from hsagency.settings import Amount, QuotaSettings


@dataclass(frozen=True, slots=True)
class Marks:
    """From how few calls on a portal is low, and how many are left to others, at one limit."""

    limit: int | None
    warn_below: int | None
    reserve: int
    again: int
    """With more than so many left, the next crossing is news."""

    def is_low(self, left: int) -> bool:
        """Say whether so few calls are left that a person should know."""
        return self.warn_below is not None and left < self.warn_below

    def rearms(self, left: int) -> bool:
        """Say whether enough calls are left for the next crossing to be news."""
        return left > self.again


def marks(limit: int | None, *, warn_below: Amount, reserve: Amount) -> Marks:
    """Return the marks of a limit."""
    below = warn_below.of(limit)
    if below is not None and limit is not None:
        below = min(below, limit)  # more than there is says no more than all of it
    above = (below or 0) // 2
    if limit is not None:
        above = min(limit // 10, above)
    return Marks(limit, below, reserve.of(limit) or 0, (below or 0) + above)


class Terms:
    """What is known of a portal beside what HubSpot's answers tell."""

    __slots__ = ("_amounts", "_marks", "connection", "known", "zone")

    def __init__(self, connection: Connection, settings: QuotaSettings) -> None:
        self.connection = connection
        self.zone: Zone = zone_of(connection)
        self.known: Known = known_of(connection)
        self._amounts = settings.of(connection.client_slug)
        self._marks = self._marked(None)

    def limit(self, words: Sequence[int]) -> int | None:
        """Return how many calls a day there are; nothing for apps that have no such limit."""
        if self.known.daily is None:
            return None
        return words[Word.LIMIT] or self.known.daily

    def marks(self, limit: int | None) -> Marks:
        """Return the marks of a limit, which seldom is another than the last."""
        found = self._marks
        if found.limit != limit:
            found = self._marks = self._marked(limit)
        return found

    def _marked(self, limit: int | None) -> Marks:
        warn_below, reserve = self._amounts
        return marks(limit, warn_below=warn_below, reserve=reserve)
