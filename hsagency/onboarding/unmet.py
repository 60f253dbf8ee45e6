"""
What keeps a row from being connected, as far as the index and HubSpot's report tell.

Each is a cause and what to do about it. A client that was removed comes back under its slug as
a new connection, for the same portal only: the log under that slug is that portal's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final, TypeAlias

from hsagency.index import Snapshot
from hsagency.onboarding.facts import Findings
from hsagency.onboarding.rows import Row
from hsagency.portals import ClientSlug, Connection, ConnectionType, PortalId, Tombstone
from hsagency.scopes import lacking

Unmet: TypeAlias = tuple[str, str]
"""What is wrong, and what to do."""

_ONE: Final = "One portal, one slug: use the client that is there."


def beforehand(row: Row, known: Snapshot, *, api: str, trusting: bool) -> list[Unmet]:
    """Return what is wrong before HubSpot is asked, so that the credential goes nowhere."""
    there, stone = known.connections.get(row.slug), known.tombstones.get(row.slug)
    wrong = not_removed(row.slug, known, row.expected)
    if there is not None and there.api_base != api:
        wrong.append(_elsewhere(row, "is connected", there.api_base, api))
    if stone is not None and stone.api_base != api:
        until = f"was connected, until it was removed on {_day(stone)},"
        wrong.append(_elsewhere(row, until, stone.api_base, api))
    if row.expected is None and not trusting:
        hint = "Add it, or take HubSpot's word for it with --trust-first-contact."
        wrong.append(("the portal id is missing", hint))
    return wrong


def not_removed(slug: ClientSlug, known: Snapshot, portal: PortalId | None) -> list[Unmet]:
    """Return that a client's or portal's removal is not finished, which may still cut it off."""
    for one, stone in known.tombstones.items():
        if stone.pending is not None and (one == slug or stone.portal_id == portal):
            whose = "" if one == slug else f", which is portal {portal}"
            cause = f"the removal of {one}{whose} is not finished"
            return [(cause, f"Finish it first: hsagency remove {one}")]
    return []


def linked(row: Row, known: Snapshot) -> list[Unmet]:
    """Return that the portal a row expects is connected already, under another slug."""
    other = known.owners().get(row.expected) if row.expected is not None else None
    if other is None or other == row.slug:
        return []
    return [(f"portal {row.expected} is already connected as {other}, not as {row.slug}", _ONE)]


def short_of(row: Row, found: Findings, kind: ConnectionType) -> list[Unmet]:
    """Return what HubSpot's report of a credential lacks, or contradicts itself in."""
    wrong = []
    contradiction = found.contradiction()
    if contradiction is not None:
        hint = "Something between here and HubSpot mixes answers: do not use this network."
        wrong.append((contradiction, hint))
    missing = lacking(kind, found.introspection.scopes) if found.introspection else None
    if missing is not None:
        hint = (
            "Add them to the key in HubSpot > Development > Keys > Service keys; a client that is "
            "not connected yet may also be onboarded with another --type."
        )
        if row.authorisation is not None:
            hint = (
                "Have a Super Admin authorise it again and grant them; an account that lacks what "
                "they are for may be connected with another --type."
            )
        wrong.append((missing, hint))
    return wrong


def reached(row: Row, connection: Connection, known: Snapshot) -> list[Unmet]:
    """Return what keeps the portal that a credential reaches from standing under this slug."""
    wrong, portal = not_removed(row.slug, known, connection.portal_id), connection.portal_id
    other = taken(connection, known.connections)
    if other is not None:
        wrong.append((f"portal {portal} is already connected as {other}, not as {row.slug}", _ONE))
    stored, stone = known.connections.get(row.slug), known.tombstones.get(row.slug)
    hint = "Choose another slug for the other portal."
    if other is None and stored is not None and stored.portal_id != portal:
        whose = f"{row.slug} is connected to portal {stored.portal_id}"
        wrong.append((f"{whose}, and this {row.what} belongs to portal {portal}", hint))
    if stone is not None and stone.portal_id != portal:
        whose = f"{row.slug} was {_named(stone)} until it was removed on {_day(stone)}"
        hint = f"{hint} What is logged under {row.slug} stays the removed one's."
        wrong.append((f"{whose}, and this {row.what} belongs to portal {portal}", hint))
    return wrong


def come_back(connection: Connection, known: Snapshot) -> Connection:
    """Return a new connection with the generation after the last one that bore its slug."""
    stone = known.tombstones.get(connection.client_slug)
    return connection if stone is None else replace(connection, generation=stone.generation + 1)


def as_it_was(row: Row, known: Snapshot) -> Row:
    """Return a row with the type that its client had until it was removed, if none was stated."""
    stone = known.tombstones.get(row.slug)
    if row.stated or stone is None:
        return row
    return replace(row, connection_type=stone.connection_type)


def of_before(connection: Connection, known: Snapshot) -> list[str]:
    """Return what a person should know of earlier connections of a portal that is new now."""
    said = []
    for slug, stone in known.tombstones.items():
        same = (stone.portal_id, stone.api_base) == (connection.portal_id, connection.api_base)
        if same and slug == connection.client_slug:
            said.append(
                f"it was removed on {_day(stone)} and comes back as a new connection, generation "
                f"{stone.generation + 1}; its log goes on"
            )
            was, now = stone.connection_type, connection.connection_type
            said.append(f"it is {now}, as before" if was is now else f"it was {was}, is {now} now")
        elif same:
            said.append(
                f"portal {stone.portal_id} was {slug} until it was removed on {_day(stone)}: its "
                f"log stays under {slug}, and only goes on if it is onboarded as {slug}"
            )
        if same and stone.fingerprint == connection.fingerprint:
            said.append("it is the very token that was removed: have the client rotate it")
    return said


def taken(
    connection: Connection, connections: Mapping[ClientSlug, Connection]
) -> ClientSlug | None:
    """Return the other slug under which this portal or credential is connected."""
    for slug, other in connections.items():
        same = (
            connection.portal_id == other.portal_id or connection.fingerprint == other.fingerprint
        )
        if same and slug != connection.client_slug:
            return slug
    return None


def _elsewhere(row: Row, did: str, there: str, address: str) -> Unmet:
    hint = "A sandbox's connection is never turned into HubSpot's: use another workspace."
    if there:
        hint = f"Add --api {there} if that is meant. {hint}"
    return (
        f"{row.slug} {did} through {there or 'HubSpot'}, not through {address or 'HubSpot'}; its "
        f"{row.what} was sent nowhere",
        hint,
    )


def _day(stone: Tombstone) -> str:
    return f"{stone.removed_at:%Y-%m-%d}"


def _named(stone: Tombstone) -> str:
    return f"portal {stone.portal_id}" + (f" ({stone.name})" if stone.name else "")
