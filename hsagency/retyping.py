"""
Another connection type for a connection (features F21): planned, shown, applied.

Nothing is asked of HubSpot: what a credential may do is known from its last verification. The
type changes also where scopes are missing for it, since what does not take them works; then the
connection needs to be reconnected, and says so. The calls of every process go by the new type
from the next one on.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import orjson

from hsagency.agency import Agency
from hsagency.audit.record import Event
from hsagency.errors import Conflict
from hsagency.portals import (
    ClientSlug,
    Connection,
    ConnectionType,
    CredentialKind,
    parse_choice,
    redact,
)
from hsagency.router.scoping import with_scopes
from hsagency.scopes import TYPES, TypeWords, Wanted, absent_scopes, cure, surplus_scopes


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """
    What becomes of a connection with another type.

    `scopes` are those that its credential was last told to hold, and none where nobody said.
    `missing` are those that the new type needs and `absent` those that it could use beyond them;
    both are empty where nothing is known. `surplus` could change what the type must not.
    """

    connection: Connection
    after: ConnectionType
    scopes: tuple[str, ...] | None
    missing: tuple[Wanted, ...]
    absent: tuple[Wanted, ...]
    surplus: tuple[str, ...]

    @property
    def before(self) -> ConnectionType:
        """The type that it has now."""
        return self.connection.connection_type

    @property
    def changes(self) -> bool:
        """Whether it is another type at all."""
        return self.before is not self.after

    @property
    def words(self) -> TypeWords:
        """What the new type enables and refuses."""
        return TYPES[self.after]

    @property
    def next_step(self) -> str:
        """The command with which scopes are asked for, or looked at; empty where none is due."""
        slug = self.connection.client_slug
        if self.connection.kind is CredentialKind.OAUTH:
            wanting = self.missing or self.absent
            return f"hsagency reconnect {slug} --type {self.after}" if wanting else ""
        return f"hsagency verify {slug}" if self.missing or self.scopes is None else ""

    @property
    def cure(self) -> str:
        """How the credential comes by the scopes that it lacks, as a sentence."""
        if self.connection.kind is CredentialKind.OAUTH:
            return f"To ask for them: {self.next_step}" if self.next_step else ""
        return cure(self.connection.client_slug, self.connection.kind)

    @property
    def digest(self) -> str:
        """What names this plan: another one, or of a connection that changed, has another."""
        told = [*map(str, _basis(self.connection)), self.before, self.after]
        return hashlib.sha256(orjson.dumps(told)).hexdigest()[:16]


def plan(agency: Agency, slug: str, connection_type: ConnectionType | str) -> Plan:
    """
    Return what another type would make of a connection; nothing is asked or changed.

    Raises `UnknownClient`, or `UsageError` for what is no type.
    """
    kind = parse_choice(ConnectionType, connection_type, what="connection type")
    connection = agency.connection(slug)
    held = _scopes(connection)
    lacks = absent_scopes(kind, held) if held is not None else ()
    return Plan(
        connection=connection,
        after=kind,
        scopes=held,
        missing=tuple(one for one in lacks if one.required),
        absent=tuple(one for one in lacks if not one.required),
        surplus=tuple(surplus_scopes(kind, held or ())),
    )


def apply(agency: Agency, plan: Plan, *, digest: str) -> Connection:
    """
    Give a connection the type of a plan, and return it as it is then.

    It is on record before it counts. Where it has that type already nothing is changed. Raises
    `Conflict` if `digest` is another plan's, or the connection is another than was planned for.
    """
    if digest != plan.digest:
        raise Conflict(
            "This is not the plan that was shown; nothing was changed.", hint="Plan again."
        )
    slug = plan.connection.client_slug

    def change(connections: dict[ClientSlug, Connection]) -> None:
        stored = connections.get(slug)
        if stored is None or not _is_as_planned(stored, plan):
            raise Conflict(
                f"{slug} was changed by somebody else since the plan was made; nothing was changed.",
                hint="Plan again, and look at what it is now.",
            )
        if stored.connection_type is not plan.after:
            connections[slug] = _retyped(agency, stored, plan)

    return agency.index.write(change).connections[slug]


def _retyped(agency: Agency, stored: Connection, plan: Plan) -> Connection:
    """Record the change, and return the connection as it is with it."""
    after = _with_type(stored, plan.after)
    said = (
        f"Changed the type of {stored.portal} from {stored.connection_type} to {plan.after}. "
        f"{plan.words.title}: {plan.words.enables}"
    )
    if plan.missing:
        names = ", ".join(one.name for one in plan.missing)
        said += f" Its credential lacks {names}, so it needs to be reconnected."
    agency.writer.append(
        stored.client_slug,
        {
            "event": Event.CONNECTION_CHANGED,
            "portalId": stored.portal_id,
            "message": redact(said),
            "credentialGeneration": stored.generation,
        },
    )
    return after


def _with_type(stored: Connection, connection_type: ConnectionType) -> Connection:
    """Return a connection of another type; its status is what its scopes make of that."""
    after = replace(stored, connection_type=connection_type)
    fact, held = stored.facts.get("scopes"), _scopes(stored)
    return after if fact is None or held is None else with_scopes(after, held, at=fact.at)


def _is_as_planned(stored: Connection, plan: Plan) -> bool:
    same = _basis(stored) == _basis(plan.connection)
    return same and stored.connection_type in (plan.before, plan.after)


def _basis(one: Connection) -> tuple[object, ...]:
    """Return what a plan rests on; a proof that is fresh again is no change."""
    held = _scopes(one)
    scopes = None if held is None else tuple(sorted(held))
    return one.client_slug, one.portal_id, one.api_base, one.generation, one.fingerprint, scopes


def _scopes(connection: Connection) -> tuple[str, ...] | None:
    fact = connection.facts.get("scopes")
    return fact.value if fact is not None and isinstance(fact.value, tuple) else None
