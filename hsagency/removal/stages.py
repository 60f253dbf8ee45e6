"""The steps of a removal; each may be done twice, and the one before it is done by then."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TypeVar

from hsagency.agency import Agency
from hsagency.audit.record import Event
from hsagency.auth.refreshing import FOLDER, lock_of
from hsagency.credentials import SecretName
from hsagency.errors import Conflict, CredentialError, CredentialMissing, HsAgencyError
from hsagency.onboarding.judging import secret_name
from hsagency.portals import Connection, Tombstone, redact
from hsagency.progress import Step
from hsagency.removal.locks import unstored
from hsagency.removal.looking import is_foreign, known_of, secrets_of
from hsagency.removal.severing import Again, Severed, sever
from hsagency.router.parts import refuse_another
from hsagency.secret import Secret

E = TypeVar("E", bound=HsAgencyError)


def refuse_without_store(agency: Agency, connection: Connection) -> None:
    """
    Raise, before anything is changed, if the secrets could not be deleted.

    Raises as the store does, and `CredentialChanged` if what it holds is not the connection's.
    """
    trial = _trial_of(secret_name(agency, connection))
    try:
        with contextlib.suppress(CredentialMissing):
            refuse_another(connection, agency.store.get(secret_name(agency, connection)))
        agency.store.put(trial, Secret("removal"))
        agency.store.delete(trial)
    except CredentialError as error:
        error.message = f"{error.message} Nothing was removed."
        raise


def _trial_of(name: SecretName) -> SecretName:
    """Return a name beside a secret's own, on which a store shows that it takes a delete."""
    return replace(name, generation=1, capability="removal-trial")


def begin(agency: Agency, connection: Connection, *, uninstall: bool) -> Tombstone:
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
        uninstall=uninstall,
        pending=connection,
    )
    _note(agency, tombstone, Event.CONNECTION_REMOVING, f"Removing {connection.portal}.")
    agency.index.bury(tombstone, instead_of=connection)
    return tombstone


def wish(agency: Agency, tombstone: Tombstone, *, uninstall: bool) -> Tombstone:
    """Keep what is wished of a removal that goes on; what was wished for before it stays."""
    if uninstall and not tombstone.uninstall:
        tombstone = replace(tombstone, uninstall=True)
        agency.index.settle(tombstone)
    return tombstone


def finish(
    agency: Agency,
    tombstone: Tombstone,
    connection: Connection,
    *,
    again: Again | None,
    leave: bool,
    step: Step,
) -> Tombstone:
    """
    Do what is left of a removal up to its certificate; return the tombstone that stays.

    Whoever calls it keeps others from renewing the token (`locks.unrenewed`).
    """
    secret = _secret(agency, connection)
    if not tombstone.severed and (secret is not None or not tombstone.proof):
        severed = sever(agency, tombstone, connection, secret, again=again, leave=leave)
        # Kept before the secret is gone, with which nobody can ask again.
        tombstone = _told(agency, tombstone, severed)
    step(1)
    delete_secrets(agency, tombstone)
    step(1)
    agency.pacing.forget(connection)
    lock_of(agency.workspace.state / FOLDER, connection.client_slug).unlink(missing_ok=True)
    if not _is_recorded(agency, tombstone):
        said = f"Removed {tombstone.portal}. {tombstone.proof}"
        _note(agency, tombstone, Event.CONNECTION_REMOVED, said)
    settled = replace(tombstone, pending=None)
    agency.index.settle(settled)
    return settled


def _secret(agency: Agency, connection: Connection) -> Secret | None:
    """Return the secret that HubSpot is asked with, if the store still gives it."""
    try:
        found = agency.store.get(secret_name(agency, connection))
        refuse_another(connection, found)
    except CredentialError:  # whether it can be deleted, the store says where it is
        return None
    return found


def _told(agency: Agency, tombstone: Tombstone, severed: Severed) -> Tombstone:
    told = replace(tombstone, uninstalled=tombstone.uninstalled or severed.uninstalled)
    if severed.answered or not tombstone.proof:  # silence takes nothing back
        told = replace(told, proof=redact(severed.said), severed=severed.ended)
    agency.index.settle(told)
    return told


def delete_secrets(agency: Agency, tombstone: Tombstone) -> None:
    """
    Delete the secrets of every generation; each is read back as gone by the store.

    One that this workspace knows nothing of is another workspace's, and is left.
    """
    names = secrets_of(agency, tombstone.client_slug, tombstone.generation)
    known = known_of(agency, tombstone)
    try:
        # Nobody puts one there meanwhile: an onboarding under way is refused, and takes back.
        with unstored(agency, tombstone.client_slug, left="no secret was deleted"):
            for name in names:
                if not is_foreign(agency, name, known):
                    agency.store.delete(name)
            agency.store.delete(_trial_of(names[0]))
    except (CredentialError, Conflict) as error:
        raise _unfinished(error, tombstone.client_slug) from None


def _unfinished(error: E, slug: str) -> E:
    error.message = (
        f"{error.message} {slug} is removed, and nobody is handed a client for it, but its "
        "secrets may still be in the store."
    )
    error.hint = f"{error.hint} Then finish it: hsagency remove {slug}".strip()
    return error


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
