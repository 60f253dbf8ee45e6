"""
Whose authorisation a connection rests on (features W9).

HubSpot ends what somebody authorised when that user goes, and does not say so beforehand. What
it does say, with each renewal, is who it is: that is kept, so that a person can ask the client
in time, and it is on record when it becomes another.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Final

from hsagency.audit.record import Event
from hsagency.index import Index
from hsagency.portals import Connection, Fact, Provenance

FACT: Final = "authorised_by"
"""The fact that names, by the number HubSpot gave it, the user who let our app in."""
_Note = Callable[[Connection, Event, str], None]


def heed_user(
    index: Index, note: _Note, connection: Connection, user_id: int, *, at: datetime
) -> None:
    """Store whose authorisation it is, and record it where that was somebody else's."""

    def change(stored: Connection) -> Connection:
        known = stored.facts.get(FACT)
        if known is not None and known.value == user_id:
            return stored
        after = replace(stored, facts={**stored.facts, FACT: Fact(user_id, Provenance.FETCHED, at)})
        if known is not None:
            said = f"It is authorised by user {user_id} now; it was by user {known.value}."
            note(after, Event.CONNECTION_CHANGED, said)
        return after

    index.edit(connection.client_slug, generation=connection.generation, change=change)
