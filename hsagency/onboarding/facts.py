"""What HubSpot reported of a credential, as the connection that the index would hold."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hsagency.facts import Told, gathered, hublet_warning, merged
from hsagency.onboarding.rows import Row
from hsagency.portals import Connection, ConnectionType, Proof, binding_of
from hsagency.scopes import lacking, surplus_scopes


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings(Told):
    """What HubSpot reported of one credential that is not connected yet."""

    token_hublet: str | None = None
    routed_to: str | None = None
    """The data centre that HubSpot sent the credential to, if it did."""
    calls: int = 0

    def notes(
        self, connection_type: ConnectionType = ConnectionType.CONFIG_AND_AUDIT
    ) -> tuple[str, ...]:
        """
        Return what a person should know of the credential before using it as this type.

        One clause each, without a full stop; a credential that is as it should be has none.
        """
        said = [hublet_warning(self.token_hublet, self.identity), self.contradiction()]
        if self.introspection is None:
            said.append("HubSpot did not say which scopes the token holds; they were not checked")
        else:
            said.append(lacking(connection_type, self.introspection.scopes))
            surplus = surplus_scopes(connection_type, self.introspection.scopes)
            if surplus:
                said.append(f"the token could change things: {len(surplus)} scopes beyond reading")
        return tuple(one for one in said if one)


def found_connection(row: Row, found: Findings, *, api: str) -> Connection:
    """Return the connection that a row becomes, generation 1, with what HubSpot reported."""
    identity, at = found.identity, found.identity.at
    connection = Connection(
        client_slug=row.slug,
        portal_id=identity.portal_id,
        connection_type=row.connection_type,
        kind=row.kind,
        generation=1,
        fingerprint=row.key.fingerprint,
        added_at=at,
        last_rotated_at=at,
        hublet=identity.hosting or found.token_hublet,
        routed_to=found.routed_to,
        api_base=api,
        proof=Proof(
            at=at,
            portal_id=identity.portal_id,
            fingerprint=row.key.fingerprint,
            correlation_id=identity.correlation_id,
            api_base=api,
        ),
        facts=gathered(found, at=at, name=row.display_name, tier=row.tier),
    )
    return replace(connection, binding=binding_of(connection, row.key))


def renewed(stored: Connection, found: Connection) -> Connection:
    """Return a stored connection's next generation, with what HubSpot reports now."""
    return replace(
        found,
        generation=stored.generation + 1,
        added_at=stored.added_at,
        connection_type=stored.connection_type,
        # Scopes are the credential's, and that is another one now.
        facts=merged(
            {name: fact for name, fact in stored.facts.items() if name != "scopes"}, found.facts
        ),
    )
