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
    probe = SecretName(agency.workspace.settings.workspace, AGENCY, 1, "doctor")
    store.put(probe, Secret(secrets.token_hex(8)))  # it is read back, or that raises
    store.delete(probe)
    yield Finding(subject, Level.OK, f"{store.describe().rstrip('.')}. It answers.")
    connections = [one for _, one in sorted(agency.connections().items())]
    with ThreadPoolExecutor(_WORKERS) as pool:
        troubles = [one for one in pool.map(lambda one: _trouble(agency, one), connections) if one]
    if not troubles:
        yield Finding(subject, Level.OK, f"It holds {_all(len(connections))}, as they were proven.")
    for said in sorted({said for said, _ in troubles}):
        named = [slug for why, slug in troubles if why == said]
        more = f" and {len(named) - _SHOWN} more" if len(named) > _SHOWN else ""
        yield Finding(
            subject,
            Level.PROBLEM,
            f"{said}: {listed(named[:_SHOWN])}{more}.",
            f"Give the client a credential anew: hsagency reconnect {named[0]}",
        )


def _trouble(agency: Agency, connection: Connection) -> tuple[str, str] | None:
    """Return what is wrong with a connection's secret, and whose it is."""
    name = SecretName(
        agency.workspace.settings.workspace, connection.client_slug, connection.generation
    )
    try:
        refuse_another(connection, agency.store.get(name))
    except CredentialMissing:
        return "The store holds no secret of", connection.client_slug
    except CredentialChanged:
        return "The store holds another secret than the proven one of", connection.client_slug
    except CredentialError:
        return "The store does not give out the secret of", connection.client_slug
    return None


def _all(count: int) -> str:
    return f"the {counted(count, 'secret')} of the connected portals" if count else "no secrets yet"
