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
    is_reached = f"the {limit} is reached"
    would_pass = f"{counted(new, 'new portal')} would pass the {limit}"
    remove = "a portal" if over == 1 else f"{over} portals"
    fewer = f", or list only {left} new" if left else ""
    return f"{would_pass if left else is_reached}: {free.used} connected", (
        f"Before adding a new one, remove {remove} (hsagency remove SLUG) or raise the limit, as "
        f"your plan allows ([fleet] size in hsagency.toml){fewer}."
    )


def _new(judged: Iterable[Judgement]) -> int:
    return sum(one.decision is Decision.NEW for one in judged)


def exceeds(free: Slots, new: int) -> bool:
    """Say whether there are more new portals than free slots."""
    return free.free is not None and new > free.free
