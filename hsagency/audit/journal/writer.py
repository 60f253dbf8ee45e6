"""
The audit writer: a record is on disk before the call it announces leaves.

Promised, beside what `segment` and `slots` promise:

(1) A record appended without `durable` survives the death of this process at once, and a
    power cut after the next flush: a second later at most while this process lives.
(2) A writer belongs to the process that made it: a forked child is refused, not kept waiting
    for a lock that nobody will release.
(3) Segments follow one another, are registered and have their heads signed, as `journal` and
    `register` say; the checkpoint of an open one is at most a second behind its last record
    while this process lives.

Not promised: that a disk which lies about flushing keeps its word. Not seen by anybody: that
records of the last second, which no checkpoint covers yet, were cut off after a crash; that the
open segment was put back together with older checkpoints of it in both places; anything done by
whoever has the key. A head that the client keeps shows the last two as far as it reaches.
"""

from __future__ import annotations

import contextlib
import functools
import os
import pwd
import secrets
import shutil
import socket
import threading
import warnings
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Self

from hsagency import __version__
from hsagency.audit.journal import Journal, Now, Tell
from hsagency.audit.journal.segment import REOPEN, STRANGE, Sync
from hsagency.audit.record import Author, timestamp
from hsagency.audit.register import Signer
from hsagency.audit.register.registrar import Registrar
from hsagency.durable import sync_file
from hsagency.errors import AuditError, AuditWarning

LIMIT: Final = 64 << 20
"""Bytes after which a segment is closed."""

_FLUSH_SECONDS: Final = 1.0  # the longest an outcome waits for a flush
_ROOM: Final = 200_000_000  # bytes; less than this, or than 2 % of the disk, is told
_NOT_SENT: Final = " Nothing was sent."


def utc_now() -> datetime:
    """Return the time by this machine's clock."""
    return datetime.now(UTC)


def this_run() -> Author:
    """Return who writes records in this process; each call is a run of its own."""
    try:
        user = pwd.getpwuid(os.getuid()).pw_name  # what the environment says is not evidence
    except KeyError:
        user = str(os.getuid())
    return Author(
        actor=f"hsagency/{__version__}",
        user=user,
        host=socket.gethostname(),
        run_id=secrets.token_hex(8),
    )


def warn(message: str) -> None:
    """
    Tell a person by way of Python's warnings, in the words alone and each time.

    Filters count as ever. Where in this library it was found out helps nobody who reads it in
    a notebook, so that file, line and code are left out of what is printed.
    """
    _print_words_alone()
    # Without a registry: what was told yesterday is told again today.
    warnings.warn_explicit(message, AuditWarning, filename="hsagency", lineno=1)


@functools.cache
def _print_words_alone() -> None:
    """Have warnings of ours printed as the sentence they are, and others as they were."""
    usual = warnings.formatwarning

    def sentence(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        line: str | None = None,
    ) -> str:
        if issubclass(category, AuditWarning):
            return f"{message}\n"
        return usual(message, category, filename, lineno, line)

    warnings.formatwarning = sentence


def unsigned() -> Signer | None:
    """Sign nothing: for writers that have no credential store."""
    return None


def disk_room(folder: Path) -> tuple[int, int]:
    """Return free and all bytes of the disk that a folder is on."""
    room = shutil.disk_usage(folder)
    return room.free, room.total


