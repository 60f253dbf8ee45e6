"""
The files of an age store: how they are read, guarded, sealed and understood.

A missing file is None; everything else that goes wrong is raised. The functions that handle
open text return what is wrong with it instead, since a traceback that prints local variables
would show the text.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from hsagency import durable
from hsagency.credentials.names import SecretName
from hsagency.errors import StoreUnreadable
from hsagency.secret import Secret

READ = 0o077
"""Permission bits that let others read or change a file."""
WRITE = 0o022
"""Permission bits that let others change it."""

_SCHEMA = 1
_STORE_ID = re.compile(r"[0-9a-f]{16}", re.ASCII)  # becomes part of a path


@contextlib.contextmanager
def reaching(path: Path, done: str) -> Iterator[None]:
    """Turn what the system refuses into `StoreUnreadable`."""
    try:
        yield
    except OSError as error:
        raise StoreUnreadable(
            f"{path} could not be {done}: {error.strerror or error}. "
            "That is not the same as empty, and nothing else was touched.",
            hint="Check that this user owns it and that its disk is there and not full.",
        ) from error


def content(path: Path, *, forbidden: int = 0, follow: bool = False) -> bytes | None:
    """Return a plain file's content, or None if there is no such file."""
    # A dangling link would look like a missing file, and opening a pipe would never end.
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | (0 if follow else os.O_NOFOLLOW)
    try:
        descriptor = os.open(path, flags)
    except FileNotFoundError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise StoreUnreadable(f"{path} is not a plain file.")
        if forbidden:
            guard(path, status, forbidden=forbidden)
        return file.read()


def guard(path: Path, status: os.stat_result, *, forbidden: int) -> None:
    """Refuse what is open to others, or is somebody else's."""
    if status.st_uid != os.geteuid():
        raise StoreUnreadable(
            f"{path} belongs to another user ({status.st_uid}), so it was not used.",
            hint="Run as the user who made the store.",
        )
    if status.st_mode & forbidden:
        raise StoreUnreadable(
            f"{path} is open to other users ({stat.filemode(status.st_mode)}), so it was not used.",
            hint=f"Close it with: chmod go-rwx '{path}'. Think of who could have used it till now.",
        )


def sealed(folder: Path) -> Iterator[Path]:
    """Find the sealed files below a folder; one that cannot be searched is an error."""

    def stop(error: OSError) -> NoReturn:
        raise error

    with contextlib.suppress(FileNotFoundError):
        for inside, _, files in os.walk(folder, onerror=stop):
            yield from (Path(inside, file) for file in files if file.endswith(".age"))


def seal(name: SecretName, secret: Secret, recipients: list[Any]) -> bytes:
    """Encrypt a secret together with its name, so that one file cannot pose as another."""
    import pyrage

    sealed: bytes = pyrage.encrypt(
        json.dumps({"schema": _SCHEMA, "name": str(name), "value": secret.reveal()}).encode(),
        recipients,
    )
    return sealed


def unseal(sealed: bytes, identities: list[Any]) -> tuple[str, Secret] | str:
    """Return whose secret this is and the secret, or in words why it cannot be read."""
    import pyrage

    try:
        held = json.loads(pyrage.decrypt(sealed, identities))
        if held["schema"] > _SCHEMA:
            return "a later version of hsagency wrote it"
        return str(held["name"]), Secret(str(held["value"]))
    except pyrage.DecryptError as error:
        return str(error)
    except (ValueError, TypeError, LookupError, RecursionError):
        return "what it holds is not a secret of hsagency"


def store_json(store_id: str) -> bytes:
    """Return the content of store.json."""
    return json.dumps({"schema": _SCHEMA, "storeId": store_id}).encode() + b"\n"


def store_id(path: Path, content: bytes) -> str:
    """Read store.json."""
    schema = None
    with contextlib.suppress(ValueError, TypeError, LookupError, RecursionError):
        held = json.loads(content)
        schema = held["schema"]
        if schema == _SCHEMA and _STORE_ID.fullmatch(held["storeId"]):
            return str(held["storeId"])
    later = isinstance(schema, int) and schema > _SCHEMA
    raise StoreUnreadable(
        f"{path} {'was written by a later version of hsagency' if later else 'is damaged'}.",
        hint="Update hsagency." if later else "Restore it from a backup of the folder.",
    )


def recipients(path: Path, listed: bytes) -> list[Any]:
    """Read recipients.txt: one age recipient a line, comments after `#`."""
    import pyrage

    found = []
    for number, line in _lines(listed):
        try:
            found.append(pyrage.x25519.Recipient.from_str(line))
        except pyrage.RecipientError as error:
            # The line is not repeated: it may be an identity, pasted by mistake.
            raise StoreUnreadable(
                f"Line {number} of {path} is not an age recipient, so nothing was written.",
                hint="Recipients begin with age1.",
            ) from error
    return found


def identities(path: Path) -> list[Any] | None:
    """Read an identity file, or return None if there is none."""
    raw = content(path, forbidden=READ, follow=True)
    found = None if raw is None else _identities(raw)
    del raw
    if found == []:
        raise StoreUnreadable(
            f"{path} is not an age identity. No other one was made.",
            hint="Restore it from a backup.",
        )
    return found


def make_identity(path: Path, store_id: str, *, folder: Path) -> Any:
    """Write a new identity; it must be durable before anything is encrypted to it."""
    import pyrage

    # A line of its own is all that a folder may take, whatever it is called.
    made = "".join(one if one.isprintable() else "?" for one in str(folder))
    identity = pyrage.x25519.Identity.generate()
    durable.make_private_dir(path.parent)
    durable.write_private(
        path,
        f"# Opens the credential store {store_id} of hsagency. "
        "Keep it to yourself, and a copy of it somewhere safe.\n"
        f"# Made for: {made}\n"
        f"# public key: {identity.to_public()}\n{identity}\n".encode(),
    )
    return identity


def _identities(content: bytes) -> list[Any]:
    import pyrage

    try:
        return [pyrage.x25519.Identity.from_str(line) for _, line in _lines(content)]
    except pyrage.IdentityError:
        return []


def _lines(content: bytes) -> Iterator[tuple[int, str]]:
    text = content.decode(errors="replace")
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip() and not line.startswith("#"):
            yield number, line.strip()
