"""
Forwarding the log: from the journals to another destination, never in a call's way.

A forwarder reads what the journals hold behind its cursor and hands it to its destination; the
cursor, `state/forwarders/NAME.json`, moves only after the destination has taken the records.
So nothing is lost by a destination that is slow, dead or killed, nor by a forwarder that is:
it catches up later. Records arrive at least once, and of each client in order (what that
means between two processes is said in `following`).

A destination that raises gets the same record again, after one second and then up to a minute
more each time; its error stands in the state file, where `hsagency status` shows it. Records
of other clients are offered meanwhile.

Not promised: that a destination which says that it has taken a record still has it tomorrow.
Each one declares whether it is durable. What was merged from other machines is not forwarded
here, but from there; `agency.calls` shows it. What retention removes from the journals before it
was forwarded is not forwarded, and that is an error here.
"""

from __future__ import annotations

import contextlib
import heapq
import os
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Self

from hsagency.audit.forwarding import following
from hsagency.audit.forwarding.cursors import Trouble, folder, load, recorded, save
from hsagency.audit.forwarding.destinations import (
    Destination,
    Function,
    Record,
    is_for,
    of_settings,
)
from hsagency.audit.forwarding.following import Cursor, Window
from hsagency.audit.forwarding.tape import slots
from hsagency.audit.record import timestamp
from hsagency.durable import (
    make_private_dir,
    open_regular,
    try_lock,
)
from hsagency.errors import AuditError, HsAgencyError, UsageError
from hsagency.portals import redact
from hsagency.settings import Workspace

NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,31}", re.ASCII)

Announce = Callable[[str], object]

_BATCH: Final = 500  # items handed over between two steps of the cursor
_PAUSE: Final = 1.0  # seconds between two looks at journals that had nothing new
_LAST_TURN: Final = 2.0  # seconds that closing waits for what is under way


class Forwarder:
    """
    Forwards the journals of a workspace to one destination, under one name.

    Only one process at a time forwards under a name. Use it as a context manager, or `close()`.
    `announce` is called with a client's slug before anything of its log is handed out for the
    first time, and may refuse by raising.
    """

    def __init__(
        self,
        name: str,
        destination: Destination,
        *,
        workspace: Workspace,
        announce: Announce = lambda _: None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.name = _name(name)
        self.failure: Exception | None = None
        self._destination, self._audit, self._now = destination, workspace.audit, now
        self._announce = announce
        self._path = folder(workspace) / f"{name}.json"
        self._first = 0  # whose turn it is to be first, so that no client holds up the others
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._pid = os.getpid()
        self._lock = _hold(self._path.with_suffix(".lock"), name)
        with contextlib.ExitStack() as undo:
            undo.callback(os.close, self._lock)
            self._state = replace(load(self._path), durable=destination.durable)
            save(self._path, self._state)  # from now on its standing is shown
            undo.pop_all()

    @property
    def delivered(self) -> int:
        """How many records were handed over under this name in all."""
        return self._state.delivered

    def turn(self) -> int:
        """
        Offer each client's next records, once; return how many are behind it now.

        Never raises for a destination or a journal: `failure` says what went wrong, and the
        state file too.
        """
        taken, self.failure = 0, None
        slugs = self._everybody()
        for place in range(len(slugs)):
            slug = slugs[(self._first + place) % len(slugs)]
            taken += self._offer(slug)
            if self._failed():
                self._first = (self._first + place + 1) % len(slugs)
                return taken
        if not self._failed():
            self._clear()
        return taken

    def catch_up(self) -> int:
        """Take turns until nothing is left that is ready, or something fails."""
        total = 0
        while taken := self.turn():
            total += taken
            if self.failure is not None or self._stop.is_set():
                break
        return total

    def follow(self) -> None:
        """Go on until `close()`, waiting longer from try to try where something fails."""
        self.catch_up()
        while not self.rest():
            self.catch_up()

    def rest(self) -> bool:
        """Wait until it is time for the next try; say whether it was closed meanwhile."""
        trouble = self._state.trouble
        return self._stop.wait(trouble.wait() if self._failed() and trouble else _PAUSE)

    def start(self) -> Self:
        """Follow in the background."""
        self._thread = threading.Thread(target=self._run, name=f"forward {self.name}", daemon=True)
        self._thread.start()
        return self

    def close(self) -> None:
        """
        Stop, after one more turn where nothing failed; wait for a slow destination only briefly.

        What was not taken by then is offered the next time this name forwards.
        """
        if os.getpid() != self._pid or self._stop.is_set():
            return
        self._stop.set()
        if self._thread is None:
            self._let_go()
        else:
            self._thread.join(_LAST_TURN)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self) -> None:
        try:
            self.follow()
            if self.failure is None:
                self.turn()
        finally:
            self._let_go()

    def _let_go(self) -> None:
        try:
            self._destination.close()
        finally:
            os.close(self._lock)

    def _failed(self) -> bool:
        return self.failure is not None

    def _everybody(self) -> list[str]:
        try:
            return recorded(self._audit)
        except HsAgencyError as error:
            self._fails("everybody", error)
            return []

    def _offer(self, slug: str) -> int:
        """Offer one batch of a client's records; return how many were taken."""
        taken: dict[str, int] = {}
        given = 0
        windows: dict[str, Window] = {}
        try:
            if slug not in self._state.cursors:
                self._announce(slug)
            windows = self._windows(slug)
            for slot, record in _by_time(windows):
                if is_for(self._destination, record):
                    self._destination.take(record)
                    given += 1
                taken[slot] = taken.get(slot, 0) + 1
        except Exception as error:  # noqa: BLE001  (whatever a destination raises)
            self._fails(slug, error)
        try:
            if taken:
                self._destination.settle()
            self._move(slug, windows, taken, given)
        except Exception as error:  # noqa: BLE001  (nothing counts as taken)
            self._fails(slug, error)
            return 0
        return sum(taken.values())

    def _windows(self, slug: str) -> dict[str, Window]:
        held = self._state.cursors.get(slug, {})
        found = slots(self._audit / slug)
        for slot in held.keys() - found.keys():
            found[slot] = {}  # its files are gone: reading says so
        return {
            slot: following.read(
                segments, held.get(slot, Cursor()), slug=slug, now=self._now(), most=_BATCH
            )
            for slot, segments in sorted(found.items())
        }

    def _move(
        self, slug: str, windows: Mapping[str, Window], taken: Mapping[str, int], given: int
    ) -> None:
        """Move the cursors behind what was taken, in memory and on disk."""
        held = self._state.cursors.get(slug, {})
        moved = {slot: one.cursor(taken.get(slot, 0)) for slot, one in windows.items()}
        if all(held.get(slot) == cursor for slot, cursor in moved.items()):
            return
        damaged = sum(one.damaged_before(moved[slot].at) for slot, one in windows.items())
        self._state = replace(
            self._state,
            cursors={**self._state.cursors, slug: {**held, **moved}},
            delivered=self._state.delivered + given,
            damaged=self._state.damaged + damaged,
            at=timestamp(self._now()),
        )
        save(self._path, self._state)

    def _fails(self, slug: str, error: Exception) -> None:
        """Remember what went wrong; a state file that cannot be written is not one more error."""
        self.failure = error
        before = self._state.trouble
        what = f"{error.message} {error.hint}" if isinstance(error, HsAgencyError) else str(error)
        message = redact(f"{slug}: {type(error).__name__}: {what}"[:500])
        since = before.since if before else timestamp(self._now())
        trouble = Trouble(message, since, before.tries + 1 if before else 1)
        self._state = replace(self._state, trouble=trouble)
        with contextlib.suppress(OSError):
            save(self._path, self._state)

    def _clear(self) -> None:
        if self._state.trouble is not None:
            self._state = replace(self._state, trouble=None)
            with contextlib.suppress(OSError):
                save(self._path, self._state)


