"""The station where a call gets its place on the wire, before it waits for its portal's turn."""

from __future__ import annotations

import httpx

from hsagency.audit.journal.writer import AuditWriter
from hsagency.errors import HsAgencyError
from hsagency.transport.bearer import Bearer
from hsagency.transport.call import Call, Station
from hsagency.transport.refusing import record_refusal
from hsagency.transport.telling import no_place
from hsagency.transport.wire import PLACE, Place
from hsagency.waiting import Waits


class Places:
    """
    Lets as many calls pass as have a place on the wire, so that who has its turn leaves at once.

    Raises `httpx.PoolTimeout` where none came free in time, `Cancelled` where `waits` is
    cancelled, `ClientClosed` where the wire is closed; the refusal is a record of its own.
    Raises `Retired`, which the retrier knows, where another wire took its place meanwhile.
    """

    def __init__(self, inner: Station, *, waits: Waits, writer: AuditWriter) -> None:
        self._inner, self._waits, self._writer = inner, waits, writer

    def send(self, call: Call) -> httpx.Response:
        """Send a call once there is a place for it; whatever it ends in, the place is free again."""
        way = call.grant.way
        place = way.place() if isinstance(way, Bearer) else None
        if place is None:
            return self._inner.send(call)
        try:
            if not place.take(0):
                self._wait(place, call)
            call.request.extensions[PLACE] = place
            return self._inner.send(call)
        except BaseException:
            place.give_back()
            raise

    def _wait(self, place: Place, call: Call) -> None:
        seconds = call.request.extensions.get("timeout", {}).get("pool")
        slug = call.binding.candidate_slug or call.binding.client_slug
        try:
            if not self._waits.until(place.take, seconds, why=f"{slug} waits for a connection"):
                raise no_place(call, seconds)
        except HsAgencyError as error:
            record_refusal(self._writer, call, error)
            raise
