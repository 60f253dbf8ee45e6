"""One attempt at a call on its way to HubSpot, as each station hands it to the next."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import httpx

from hsagency.portals import Connection
from hsagency.routes import Touched
from hsagency.transport.binding import Binding


def _nothing() -> None:
    """Find nothing against it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """Who a client speaks for at this moment, and by which way."""

    binding: Binding
    way: httpx.BaseTransport
    """Puts the credential on a copy of a request and sends it to its host."""
    connection: Connection | None = None
    """None while a credential is being judged."""
    recheck: Callable[[], None] = _nothing
    """Raises where a call that was granted, and then waited, may no longer leave."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """
    One attempt that may leave: what is asked, what it touches, and who speaks for it.

    Made by the guard for each attempt, so that a new credential, a halt or a stop counts at the
    next one. The request is a copy: what the caller does with theirs meanwhile changes nothing.
    It holds no credential.
    """

    request: httpx.Request
    touched: Touched
    grant: Grant
    attempt: int = 1

    @property
    def binding(self) -> Binding:
        """What the call is bound to."""
        return self.grant.binding

    @property
    def connection(self) -> Connection | None:
        """What is stored of the connection; nothing while a credential is being judged."""
        return self.grant.connection

    @property
    def purpose(self) -> str:
        """Why it is made: what the call itself says, else what its client says."""
        return str(self.request.extensions.get("purpose", self.binding.purpose))

    def describe(self) -> dict[str, object]:
        """Return the fields that every record of the call starts with."""
        return self.binding.describe(self.request, self.touched) | {"attempt": self.attempt}


class Station(Protocol):
    """One concern on the path of a call."""

    def send(self, call: Call) -> httpx.Response:
        """Pass a call on to the next station and its answer back."""
