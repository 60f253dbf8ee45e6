"""
The one place that builds httpx clients.

A `PortalClient` is an `httpx.Client` for one portal: relative paths go to its pinned host
with its credential, and every call is recorded. Portals share nothing but the TLS context.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, NoReturn, Self

import httpx

from hsagency import __version__
from hsagency.audit.journal.writer import AuditWriter
from hsagency.errors import ClientClosed, UsageError
from hsagency.halt import Halt
from hsagency.objects.calling import ObjectCalls
from hsagency.portals import Portal
from hsagency.routes import touched
from hsagency.transport import (
    After,
    Alarm,
    Bearer,
    Binding,
    Call,
    Credential,
    Current,
    Grant,
    Guard,
    Network,
    Places,
    Prove,
    Recorder,
    Retrier,
    Station,
    see_to_nothing,
)
from hsagency.verdicts import PATIENCE
from hsagency.waiting import Waits

_TIMEOUT: Final = httpx.Timeout(60, connect=10)  # HubSpot itself gives up after 100 s (524)
_PLAIN_PATH: Final = re.compile(r"(?:/[\w.-]+)+/?(?:\?[\w.,=&-]*)?", re.ASCII)


class PortalClient(ObjectCalls, httpx.Client):
    """
    An `httpx.Client` for one portal.

    Use it as httpx is used, with relative paths. `portal` names what it is bound to. Calls
    raise `CallRefused` before a byte leaves where they may not, `AuditError` where they
    cannot be recorded, `OutcomeUnknown` where one that may have taken effect got no answer, and
    otherwise errors that are httpx's and hsagency's both. Answers that are errors are returned,
    and `raise_for_status()` raises what they mean. Many threads may share one; a forked child
    must open its own.

    A call waits for its portal's turn, and is made again where that is safe. A single call is
    labelled with `extensions={"purpose": "data fix"}`, and made once alone with
    `extensions={"retry": False}`.
    """

    def __init__(
        self,
        *,
        portal: Portal | None,
        binding: Binding,
        transport: httpx.BaseTransport,
        recorder: Recorder | None = None,
        waits: Waits | None = None,
        raising: bool = False,
    ) -> None:
        _quieten_httpx()
        super().__init__(
            transport=transport,
            base_url=binding.host,
            headers={"User-Agent": f"hsagency/{__version__}"},
            timeout=_TIMEOUT,
            trust_env=False,  # no proxy, netrc or certificate of the environment's choosing
        )
        self._path = transport
        self._portal, self._binding, self._raising = portal, binding, raising
        self._recorder, self._waits = recorder, waits or Waits()
        self._base, self._origin = self.base_url, str(self.base_url).rstrip("/")
        self._jar = _Jar()
        self._pid = os.getpid()

    @property
    def portal(self) -> Portal:
        """The portal this client is bound to."""
        if self._portal is None:
            raise UsageError("This client judges a credential; it has no portal yet.")
        return self._portal

    @property
    def purpose(self) -> str:
        """Why its calls are made, unless a call says otherwise."""
        return self._binding.purpose

    @property
    def attempts(self) -> int:
        """How many attempts were made, each of which has its record; a retry is another one."""
        return self._recorder.attempts if self._recorder else 0

    @property
    def cookies(self) -> httpx.Cookies:
        """What was put here by hand, which is refused when a call would carry it."""
        return self._jar

    @cookies.setter
    def cookies(self, cookies: Any) -> None:
        self._jar = _Jar(cookies)

    def build_request(self, method: str, url: httpx.URL | str, **kwargs: Any) -> httpx.Request:
        """Build a request; a plain path is put behind the host as it is, and read once."""
        if self.base_url is self._base and isinstance(url, str) and _PLAIN_PATH.fullmatch(url):
            url = self._origin + url
        else:
            url = self._spelt_out(url)
        return super().build_request(method, url, **kwargs)

    def _spelt_out(self, url: httpx.URL | str) -> httpx.URL | str:
        """Return an address with the host that it names: of //host/path httpx drops it."""
        if isinstance(url, str) and url.startswith("///"):
            return self._origin + url
        if isinstance(url, str) and not url.startswith("//"):
            return url
        parts = httpx.URL(url)
        if parts.is_absolute_url or not parts.host:
            return url
        return parts.copy_with(scheme=self._base.scheme)

    def send(self, request: httpx.Request, **kwargs: Any) -> httpx.Response:
        """Send a request; refuses after `close()` and in a forked child."""
        self._refuse_if_closed()
        response = super().send(request, **kwargs)
        if self._raising and not response.is_success:
            response.read()
            response.raise_for_status()
        return response

    def __enter__(self) -> Self:
        # httpx lets a client in once; the router hands the same one to every block that asks.
        self._refuse_if_closed()
        return self

    def _transport_for_url(self, url: httpx.URL) -> httpx.BaseTransport:
        # Neither a mount nor another transport, put in later, leads a call past the guard.
        del url
        return self._path

    def _refuse_if_closed(self) -> None:
        if self.is_closed or os.getpid() != self._pid:
            raise ClientClosed(
                f"This client for {self._binding.client_slug} is closed or belongs to another "
                "process. Nothing was sent."
            )

    def __reduce__(self) -> NoReturn:
        raise TypeError("A PortalClient is not pickled or copied: ask the agency for one.")

    def __repr__(self) -> str:
        return f"<PortalClient {self._portal or 'for a credential being judged'}>"


