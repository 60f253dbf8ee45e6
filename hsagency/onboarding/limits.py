"""
How many portals the agency's plan allows (`[fleet] size`), as far as it concerns new ones.

Of a list that needs more slots than are free no new portal is taken, as nobody said which of
them to leave out. What is connected goes on, also above a size that was lowered.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from hsagency.agency import Agency
from hsagency.errors import Conflict
from hsagency.fleet.listing import Slots, slots
from hsagency.index import Snapshot
from hsagency.onboarding.judging import Decision, Judgement
from hsagency.words import counted


def within(judged: list[Judgement], free: Slots) -> list[Judgement]:
    """Refuse the new rows of a list, all of them, where the fleet has no slots for them."""
    new = _new(judged)
    if not exceeds(free, new):
        return judged
    cause, hint = full(free, new)
    return [
        replace(one, decision=Decision.BAD, cause=cause, hint=hint, full=True, secret=None)
        if one.decision is Decision.NEW
        else one
        for one in judged
    ]


def check_again(
    agency: Agency, judged: Iterable[Judgement], known: Snapshot, *, undone: str
) -> None:
    """Raise `Conflict` if the slots that a plan counted on were taken by somebody since."""
    free, new = slots(agency.workspace.settings, known), _new(judged)
    if exceeds(free, new):
        cause, hint = full(free, new)
        raise Conflict(
            f"Portals were connected since the plan was made; nothing was {undone}: {cause}.",
            hint=hint,
        )


def full(free: Slots, new: int) -> tuple[str, str]:
    """Return that the limit is reached, or would be passed, and what to do about it."""
    limit, left = f"limit of {counted(free.size or 0, 'portal')}", free.free or 0
    over = free.used + new - (free.size or 0)
    ways = ["raise the limit, as your plan allows ([fleet] size in hsagency.toml)"]
    if over <= free.used:  # else there are not so many to remove
        remove = "a portal" if over == 1 else f"{over} portals"
        ways.insert(0, f"remove {remove} (hsagency remove SLUG)")
    if not left:
        cause = f"the {limit} is reached: {free.used} connected"
        return cause, f"Before adding a new one, {' or '.join(ways)}."
    cause = f"{counted(new, 'new portal')} would pass the {limit}: {free.used} connected"
    ways.insert(0, f"list only {left} new")
    first = " or ".join(ways) if len(ways) == 2 else f"{ways[0]}, or {' or '.join(ways[1:])}"
    return f"{cause}, {counted(left, 'slot')} free", f"{first[0].upper()}{first[1:]}."


def _new(judged: Iterable[Judgement]) -> int:
    return sum(one.decision is Decision.NEW for one in judged)


def exceeds(free: Slots, new: int) -> bool:
    """Say whether there are more new portals than free slots."""
    return free.free is not None and new > free.free
