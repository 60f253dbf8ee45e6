"""
An open way to a host: straight, or through a proxy that is asked to put through and no more.

The proxy learns the host's name and port. What goes through it afterwards is TLS, so that it
sees neither path nor credential. Looking up a name is the one step that cannot be cut short.
"""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass
from typing import Final, Self, TypeAlias
from urllib.parse import urlsplit

import h11
import httpx

from hsagency.hosts import is_loopback

_LONGEST: Final = 16 << 10  # bytes of what a proxy answers
_Address: TypeAlias = tuple[socket.AddressFamily, tuple[object, ...]]


class Deadline:
    """The moment by which a way has to be open, however many steps that takes."""

    def __init__(self, seconds: float | None) -> None:
        self._until = None if seconds is None else time.monotonic() + seconds

    def left(self, *, parts: int = 1) -> float | None:
        """Return an equal part of the seconds left; raises `TimeoutError` when there are none."""
        if self._until is None:
            return None
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        return left / parts


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy that puts callers through (CONNECT), in plain HTTP."""

    name: str
    port: int

    @classmethod
    def at(cls, address: str) -> Self:
        """Return the proxy at an address such as http://proxy.example:3128."""
        parts = urlsplit(address)
        return cls(parts.hostname or "", parts.port or 80)

    def dial(self, name: str, port: int, *, deadline: Deadline) -> socket.socket:
        """
        Return a socket on which the host answers.

        Raises `httpx.ProxyError`, `ConnectError` or `ConnectTimeout`, each in words that say it
        was the proxy.
        """
        try:
            wire = dial(self.name, self.port, deadline=deadline)
        except TimeoutError as error:
            raise httpx.ConnectTimeout(self._said("did not answer in time", _CHECK)) from error
        except OSError as error:
            why = error.strerror or "no such name"
            raise httpx.ConnectError(self._said(f"cannot be reached ({why})", _CHECK)) from error
        try:
            self._put_through(
                wire, f"[{name}]:{port}" if ":" in name else f"{name}:{port}", deadline
            )
        except BaseException:
            wire.close()
            raise
        return wire

    def _put_through(self, wire: socket.socket, target: str, deadline: Deadline) -> None:
        talk = h11.Connection(h11.CLIENT, max_incomplete_event_size=_LONGEST)
        request = h11.Request(method="CONNECT", target=target, headers=[("Host", target)])
        try:
            wire.settimeout(deadline.left())
            wire.sendall((talk.send(request) or b"") + (talk.send(h11.EndOfMessage()) or b""))
            while not isinstance(event := talk.next_event(), h11.Response):
                if event is h11.NEED_DATA:
                    wire.settimeout(deadline.left())
                    talk.receive_data(wire.recv(_LONGEST))
        except TimeoutError as error:
            said = self._said(f"did not put through to {target} in time", _CHECK)
            raise httpx.ConnectTimeout(said) from error
        except (OSError, h11.RemoteProtocolError) as error:
            said = self._said("hung up, or speaks no HTTP", _CHECK)
            raise httpx.ProxyError(said) from error
        if not 200 <= event.status_code < 300:
            raise httpx.ProxyError(self._said(*_refused(event.status_code, target)))
        if talk.trailing_data[0]:  # the host does not speak first: these words are somebody else's
            raise httpx.ProxyError(self._said(f"spoke in place of {target}", _CHECK))

    def _said(self, what: str, cure: str) -> str:
        return f"The proxy {self.name}:{self.port} {what}. Nothing was sent to HubSpot. {cure}"


_CHECK: Final = "Check [network] proxy in hsagency.toml, and the network."


def _refused(status: int, target: str) -> tuple[str, str]:
    """Return what a refusal of a proxy means, and what to do."""
    if status == 407:
        return (
            "asks for a user name and a password (407), and hsagency gives none",
            "Ask whoever runs it to let this machine through without them, or name another proxy.",
        )
    if status >= 500:
        return (
            f"could not reach {target} itself ({status})",
            "Try again; if it stays so, ask whoever runs it.",
        )
    return (
        f"does not put through to {target} ({status})",
        f"Ask whoever runs it to allow CONNECT to {target}, or check [network] proxy in "
        "hsagency.toml.",
    )


def dial(name: str, port: int, *, deadline: Deadline) -> socket.socket:
    """Return a socket to the first address of a name that answers; raises `OSError`."""
    failed: OSError | None = None
    addresses = _addresses(name, port)
    for tried, (family, address) in enumerate(addresses):
        wire = socket.socket(family, socket.SOCK_STREAM)
        try:
            # A part each: where one leads nowhere, there is time for the next.
            wire.settimeout(deadline.left(parts=len(addresses) - tried))
            wire.connect(address)
            wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return wire
        except OSError as error:
            wire.close()
            failed = error
        except BaseException:
            wire.close()
            raise
    raise failed or OSError(f"{name} has no address")


def _addresses(name: str, port: int) -> list[_Address]:
    """Look up a name; names below localhost need no looking up, and get none (RFC 6761)."""
    if name.endswith("localhost") and is_loopback(name):
        return [
            (socket.AF_INET, ("127.0.0.1", port)),
            (socket.AF_INET6, ("::1", port)),
        ]
    try:
        found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    except UnicodeError as error:  # a part of the name is too long
        raise OSError(f"{name} is no name") from error
    return [(family, address) for family, _, _, _, address in found]
