"""The people who log in to a simulated portal; none belongs to anybody."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from hsagency.sandbox.names import FIRST_NAMES, LAST_NAMES
from hsagency.sandbox.portals import Portal

_STAFF = 5


@dataclass(frozen=True, slots=True)
class Person:
    """A user of a portal."""

    user_id: int
    first_name: str
    last_name: str
    email: str


def people(portal: Portal, *, seed: int) -> tuple[Person, ...]:
    """Return the users of a portal; the first one made its first credential."""
    rng = Random(f"{seed}/people/{portal.portal_id}")  # noqa: S311 - repeatable is the point
    firsts = rng.sample([name for name in FIRST_NAMES if name.isascii()], _STAFF)
    found = []
    for number, first in enumerate(firsts):
        last, drawn = rng.choice(LAST_NAMES), rng.randrange(10_000_000, 99_999_999)
        found.append(
            Person(
                user_id=drawn if number else portal.founder,
                first_name=first,
                last_name=last,
                email=f"{first}.{last}@{portal.client_slug}.example".lower(),
            )
        )
    return tuple(found)
