"""Calls: which of them have no outcome on record, wherever in a log it may stand."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Callable, NamedTuple


class Begun(NamedTuple):
    """A call without an outcome yet: the run that made it, and the segment that says so."""

    run: bytes
    segment: str


@dataclass
class Calls:
    """The calls of one log, whose records may stand in any of its slots, in any order."""

    pending: dict[bytes, Begun] = field(default_factory=dict)
    ended: dict[bytes, None] = field(default_factory=dict)  # before it was read who began them

    def start(self, call: bytes, run: bytes, segment: str) -> bool:
        """Note a call that was made; say whether it is one that was not counted yet."""
        if call in self.ended:
            del self.ended[call]
            return False
        self.pending[call] = Begun(run, segment)
        return True

    def end(self, call: bytes, *, begun: bool) -> bool:
        """Note an outcome; say whether it is of a call that was not counted yet."""
        if self.pending.pop(call, None) is not None:
            return False
        if begun:  # a call that was refused or imported has no other record
            self.ended[call] = None
        return True

    def forget(self, unknown: Callable[[str], bool]) -> None:
        """Leave out calls of segments after which something is not at hand: nobody knows."""
        self.pending = {call: one for call, one in self.pending.items() if not unknown(one.segment)}

    def count(self, *, run: bytes) -> int:
        """Say how many calls of one run have no outcome."""
        return sum(one.run == run for one in self.pending.values())

    def lost(self, runs: list[bytes]) -> dict[str, int]:
        """Return how many calls of runs that are over have no outcome, by segment."""
        found: dict[str, int] = {}
        for one in self.pending.values():
            if one.run not in runs:
                found[one.segment] = found.get(one.segment, 0) + 1
        return dict(sorted(found.items()))
