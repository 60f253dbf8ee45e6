"""A sandbox that also notes which credential each call came with, by its fingerprint."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from hsagency.sandbox import LedgerEntry, Reply, Request, Sandbox
from hsagency.secret import Secret


@dataclass(frozen=True, slots=True)
class Arrival:
    """One call as the portal received it; without a portal if nobody knows the credential."""

    portal_id: int | None
    method: str
    path: str
    sent: int | None
    correlation_id: str
    fingerprint: str


class Witness(Sandbox):
    """
    A sandbox beside whose ledger stands which credential each of its entries came with.

    With `tell`, each arrival is told there, and neither it nor the ledger is kept in memory.
    """

    def __init__(
        self,
        *,
        portals: int,
        contacts: int = 3,
        limits: bool = False,
        tell: Callable[[Arrival], object] | None = None,
    ) -> None:
        super().__init__(portals=portals, contacts=contacts, limits=limits)
        self.arrivals: list[Arrival] = []
        self._tell_arrival = tell or self.arrivals.append
        self._came = threading.local()
        self.watch(self._witness)
        if tell is not None:
            for state in self._fleet:
                state.entries = deque(maxlen=1)  # type: ignore[assignment]

    def handle(self, request: Request) -> Reply:
        """Answer as a sandbox does, and remember the credential until the entry is made."""
        self._came.token = request.headers.get("authorization", "").removeprefix("Bearer ")
        return super().handle(request)

    def _witness(self, portal_id: int | None, entry: LedgerEntry) -> None:
        self._tell_arrival(
            Arrival(
                portal_id=portal_id,
                method=entry.method,
                path=entry.path,
                sent=entry.sent,
                correlation_id=entry.correlation_id,
                fingerprint=Secret(self._came.token).fingerprint,
            )
        )
