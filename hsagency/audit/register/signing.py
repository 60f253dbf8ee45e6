"""
The key that signs the registers: private in the credential store, public beside the journals.

There is one for a workspace, made at first use. If the store does not answer, lines go
unsigned, as the verifier shows, rather than readings and refusals unrecorded; calls cannot be
made without the store anyway. It is asked again after a while. A key
that is gone from the store is replaced by another: `keys.json` then lists both, with the time
since when, and what the first one signed still stands. Each log that the new one signs says so.

The list has a second copy beside those of the registers, which is brought up to date when it
lacks keys, and left as it is when it lists others: both are told.
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
from hsagency.durable import locked, make_private_dir, read_regular, write_private
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
        copy: Path,
        now: Callable[[], datetime],
        tell: Callable[[str], None],
    ) -> None:
        self._store, self._name = store, key_name(workspace)
        self._keys, self._lock_file, self._copy = audit / "keys.json", lock, copy
        self._now, self._tell = now, tell
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
        """List the public key, in both copies, before anything is signed with the private one."""
        if key_id(public) in read_keys(self._keys) and self._is_copied():
            return
        with locked(self._lock_file):
            listed = before = self._listed()
            new = self._entry(public)
            if new["publicKey"] not in [one.get("publicKey") for one in before]:
                listed = [*before, new]
            if key_id(public) not in read_keys(self._keys):
                make_private_dir(self._keys.parent)
                write_private(self._keys, _encoded(listed))
            self._bring_up_copy(before, listed)

    def _entry(self, public: bytes) -> dict[str, object]:
        return {
            "key": key_id(public),
            "algorithm": "Ed25519",
            "publicKey": base64.b64encode(public).decode(),
            "since": timestamp(self._now()),
        }

    def _listed(self) -> list[dict[str, object]]:
        """Return the list; one that was lost is taken from its second copy."""
        for path in (self._keys, self._copy):
            with contextlib.suppress(FileNotFoundError):
                return _read(path)
        return []

    def _is_copied(self) -> bool:
        with contextlib.suppress(OSError):
            return read_regular(self._copy) == read_regular(self._keys)
        return False

    def _bring_up_copy(
        self, before: list[dict[str, object]], listed: list[dict[str, object]]
    ) -> None:
        """Write the second copy; never over a list that says anything else."""
        wrong = ""
        try:
            try:
                theirs = _read(self._copy)
            except FileNotFoundError:
                theirs = []
            if listed[: len(theirs)] != theirs:
                wrong = "lists other keys, and was left as it is"
            else:
                self._write_copy(listed)
                wrong = "" if theirs == before else "lacked keys, which were written again"
        except ValueError:
            wrong = "is no list of keys, and was left as it is"
        except OSError as error:
            wrong = f"cannot be written ({error.strerror})"
        if wrong:
            with contextlib.suppress(Exception):  # whoever cannot be told does not stop work
                self._tell(
                    f"The second copy of the list of keys {wrong}: {self._copy}. Work goes on; "
                    "see to that folder, [audit] copy in hsagency.toml."
                )

    def _write_copy(self, listed: list[dict[str, object]]) -> None:
        if self._copy.is_relative_to(self._keys.parents[1]):
            make_private_dir(self._copy.parent)
        write_private(self._copy, _encoded(listed))


def _read(path: Path) -> list[dict[str, object]]:
    listed = orjson.loads(read_regular(path))
    if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
        raise ValueError(f"{path} is no list of keys")
    return listed


def _encoded(listed: list[dict[str, object]]) -> bytes:
    return orjson.dumps(listed, option=orjson.OPT_INDENT_2)
