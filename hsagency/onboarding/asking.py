"""
What HubSpot says of a credential that is not connected yet.

Every call made here is recorded in the agency's own journal, whether the credential is taken
or not. Nothing is stored.
"""

from __future__ import annotations

from collections.abc import Mapping

from hsagency.agency import Agency
from hsagency.client import PortalClient
from hsagency.errors import (
    BadToken,
    CredentialRejected,
    MissingScopes,
    PortalMismatch,
    VerificationError,
)
from hsagency.onboarding.candidate import Candidate
from hsagency.onboarding.facts import Findings
from hsagency.onboarding.rows import NEW_KEY, Row
from hsagency.portals import parse_token
from hsagency.secret import Secret
from hsagency.verifier import (
    Expected,
    Introspection,
    answerer,
    daily_usage,
    introspect,
    verify,
)


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
            _explain(error, row, owners, api=api)
            raise
        return Findings(
            identity=identity,
            introspection=_introspected(agency, row, client, api=api),
            usage=daily_usage(client),
            token_hublet=_hublet(row.token),
            routed_to=candidate.routed_to,
            calls=client.attempts,
        )


def _explain(error: VerificationError, row: Row, owners: Mapping[int, str], *, api: str) -> None:
    """Say what only this place knows: whose portals they are, what to do, what was not done."""
    if isinstance(error, PortalMismatch):
        error.name(owners)
    if row.authorisation is not None:
        _explain_authorised(error)
    elif isinstance(error, CredentialRejected) and not api:
        if error.status_code == 401:
            error.hint = "It was revoked, rotated or copied wrongly. Ask the client for another."
        error.hint = f"{error.hint} {NEW_KEY}"
    error.add(f"The {row.what} was not stored.")


def _explain_authorised(error: VerificationError) -> None:
    """Say what to do where a person authorised it, and nobody can add anything to a key."""
    if isinstance(error, PortalMismatch):
        error.hint = f"Authorise again, and pick portal {error.expected} on HubSpot's page."
    elif isinstance(error, CredentialRejected):
        error.hint = "It ended already, or was uninstalled in HubSpot: authorise again."
    elif isinstance(error, MissingScopes):
        error.hint = "Have a Super Admin of the account authorise it again, with all that is asked."


def _introspected(
    agency: Agency, row: Row, client: PortalClient, *, api: str
) -> Introspection | None:
    """Return what HubSpot tells of a credential's scopes, or nothing where it does not say."""
    if row.authorisation is None:
        return introspect(client, row.token)
    try:
        return agency.desk(api, candidate=row.slug).introspect(row.token).introspection()
    except VerificationError:
        return None


def _hublet(token: Secret) -> str | None:
    try:
        return parse_token(token)
    except BadToken:  # only HubSpot can say what is a token
        return None
