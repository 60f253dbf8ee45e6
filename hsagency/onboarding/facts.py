"""What HubSpot reported of a credential, as the connection that the index would hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from hsagency.data import table
from hsagency.onboarding.rows import Row
from hsagency.portals import (
    Connection,
    ConnectionType,
    Fact,
    Proof,
    Provenance,
    binding_of,
)
from hsagency.scopes import lacking, surplus_scopes
from hsagency.verifier import DailyUsage, Identity, Introspection, facts_of, hublet_warning


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What HubSpot reported of one credential."""

    identity: Identity
    introspection: Introspection | None
    usage: DailyUsage | None
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

    def contradiction(self) -> str | None:
        """Return that two of HubSpot's answers name different portals, if they do."""
        said = self.introspection
        if said is None or said.portal_id == self.identity.portal_id:
            return None
        return (
            f"HubSpot names portal {self.identity.portal_id} for the account and "
            f"{said.portal_id} for the token"
        )


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
        facts=_facts(row, found, at),
    )
    return replace(connection, binding=binding_of(connection, row.key))


def _facts(row: Row, found: Findings, at: datetime) -> Mapping[str, Fact]:
    facts = facts_of(found.identity, at=at)
    if found.usage:
        facts["daily_limit"] = Fact(found.usage.limit, Provenance.FETCHED, at)
    if found.introspection:
        facts["scopes"] = Fact(found.introspection.scopes, Provenance.FETCHED, at)
    if row.display_name and "name" not in facts:
        facts["name"] = Fact(row.display_name, Provenance.DECLARED, at)
    inferred = infer_tier(found.usage.limit, found.identity.account_type) if found.usage else None
    if row.tier:
        facts["tier"] = Fact(row.tier, Provenance.DECLARED, at)
    elif inferred:
        facts["tier"] = Fact(inferred[0], Provenance.INFERRED, at, inferred[1])
    return facts


def renewed(stored: Connection, found: Connection) -> Connection:
    """Return a stored connection's next generation, with what HubSpot reports now."""
    return replace(
        found,
        generation=stored.generation + 1,
        added_at=stored.added_at,
        connection_type=stored.connection_type,
        facts=_with_earlier(found.facts, stored.facts),
    )


def _with_earlier(new: Mapping[str, Fact], old: Mapping[str, Fact]) -> Mapping[str, Fact]:
    """Keep what was known of the portal, unless HubSpot or a person now says otherwise."""
    declared = {
        name: fact
        for name, fact in old.items()
        if fact.provenance is Provenance.DECLARED
        and name in new
        and new[name].provenance is Provenance.INFERRED
    }
    # Scopes are the credential's, and that is another one now.
    return {**{name: fact for name, fact in old.items() if name != "scopes"}, **new, **declared}


def infer_tier(daily_limit: int, account_type: str | None) -> tuple[str, str] | None:
    """
    Return the tier that a daily limit points to and the evidence, or nothing.

    Developer test accounts answer like Enterprise ones, so theirs says nothing. No public
    endpoint tells the tier (HubSpot account information guide, 2026-09).
    """
    if account_type == "DEVELOPER_TEST":
        return None
    limits = table("limits")
    for tier in limits["tier"]:
        for add_ons in range(limits["add_on"]["most"] + 1):
            if daily_limit == tier["daily"] + add_ons * limits["add_on"]["daily"]:
                ambiguous = add_ons == 1 and tier["name"] == "enterprise"
                evidence = f"daily limit {daily_limit:,}" + (
                    f", {add_ons} add-ons" if add_ons else ""
                )
                return None if ambiguous and daily_limit % 1_000_000 else (tier["name"], evidence)
    return None