class _Jar(httpx.Cookies):
    """Does not look for cookies in an answer: `Bearer` lets none through."""

    def extract_cookies(self, response: httpx.Response) -> None:
        """Leave the answer alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ways:
    """How a portal client behaves towards whoever hands it out; all of it may be left out."""

    current: Current | None = None
    prove: Prove | None = None
    pace: Callable[[Station, Waits], Station] | None = None
    """Puts in front of the recorder what waits for the portal's turn."""
    after: After = see_to_nothing
    superseded: Callable[[Call], bool] = lambda _: False
    """Whether another credential took the place of the one that a call was granted."""
    patience: float = PATIENCE
    """Seconds that a call waits at most between its attempts, all of them together."""
    alarm: Alarm | None = None
    waits: Waits | None = None
    raising: bool = False
    """Whether an answer that is an error is raised as one, rather than returned."""


class Channel:
    """
    One credential's way to its host, shared by the portal's clients of any purpose.

    It is closed by whoever opened it, not by one of the clients that use it.
    """

    def __init__(
        self,
        *,
        host: httpx.URL,
        credential: Callable[[], Credential],
        writer: AuditWriter,
        halt: Halt,
        wire: httpx.BaseTransport | None = None,
    ) -> None:
        self.host = host
        self._writer, self._halt = writer, halt
        wire = wire or Network().wire(host)
        self.way = Bearer(wire, credential=credential, host=host)

    def client(
        self, *, binding: Binding, portal: Portal | None = None, ways: Ways | None = None
    ) -> PortalClient:
        """Return a client that uses this channel, or whichever `ways.current` says."""
        ways = ways or Ways()
        guard = Guard(
            Grant(binding=binding, way=self.way),
            writer=self._writer,
            halt=self._halt,
            current=ways.current,
            prove=ways.prove,
        )
        recorder = Recorder(binding=binding, writer=self._writer, halt=self._halt, alarm=ways.alarm)
        waits = ways.waits or Waits()
        stations = ways.pace(recorder, waits) if ways.pace else recorder
        # First a place on the wire, then the turn: who has its turn leaves at once.
        stations = Places(stations, waits=waits, writer=self._writer)
        return PortalClient(
            portal=portal,
            binding=binding,
            transport=Retrier(
                guard,
                stations,
                waits=waits,
                after=ways.after,
                superseded=ways.superseded,
                patience=ways.patience,
            ),
            recorder=recorder,
            waits=waits,
            raising=ways.raising,
        )

    def retire(self) -> None:
        """Let calls in flight end, and keep nothing open for others."""
        self.way.retire()

    def close(self) -> None:
        """Close the wire."""
        self.way.close()


class _Templates(logging.Filter):
    """Writes the route into httpx's log lines, where it would write the whole address."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(
                _template(one) if isinstance(one, httpx.URL) else one for one in record.args
            )
        return True


def _template(url: httpx.URL) -> str:
    path, _, query = url.raw_path.decode("ascii").partition("?")
    return touched("GET", path, query).template


@cache
def _quieten_httpx() -> None:
    logging.getLogger("httpx").addFilter(_Templates())
