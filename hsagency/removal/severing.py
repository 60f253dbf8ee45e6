"""
HubSpot's side of a removal: end what can be ended there, and ask whether it is.

The calls are made without the router, which hands out no client any more, and are on record:
those of the portal in the client's own log, those of token endpoints in the agency's. Nothing
that HubSpot answers keeps a removal from going on; it is said as it is. Where it does not answer,
the secret stays, with which the next run asks, unless a person goes on without.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, TypeAlias

import httpx
import polars as pl

from hsagency.agency import Agency
from hsagency.auth import Authorisation, TokenDesk
from hsagency.client import Channel, PortalClient, Ways
from hsagency.data import table
from hsagency.errors import (
    AuditError,
    AuthorisationEnded,
    CallRefused,
    CredentialError,
    CredentialRejected,
    Halted,
    HsAgencyError,
    PortalMismatch,
    PortalUnreachable,
    VerificationError,
)
from hsagency.hosts import host_of
from hsagency.onboarding.judging import secret_name
from hsagency.portals import (
    Connection,
    ConnectionType,
    CredentialKind,
    Tombstone,
    redact,
)
from hsagency.removal.looking import is_foreign, known_of, secrets_of, where
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
    which a person can end; `answered` is false where another time may tell what became of it.
    """

    ended: bool
    said: str
    alive: bool = False
    answered: bool = True
    uninstalled: bool = False

    @property
    def is_open(self) -> bool:
        """Whether asking once more may tell something else."""
        return self.alive or not self.answered


Again: TypeAlias = Callable[[Severed], bool]
"""Asked while a credential is still accepted, or nobody answers: whether to ask once more."""


def refuse_unasked(agency: Agency, one: Connection | Tombstone) -> None:
    """Raise what is known beforehand to keep HubSpot from being asked: a halt, or no OAuth app."""
    agency.halt.check()
    if one.kind is CredentialKind.OAUTH:
        agency.apps.read(one.api_base)


def obstacle(agency: Agency, one: Connection | Tombstone) -> str:
    """Return the same in words; nothing where it can be asked."""
    try:
        refuse_unasked(agency, one)
    except (Halted, CredentialError) as error:
        return error.message
    return ""


def sever(
    agency: Agency,
    tombstone: Tombstone,
    connection: Connection,
    secret: Secret | None,
    *,
    again: Again | None,
    leave: bool,
) -> Severed:
    """
    End a credential at HubSpot as far as that can be done from here, and say what became of it.

    `secret` is none where the store holds none any more. Raises `PortalUnreachable` where there
    was no answer and nobody said to `leave` it so; and `AuditError`.
    """
    if secret is None:
        return _unproven(connection, "Not asked: the store gave no secret to ask with.")
    found = _asked(agency, tombstone, connection, secret)
    while found.is_open and not leave:
        if again is None and found.answered:
            break
        if again is None:
            raise _unanswered(connection, found)
        if not again(found):
            break
        found = _asked(agency, tombstone, connection, secret)
    return found


def _asked(agency: Agency, tombstone: Tombstone, connection: Connection, secret: Secret) -> Severed:
    try:
        if connection.kind is CredentialKind.OAUTH:
            return _authorisation(agency, tombstone, connection, secret)
        return _probed(agency, connection, secret)
    except AuditError:  # what cannot be recorded is not done
        raise
    except HsAgencyError as error:
        return _unproven(connection, f"Not asked: {error.message}", answered=False)


def _unanswered(connection: Connection, found: Severed) -> PortalUnreachable:
    slug = connection.client_slug
    return PortalUnreachable(
        f"{found.said} {slug} is removed, and nobody is handed a client for it, but its removal "
        "is not finished: its secret is still in the store, to ask with.",
        hint=f"Finish it once there are answers: hsagency remove {slug}. To finish it without "
        "proof, and delete the secret: add --leave.",
    )


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
        return _unproven(
            connection,
            f"Asked, and not proven: {error.message} ({asked})",
            answered=not isinstance(error, PortalUnreachable),
        )
    asked = _when(agency.writer.now(), 200, identity.correlation_id)
    return _unproven(
        connection,
        f"Alive at removal, not proven dead: {who} accepts the token ({asked}).",
        alive=True,
    )


def _unproven(
    connection: Connection, said: str, *, alive: bool = False, answered: bool = True
) -> Severed:
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
    return Severed(ended=False, said=f"{said} {until}", alive=alive, answered=answered)