def open_forwarder(
    workspace: Workspace,
    name: str,
    to: Destination | Callable[[Record], object] | None = None,
    *,
    durable: bool = False,
    announce: Announce = lambda _: None,
) -> Forwarder:
    """
    Return a forwarder to a function or a destination, else to what the settings name so.

    `durable` is what a function declares of itself. Raises `UsageError` for a name that is
    none or that another process forwards under.
    """
    if to is None:
        to = _configured(workspace, name)
    elif callable(to):
        to = Function(to, durable=durable)
    return Forwarder(name, to, workspace=workspace, announce=announce)


def _by_time(windows: Mapping[str, Window]) -> Iterator[tuple[str, Record]]:
    """Yield what is ready: each slot in its order, the slots among each other by time."""

    def ready(slot: str, window: Window) -> Iterator[tuple[str, str, Record]]:
        latest = ""
        for item in window.items[: window.ready]:
            latest = max(latest, item.ts)  # a clock that was set back does not change an order
            yield latest, slot, item.record

    streams = [ready(slot, window) for slot, window in windows.items()]
    for _, slot, record in heapq.merge(*streams, key=lambda one: one[:2]):
        yield slot, record


def _configured(workspace: Workspace, name: str) -> Destination:
    for one in workspace.settings.forward:
        if one.name == name:
            return of_settings(workspace, one)
    named = ", ".join(one.name for one in workspace.settings.forward) or "none"
    raise UsageError(
        f"No [[forward]] table of hsagency.toml is named {redact(name[:40])!r} (there: {named}).",
        hint="Add one, or give a function: agency.audit.forward(name, function).",
    )


def _name(name: str) -> str:
    if NAME.fullmatch(name):
        return name
    raise UsageError(
        "A forwarder's name is up to 32 small letters, digits and hyphens, from a letter on.",
        hint="For example: archive.",
    )


def _hold(path: Path, name: str) -> int:
    """Take the lock under which one process forwards under a name."""
    try:
        make_private_dir(path.parent)
        descriptor = open_regular(path, os.O_RDWR | os.O_CREAT)
    except OSError as error:
        raise AuditError(
            f"The state of forwarders in {path.parent} cannot be written ({error.strerror}).",
            hint="This user must own the folder and be able to write there.",
        ) from error
    if try_lock(descriptor):
        return descriptor
    os.close(descriptor)
    raise UsageError(
        f"Another process or handle forwards as {name} already. Nothing was forwarded.",
        hint="Let it go on, or close it first.",
    )
