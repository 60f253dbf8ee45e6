"""
Where the tokens are kept: one store per workspace, chosen once, named by a URI.

    keyring:                      the system keyring (keyring:secret-service pins one kind)
    age:PATH[?identity=FILE]      age-encrypted files, for machines without a keyring

One secret per client, capability and generation. A store never switches to another place by
itself: if the one in the settings does not answer, that is an error.
"""

from __future__ import annotations

import importlib
import os
from pathlib import Path

from hsagency.credentials.names import SecretName
from hsagency.credentials.store import ConfirmingStore, CredentialStore
from hsagency.credentials.uris import StoreUri
from hsagency.errors import CredentialError, NoStore
from hsagency.secret import Secret

__all__ = [
    "SCHEMES",
    "ConfirmingStore",
    "CredentialStore",
    "SecretName",
    "choose_store",
    "may_ask",
    "open_store",
]

SCHEMES = {
    "age": "hsagency.credentials.age_store",
    "keyring": "hsagency.credentials.keyring_store",
}
"""URI scheme to the module that has its `open_uri`; imported when a store is opened."""


def open_store(uri: str, *, workspace: Path) -> CredentialStore:
    """
    Open the store that a URI names; a relative path in it starts at `workspace`.

    Nothing is created and no secret is read. `NoStore` if there is no such store or if it is
    not a safe one.
    """
    parsed = StoreUri.parse(uri)
    if parsed.scheme not in SCHEMES:
        known = ", ".join(f"{scheme}:" for scheme in sorted(SCHEMES))
        raise NoStore(
            "The store's URI does not begin with a scheme that hsagency knows.",
            hint=f"Known are {known}; for example --store age:credentials.",
        )
    backend = importlib.import_module(SCHEMES[parsed.scheme])
    store: CredentialStore = backend.open_uri(parsed, workspace=workspace)
    return store


def may_ask(store: CredentialStore) -> bool:
    """Say whether reading from a store may ask a person for something, such as to unlock it."""
    asks = getattr(store, "may_ask", None)
    return bool(asks and asks())


def choose_store(*, workspace: Path) -> str:
    """
    Return the URI of the store to use in a new workspace; the caller writes it down.

    The system keyring if one on the allow-list keeps and gives back a value, else age files
    in the workspace. A locked keyring may ask the person to unlock it.
    """
    try:
        _try_out(open_store("keyring:", workspace=workspace))
    except CredentialError:
        return "age:credentials"
    return "keyring:"


def _try_out(store: CredentialStore) -> None:
    # Reading alone proves little: a keyring may answer "nothing here" and refuse every write.
    name = SecretName("probe", f"probe-{os.getpid()}", 1)
    store.put(name, Secret("probe"))
    store.delete(name)
