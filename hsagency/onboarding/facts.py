"""What HubSpot reported of a credential, as the connection that the index would hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from hsagency.data import table
from hsagency.onboarding.rows import Row
from hsagency.portals import Connection, ConnectionType, Fact, Proof, Provenance, parse_token
from hsagency.verifier import DailyUsage, Identity, Introspection


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What HubSpot reported of one credential."""

    identity: Identity
    introspection: Introspection | None
    usage: DailyUsage | None


def found_connection(row: Row, found: Findings, *, api: str) -> Connection:
    """Return the connection that a row becomes, generation 1, with what HubSpot reported."""
    identity, at = found.identity, found.identity.at
    return Connection(
        client_slug=row.slug,
        portal_id=identity.portal_id,
        connection_type=row.connection_type,
        kind=row.kind,
        generation=1,
        fingerprint=row.token.fingerprint,
        added_at=at,
        last_rotated_at=at,
        hublet=identity.hosting or parse_token(row.token),
        api_base=api,
        proof=Proof(
            at=at,
            portal_id=identity.portal_id,
            fingerprint=row.token.fingerprint,
            correlation_id=identity.correlation_id,
        ),
        facts=_facts(row, found, at),
    )


def _facts(row: Row, found: Findings, at: datetime) -> Mapping[str, Fact]:
    identity = found.identity
    fetched: dict[str, str | int | tuple[str, ...] | None] = {
        "name": identity.name,
        "account_type": identity.account_type,
        "time_zone": identity.time_zone,
        "currency": identity.currency,
        "ui_domain": identity.ui_domain,
        "hosting": identity.hosting,
        "daily_limit": found.usage.limit if found.usage else None,
        "scopes": found.introspection.scopes if found.introspection else None,
    }
    facts = {
        name: Fact(value, Provenance.FETCHED, at)
        for name, value in fetched.items()
        if value is not None
    }
    if row.display_name and "name" not in facts:
        facts["name"] = Fact(row.display_name, Provenance.DECLARED, at)
    inferred = infer_tier(found.usage.limit, identity.account_type) if found.usage else None
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
        facts=_with_declared(found.facts, stored.facts),
    )


def _with_declared(new: Mapping[str, Fact], old: Mapping[str, Fact]) -> Mapping[str, Fact]:
    """Keep what a person declared earlier, unless HubSpot or a person now says otherwise."""
    kept = {
        name: fact
        for name, fact in old.items()
        if fact.provenance is Provenance.DECLARED
        and (name not in new or new[name].provenance is Provenance.INFERRED)
    }
    return {**new, **kept}


def missing_scopes(connection_type: ConnectionType, scopes: tuple[str, ...]) -> dict[str, str]:
    """Return the scopes a connection type needs and a token lacks, with the reason for each."""
    held = {scope.removesuffix(".v2") for scope in scopes}
    return {
        one["name"]: one["why"]
        for one in table("scopes")["scope"]
        if connection_type in one["required"] and one["name"] not in held
    }


def surplus_scopes(connection_type: ConnectionType, scopes: tuple[str, ...]) -> list[str]:
    """Return the scopes that can change something on a connection that must not."""
    marks = tuple(table("scopes")["surplus"].get(connection_type, ()))
    return [one for one in scopes if marks and one.removesuffix(".v2").endswith(marks)]


def infer_tier(daily_limit: int, account_type: str | None) -> tuple[str, str] | None:
    """
    Return the tier that a daily limit points to and the evidence, or nothing.

    Developer test accounts answer like Enterprise ones (facts 2.2), so theirs says nothing.
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
