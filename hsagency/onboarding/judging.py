"""
What HubSpot says of a credential that is not connected yet, and what that makes of a row.

Every call made here is recorded in the agency's own journal, whether the row is taken or
not. Nothing is stored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import replace as with_
from enum import StrEnum

from hsagency.agency import Agency
from hsagency.auth import key_of
from hsagency.client import PortalClient
from hsagency.credentials import SecretName
from hsagency.errors import (
    BadToken,
    CredentialError,
    CredentialRejected,
    HsAgencyError,
    PortalMismatch,
    PortalUnreachable,
    VerificationError,
)
from hsagency.index import Snapshot
from hsagency.onboarding.candidate import Candidate
from hsagency.onboarding.facts import (
    Findings,
    found_connection,
    renewed,
)
from hsagency.onboarding.rows import NEW_KEY, BadRow, Row
from hsagency.portals import (
    ClientSlug,
    Connection,
    ConnectionStatus,
    ConnectionType,
    parse_slug,
    parse_token,
)
from hsagency.scopes import lacking
from hsagency.secret import Secret
from hsagency.verifier import (
    FIRST_CONTACT,
    Expected,
    Introspection,
    answerer,
    daily_usage,
    introspect,
    verify,
)


class Decision(StrEnum):
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
    decision: Decision
    cause: str = ""
    hint: str = ""
    warnings: tuple[str, ...] = ()
    connection: Connection | None = None
    secret: Secret | None = None
    calls: int = 0
    """How many calls it took to find out, which the portal's quota paid for."""
    unanswered: bool = False
    """Whether it is bad for want of an answer only, so that the row may be right."""


def ask(
    agency: Agency,
    row: Row,
    *,
    api: str,
    expected: Expected,
    purpose: str,
    owners: Mapping[int, str],
) -> Findings:
    """
    Ask HubSpot whose credential a row's is; raises as `verify` does.

    `owners` names the client of each portal id that is known, for the message of a mix-up.
    """
    with Candidate(agency, row.token, api=api, purpose=purpose, slug=row.slug) as candidate:
        client = candidate.client
        try:
            identity = verify(client, expected=expected, who=answerer(api))
        except VerificationError as error:
            _explain(error, owners, api=api)
            raise
        return Findings(
            identity=identity,
            introspection=_introspected(agency, row, client, api=api),
            usage=daily_usage(client),
            token_hublet=_hublet(row.token),
            routed_to=candidate.routed_to,
            calls=client.attempts,
        )


def judge(
    agency: Agency,
    row: Row,
    *,
    api: str,
    known: Snapshot,
    owners: Mapping[int, str],
    trust_first_contact: bool,
    replace: bool,
) -> Judgement:
    """
    Judge one row against HubSpot and against what is stored; never raises for the row.

    `owners` is as `ask` takes it. No token goes to another address than its connection's own,
    which is also where a replacement is asked about if `api` is empty.
    """
    stored = known.connections.get(row.slug)
    address = stored.api_base if stored and replace and not api else api
    if stored is not None and stored.api_base != address:
        return _elsewhere(row, stored, address)
    if row.expected is None and not trust_first_contact:
        return bad(
            row,
            "the portal id is missing",
            "Add it, or take HubSpot's word for it with --trust-first-contact.",
        )
    try:
        parse_slug(row.slug)  # rows may come from Python too, and slugs become folders
        expected = row.expected if row.expected is not None else FIRST_CONTACT
        found = ask(
            agency, row, api=address, expected=expected, purpose="onboarding", owners=owners
        )
    except HsAgencyError as error:
        unanswered = isinstance(error, PortalUnreachable)
        return bad(row, error.message.rstrip("."), error.hint, unanswered=unanswered)
    kind = _type_of(row, stored)
    contradiction = _contradiction(row, found, kind)
    if contradiction is not None:
        return contradiction
    connection = found_connection(row, found, api=address)
    judged = _against_stored(row, connection, known, found, replace=replace)
    if judged.decision is Decision.CURRENT and stored is not None:
        judged = _if_usable(agency, row, judged, _anew(row, stored, connection), replace=replace)
    return with_(judged, calls=found.calls)


def bad(row: Row | BadRow, cause: str, hint: str, *, unanswered: bool = False) -> Judgement:
    """Return the judgement that a row is not taken."""
    return Judgement(
        line=row.line,
        slug=row.slug,
        decision=Decision.BAD,
        cause=cause,
        hint=hint,
        unanswered=unanswered,
    )


def _elsewhere(row: Row, stored: Connection, address: str) -> Judgement:
    hint = "A sandbox's connection is never turned into HubSpot's: use another workspace."
    if stored.api_base:
        hint = f"Add --api {stored.api_base} if that is meant. {hint}"
    return bad(
        row,
        f"{row.slug} is connected through {stored.api_base or 'HubSpot'}, not through "
        f"{address or 'HubSpot'}; its token was sent nowhere",
        hint,
    )


def secret_name(agency: Agency, connection: Connection, *, generation: int = 0) -> SecretName:
    """Return what the secret of a connection is called; of its own generation unless said."""
    return SecretName(
        workspace=agency.workspace.settings.workspace,
        slug=connection.client_slug,
        generation=generation or connection.generation,
    )


