"""
Keyed hashes of what a record may not name, and the key of each client that makes them.

An e-mail address in a path is not written down; its hash is, so that whoever asks what was done
with an address gets an answer, and whoever reads the log learns none. Each client has a key of
its own in the credential store, made at first use. `audit/<slug>/identifiers.json` lists the
keys that there were, without the keys themselves.

Promised: one client's hashes say nothing about another's; without the key nobody can tell by
trying which address a hash is of; a key that was destroyed is not used again, also where an old
copy of the store brings it back, or the list is lost; what cannot be hashed is left out, with a
warning on record.

Not promised: anything once the key is in other hands. Whoever has it can try addresses. Where
both the store and the list are put back from before the key was destroyed, calls are hashed
with it again; searches see what the log says, and do not use it.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import os
import secrets
import threading
import time
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson

from hsagency.audit.journal.writer import AuditWriter
from hsagency.audit.privacy.destroyed import read_destroyed
from hsagency.audit.record import Event, timestamp
from hsagency.credentials import CredentialStore, SecretName
from hsagency.durable import (
    locked,
    make_private_dir,
    read_regular,
    write_private,
)
from hsagency.errors import AuditError, CorruptFile, CredentialMissing, HsAgencyError, NewerSchema
from hsagency.secret import Secret

MOST: Final = 8
"""How many hashes a record lists; of more, it says how many were left out."""

_SCHEMA: Final = 1
_KEY_BYTES: Final = 32
_AGAIN: Final = 300.0  # seconds until a store that gave no key is asked again


def normalised(value: str) -> bytes:
    """
    Return the bytes of a value that are hashed, so that spelling makes no difference.

    >>> normalised(" Jane@Example.com ")
    b'jane@example.com'
    """
    return unicodedata.normalize("NFC", value).strip().casefold().encode("utf-8", "surrogatepass")


@dataclass(frozen=True, slots=True)
class Key:
    """The key of one client, and the name that its hashes have in front."""

    name: str
    secret: Secret

    def hash(self, value: str) -> str:
        """Return a hash as records have it: name of the key, colon, 32 hex digits."""
        key = base64.b64decode(self.secret.reveal())
        return f"{self.name}:{hmac.new(key, normalised(value), hashlib.sha256).hexdigest()[:32]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A key that a client has or had; the times are those of records."""

    name: str
    since: str
    erasing: str | None = None
    erased: str | None = None


@dataclass(frozen=True, slots=True)
class _Known:
    """A key, and what `identifiers.json` looked like when it was read."""

    key: Key | None
    seen: tuple[int, ...] | None
    at: float


