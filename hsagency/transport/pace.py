"""The station where a call waits for its portal's turn, and where its answer teaches the limits."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

import httpx

from hsagency.audit.journal.writer import AuditWriter
from hsagency.errors import HsAgencyError, WorkspaceError
from hsagency.pacing import Budget, Pacer, Pacing, Ticket
from hsagency.portals import Connection
from hsagency.settings import Priority, Settings
from hsagency.transport.call import Call, Station
from hsagency.transport.leaving import never_left
from hsagency.transport.refusing import record_refusal
from hsagency.waiting import Waits

_LIMITED: Final = 429
_LIMITS: Final = {
    Budget.BURST: "burst limit",
    Budget.ASSOCIATIONS: "limit of associations",
    Budget.SEARCH: "limit of searches",
}


class Pace:
    """
    Lets each call leave when its portal's limits, and what other processes do, have room for it.

    Raises `QuotaSpent` where the day has none, `PortalAway` where the portal is moving,
    `Cancelled` where `waits` is cancelled; the refusal is a record of its own. A call that judges
    a credential has no portal yet, and passes.
    """

    def __init__(
        self,
        inner: Station,
        *,
        pacing: Pacing,
        settings: Settings,
        waits: Waits,
        writer: AuditWriter,
    ) -> None:
        self._inner, self._pacing, self._waits = inner, pacing, waits
        self._writer, self._priorities = writer, settings.purposes

    def send(self, call: Call) -> httpx.Response:
        """Send a call in its turn."""
        connection = call.connection
        if connection is None:
            return self._inner.send(call)
        pacer = self._pacing.of(connection)
        try:
            ticket = self._turn(call, connection, pacer)
        except HsAgencyError as error:
            record_refusal(self._writer, call, error)
            raise
        try:
            response = self._inner.send(call)
        except BaseException as error:
            if never_left(error):
                pacer.returned(ticket)
            raise
        pacer.told(ticket, response)
        if response.status_code == _LIMITED:
            with suppress(WorkspaceError):  # the answer is there all the same
                response.extensions["day_end"] = pacer.day_end(ticket)
        return response

    def _turn(self, call: Call, connection: Connection, pacer: Pacer) -> Ticket:
        """Return the turn that a call has waited for."""
        purpose = call.purpose
        priority = self._priorities.get(purpose, Priority.NORMAL)
        while True:
            ticket = pacer.reserve(call.touched, priority, purpose=purpose)
            self._wait(ticket, connection, pacer)  # also for no time: it may be cancelled
            if ticket.granted:
                return ticket

    def _wait(self, ticket: Ticket, connection: Connection, pacer: Pacer) -> None:
        slug = connection.client_slug
        try:
            self._waits.wait(ticket.wait, why=f"{slug} waits its turn ({_LIMITS[ticket.budget]})")
        except BaseException:
            pacer.returned(ticket)
            raise
