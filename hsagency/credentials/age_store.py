"""
Secrets in age-encrypted files, for machines without a system keyring.

    PATH/store.json                                     the store's id; written last when made
    PATH/recipients.txt                                 whom new secrets are encrypted to
    PATH/<workspace id>/<slug>/<capability>-<generation>.age
    ~/.config/hsagency/<store id>.age-identity          what opens them (0600), never beside them

Promised: a copied or backed-up PATH stays shut; a changed, exchanged or renamed file is
refused, because each holds its own name; a lost or open identity is an error and never a
reason to make another one; reading creates nothing.

Not promised. Whoever can read this user's files has the identity too: root, a backup of the
home folder, any program this user runs. Whoever can write in PATH can put back an older file
of the same name, or a secret of their own: the fingerprint in the index shows that. A new
line in recipients.txt counts for what is written from then on, and a removed one takes
nothing back. A PATH that vanished before the store was opened looks like one never used.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hsagency import durable
from hsagency.credentials import age_files
from hsagency.credentials.names import SecretName
from hsagency.credentials.store import ConfirmingStore
from hsagency.credentials.uris import StoreUri
from hsagency.errors import NoStore, StoreUnreadable
from hsagency.secret import Secret


def open_uri(uri: StoreUri, *, workspace: Path) -> AgeStore:
    """Open `age:PATH[?identity=FILE]`; neither needs to exist yet."""
    uri.allow("identity")
    if not uri.path or uri.path.startswith("~") or "\0" in uri.path:
        raise NoStore(
            "The store age: needs a folder.",
            hint="Write age:credentials (in the workspace) or age:/an/absolute/path.",
        )
    folder = Path(os.path.normpath(workspace.absolute() / uri.path))
    return AgeStore(uri.text, folder=folder, identity=_chosen_identity(uri, folder))


def _chosen_identity(uri: StoreUri, folder: Path) -> Path | None:
    if "identity" not in uri.options:
        return None
    path = Path(os.path.normpath(uri.options["identity"]))
    if not path.is_absolute() or path.is_relative_to(folder) or "\0" in str(path):
        raise NoStore(
            "The identity of an age store must be an absolute path outside its folder.",
            hint="Beside the files that it opens, an identity protects nothing.",
        )
    return path


@dataclass(frozen=True, slots=True)
class _Key:
    """What opens a store: pyrage's identities, which do not print."""

    store_id: str
    identities: list[Any]