def _authorisation(
    agency: Agency, tombstone: Tombstone, connection: Connection, secret: Secret
) -> Severed:
    kept = Authorisation.parse(secret)
    desk = TokenDesk(
        agency.apps.read(connection.api_base),
        writer=agency.writer,
        halt=agency.halt,
        network=agency.network,
        connection=connection,
    )
    if not tombstone.uninstall:
        return _revoked(agency, tombstone, connection, desk, kept)
    # What a run that broke off was answered is on record, and is not asked for twice.
    how = uninstalled_before(agency, tombstone)
    gone = how is not None
    if how is None:
        kept, gone, how = _uninstalled(agency, connection, desk, kept)
    found = _revoked(agency, tombstone, connection, desk, kept)
    return replace(found, said=f"{how} {found.said}", uninstalled=gone)


def _revoked(
    agency: Agency,
    tombstone: Tombstone,
    connection: Connection,
    desk: TokenDesk,
    kept: Authorisation,
) -> Severed:
    """Revoke what was authorised, and ask about it; what was answered before a failure is told."""
    who, told = answerer(connection.api_base), ""
    try:
        for one in _leftovers(agency, tombstone):
            with suppress(AuthorisationEnded):
                desk.revoke(one.refresh)
        try:
            desk.revoke(kept.refresh)
            told = f"Revoked at {who} ({moment(agency.writer.now())}). "
            alive = desk.introspect(kept.refresh, hint="refresh_token").active
        except AuthorisationEnded:  # there is nothing left to revoke: that is asked below
            alive = desk.introspect(kept.refresh, hint="refresh_token").active
    except AuditError:
        raise
    except HsAgencyError as error:
        sent = told or not isinstance(error, CallRefused)
        word = "Asked about, and not proven" if sent else "Not asked"
        return _unproven(connection, f"{told}{word}: {error.message}", answered=False)
    at = moment(agency.writer.now())
    if alive:
        said = f"Alive at removal: {who} was asked to revoke it, and still knows it ({at})."
        return _unproven(connection, said, alive=True)
    said = f"Dead: revoked at {who}, which says that it is not active any more ({at})."
    return Severed(ended=True, said=f"{said} {_access(desk, kept, at=agency.writer.now())}")


def _leftovers(agency: Agency, tombstone: Tombstone) -> Iterator[Authorisation]:
    """Give what reconnections that broke off left authorised, before it is deleted."""
    known = known_of(agency, tombstone)
    for name in secrets_of(agency, tombstone.client_slug, tombstone.generation):
        if name.generation != tombstone.generation and not is_foreign(agency, name, known):
            try:
                left = Authorisation.parse(agency.store.get(name))
            except CredentialError:  # none, or nothing that was authorised
                continue
            yield left


def _access(desk: TokenDesk, kept: Authorisation, *, at: datetime) -> str:
    """Say what became of the access token, which outlives what was revoked."""
    try:
        lives = kept.expires_at > at and desk.introspect(kept.access).active
    except AuditError:
        raise
    except HsAgencyError:
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
        return kept, True, _taken_out(asked)
    return kept, False, f"Not uninstalled: it answered otherwise ({asked})."


def uninstalled_before(agency: Agency, tombstone: Tombstone) -> str | None:
    """Return in words when this removal had the app taken out, as it is on record, if it had."""
    calls = agency.calls(tombstone.client_slug, since=tombstone.removed_at)
    found = calls.filter(
        (pl.col("purpose") == PURPOSE)
        & (pl.col("method") == "DELETE")
        & (pl.col("status_code") == _NO_CONTENT)
    ).collect()
    for row in found.iter_rows(named=True):
        return _taken_out(_when(row["ts"], row["status_code"], row["correlation_id"]))
    return None


def _taken_out(asked: str) -> str:
    return f"The app was uninstalled ({asked}); HubSpot tells the admins by e-mail."


def _fresh(
    agency: Agency, connection: Connection, desk: TokenDesk, kept: Authorisation
) -> Authorisation:
    """Return what is authorised with an access token that lives, kept before it is used."""
    now = agency.writer.now()
    if kept.is_usable(now):
        return kept
    issued = desk.refresh(kept.refresh)
    renewed = Authorisation.of(issued, now=now, key=kept.key)
    agency.store.put(secret_name(agency, connection), renewed.kept())
    return renewed


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