class AuditWriter:
    """
    Writes records into the journals under `folder`, one per client.

    Every record is stamped with who wrote it and when. There is no switch that turns it
    off: what cannot be recorded is not done.

    `signer` gives the key of the register, `copy` is the folder of its second copy, and
    `tell` is called, from whichever thread finds out, with what a person should see to.
    """

    def __init__(
        self,
        folder: Path,
        *,
        author: Author,
        now: Now = utc_now,
        sync: Sync = sync_file,
        signer: Callable[[], Signer | None] = unsigned,
        copy: Path | None = None,
        limit: int = LIMIT,
        room: Callable[[Path], tuple[int, int]] = disk_room,
        tell: Tell = warn,
    ) -> None:
        self.folder = folder
        self.author = author
        self.now = now
        self.tell = tell
        self._sync, self._limit, self._room = sync, limit, room
        self._signer, self._copy = signer, copy
        self._pid = os.getpid()
        self._journals: dict[str, Journal] = {}
        self._lock = threading.Lock()
        self._dirty: set[Journal] = set()
        self._wake = threading.Event()
        self._flusher: threading.Thread | None = None
        self._author_fields = author.fields()
        self._short_on = ""  # the day on which it was told that the disk is nearly full
        self._noted: set[object] = set()
        self._closed = False

    def append(self, slug: str, fields: Mapping[str, object], *, durable: bool = True) -> None:
        """
        Add a record to a client's journal, stamped with time and author.

        Raises `AuditError` if it cannot be written, or not be made durable where it must.
        """
        try:
            if self._closed or os.getpid() != self._pid:
                self._refuse_strangers()  # before any lock: a fork copies them as they are
            journal = self._journals.get(slug) or self._open(slug)
            journal.append(fields, durable=durable)
        except AuditError as error:
            if durable:  # an outcome comes after its call: there, something was sent
                error.message += _NOT_SENT
            raise
        if journal not in self._dirty:
            self._settle_soon(journal)

    def is_first(self, what: object) -> bool:
        """Say whether this is asked for the first time in this process; for notes made once."""
        with self._lock:
            first = what not in self._noted
            self._noted.add(what)
            return first

    def registrar(self, slug: str) -> Registrar:
        """Return what writes a client's register, for lines about other than open segments."""
        copy = self._copy / f"{slug}.jsonl" if self._copy is not None else None
        return Registrar(self.folder / slug, copy=copy, signer=self._signer)

    def flush(self) -> None:
        """Wait until every record written so far is on the disk."""
        for journal in list(self._journals.values()):
            journal.flush()

    def end(self, slug: str) -> None:
        """End the segment that this process writes of a client, so that it can be sealed."""
        journal = self._journals.get(slug)
        if journal is not None:
            journal.end()

    def settle(self) -> None:
        """Flush, and say in the checkpoints how far that is."""
        for journal in list(self._journals.values()):
            journal.settle()

    def close(self) -> None:
        """Flush, and let go of every slot, also where one of them fails."""
        if os.getpid() == self._pid:
            with self._lock:
                self._closed = True
                self._wake.set()
        journals, self._journals = self._journals, {}
        with contextlib.ExitStack() as each:
            for journal in journals.values():
                each.callback(journal.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _refuse_strangers(self) -> None:
        if self._closed or os.getpid() != self._pid:
            raise AuditError(STRANGE, hint=REOPEN)

    def _open(self, slug: str) -> Journal:
        with self._lock:
            self._refuse_strangers()
            journal = self._journals.get(slug)
            if journal is None:
                journal = self._journals[slug] = self._journal(slug)
        self._look_at_room(journal)
        return journal

    def _journal(self, slug: str) -> Journal:
        folder = self.folder / slug
        return Journal(
            slug,
            folder / "journal",
            registrar=self.registrar(slug),
            author=self._author_fields,
            now=self.now,
            sync=self._sync,
            limit=self._limit,
            tell=lambda message: self.tell(message),
        )

    def _look_at_room(self, journal: Journal) -> None:
        """Warn before the disk is full, once a day: on record with the client at hand."""
        try:
            free, size = self._room(self.folder)
        except OSError:
            return  # not there yet, or gone: writing will tell
        today = timestamp(self.now())[:10]
        if free < max(_ROOM, size // 50) and self._short_on != today:
            self._short_on = today
            journal.warn(
                f"The disk of the audit log is nearly full: {free // 1_000_000} MB are left. "
                "Free some space: when it is full, no call is sent."
            )

    def _settle_soon(self, journal: Journal) -> None:
        with self._lock:
            self._dirty.add(journal)
            if self._flusher is not None or self._closed:
                return
            flusher = threading.Thread(target=self._settle_forever, daemon=True)
            with contextlib.suppress(RuntimeError):  # none is to be had, as when a program ends
                flusher.start()
                self._flusher = flusher
        if self._flusher is None:
            self._settle_dirty()

    def _settle_forever(self) -> None:
        while not self._wake.wait(_FLUSH_SECONDS):
            self._settle_dirty()

    def _settle_dirty(self) -> None:
        with self._lock:
            dirty, self._dirty = self._dirty, set()
        for number, journal in enumerate(dirty):
            # A failure marks the segment; the next call on it is refused with the cause.
            with contextlib.suppress(AuditError, OSError):
                journal.settle()
                if number == 0:
                    self._look_at_room(journal)
                journal.write_warnings()