class AgeStore(ConfirmingStore):
    """Secrets in age-encrypted files under one folder."""

    def __init__(self, uri: str, *, folder: Path, identity: Path | None) -> None:
        self.uri = uri
        self._folder = folder
        self._chosen = identity
        self._key: _Key | None = None
        self._opening = threading.Lock()

    def describe(self) -> str:
        """Say in one line where the secrets are and what that does not protect against."""
        where = self._chosen or _config_home() / "hsagency"
        return (
            f"Encrypted files in {self._folder}, opened by an identity in {where} (0600). "
            "That does not keep out whoever can read this user's files: root, backups of the "
            "home folder, any program this user runs."
        )

    def _read(self, name: SecretName) -> Secret | None:
        key = self._opened()
        if key is None:
            return None
        path = self._path(name)
        with age_files.reaching(path, "read"):
            sealed = age_files.content(path)
        if sealed is None:
            self._still_there(key)
            return None
        found = age_files.unseal(sealed, key.identities)
        if isinstance(found, str):
            raise StoreUnreadable(
                f"{path} could not be opened: {found}. It was left as it is.",
                hint=f"Restore it from a backup. Or: {name.cure}.",
            )
        held, secret = found
        if held != str(name):
            raise StoreUnreadable(
                f"{path} holds another secret than {name}: files were exchanged or renamed.",
                hint="Restore the folder from a backup, and find out who moved them.",
            )
        return secret

    def _write(self, name: SecretName, secret: Secret) -> None:
        key = self._opened() or self._made()
        self._still_there(key)
        sealed = age_files.seal(name, secret, self._read_recipients())
        # Read back before anything is replaced: a list of recipients without ourselves on it
        # would shut us out of a secret that was readable until now.
        if age_files.unseal(sealed, key.identities) != (str(name), secret):
            raise StoreUnreadable(
                f"{self._recipients} does not list this identity, so {name} was not written.",
                hint=f"Add the line {key.identities[0].to_public()} to it.",
            )
        path = self._path(name)
        with age_files.reaching(path, "written"):
            durable.make_private_dir(path.parent)
            durable.write_private(path, sealed)

    def _remove(self, name: SecretName) -> None:
        key = self._opened()
        if key is None:
            return
        path = self._path(name)
        with age_files.reaching(path, "deleted"), contextlib.suppress(FileNotFoundError):
            path.unlink()
            durable.sync_dir(path.parent)

    @property
    def _recipients(self) -> Path:
        return self._folder / "recipients.txt"

    def _path(self, name: SecretName) -> Path:
        file = f"{name.capability}-{name.generation}.age"
        return self._folder / name.workspace / name.slug / file

    def _read_recipients(self) -> list[Any]:
        with age_files.reaching(self._recipients, "read"):
            age_files.guard(self._folder, self._folder.stat(), forbidden=age_files.WRITE)
            listed = age_files.content(self._recipients, forbidden=age_files.WRITE)
        recipients = age_files.recipients(self._recipients, listed or b"")
        if not recipients:
            raise StoreUnreadable(f"{self._recipients} names nobody, so nothing was written.")
        return recipients

    # Opening and making. The identity is parsed once and kept.

    def _opened(self) -> _Key | None:
        """Return what opens this store; None if nothing was ever stored here."""
        with self._opening:
            if self._key is None:
                store_id = self._store_id()
                if store_id is not None:
                    self._key = self._load(store_id)
                else:
                    self._refuse_remains()
            return self._key

    def _store_id(self) -> str | None:
        path = self._folder / "store.json"
        with age_files.reaching(path, "read"):
            content = age_files.content(path)
        return None if content is None else age_files.store_id(path, content)

    def _still_there(self, key: _Key) -> None:
        if self._store_id() != key.store_id:
            raise StoreUnreadable(
                f"The store in {self._folder} is gone, or is another one than a moment ago.",
                hint="If it is on a disk or share of its own, see that it is there.",
            )

    def _refuse_remains(self) -> None:
        with age_files.reaching(self._folder, "read"):
            remains = next(age_files.sealed(self._folder), None)
        # Another process may have made the store since it was looked for.
        if remains is not None and self._store_id() is None:
            raise StoreUnreadable(
                f"{self._folder} holds secrets but no store.json, so their identity is unknown.",
                hint="Restore store.json from a backup of the folder.",
            )

    def _load(self, store_id: str) -> _Key:
        path = self._identity_path(store_id)
        with age_files.reaching(path, "read"):
            identities = age_files.identities(path)
        if identities is None:
            raise StoreUnreadable(
                f"The identity {path}, which opens {self._folder}, is not there. "
                "No other one was made.",
                hint="Restore it from a backup, or name it: --store age:PATH?identity=FILE.",
            )
        return _Key(store_id, identities)

    def _made(self) -> _Key:
        """Make the store: identity first, store.json last, so that a crash leaves no half."""
        with self._opening, age_files.reaching(self._folder, "made"):
            durable.make_private_dir(self._folder)
            age_files.guard(self._folder, self._folder.stat(), forbidden=age_files.WRITE)
            with durable.locked(self._folder / ".lock"):
                store_id = self._store_id()  # another process may have been quicker
                if store_id is None:
                    self._refuse_remains()
                    store_id = secrets.token_hex(8)
                    self._make(store_id)
            self._key = self._load(store_id)
            return self._key

    def _make(self, store_id: str) -> None:
        path = self._identity_path(store_id)
        identities = age_files.identities(path) or [
            age_files.make_identity(path, store_id, folder=self._folder)
        ]
        listed = age_files.content(self._recipients, forbidden=age_files.WRITE) or b""
        age_files.recipients(self._recipients, listed)
        own = str(identities[0].to_public()).encode()
        if own not in listed.split():
            durable.write_private(self._recipients, b"\n".join([*listed.splitlines(), own, b""]))
        durable.write_private(self._folder / "store.json", age_files.store_json(store_id))

    def _identity_path(self, store_id: str) -> Path:
        return self._chosen or _config_home() / "hsagency" / f"{store_id}.age-identity"


def _config_home() -> Path:
    configured = Path(os.environ.get("XDG_CONFIG_HOME", ""))
    # The XDG base directory specification has relative paths ignored.
    if configured.is_absolute():
        return configured
    try:
        return Path.home() / ".config"
    except RuntimeError as error:
        raise StoreUnreadable(
            "This user has no home folder, where the identity of an age store would be.",
            hint="Name one outside the store: --store age:PATH?identity=/absolute/file.",
        ) from error