class Identifiers:
    """
    Makes the hashes of all clients of a workspace.

    `lock` is the file that keeps two processes from making two keys for one client.
    """

    def __init__(
        self,
        *,
        store: Callable[[], CredentialStore],
        workspace: str,
        writer: AuditWriter,
        lock: Path,
    ) -> None:
        self._store, self._workspace = store, workspace
        self._writer, self._lock_file = writer, lock
        self._lock = threading.Lock()
        self._known: dict[str, _Known] = {}
        self._untold: list[str] = []

    def hashed(self, slug: str, values: Iterable[str]) -> str | None:
        """
        Return the hashes of values as a record has them, making the client's key if need be.

        Without a key there is nothing, and a warning in the client's log: no call waits for it.
        """
        given = list(values)
        key = self._cached(slug) if given else None
        while self._untold:  # not under the lock: whoever is told may make calls
            self._writer.tell(self._untold.pop())
        if key is None:
            return None
        hashes = list(dict.fromkeys(key.hash(one) for one in given))
        more = [f"+{len(hashes) - MOST}"] if len(hashes) > MOST else []
        return " ".join([*hashes[:MOST], *more])

    def key(self, slug: str) -> Key | None:
        """Return a client's key, or nothing if it has none; makes none. Raises as the store."""
        key = self.stored(slug)
        known = {one.name: one for one in self._listed(slug, key)}
        listed = known.get(key.name) if key is not None else None
        gone = listed is not None and (listed.erased or listed.erasing)
        return None if gone else key

    def keys(self, slug: str) -> list[Listed]:
        """Return the keys that a client has or had, oldest first."""
        return read_keys(self._path(slug))

    def stored(self, slug: str) -> Key | None:
        """Return what the store holds as a client's key, whatever is known of it."""
        try:
            return _key_of(self._store().get(self._name(slug)))
        except CredentialMissing:
            return None

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Keep everybody else from making or destroying a key for now."""
        make_private_dir(self._lock_file.parent)
        with locked(self._lock_file):
            yield

    def list_keys(self, slug: str, keys: Iterable[Listed]) -> None:
        """Write which keys there are or were; whoever has one in memory looks again."""
        path = self._path(slug)
        make_private_dir(path.parent)
        write_private(path, _encoded(keys))

    def destroy(self, slug: str) -> None:
        """Remove the key from the store, and see that it is gone; raises as the store."""
        with self._lock:
            self._known.pop(slug, None)
        self._store().delete(self._name(slug))
        if self.stored(slug) is not None:
            raise AuditError(
                f"The store still holds the key of {slug} after it was deleted.",
                hint="Run the command again; if it stays, remove the entry in the store itself.",
            )

    def _name(self, slug: str) -> SecretName:
        return SecretName(self._workspace, slug, 1, "identifiers")

    def _path(self, slug: str) -> Path:
        return self._writer.folder / slug / "identifiers.json"

    def _cached(self, slug: str) -> Key | None:
        """Return a client's key; one look at the disk says whether it is still the one."""
        with self._lock:
            known = self._known.get(slug)
            if known is None or not self._stands(slug, known):
                known = self._known[slug] = self._asked(slug)
            return known.key

    def _stands(self, slug: str, known: _Known) -> bool:
        if known.seen != _look(self._path(slug)):
            return False
        return known.key is not None or time.monotonic() - known.at < _AGAIN

    def _asked(self, slug: str) -> _Known:
        key = None
        try:
            key = self._opened(slug)
        except (HsAgencyError, OSError, ValueError) as error:
            self._warn(slug, error)
        return _Known(key, _look(self._path(slug)), time.monotonic())

    def _opened(self, slug: str) -> Key:
        """Return the key, made now if there is none, and listed before anything has its hash."""
        with self.alone():
            key = self.stored(slug)
            listed = self._listed(slug, key)
            if any(one.erasing and not one.erased for one in listed):
                raise AuditError("Its destruction was begun and not completed.")
            # One that comes back from an old copy of the store stays destroyed.
            if key is None or key.name in {one.name for one in listed if one.erased}:
                key = self._made(slug)
            if key.name not in {one.name for one in listed}:
                since = timestamp(self._writer.now())
                self.list_keys(slug, [*listed, Listed(name=key.name, since=since)])
            return key

    def _listed(self, slug: str, stored: Key | None) -> list[Listed]:
        """
        Return the keys that are listed, and those that only the log still tells of.

        Where the one in the store is not listed, a crash came before it was, or the list is
        lost: only then the log is read for those that were destroyed.
        """
        listed = self.keys(slug)
        names = {one.name for one in listed}
        if stored is None or stored.name in names:
            return listed
        told = read_destroyed(self._path(slug).parent)
        gone = [Listed(name=one, since=at, erased=at) for one, at in told.items()]
        return [*(one for one in gone if one.name not in names), *listed]

    def _made(self, slug: str) -> Key:
        secret = Secret(base64.b64encode(secrets.token_bytes(_KEY_BYTES)).decode())
        self._store().put(self._name(slug), secret)
        return _key_of(secret)

    def _warn(self, slug: str, error: Exception) -> None:
        """Say once, on record, that values are left out; the error may name other things."""
        if not self._writer.is_first(("identifiers", slug)):
            return
        why = type(error).__name__
        message = (
            "What names somebody in an address is left out of the records without a hash: the "
            f"key for it could not be had ({why}). What was done with such an address cannot "
            "be found later."
        )
        with contextlib.suppress(AuditError):  # the call itself will tell
            self._writer.append(slug, {"event": Event.AUDIT_WARNING, "message": message})
        self._untold.append(f"{slug}: {message}")


def read_keys(path: Path) -> list[Listed]:
    """Read an `identifiers.json`; none there is none. Raises `CorruptFile` or `NewerSchema`."""
    try:
        content = orjson.loads(read_regular(path))
        if content["schema"] > _SCHEMA:
            raise NewerSchema(
                f"{path} has schema {content['schema']}; this hsagency reads up to {_SCHEMA}. "
                "Nothing was done.",
                hint="Use the later hsagency that wrote it.",
            )
        return [
            Listed(
                name=str(one["key"]),
                since=str(one["since"]),
                erasing=one.get("erasing"),
                erased=one.get("erased"),
            )
            for one in content["keys"]
        ]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CorruptFile(
            f"The list of keys {path} cannot be read ({type(error).__name__}). Nothing was done.",
            hint="Restore it from a backup.",
        ) from None


def _encoded(keys: Iterable[Listed]) -> bytes:
    listed = [
        {"key": one.name, "since": one.since, "erasing": one.erasing, "erased": one.erased}
        for one in keys
    ]
    kept = [{name: value for name, value in one.items() if value} for one in listed]
    return orjson.dumps({"schema": _SCHEMA, "keys": kept}, option=orjson.OPT_INDENT_2)


def _key_of(secret: Secret) -> Key:
    try:
        key = base64.b64decode(secret.reveal(), validate=True)
    except ValueError:
        key = b""
    if len(key) != _KEY_BYTES:
        raise AuditError(
            "What the store holds as the key of a client's hashes is none. Nothing was done.",
            hint="Somebody changed the store: restore it from a backup.",
        )
    return Key(hashlib.sha256(b"hsagency identifiers\0" + key).hexdigest()[:8], secret)


def _look(path: Path) -> tuple[int, ...] | None:
    """Return what changes whenever a file is replaced; two looks at it are cheap."""
    try:
        seen = os.stat(path)  # noqa: PTH116  (a tenth of the time, on every such call)
    except OSError:
        return None
    return (seen.st_ino, seen.st_mtime_ns, seen.st_size)
