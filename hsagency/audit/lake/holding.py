"""Who may change a lake, and what may be brought into it: one process, and what nobody writes."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from hsagency.audit.evidence import is_end
from hsagency.durable import (
    NotAFile,
    cure,
    locked,
    make_private_dir,
    open_to_read,
    try_lock,
)
from hsagency.errors import AuditError, SealingBusy


@contextlib.contextmanager
def holding(audit: Path, slug: str, *, wait: bool) -> Iterator[None]:
    """Hold a client's lake; errors of the disk become words."""
    try:
        path = make_private_dir(audit / "lake") / f".{slug}.lock"
        if not wait:
            _refuse_busy(path, slug)
        with locked(path):
            yield
    except OSError as error:
        raise AuditError(
            f"The log of {slug} could not be sealed ({error.strerror}). It is read where it is.",
            hint=cure(error),
        ) from error


def _refuse_busy(path: Path, slug: str) -> None:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if not try_lock(descriptor):
            raise SealingBusy(
                f"The log of {slug} is being sealed by another program.",
                hint="Wait until it has finished.",
            )
    finally:
        os.close(descriptor)


def is_closed(path: Path) -> bool:
    """Say whether a journal file ends in the record that closes it, and no writer holds it."""
    try:
        with open_to_read(path) as file:
            return is_end(file.fileno()) and try_lock(file.fileno())
    except (FileNotFoundError, NotAFile):
        return False