def _explain(error: VerificationError, owners: Mapping[int, str], *, api: str) -> None:
    """Say what only this place knows: whose portals they are, what to do, what was not done."""
    if isinstance(error, PortalMismatch):
        error.name(owners)
    if isinstance(error, CredentialRejected) and not api:
        if error.status_code == 401:
            error.hint = "It was revoked, rotated or copied wrongly. Ask the client for another."
        error.hint = f"{error.hint} {NEW_KEY}"
    error.add("The token was not stored.")


def _introspected(
    agency: Agency, row: Row, client: PortalClient, *, api: str
) -> Introspection | None:
    """Return what HubSpot tells of a credential's scopes, or nothing where it does not say."""
    if row.authorisation is None:
        return introspect(client, row.token)
    try:
        told = agency.desk(api, candidate=row.slug).introspect(row.token)
    except VerificationError:
        return None
    if not told.active or told.portal_id is None or told.scopes is None:
        return None
    return Introspection(portal_id=told.portal_id, scopes=told.scopes, hub_domain=told.hub_domain)


def _hublet(token: Secret) -> str | None:
    try:
        return parse_token(token)
    except BadToken:  # only HubSpot can say what is a token
        return None


def _if_usable(
    agency: Agency, row: Row, judged: Judgement, anew: Connection, *, replace: bool
) -> Judgement:
    """Call nothing unchanged whose secret is gone from the store, or is another one."""
    try:
        secret = agency.store.get(secret_name(agency, anew, generation=anew.generation - 1))
    except CredentialError as error:
        trouble, hint = error.message.rstrip("."), error.hint
    else:
        if key_of(secret).fingerprint == anew.fingerprint:
            return judged
        trouble, hint = "the store holds another secret than the one that was proven", ""
    if replace:
        return _judged(row, Decision.REPLACE, anew, judged.warnings)
    return bad(
        row,
        f"{row.slug} is connected, but its stored token cannot be used: {trouble}",
        f"{hint} If that does not help, run again with --replace to store the token anew.".strip(),
    )


def _contradiction(row: Row, found: Findings, kind: ConnectionType) -> Judgement | None:
    contradiction = found.contradiction()
    if contradiction is not None:
        return bad(
            row,
            contradiction,
            "Something between here and HubSpot mixes answers: do not use this network.",
        )
    missing = lacking(kind, found.introspection.scopes) if found.introspection else None
    if missing is not None:
        return bad(
            row,
            missing,
            "Add them to the key in HubSpot > Development > Keys > Service keys; a client that is "
            "not connected yet may also be onboarded with another --type.",
        )
    return None


def _against_stored(
    row: Row, connection: Connection, known: Snapshot, found: Findings, *, replace: bool
) -> Judgement:
    stored = known.connections.get(row.slug)
    other = taken(connection, known.connections)
    if other is not None:
        return bad(
            row,
            f"portal {connection.portal_id} is already connected as {other}, not as {row.slug}",
            "One portal, one slug: use the client that is there.",
        )
    warnings = tuple(_warnings(row, connection, found, stored))
    if stored is None:
        return _judged(row, Decision.NEW, connection, warnings)
    if stored.portal_id != connection.portal_id:
        return bad(
            row,
            f"{row.slug} is connected to portal {stored.portal_id}, and this token belongs to "
            f"portal {connection.portal_id}",
            "Choose another slug for the other portal.",
        )
    if stored.fingerprint == connection.fingerprint:
        return _judged(row, Decision.CURRENT, stored, warnings)
    return _newer(row, stored, connection, warnings, replace=replace)


def _newer(
    row: Row,
    stored: Connection,
    connection: Connection,
    warnings: tuple[str, ...],
    *,
    replace: bool,
) -> Judgement:
    if replace:
        return _judged(row, Decision.REPLACE, _anew(row, stored, connection), warnings)
    return Judgement(
        line=row.line,
        slug=row.slug,
        decision=Decision.CANDIDATE,
        cause=f"another token than the stored one, for the same portal {stored.portal_id}",
        hint="Run again with --replace to use it; the stored one was kept.",
        warnings=warnings,
        connection=stored,
    )


def _judged(
    row: Row, decision: Decision, connection: Connection, warnings: tuple[str, ...]
) -> Judgement:
    return Judgement(
        line=row.line,
        slug=row.slug,
        decision=decision,
        warnings=warnings,
        connection=connection,
        secret=row.kept if decision in (Decision.NEW, Decision.REPLACE) else None,
    )


def _type_of(row: Row, stored: Connection | None) -> ConnectionType:
    """Return the type that a row's credential is judged by: the stored one's, unless it changes."""
    return row.connection_type if stored is None or row.retype else stored.connection_type


def _anew(row: Row, stored: Connection, found: Connection) -> Connection:
    return with_(renewed(stored, found), connection_type=_type_of(row, stored))


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


def _warnings(
    row: Row, connection: Connection, found: Findings, stored: Connection | None
) -> list[str]:
    kind = _type_of(row, stored)
    said = [*found.notes(kind)]
    if stored is not None and kind is not row.connection_type:
        said.append(
            f"stored as {stored.connection_type}, the list says {row.connection_type}: not changed"
        )
    works = stored is not None and stored.fingerprint == connection.fingerprint
    if stored is not None and works and stored.status is not ConnectionStatus.CONNECTED:
        said.append(f"listed as {stored.status}; 'hsagency verify {row.slug}' clears that")
    if row.expected is None:
        said.append(f"portal {connection.portal_id} was taken on first contact: check it")
    return said
