"""
What HubSpot says of a credential that is not connected yet, and what that makes of a row.

Every call made here is recorded in the agency's own journal, whether the row is taken or
not. Nothing is stored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import replace as with_changes
from datetime import datetime
from enum import StrEnum

from hsagency.agency import Agency
from hsagency.client import PortalClient, Way, host_url
from hsagency.data import table
from hsagency.errors import HsAgencyError
from hsagency.index import Snapshot
from hsagency.onboarding.rows import BadRow, Row
from hsagency.portals import (
    AGENCY,
    ClientSlug,
    Connection,
    ConnectionType,
    Fact,
    Proof,
    Provenance,
    parse_token,
)
from hsagency.secret import Secret
from hsagency.transport import Binding
from hsagency.verifier import (
    FIRST_CONTACT,
    DailyUsage,
    Expected,
    Identity,
    Introspection,
    daily_usage,
    hublet_warning,
    introspect,
    verify,
)


class Verdict(StrEnum):
    """What is to be done with a row."""

    NEW = "new"
    REPLACE = "replace"
    CURRENT = "current"
    CANDIDATE = "candidate"
    BAD = "bad"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """A row, judged: what would be stored, or why it is not."""

    line: int
    slug: str
    verdict: Verdict
    cause: str = ""
    hint: str = ""
    warnings: tuple[str, ...] = ()
    connection: Connection | None = None
    secret: Secret | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What HubSpot reported of one credential."""

    identity: Identity
    introspection: Introspection | None
    usage: DailyUsage | None


def candidate_client(
    agency: Agency, token: Secret, *, api: str, purpose: str, slug: ClientSlug | None = None
) -> tuple[PortalClient, Way]:
    """Return a client for a credential that belongs to nobody yet, and the way to close."""
    way = Way(host=host_url(api), credential=lambda: token, writer=agency.writer, halt=agency.halt)
    binding = Binding(
        client_slug=AGENCY,
        portal_id=None,
        connection_type=ConnectionType.AUDIT_ONLY,
        host=way.host,
        fingerprint=token.fingerprint,
        generation=0,
        purpose=purpose,
        candidate_slug=slug,
    )
    return way.client(binding=binding), way


def ask(agency: Agency, row: Row, *, api: str, expected: Expected, purpose: str) -> Findings:
    """Ask HubSpot whose credential a row's is; raises as `verify` does."""
    client, way = candidate_client(agency, row.token, api=api, purpose=purpose, slug=row.slug)
    try:
        identity = verify(client, expected=expected)
        return Findings(
            identity=identity,
            introspection=introspect(client, row.token),
            usage=daily_usage(client),
        )
    finally:
        client.close()
        way.close()


def judge(
    agency: Agency,
    row: Row,
    *,
    api: str,
    known: Snapshot,
    trust_first_contact: bool,
    replace: bool,
) -> Judgement:
    """Judge one row against HubSpot and against what is stored; never raises for the row."""
    if row.expected is None and not trust_first_contact:
        return bad(
            row,
            "the portal id is missing",
            "Add it, or take HubSpot's word for it with --trust-first-contact.",
        )
    try:
        expected = row.expected if row.expected is not None else FIRST_CONTACT
        found = ask(agency, row, api=api, expected=expected, purpose="onboarding")
    except HsAgencyError as error:
        return bad(row, error.message.rstrip("."), error.hint)
    contradiction = _contradiction(row, found)
    if contradiction is not None:
        return contradiction
    return _against_stored(row, _connection(row, found, api=api), known, found, replace=replace)


def bad(row: Row | BadRow, cause: str, hint: str) -> Judgement:
    """Return the judgement that a row is not taken."""
    return Judgement(line=row.line, slug=row.slug, verdict=Verdict.BAD, cause=cause, hint=hint)


