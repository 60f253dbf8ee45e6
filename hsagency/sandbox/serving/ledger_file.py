"""
The ledger as a file: one JSON line for each call, written as it comes.

Only its owner may read it, and no credential is in it: where a path or a query holds one, the
file says so instead.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from threading import Lock

from hsagency.errors import SandboxError
from hsagency.sandbox.ledger import LedgerEntry, entry_shown


class LedgerFile:
    """A new file that ledger entries are written to; a context manager."""

    def __init__(self, path: Path) -> None:
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError as error:
            raise SandboxError(
                f"{path} exists and was left alone; the sandbox was not started.",
                hint="Name another file, or remove that one.",
            ) from error
        except OSError as error:
            raise SandboxError(
                f"{path} cannot be written ({error.strerror}); the sandbox was not started."
            ) from error
        self._file = os.fdopen(descriptor, "w", encoding="utf-8")
        self._lock = Lock()

    def __enter__(self) -> LedgerFile:
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._file.close()

    def write(self, portal_id: int | None, entry: LedgerEntry) -> None:
        """Write one call of a portal; None: it came with no known token."""
        line = json.dumps(entry_shown(portal_id, entry))
        with self._lock:
            if not self._file.closed:  # a last call may come while the server closes
                self._file.write(line + "\n")
                self._file.flush()
