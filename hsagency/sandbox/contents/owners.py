"""Who may own records in a portal: its users, and one who has left."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random

from hsagency.sandbox.contents.people import Person, people
from hsagency.sandbox.contents.state import PortalState
from hsagency.sandbox.names import LAST_NAMES
from hsagency.sandbox.portals import FOUNDED
from hsagency.sandbox.wire import JsonObject, stamp

_TEAMS = ("Sales", "Marketing", "Service")
_STEP = 37


@dataclass(frozen=True, slots=True)
class Team:
    """A team of a portal's users."""

    team_id: int
    name: str


@dataclass(frozen=True, slots=True)
class Owner:
    """One owner; HubSpot numbers owners and users apart."""

    owner_id: int
    person: Person
    teams: tuple[Team, ...]
    created_at: datetime
    updated_at: datetime
    archived: bool = False

    def shown(self) -> JsonObject:
        """Return the owner as HubSpot answers it; one who left has no user any more."""
        person = self.person
        content: JsonObject = {
            "id": str(self.owner_id),
            "email": person.email,
            "type": "PERSON",
            "firstName": person.first_name,
            "lastName": person.last_name,
            "userId": None if self.archived else person.user_id,
            "userIdIncludingInactive": person.user_id,
            "createdAt": stamp(self.created_at),
            "updatedAt": stamp(self.updated_at),
            "archived": self.archived,
        }
        if self.teams:
            content["teams"] = [
                {"id": str(team.team_id), "name": team.name, "primary": team is self.teams[0]}
                for team in self.teams
            ]
        return content


class Owners:
    """The owners of one portal, in the order of ids."""

    def __init__(self, state: PortalState) -> None:
        rng = Random(f"{state.seed}/owners/{state.portal.portal_id}")  # noqa: S311 - repeatable
        base, team_id = rng.randrange(50_000_000, 90_000_000), rng.randrange(100_000, 900_000)
        teams = tuple(Team(team_id + number, name) for number, name in enumerate(_TEAMS))
        staff = people(state.portal, seed=state.seed)
        last = rng.choice(LAST_NAMES)
        left = Person(
            user_id=rng.randrange(10_000_000, 99_999_999),
            first_name="Robin",
            last_name=last,
            email=f"robin.{last}@{state.portal.client_slug}.example".lower(),
        )
        self.all = tuple(
            Owner(
                owner_id=base + number * _STEP,
                person=person,
                teams=(teams[number % 3], teams[0])[: number % 3],
                created_at=FOUNDED + timedelta(days=number),
                updated_at=FOUNDED + timedelta(days=number + (60 if person is left else 0)),
                archived=person is left,
            )
            for number, person in enumerate((*staff, left))
        )

    def find(self, number: int, *, by_user: bool = False) -> Owner | None:
        """Return an owner by the id of the owner or of the user, whether archived or not."""
        for owner in self.all:
            if number == (owner.person.user_id if by_user else owner.owner_id):
                return owner
        return None
