"""A workspace whose OAuth app is set up at a served sandbox, and whoever sits at the browser."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import httpx

from hsagency import connecting
from hsagency.agency import Agency
from hsagency.connecting import Attempt, Connected
from hsagency.sandbox import Sandbox
from hsagency.sandbox.oauth.apps import App
from hsagency.secret import Secret
from tests.fleets import fleet


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@dataclass
class Person:
    """Whoever sits at the browser: what they do on HubSpot's page, and what they see after it."""

    portal_id: int
    decision: str = "connect"
    asks: Callable[[str], str] = lambda url: url  # what becomes of the address before it is opened
    brought: list[str] = field(default_factory=list)
    pages: list[httpx.Response] = field(default_factory=list)

    def decide(self, url: str) -> str:
        """Answer HubSpot's page; return the address that it leads to."""
        with httpx.Client(timeout=30, trust_env=False) as client:
            form = {"portalId": str(self.portal_id), "decision": self.decision}
            answer = client.post(self.asks(url), data=form)
            assert answer.status_code == 302, answer.text
            self.brought.append(answer.headers["location"])
        return self.brought[-1]

    def browse(self, url: str) -> None:
        """Answer HubSpot's page, and see where it leads to the end."""
        where = self.decide(url)
        with httpx.Client(timeout=30, trust_env=False, follow_redirects=True) as client:
            self.pages.append(client.get(where))


@dataclass(frozen=True)
class Office:
    """An agency with an app of its own at a sandbox."""

    sandbox: Sandbox
    url: str
    agency: Agency
    app: App
    port: int

    @property
    def root(self) -> Path:
        return self.agency.workspace.root

    def portal(self, number: int) -> int:
        return self.sandbox.portals[number].portal_id

    def start(self, **options: Any) -> Attempt:
        return connecting.start(self.agency, api=self.url, **options)

    def connect(
        self, person: Person | int, *, confirm: Any = None, seconds: float = 20, **options: Any
    ) -> Connected:
        """Connect a portal as a person at a browser would; raises as `finish` does."""
        who = Person(self.portal(person)) if isinstance(person, int) else person
        attempt = self.start(**options)
        thread = threading.Thread(target=who.browse, args=(attempt.url,))
        thread.start()
        try:
            more = {"confirm": confirm} if confirm else {}
            return connecting.finish(attempt, seconds=seconds, **more)
        finally:
            thread.join()

    def works(self, slug: str) -> bool:
        path = "/crm/objects/2026-09/contacts"
        return self.agency.client(slug).get(path).status_code == 200

    def grants(self, portal_id: int) -> list[str]:
        """Return the refresh tokens of our app that a portal still accepts."""
        from hsagency.sandbox.oauth.grants import grants

        state = self.sandbox.desk.states[portal_id]
        return [one for one, held in grants(state)._grants.items() if held.app is self.app]


@contextmanager
def office(root: Path, *, portals: int = 3, **app: Any) -> Iterator[Office]:
    with fleet(root, portals=portals) as one:
        port = free_port()
        made = connecting.prepare(one.agency, api=one.url, port=port)
        registered = one.sandbox.register_app(
            "Agency",
            redirect_uris=[made.redirect_uri],
            required=list(made.required),
            optional=list(made.optional),
            **app,
        )
        secret = Secret(registered.client_secret)
        connecting.set_up(one.agency, made, client_id=registered.client_id, client_secret=secret)
        yield Office(one.sandbox, one.url, one.agency, registered, port)


def asked_for(url: str) -> dict[str, str]:
    """Return what an address asks for."""
    return {name: one for name, (one,) in parse_qs(urlsplit(url).query).items()}


def without(*scopes: str) -> Callable[[str], str]:
    """Return what takes optional scopes out of an address, as a page might grant less."""

    def change(url: str) -> str:
        asked = asked_for(url)
        kept = [one for one in asked["optional_scope"].split() if one not in scopes]
        asked["optional_scope"] = " ".join(kept)
        return f"{url.partition('?')[0]}?{urlencode(asked, quote_via=quote)}"

    return change
