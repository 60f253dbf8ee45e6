"""
HubSpot's side of a removal: end what can be ended there, and ask whether it is.

The calls are made without the router, which hands out no client any more, and are on record:
those of the portal in the client's own log, those of token endpoints in the agency's. Nothing
that HubSpot answers, or does not, keeps a removal from going on; it is said as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, TypeAlias

import httpx

from hsagency.agency import Agency
from hsagency.auth import Authorisation, TokenDesk
from hsagency.client import Channel, PortalClient, Ways
from hsagency.credentials import SecretName
from hsagency.data import table
from hsagency.errors import (
    AuditError,
    AuthorisationEnded,
    CredentialRejected,
    HsAgencyError,
    PortalMismatch,
    VerificationError,
)
from hsagency.hosts import host_of
from hsagency.portals import Connection, ConnectionType, CredentialKind, redact
from hsagency.removal.looking import where
from hsagency.secret import Secret
from hsagency.stopping import moment
from hsagency.transport import Binding
from hsagency.verifier import answerer, verify

PURPOSE: Final = "removal"
"""Of the calls by which a removal asks HubSpot."""
_PATIENCE: Final = 5.0  # seconds; a person waits behind it, and what is not answered is said
_NO_CONTENT: Final = 204
_GRACE: Final = timedelta(days=7)  # of a rotation that expires later (facts 1.1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Severed:
    """
    What became of a credential: `ended` says whether HubSpot was seen to refuse it.

    `said` is the same in words, with what is not proven. `alive` says that it was seen to work,
    which a person can end.
    """

    ended: bool
    said: str
    alive: bool = False
    uninstalled: bool = False


Again: TypeAlias = Callable[[Severed], bool]
"""Asked while a static credential is still accepted: whether to ask HubSpot once more."""


def leave(severed: Severed) -> bool:
    """Leave a credential that is still accepted as it is."""
    del severed
    return False


def sever(
    agency: Agency, connection: Connection, secret: Secret | None, *, uninstall: bool, again: Again
) -> Severed:
    """
    End a credential at HubSpot as far as that can be done from here, and say what became of it.

    `secret` is none where the store holds none any more. Raises `AuditError` alone.
    """
    if secret is None:
        return _unproven(connection, "Not asked: the store gave no secret to ask with.")
    try:
        if connection.kind is CredentialKind.OAUTH:
            return _authorisation(agency, connection, secret, uninstall=uninstall)
        return _static(agency, connection, secret, again)
    except AuditError:  # what cannot be recorded is not done
        raise
    except HsAgencyError as error:
        return _unproven(connection, f"Not asked: {error.message}")


def _static(agency: Agency, connection: Connection, secret: Secret, again: Again) -> Severed:
    found = _probed(agency, connection, secret)
    while found.alive and again(found):
        found = _probed(agency, connection, secret)
    return found


def _probed(agency: Agency, connection: Connection, secret: Secret) -> Severed:
    """Ask the portal for its details with a static token: what it answers is what became of it."""
    who = answerer(connection.api_base)
    try:
        with _client(agency, connection, secret) as client:
            identity = verify(client, expected=connection.portal_id, who=who)
    except PortalMismatch as error:
        said = f"It is accepted, and {who} says that it is portal {error.got}'s."
        return _unproven(connection, f"Alive at removal, not proven dead. {said}", alive=True)
    except CredentialRejected as error:
        asked = _when(agency.writer.now(), error.status_code, error.correlation_id)
        return Severed(ended=True, said=f"Dead: {who} refuses the token ({asked}).")
    except VerificationError as error:
        asked = _when(agency.writer.now(), error.status_code, error.correlation_id)
        return _unproven(connection, f"Asked, and not proven: {error.message} ({asked})")
    asked = _when(agency.writer.now(), 200, identity.correlation_id)
    return _unproven(
        connection,
        f"Alive at removal, not proven dead: {who} accepts the token ({asked}).",
        alive=True,
    )


def _unproven(connection: Connection, said: str, *, alive: bool = False) -> Severed:
    """Add until when a credential may live, which is for the other side to end."""
    if connection.kind is CredentialKind.OAUTH:
        until = (
            "It may live until an admin of the portal removes the app: Settings > Integrations > "
            "Connected Apps."
        )
    else:
        until = (
            f"It may live until somebody ends it in HubSpot: {where(connection.kind)}. Rotated "
            f"with 'expire later', it lives {_GRACE.days} days more at most."
        )
    return Severed(ended=False, said=f"{said} {until}", alive=alive)


def _authorisation(
    agency: Agency, connection: Connection, secret: Secret, *, uninstall: bool
) -> Severed:
    kept = Authorisation.parse(secret)
    desk = TokenDesk(
        agency.apps.read(connection.api_base),
        writer=agency.writer,
        halt=agency.halt,
        network=agency.network,
        connection=connection,
    )
    said, gone = [], False
    if uninstall:
        kept, gone, how = _uninstalled(agency, connection, desk, kept)
        said.append(how)
    with suppress(AuthorisationEnded):  # there was nothing left to revoke: that is asked below
        desk.revoke(kept.refresh)
    alive = desk.introspect(kept.refresh, hint="refresh_token").active
    at = moment(agency.writer.now())
    who = answerer(connection.api_base)
    if alive:
        said.append(f"Alive at removal: {who} was asked to revoke it, and still knows it ({at}).")
        return replace(_unproven(connection, " ".join(said), alive=True), uninstalled=gone)
    said.append(f"Dead: revoked at {who}, which says that it is not active any more ({at}).")
    said.append(_access(desk, kept, at=agency.writer.now()))
    return Severed(ended=True, said=" ".join(said), uninstalled=gone)


def _access(desk: TokenDesk, kept: Authorisation, *, at: datetime) -> str:
    """Say what became of the access token, which outlives what was revoked."""
    try:
        lives = kept.expires_at > at and desk.introspect(kept.access).active
    except VerificationError:
        return f"Its last access token ends at {moment(kept.expires_at)}; nobody holds it here."
    if lives:
        return (
            f"Its last access token, deleted here, is accepted until {moment(kept.expires_at)}: "
            "HubSpot ends none before its time."
        )
    return "Its last access token is over as well."


def _uninstalled(
    agency: Agency, connection: Connection, desk: TokenDesk, kept: Authorisation
) -> tuple[Authorisation, bool, str]:
    """Have the app taken out; return what is authorised now, whether it is, and that in words."""
    try:
        kept = _fresh(agency, connection, desk, kept)
        with _client(agency, connection, kept.access) as client:
            response = client.request("DELETE", table("oauth")["paths"]["uninstall"])
    except AuditError:
        raise
    except (HsAgencyError, httpx.HTTPError) as error:
        why = error.message if isinstance(error, HsAgencyError) else type(error).__name__
        return kept, False, f"Not uninstalled: {redact(why)}"
    trace = response.headers.get("x-hubspot-correlation-id")
    asked = _when(agency.writer.now(), response.status_code, trace)
    if response.status_code == _NO_CONTENT:
        said = f"The app was uninstalled ({asked}); HubSpot tells the admins by e-mail."
        return kept, True, said
    return kept, False, f"Not uninstalled: it answered otherwise ({asked})."


def _fresh(
    agency: Agency, connection: Connection, desk: TokenDesk, kept: Authorisation
) -> Authorisation:
    """Return what is authorised with an access token that lives, kept before it is used."""
    now = agency.writer.now()
    if kept.is_usable(now):
        return kept
    issued = desk.refresh(kept.refresh)
    renewed = Authorisation.of(issued, now=now, key=kept.key)
    agency.store.put(name_of(agency, connection), renewed.kept())
    return renewed


def name_of(agency: Agency, connection: Connection) -> SecretName:
    """Return what the secret of a connection is called."""
    workspace = agency.workspace.settings.workspace
    return SecretName(workspace, connection.client_slug, connection.generation)


@contextmanager
def _client(agency: Agency, connection: Connection, token: Secret) -> Iterator[PortalClient]:
    """Give a client with a token of a portal that the router hands out no more."""
    host = host_of(connection.api_base, connection.routed_to)
    channel = Channel(
        host=host,
        credential=lambda: token,
        writer=agency.writer,
        halt=agency.halt,
        wire=agency.network.wire(host),
    )
    binding = Binding(
        client_slug=connection.client_slug,
        portal_id=connection.portal_id,
        connection_type=ConnectionType.CONFIG_AND_AUDIT,  # our own business: its type is over
        host=host,
        fingerprint=connection.fingerprint,
        generation=connection.generation,
        purpose=PURPOSE,
    )
    ways = Ways(patience=_PATIENCE)
    try:
        with channel.client(binding=binding, portal=connection.portal, ways=ways) as client:
            yield client
    finally:
        channel.close()


def _when(at: datetime, status_code: int | None, correlation_id: str | None) -> str:
    answered = str(status_code) if status_code else "no answer"
    trace = f", correlation id {correlation_id}" if correlation_id else ""
    return f"{answered} at {moment(at)}{trace}"
