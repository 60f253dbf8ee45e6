"""
The ledger as a file: one JSON line for each call, written as it comes.

Only its owner may read it, and no entry holds a credential. A file with a hole in it would prove
what is not so: when a call cannot be written nothing more is, and `failure` says why.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Lock

from hsagency.errors import SandboxError
from hsagency.sandbox.ledger import LedgerEntry, entry_shown
from hsagency.sandbox.wire import stamp

_log = logging.getLogger(__name__)


class LedgerFile:
    """
    A new file that ledger entries are written to; a context manager.

    `on_failure` is told, once, when it can be written no longer.
    """

    def __init__(self, path: Path, *, on_failure: Callable[[], None] | None = None) -> None:
        self.failure: SandboxError | None = None
        self._path, self._on_failure = path, on_failure
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
        with self._lock, suppress(OSError):  # what could not be written was told before
            self._file.close()

    def write(self, portal_id: int | None, entry: LedgerEntry) -> None:
        """Write one call of a portal; None: it came with no known token."""
        line = json.dumps(entry_shown(portal_id, entry))
        with self._lock:
            if self._file.closed or self.failure:  # a last call may come while the server closes
                return
            try:
                self._file.write(line + "\n")
                self._file.flush()
            except OSError as error:
                self.failure = SandboxError(
                    f"{self._path} could not be written ({error.strerror}): the calls since "
                    f"{stamp(entry.at)} are missing from it.",
                    hint="Make room, and start the sandbox again with another file.",
                )
        if self.failure:
            _log.error("%s", self.failure)
            if self._on_failure is not None:
                self._on_failure()
