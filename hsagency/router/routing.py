"""Leads a connection to the data centre that keeps its portal (facts 1.8)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Final

from hsagency.audit.record import Event
from hsagency.hosts import host_of, is_data_centre
from hsagency.portals import Connection, Routed
from hsagency.router.parts import Parts
from hsagency.verdicts import Verdict

_STAYS: Final = timedelta(hours=1)  # a portal that is sent back so soon is sent to and fro


def reroute(parts: Parts, granted: Connection, verdict: Verdict) -> bool:
    """
    Lead a connection to the data centre that a 488 names; say whether that is elsewhere.

    Two that send it to each other are not followed: a person is told.
    """
    named = verdict.hublet
    if not is_data_centre(named):
        return False
    there, here = (host_of(granted.api_base, one) for one in (named, granted.routed_to))
    if there == here:
        return False
    routed = granted.routed
    if routed and routed.source == str(there) and parts.now() - routed.at < _STAYS:
        if parts.writer.is_first(("routing", granted.client_slug, routed.at)):
            parts.writer.tell(
                f"{granted.portal}: {here} and {there} each say that the portal is at the other. "
                f"Calls stay at {here}; ask HubSpot's support if that goes on."
            )
        return False

    def lead(stored: Connection) -> Connection:
        if stored.routed_to == named:  # another thread was quicker
            return stored
        said = f"{stored.portal} is kept in data centre {named}: calls go to {there} from now on."
        parts.note(stored, Event.CONNECTION_CHANGED, said)
        led = Routed(at=parts.now(), source=str(here))
        return replace(stored, routed_to=named, routed=led, hublet=named, proof=None)

    parts.index.edit(granted.client_slug, generation=granted.generation, change=lead)
    return True


def lead_back(parts: Parts, asked: Connection) -> None:
    """
    Forget a data centre that was never heard of: the next call asks anew where the portal is.

    What a single 488 says may be wrong, and from a host that is not there comes no other.
    """

    def forget(stored: Connection) -> Connection:
        if stored.routed_to is None or stored.proof is not None:
            return stored
        said = f"Data centre {stored.routed_to} did not answer: calls go to the general host again."
        parts.note(stored, Event.CONNECTION_CHANGED, said)
        return replace(stored, routed_to=None)

    parts.index.edit(asked.client_slug, generation=asked.generation, change=forget)
