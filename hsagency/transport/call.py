"""One attempt at a call on its way to HubSpot, as each station hands it to the next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import httpx

from hsagency.portals import Connection
from hsagency.routes import Touched
from hsagency.transport.binding import Binding


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """
    A request that may leave: what it touches, for whom it goes, and by which way.

    Made by the guard for each attempt, so that a new credential, a halt or a stop counts at the
    next one. The request is the caller's own and holds no credential; `way` puts it on a copy.
    """

    request: httpx.Request
    touched: Touched
    binding: Binding
    way: httpx.BaseTransport
    attempt: int = 1
    connection: Connection | None = None  # none while a credential is being judged

    @property
    def purpose(self) -> str:
        """Why it is made: what the call itself says, else the client's."""
        return str(self.request.extensions.get("purpose", self.binding.purpose))


class Station(Protocol):
    """One concern on the path of a call."""

    def send(self, call: Call) -> httpx.Response:
        """Pass a call on to the next station and its answer back."""
