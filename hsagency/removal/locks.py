"""The locks of a removal: waited for within limits, and in words that say who has them."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from hsagency.agency import Agency
from hsagency.auth.refreshing import FOLDER, lock_of
from hsagency.durable import make_private_dir, open_regular, try_lock, unlock_and_close
from hsagency.errors import Conflict
from hsagency.portals import ClientSlug, CredentialKind

_PATIENCE: Final = 5.0  # seconds; who renews a token or stores one is done by then, if all is well
_PAUSE: Final = 0.05
_LOCKS: Final = Path("/proc/locks")  # where the system has it


@contextlib.contextmanager
def alone(agency: Agency, slug: ClientSlug) -> Iterator[None]:
    """Keep everybody else from removing this client; raises `Conflict` if somebody is at it."""
    path = agency.workspace.state / "removing" / f"{slug}.lock"
    with _held(path, f"Another program is removing {slug} at this moment", slug, patience=0):
        yield


@contextlib.contextmanager
def unrenewed(agency: Agency, slug: ClientSlug, kind: CredentialKind) -> Iterator[None]:
    """
    Keep other processes from putting a renewed token where it was just deleted.

    Raises `Conflict` where one that renews does not come to an end.
    """
    if kind is not CredentialKind.OAUTH:
        yield
        return
    path = lock_of(agency.workspace.state / FOLDER, slug)
    with _held(path, f"Another program has been renewing the token of {slug}", slug):
        yield


@contextlib.contextmanager
def unstored(agency: Agency, slug: ClientSlug, *, left: str = "nothing was done") -> Iterator[None]:
    """
    Keep others from storing a secret meanwhile.

    Raises `Conflict` where one goes on doing so, which tells what was `left` undone.
    """
    path = agency.workspace.state / "onboarding.lock"
    with _held(path, "Another program has been connecting clients", slug, left=left):
        yield


@contextlib.contextmanager
def _held(
    path: Path,
    busy: str,
    slug: str,
    *,
    patience: float = _PATIENCE,
    left: str = "nothing was done",
) -> Iterator[None]:
    make_private_dir(path.parent)
    descriptor = open_regular(path, os.O_RDWR | os.O_CREAT)
    try:
        until = time.monotonic() + patience
        while not try_lock(descriptor):
            if time.monotonic() >= until:
                raise _busy(busy, slug, descriptor, left)
            time.sleep(_PAUSE)
        yield
    finally:
        unlock_and_close(descriptor)


def _busy(busy: str, slug: str, descriptor: int, left: str) -> Conflict:
    """Return what to raise; who has the lock is named where the system tells."""
    who = _holder(descriptor)
    named, them = (f" ({who})", who) if who else ("", "it")
    lasting = "" if "at this moment" in busy else f" for {_PATIENCE:.0f} seconds and more"
    return Conflict(
        f"{busy}{lasting}{named}; {left}.",
        hint=f"Wait until it has finished, or end {them} if it hangs; then: hsagency remove {slug}",
    )


def _holder(descriptor: int) -> str:
    """Return which process has the lock of an open file, where that can be seen."""
    inode = str(os.fstat(descriptor).st_ino)
    try:
        for line in _LOCKS.read_text("ascii").splitlines():
            words = line.split()
            if "FLOCK" in words and "->" not in words and words[5].rpartition(":")[2] == inode:
                return f"process {words[4]}" if int(words[4]) > 0 else ""
    except (OSError, ValueError, IndexError):
        pass
    return ""
