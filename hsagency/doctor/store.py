"""The credential store: whether it keeps what it is given, and holds what the index names."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from hsagency.agency import Agency
from hsagency.credentials import SecretName
from hsagency.doctor.finding import Finding, Level
from hsagency.errors import CredentialChanged, CredentialError, CredentialMissing
from hsagency.portals import AGENCY, Connection
from hsagency.router.parts import refuse_another
from hsagency.secret import Secret
from hsagency.words import counted, listed

_WORKERS: Final = 8
_SHOWN: Final = 5


def examine(agency: Agency) -> Iterator[Finding]:
    """Say whether the store answers, takes a value and gives it back, and has every secret."""
    subject, store = "store", agency.store
    # A name of its own: somebody else may be examining at this moment.
    probe = _name(agency, AGENCY, 1, capability=f"doctor-{secrets.token_hex(4)}")
    try:
        store.put(probe, Secret(secrets.token_hex(8)))  # it is read back, or that raises
    finally:
        store.delete(probe)
    yield Finding(subject, Level.OK, f"{store.describe().rstrip('.')}. It answers.")
    connections = [one for _, one in sorted(agency.connections().items())]
    with ThreadPoolExecutor(_WORKERS) as pool:
        troubles = [one for one in pool.map(lambda one: _trouble(agency, one), connections) if one]
    if connections and not troubles:
        held = counted(len(connections), "secret")
        yield Finding(
            subject, Level.OK, f"It holds the {held} of the connected portals, as proven."
        )
    for said in sorted({said for said, _ in troubles}):
        named = [slug for why, slug in troubles if why == said]
        more = f" and {len(named) - _SHOWN} more" if len(named) > _SHOWN else ""
        yield Finding(
            subject,
            Level.PROBLEM,
            f"{said}: {listed(named[:_SHOWN])}{more}.",
            f"Give the client a credential anew: hsagency reconnect {named[0]}",
        )
    yield from _left_over(agency)


def _left_over(agency: Agency) -> Iterator[Finding]:
    """Name secrets of removed clients that are in the store again: of a backup, or a machine."""
    for slug, tombstone in sorted(agency.index.read().tombstones.items()):
        if tombstone.pending is not None:
            continue
        names = [_name(agency, slug, one) for one in range(1, tombstone.generation + 2)]
        found = [str(one) for one in names if _is_there(agency, one)]
        if found:
            yield Finding(
                "store",
                Level.PROBLEM,
                f"{tombstone.portal} was removed, and the store holds secrets of it again: "
                f"{listed(found)}.",
                "A backup may have been put back. Delete them in the store itself, and see whether "
                "HubSpot still accepts them: hsagency verify --expect "
                f"{tombstone.portal_id}",
            )


def _is_there(agency: Agency, name: SecretName) -> bool:
    try:
        agency.store.get(name)
    except CredentialMissing:
        return False
    return True


def _name(agency: Agency, slug: str, generation: int, *, capability: str = "main") -> SecretName:
    return SecretName(agency.workspace.settings.workspace, slug, generation, capability)


def _trouble(agency: Agency, connection: Connection) -> tuple[str, str] | None:
    """Return what is wrong with a connection's secret, and whose it is."""
    name = _name(agency, connection.client_slug, connection.generation)
    try:
        refuse_another(connection, agency.store.get(name))
    except CredentialMissing:
        return "The store holds no secret of", connection.client_slug
    except CredentialChanged:
        return "The store holds another secret than the proven one of", connection.client_slug
    except CredentialError:
        return "The store does not give out the secret of", connection.client_slug
    return None