def _contradiction(row: Row, found: Findings) -> Judgement | None:
    said = found.introspection
    if said is None:
        return None
    if said.portal_id != found.identity.portal_id:
        return bad(
            row,
            f"HubSpot names portal {found.identity.portal_id} for the account and "
            f"{said.portal_id} for the token",
            "Something between here and HubSpot mixes answers: do not use this network.",
        )
    missing = missing_scopes(row.connection_type, said.scopes)
    if missing:
        why = ", ".join(f"{name} ({reason})" for name, reason in missing.items())
        return bad(
            row,
            f"the token lacks scopes that {row.connection_type} needs: {why}",
            "Add them to the key in HubSpot > Development > Keys > Service keys, or choose "
            "another connection type.",
        )
    return None


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


def _connection(row: Row, found: Findings, *, api: str) -> Connection:
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
            at=at, fingerprint=row.token.fingerprint, correlation_id=identity.correlation_id
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


def _against_stored(
    row: Row, connection: Connection, known: Snapshot, found: Findings, *, replace: bool
) -> Judgement:
    stored = known.connections.get(row.slug)
    other = _taken(connection, known)
    if other is not None:
        return bad(
            row,
            f"portal {connection.portal_id} is already connected as {other}, not as {row.slug}",
            "One portal, one slug: use the client that is there.",
        )
    warnings = tuple(_warnings(row, connection, found, stored))
    if stored is None:
        return _judged(row, Verdict.NEW, connection, warnings)
    if stored.portal_id != connection.portal_id:
        return bad(
            row,
            f"{row.slug} is connected to portal {stored.portal_id}, and this token belongs to "
            f"portal {connection.portal_id}",
            "Choose another slug for the other portal.",
        )
    if stored.api_base != connection.api_base:
        return bad(
            row,
            f"{row.slug} is connected through {stored.api_base or 'HubSpot'}, not through "
            f"{connection.api_base or 'HubSpot'}",
            "A sandbox's connection is never turned into HubSpot's: use another workspace.",
        )
    if stored.fingerprint == connection.fingerprint:
        return _judged(row, Verdict.CURRENT, stored, warnings)
    return _newer(row, stored, connection, warnings, replace=replace)


def _newer(
    row: Row,
    stored: Connection,
    connection: Connection,
    warnings: tuple[str, ...],
    *,
    replace: bool,
) -> Judgement:
    renewed = with_changes(
        connection,
        generation=stored.generation + 1,
        added_at=stored.added_at,
        connection_type=stored.connection_type,
    )
    if replace:
        return _judged(row, Verdict.REPLACE, renewed, warnings)
    return Judgement(
        line=row.line,
        slug=row.slug,
        verdict=Verdict.CANDIDATE,
        cause=f"another token than the stored one, for the same portal {stored.portal_id}",
        hint="Run again with --replace to use it; the stored one was kept.",
        warnings=warnings,
        connection=stored,
    )


def _judged(
    row: Row, verdict: Verdict, connection: Connection, warnings: tuple[str, ...]
) -> Judgement:
    return Judgement(
        line=row.line,
        slug=row.slug,
        verdict=verdict,
        warnings=warnings,
        connection=connection,
        secret=row.token if verdict in (Verdict.NEW, Verdict.REPLACE) else None,
    )


def _taken(connection: Connection, known: Snapshot) -> ClientSlug | None:
    """Return the other slug under which this portal or credential is connected."""
    for slug, other in known.connections.items():
        same = (
            connection.portal_id == other.portal_id or connection.fingerprint == other.fingerprint
        )
        if same and slug != connection.client_slug:
            return slug
    return None


def _warnings(
    row: Row, connection: Connection, found: Findings, stored: Connection | None
) -> list[str]:
    said = [hublet_warning(parse_token(row.token), found.identity)]
    if found.introspection is None:
        said.append("HubSpot did not say which scopes the token holds; they were not checked")
    else:
        surplus = surplus_scopes(row.connection_type, found.introspection.scopes)
        if surplus:
            said.append(f"the token could change things: {len(surplus)} scopes beyond reading")
    if stored is not None and stored.connection_type is not row.connection_type:
        said.append(
            f"stored as {stored.connection_type}, the list says {row.connection_type}: not changed"
        )
    if row.expected is None:
        said.append(f"portal {connection.portal_id} was taken on first contact: check it")
    return [one for one in said if one]
