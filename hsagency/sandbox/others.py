"""
Calls of other apps on the same portal: so many of the day's by now, from the clock alone.

A client's portal is never ours only. What the others do depends on the day and on how much of
it has gone by, never on when somebody looks.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from itertools import accumulate
from random import Random
from typing import Literal, TypeAlias, get_args

from hsagency.errors import SandboxError
from hsagency.sandbox.portals import Kind

Shape: TypeAlias = Literal["office", "flat"]

# More than any account may make in a day.
CALLS_MAX = 100_000_000
# How busy each hour of a day is: an office works from eight to six, its night jobs at two.
_OFFICE = (1, 1, 4, 1, 1, 1, 1, 3, 8, 10, 10, 10, 7, 9, 10, 10, 9, 7, 4, 2, 2, 1, 1, 1)
_WEEKEND = 10  # what an office does in a week day, by what it does on a Saturday or Sunday


class Others:
    """
    The calls that other apps of one kind make.

    `office` follows the hours of a working day, each a little different every day, and makes a
    tenth of `calls_per_day` at the weekend; `flat` is the same all day, every day.
    """

    def __init__(self, calls_per_day: int, *, kind: Kind, shape: Shape, seed: str) -> None:
        if (
            not 0 <= calls_per_day <= CALLS_MAX
            or shape not in get_args(Shape)
            or kind not in get_args(Kind)
        ):
            raise SandboxError(
                f"Other apps cannot make so many calls a day as {kind!r} in the shape {shape!r}; "
                "nothing was changed.",
                hint=f"Kinds: {', '.join(get_args(Kind))}; shapes: {', '.join(get_args(Shape))}; "
                f"calls: 0 to {CALLS_MAX:,}.",
            )
        self.calls_per_day, self.kind, self.shape = calls_per_day, kind, shape
        self._seed = seed
        self._today = 0
        self._sums: Sequence[float] = (0.0, 1.0)

    def begin(self, day: date) -> None:
        """Turn to another day of the portal."""
        if self.shape == "flat":
            self._today = self.calls_per_day
            return
        weekend = day.weekday() >= 5
        self._today = self.calls_per_day // _WEEKEND if weekend else self.calls_per_day
        rng = Random(f"{self._seed}/{self.kind}/{day}")  # noqa: S311 - repeatable is the point
        hours = [busy * rng.uniform(0.7, 1.3) for busy in _OFFICE]
        whole = sum(hours)
        self._sums = [0.0, *(so_far / whole for so_far in accumulate(hours))]

    def by(self, gone: float) -> int:
        """Return how many calls were made when this part of the day, 0 to 1, has gone by."""
        at = gone * (len(self._sums) - 1)
        hour = min(int(at), len(self._sums) - 2)
        since, until = self._sums[hour], self._sums[hour + 1]
        return int(self._today * (since + (until - since) * (at - hour)))
