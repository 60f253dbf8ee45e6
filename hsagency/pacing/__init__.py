"""
How fast, and how far, each portal may be called: shared by every process of this machine.

Promised, whichever threads and processes call: no more calls leave in any of HubSpot's windows
than it allows, of all priorities together; nobody goes below a portal's reserve; what one process
learns from an answer counts for all at once; one portal's waiting never delays another.
Of the day, critical calls may use up 99 percent, high ones 95, normal ones 90 and low ones 80,
and none the reserve; only our own checks pass whatever is used up. Of a window, one that waits
goes before all of lower priority.

    Pacer     one portal: whose turn it is, and what an answer teaches
    tally     the arithmetic of it, on the numbers of `layout`
    Ring      the file in which all processes keep them
    Terms     what index and settings say of the portal; Standing, how it stands

Not promised: other machines are seen only through what HubSpot's answers tell, and a clock that
is set forward makes the past look longer ago than it is.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from pathlib import Path

from hsagency.audit.journal.writer import AuditWriter
from hsagency.pacing.budgets import Budget, Source, budget_of
from hsagency.pacing.learning import Ticket
from hsagency.pacing.pacer import Pacer
from hsagency.pacing.standing import Standing
from hsagency.portals import Connection
from hsagency.settings import Settings

__all__ = ["Budget", "Pacer", "Pacing", "Source", "Standing", "Ticket", "budget_of"]


class Pacing:
    """
    Every portal's limits; `folder` is where all processes of a workspace keep them.

    `now` is the wall clock in nanoseconds. Files are opened when first needed, one for a portal.
    """

    def __init__(
        self,
        folder: Path,
        *,
        settings: Settings,
        writer: AuditWriter,
        now: Callable[[], int] = time.time_ns,
    ) -> None:
        self._folder, self._settings = folder, settings
        self._writer, self._now = writer, now
        self._pacers: dict[tuple[int, str], Pacer] = {}

    def of(self, connection: Connection) -> Pacer:
        """Return the limits of a connection's portal; a sandbox's are never HubSpot's."""
        pacer = self._pacers.get((connection.portal_id, connection.api_base))
        if pacer is None:
            pacer = self._made(connection)
        elif pacer.connection is not connection:
            pacer.know(connection)
        return pacer

    def forget(self, connection: Connection) -> None:
        """Let go of a removed portal's file, and delete it."""
        pacer = self._pacers.pop((connection.portal_id, connection.api_base), None)
        if pacer is not None:
            pacer.let_go()
        self.path(connection).unlink(missing_ok=True)

    def path(self, connection: Connection) -> Path:
        """Return the file of a connection's portal, whether there is one or not."""
        return self._folder / _name(connection)

    def close(self) -> None:
        """Let go of every file."""
        for pacer in list(self._pacers.values()):
            pacer.let_go()

    def _made(self, connection: Connection) -> Pacer:
        key = (connection.portal_id, connection.api_base)
        # Not under a lock: a fork would copy it as it is, and of two only one is kept.
        made = Pacer(
            connection,
            path=self.path(connection),
            settings=self._settings.quota,
            writer=self._writer,
            now=self._now,
        )
        return self._pacers.setdefault(key, made)


def _name(connection: Connection) -> str:
    if not connection.api_base:
        return f"{connection.portal_id}.pace"
    where = hashlib.sha256(connection.api_base.encode()).hexdigest()[:12]
    return f"{connection.portal_id}-{where}.pace"
