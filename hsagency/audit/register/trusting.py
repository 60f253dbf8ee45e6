"""
Which keys are known to be ours, whatever the list beside the journals says.

Whoever can write `audit/keys.json` can add a key of their own there. So a key that signed is
compared with the one in the credential store, and with the second copy of the list, beside the
second copies of the registers. The store is asked only if it answers without a person.
"""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Final, NamedTuple

from hsagency.audit.register import key_id, read_keys
from hsagency.audit.register.signing import key_name
from hsagency.audit.standalone.cover import Trust
from hsagency.audit.standalone.signers import fingerprint
from hsagency.credentials import may_ask, open_store
from hsagency.errors import CredentialMissing, HsAgencyError
from hsagency.settings import Workspace

KEYS: Final = "keys.json"
"""The list of public keys, in the audit folder and beside the second copies."""


class Known(NamedTuple):
    """The public keys that a store and a second copy hold; what cannot be compared is nothing."""

    stored: bytes | None
    listed: dict[str, bytes] | None
    notes: list[str]

    @property
    def trust(self) -> Trust | None:
        """Return what keys are to be compared with, if there is enough to accuse any."""
        if self.listed is None:
            return None
        stored = {key_id(self.stored): self.stored} if self.stored else {}
        nobody = "neither the credential store nor" if self.stored else "not"
        return Trust({**self.listed, **stored}, f"{nobody} the second copy of keys.json knows")

    def remarks(self, signers: dict[str, int]) -> list[str]:
        """Return what is to be said of the keys that signed a log."""
        if not signers:
            return []
        held = key_id(self.stored) if self.stored else None
        others = sorted({*signers} - {held}) if held else []
        said = "signed this log, and is not the one in the credential store"
        return [*self.notes, *(f"The key {key} {said}." for key in others)]


def known_keys(workspace: Workspace | None, copies: Path | None) -> Known:
    """Return the keys that are known to be ours; nothing is made, and nobody is asked."""
    notes: list[str] = []
    stored = listed = None
    if workspace is not None:
        stored, why = _stored(workspace)
        notes += [f"The keys that signed were not compared with the store: {why}"] if why else []
    try:
        there = copies is not None and (copies / KEYS).is_file()
        listed = read_keys(copies / KEYS) if copies is not None and there else None
    except (OSError, ValueError):
        notes.append("The second copy of keys.json cannot be read, so it was not compared.")
    else:
        if not there:
            notes.append("There is no second copy of keys.json to compare with.")
    return Known(stored, listed, notes)


def fingerprints(workspace: Workspace) -> list[dict[str, str | bool | None]]:
    """
    Return the keys that are listed beside the journals, by id and SHA-256.

    `inStore` says which one signs now; nothing is known where the store was not asked.
    """
    stored, _ = _stored(workspace)
    return [
        {"key": one, "fingerprint": fingerprint(key), "inStore": key == stored if stored else None}
        for one, key in read_keys(workspace.audit / KEYS).items()
    ]


def _stored(workspace: Workspace) -> tuple[bytes | None, str]:
    """Return the public half of the key in the store, or why it is not known."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    try:
        store = open_store(workspace.settings.store, workspace=workspace.root)
        if may_ask(store):
            return None, "it might ask for a password."
        secret = store.get(key_name(workspace.settings.workspace))
        private = Ed25519PrivateKey.from_private_bytes(base64.b64decode(secret.reveal()))
    except CredentialMissing:
        return None, "it holds no key."
    except (HsAgencyError, OSError, ValueError):
        return None, "it does not answer."
    return private.public_key().public_bytes_raw(), ""
