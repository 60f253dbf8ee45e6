"""The steps of a removal; each may be done twice, and the one before it is done by then."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from hsagency.agency import Agency
from hsagency.audit.record import Event
from hsagency.credentials import SecretName
from hsagency.durable import locked, make_private_dir, open_regular, try_lock, unlock_and_close
from hsagency.errors import Conflict, CredentialError, CredentialMissing
from hsagency.onboarding.storing import refuse_a_copy
from hsagency.portals import Connection, CredentialKind, Tombstone, redact
from hsagency.progress import Step
from hsagency.removal.looking import secrets_of
from hsagency.removal.plans import Plan
from hsagency.removal.severing import Again, Severed, name_of, sever
from hsagency.router.parts import refuse_another
from hsagency.secret import Secret


@contextlib.contextmanager
def alone(agency: Agency, plan: Plan) -> Iterator[None]:
    """Keep everybody else from removing this client; raises `Conflict` if somebody is at it."""
    folder = make_private_dir(agency.workspace.state / "removing")
    descriptor = open_regular(folder / f"{plan.slug}.lock", os.O_RDWR | os.O_CREAT)
    try:
        if not try_lock(descriptor):
            raise Conflict(
                f"Another program is removing {plan.slug} at this moment; nothing was done.",
                hint=f"Wait until it has finished: hsagency remove {plan.slug}",
            )
        yield
    finally:
        unlock_and_close(descriptor)


def refuse_without_store(agency: Agency, connection: Connection) -> None:
    """
    Raise, before anything is changed, if the secrets could not be deleted.

    Raises as the store does, `CredentialChanged` if what it holds is not the connection's, and
    `Conflict` if this workspace is a copy of another one with the same store.
    """
    refuse_a_copy(agency.workspace)
    trial = _trial_of(name_of(agency, connection))
    try:
        with contextlib.suppress(CredentialMissing):
            refuse_another(connection, agency.store.get(name_of(agency, connection)))
        agency.store.put(trial, Secret("removal"))
        agency.store.delete(trial)
    except CredentialError as error:
        error.message = f"{error.message} Nothing was removed."
        raise


def _trial_of(name: SecretName) -> SecretName:
    """Return a name beside a secret's own, on which a store shows that it takes a delete."""
    return replace(name, generation=1, capability="removal-trial")


def begin(agency: Agency, connection: Connection) -> Tombstone:
    """Put the tombstone in the connection's place: from here nobody is handed a client."""
    author = agency.writer.author
    tombstone = Tombstone(
        client_slug=connection.client_slug,
        portal_id=connection.portal_id,
        name=connection.portal.name,
        connection_type=connection.connection_type,
        kind=connection.kind,
        generation=connection.generation,
        fingerprint=connection.fingerprint,
        api_base=connection.api_base,
        time_zone=connection.time_zone,
        added_at=connection.added_at,
        removed_at=agency.writer.now(),
        removed_by=f"{author.user} on {author.host}",
        pending=connection,
    )
    _note(agency, tombstone, Event.CONNECTION_REMOVING, f"Removing {connection.portal}.")
    agency.index.bury(tombstone, instead_of=connection)
    return tombstone


def finish(
    agency: Agency,
    tombstone: Tombstone,
    connection: Connection,
    *,
    uninstall: bool,
    again: Again,
    step: Step,
) -> Tombstone:
    """Do what is left of a removal up to its certificate; return the tombstone that stays."""
    with _unrenewed(agency, connection):
        secret = _secret(agency, connection)
        if secret is not None or not tombstone.proof:
            severed = sever(agency, connection, secret, uninstall=uninstall, again=again)
            # Kept before the secret is gone, with which nobody can ask again.
            tombstone = _told(agency, tombstone, severed)
        step(1)
        delete_secrets(agency, tombstone)
    step(1)
    agency.pacing.forget(connection)
    _lock_of(agency, connection).unlink(missing_ok=True)
    if not _is_recorded(agency, tombstone):
        said = f"Removed {tombstone.portal}. {tombstone.proof}"
        _note(agency, tombstone, Event.CONNECTION_REMOVED, said)
    settled = replace(tombstone, pending=None)
    agency.index.settle(settled)
    return settled


def _secret(agency: Agency, connection: Connection) -> Secret | None:
    """Return the secret that HubSpot is asked with, if the store still gives it."""
    try:
        found = agency.store.get(name_of(agency, connection))
        refuse_another(connection, found)
    except CredentialError:  # whether it can be deleted, the store says where it is
        return None
    return found


def _told(agency: Agency, tombstone: Tombstone, severed: Severed) -> Tombstone:
    told = replace(
        tombstone,
        proof=redact(severed.said),
        severed=severed.ended,
        uninstalled=severed.uninstalled,
    )
    agency.index.settle(told)
    return told


def delete_secrets(agency: Agency, tombstone: Tombstone) -> None:
    """Delete the secrets of every generation; each is read back as gone by the store."""
    # Nobody puts one there meanwhile: an onboarding that is under way is refused, and takes back.
    with locked(agency.workspace.state / "onboarding.lock"):
        names = secrets_of(agency, tombstone.client_slug, tombstone.generation)
        for name in (*names, _trial_of(names[0])):
            try:
                agency.store.delete(name)
            except CredentialError as error:
                raise _unfinished(error, tombstone.client_slug) from None


def _unfinished(error: CredentialError, slug: str) -> CredentialError:
    error.message = (
        f"{error.message} {slug} is removed, and nobody is handed a client for it, but its "
        "secrets may still be in the store."
    )
    error.hint = f"{error.hint} Then finish it: hsagency remove {slug}".strip()
    return error


@contextlib.contextmanager
def _unrenewed(agency: Agency, connection: Connection) -> Iterator[None]:
    """Keep other processes from putting a renewed token where it was just deleted."""
    if connection.kind is not CredentialKind.OAUTH:
        yield
        return
    path = _lock_of(agency, connection)
    make_private_dir(path.parent)
    with locked(path):
        yield


def _lock_of(agency: Agency, connection: Connection) -> Path:
    return agency.workspace.state / "authorisation" / f"{connection.client_slug}.lock"


def _is_recorded(agency: Agency, tombstone: Tombstone) -> bool:
    """Say whether the end of this removal is on record, as where a run broke off just after."""
    activity = agency.activity(tombstone.client_slug, since=tombstone.removed_at)
    return Event.CONNECTION_REMOVED in activity["event"].to_list()


def _note(agency: Agency, tombstone: Tombstone, event: Event, said: str) -> None:
    fields = {
        "event": event,
        "portalId": tombstone.portal_id,
        "message": redact(said),
        "credentialFingerprint": tombstone.fingerprint,
        "credentialGeneration": tombstone.generation,
    }
    agency.writer.append(tombstone.client_slug, fields)
