"""OAuth apps: what their developer registered, and which portals may still install them."""

from __future__ import annotations

import hmac
import ipaddress
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from random import Random
from threading import Lock
from typing import get_args
from urllib.parse import urlsplit
from uuid import UUID

from hsagency.errors import SandboxError
from hsagency.sandbox.portals import Distribution

# How many portals may install an app (facts 3.1); a listed marketplace app knows no limit.
CAPS = {"private": 10, "partner": 100, "unlisted": 25}
_SCOPE = re.compile(r"[A-Za-z0-9_.-]+")
_PRINTABLE = re.compile(r"[!-~]+")
_REDIRECT_HINT = "Use https, or http://localhost with any port while testing."


class Installs:
    """The portals that have an app, never more than it may have; safe from any thread."""

    def __init__(self, cap: int | None) -> None:
        self.cap = cap
        self._portals: set[int] = set()
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._portals)

    def room_for(self, portal_id: int) -> bool:
        """Whether the portal has the app, or may have it."""
        return self.cap is None or portal_id in self._portals or len(self._portals) < self.cap

    def add(self, portal_id: int) -> bool:
        """Count a portal in, or say that there is no room."""
        with self._lock:
            if not self.room_for(portal_id):
                return False
            self._portals.add(portal_id)
            return True

    def remove(self, portal_id: int) -> None:
        """Count a portal out."""
        with self._lock:
            self._portals.discard(portal_id)


@dataclass(frozen=True, slots=True)
class App:
    """A registered app; its installs are counted wherever it is held."""

    name: str
    app_id: int
    client_id: str
    client_secret: str = field(repr=False)
    redirect_uris: tuple[str, ...]
    required: frozenset[str]
    optional: frozenset[str]
    distribution: Distribution
    installs: Installs = field(repr=False, compare=False)


class Apps:
    """All registered apps."""

    def __init__(self, *, seed: int) -> None:
        self._rng = Random(f"{seed}/apps")  # noqa: S311 - repeatable is the point
        self._by_client: dict[str, App] = {}
        self._lock = Lock()

    def __iter__(self) -> Iterator[App]:
        return iter(tuple(self._by_client.values()))

    def find(self, client_id: str) -> App | None:
        """Return the app with this client id."""
        return self._by_client.get(client_id)

    def register(
        self,
        name: str,
        *,
        redirect_uris: Iterable[str],
        required: Iterable[str],
        optional: Iterable[str],
        distribution: Distribution,
        partner: bool,
        listed: bool,
        app_id: int | None,
        client_id: str | None,
        client_secret: str | None,
    ) -> App:
        """Register an app; ids and the secret are drawn from the seed where none are given."""
        with self._lock:
            app = App(
                name=name,
                app_id=self._rng.randrange(10_000_000, 99_999_999) if app_id is None else app_id,
                client_id=self._uuid() if client_id is None else client_id,
                client_secret=self._uuid() if client_secret is None else client_secret,
                redirect_uris=tuple(redirect_uris),
                required=(asked := frozenset(required) | {"oauth"}),
                optional=frozenset(optional) - asked,
                distribution=distribution,
                installs=Installs(_cap(distribution, partner=partner, listed=listed)),
            )
            _check(app)
            for held in self._by_client.values():
                if app.client_id == held.client_id or app.app_id == held.app_id:
                    raise SandboxError(
                        f"{held.name} has that client id or app id; {name} was not registered."
                    )
            self._by_client[app.client_id] = app
        return app

    def _uuid(self) -> str:
        return str(UUID(int=self._rng.getrandbits(128), version=4))


def is_secret_of(app: App, secret: str) -> bool:
    """Whether a text is the app's secret; takes as long either way."""
    return hmac.compare_digest(secret.encode(), app.client_secret.encode())


def _cap(distribution: str, *, partner: bool, listed: bool) -> int | None:
    if distribution == "private":
        return CAPS["partner" if partner else "private"]
    return None if listed else CAPS["unlisted"]


def _check(app: App) -> None:
    """Refuse an app that HubSpot would not let anybody register."""
    kept = f"{app.name or 'The app'} was not registered"
    if not app.name.strip() or app.distribution not in get_args(Distribution):
        raise SandboxError(
            f"{kept}: it needs a name, and a distribution that HubSpot has.",
            hint=f"Distributions: {', '.join(get_args(Distribution))}.",
        )
    if not (_PRINTABLE.fullmatch(app.client_id) and _PRINTABLE.fullmatch(app.client_secret)):
        raise SandboxError(f"{kept}: its client id and secret must be printable, without spaces.")
    wrong = [scope for scope in app.required | app.optional if not _SCOPE.fullmatch(scope)]
    if wrong:
        raise SandboxError(f"{kept}: {wrong[0]!r} is no name of a scope.")
    if not app.redirect_uris:
        raise SandboxError(f"{kept}: it has no redirect URI.", hint=_REDIRECT_HINT)
    for uri in app.redirect_uris:
        problem = _redirect_problem(uri)
        if problem:
            raise SandboxError(f"{kept}: the redirect URI {uri!r} {problem}.", hint=_REDIRECT_HINT)


def _redirect_problem(uri: str) -> str | None:
    """Say what HubSpot has against a redirect URI (facts 6)."""
    try:
        parts = urlsplit(uri)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return "cannot be read"
    if not _PRINTABLE.fullmatch(uri) or not host or parts.fragment or "@" in parts.netloc:
        return "is not a plain address"
    if _is_literal(host):
        return "has an IP address for a host"
    if parts.scheme != "https" and (parts.scheme, host) != ("http", "localhost"):
        return "is not https"
    return None


def _is_literal(host: str) -> bool:
    """Whether a host is an address; browsers read 127.1 and 2130706433 as one too."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        last = host.rstrip(".").rpartition(".")[2]
        return last.isdigit() or last.startswith("0x")
    return True
