"""
The key that signs the registers: private in the credential store, public beside the journals.

There is one for a workspace, made at first use. If the store does not answer, lines go
unsigned, as the verifier shows, rather than readings and refusals unrecorded; calls cannot be
made without the store anyway. It is asked again after a while. A key
that is gone from the store is replaced by another: `keys.json` then lists both, with the time
since when, and what the first one signed still stands.
"""

from __future__ import annotations

import base64
import contextlib
import threading
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Final

import orjson

from hsagency.audit.record import timestamp
from hsagency.audit.register import Signer, key_id, read_keys
from hsagency.credentials import CredentialStore, SecretName
from hsagency.durable import locked, make_private_dir, write_private
from hsagency.errors import CredentialMissing, HsAgencyError
from hsagency.portals import AGENCY
from hsagency.secret import Secret

_AGAIN: Final = 300.0  # seconds until a store that did not answer is asked again


def key_name(workspace: str) -> SecretName:
    """Return the name under which a workspace keeps the key."""
    return SecretName(workspace, AGENCY, 1, "signing")


class SigningKey:
    """The signing key of one workspace, opened when the first signature is needed."""

    def __init__(
        self,
        *,
        store: Callable[[], CredentialStore],
        workspace: str,
        audit: Path,
        lock: Path,
        now: Callable[[], datetime],
    ) -> None:
        self._store, self._name = store, key_name(workspace)
        self._keys, self._lock_file = audit / "keys.json", lock
        self._now = now
        self._lock = threading.Lock()
        self._signer: Signer | None = None
        self._asked: float | None = None

    def signer(self) -> Signer | None:
        """Return what signs, or nothing while the store does not give the key."""
        with self._lock:
            if self._is_due():
                self._ask()
            return self._signer

    def _ask(self) -> None:
        self._asked = time.monotonic()
        with contextlib.suppress(HsAgencyError, OSError, ValueError):
            self._signer = self._opened()

    def _is_due(self) -> bool:
        if self._signer is not None:
            return False
        return self._asked is None or time.monotonic() - self._asked > _AGAIN

    def _opened(self) -> Signer:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        store = self._store()
        try:
            secret = store.get(self._name)
        except CredentialMissing:
            secret = self._made(store)
        private = Ed25519PrivateKey.from_private_bytes(base64.b64decode(secret.reveal()))
        public = private.public_key().public_bytes_raw()
        self._publish(public)
        return Signer(key_id(public), private.sign)

    def _made(self, store: CredentialStore) -> Secret:
        """Make the key, unless another process has made it a moment ago."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        with locked(self._lock_file):
            try:
                return store.get(self._name)
            except CredentialMissing:
                private = Ed25519PrivateKey.generate().private_bytes_raw()
                secret = Secret(base64.b64encode(private).decode())
                store.put(self._name, secret)
                return secret

    def _publish(self, public: bytes) -> None:
        """List the public key, before anything is signed with the private one."""
        if key_id(public) in read_keys(self._keys):
            return
        with locked(self._lock_file):
            listed = orjson.loads(self._keys.read_bytes()) if self._keys.exists() else []
            if key_id(public) in read_keys(self._keys):
                return
            listed.append(
                {
                    "key": key_id(public),
                    "algorithm": "Ed25519",
                    "publicKey": base64.b64encode(public).decode(),
                    "since": timestamp(self._now()),
                }
            )
            make_private_dir(self._keys.parent)
            write_private(self._keys, orjson.dumps(listed, option=orjson.OPT_INDENT_2))
