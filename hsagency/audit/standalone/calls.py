"""Calls: which of them have no outcome on record, wherever in a log it may stand."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Callable


@dataclass
class Calls:
    """
    The calls of one log, whose records may stand in any of its slots, in any order.

    `pending` are those without an outcome yet: by which run, and in which segment that is said.
    `ended` are those whose outcome was read before it was read who began them.
    """

    pending: dict[bytes, tuple[bytes, str]] = field(default_factory=dict)
    ended: dict[bytes, str] = field(default_factory=dict)

    def forget(self, unknown: Callable[[str], bool]) -> None:
        """Leave out calls of segments after which something is not at hand: nobody knows."""
        self.pending = {call: one for call, one in self.pending.items() if not unknown(one[1])}

    def count(self, *, run: bytes) -> int:
        """Say how many calls of one run have no outcome."""
        return sum(one[0] == run for one in self.pending.values())

    def lost(self, runs: list[bytes]) -> dict[str, int]:
        """Return how many calls of runs that are over have no outcome, by segment."""
        found: dict[str, int] = {}
        for run, segment in self.pending.values():
            if run not in runs:
                found[segment] = found.get(segment, 0) + 1
        return dict(sorted(found.items()))
