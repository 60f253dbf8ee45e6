"""What HubSpot is asked of a connection, beyond whose it is, when a person has it verified."""

from __future__ import annotations

from dataclasses import dataclass

from hsagency.errors import CredentialError, VerificationError
from hsagency.facts import Told
from hsagency.portals import Connection, CredentialKind
from hsagency.router.parts import Parts, refuse_another
from hsagency.verifier import (
    Identity,
    Introspection,
    Sender,
    answerer,
    daily_usage,
    introspect,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked(Told):
    """All that HubSpot told of a connection; `unsaid` is why its scopes are not among it."""

    unsaid: str = ""


def ask_all(parts: Parts, connection: Connection, sender: Sender, identity: Identity) -> Asked:
    """Ask for use and scopes too; what HubSpot does not tell is left out."""
    usage = daily_usage(sender)
    found, unsaid = _scopes(parts, connection, sender)
    return Asked(identity=identity, usage=usage, introspection=found, unsaid=unsaid)


def _scopes(
    parts: Parts, connection: Connection, sender: Sender
) -> tuple[Introspection | None, str]:
    """Return what is told of the token itself, or why nothing is."""
    unsaid = f"{answerer(connection.api_base)} did not say which scopes it holds"
    if connection.kind is not CredentialKind.OAUTH:
        kept = parts.store().get(parts.secret_name(connection))
        refuse_another(connection, kept)
        return introspect(sender, kept), unsaid
    try:
        told = parts.desk(connection).introspect(parts.refresher.token(connection))
    except (VerificationError, CredentialError) as error:
        return None, error.message.rstrip(".")
    found = told.introspection()
    return found, "" if found else unsaid
