"""
The access token of this moment, renewed ahead of its end, once for all threads and processes.

What HubSpot returns is in the store before it is used, because the refresh token may be another
one (facts 1.7). Where a renewal fails for want of an answer, the token that is there goes on
being used while it lives.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, Protocol

from hsagency.auth.authorisation import Authorisation
from hsagency.auth.desk import Issued, TokenDesk
from hsagency.credentials import CredentialStore, SecretName
from hsagency.durable import locked, make_private_dir
from hsagency.errors import CredentialRejected, HsAgencyError, PortalMismatch, VerificationError
from hsagency.portals import ClientSlug, Connection
from hsagency.secret import Secret

_JUST: Final = timedelta(seconds=60)  # a token that is refused so young is not helped by another
_PAUSE: Final = timedelta(seconds=20)  # between two renewals that found no answer


class Consequence(Protocol):
    """Sees to a connection whose authorisation is over, or another portal's."""

    def failed(self, connection: Connection, error: VerificationError) -> None:
        """Stop the portal, or halt the fleet, and add to the error what was done."""


@dataclass(slots=True)
class _Held:
    """What one process knows of one authorisation; the lock lets one thread renew it."""

    kept: Authorisation | None = None
    not_before: datetime | None = None
    instead: Authorisation | None = None  # the last that took the place of a refused one
    lock: threading.Lock = field(default_factory=threading.Lock)


class Refresher:
    """
    Gives out the access tokens of a workspace's OAuth connections, and renews them.

    `check` raises where what is kept is not the connection's; `told` hears what HubSpot says of
    scopes at each renewal.
    """

    def __init__(
        self,
        folder: Path,
        *,
        store: Callable[[], CredentialStore],
        name: Callable[[Connection], SecretName],
        desk: Callable[[Connection], TokenDesk],
        stops: Consequence,
        check: Callable[[Connection, Secret], None],
        told: Callable[[Connection, tuple[str, ...]], None],
        now: Callable[[], datetime],
    ) -> None:
        self._folder, self._store, self._name, self._desk = folder, store, name, desk
        self._stops, self._check, self._told, self._now = stops, check, told, now
        self._held: dict[tuple[ClientSlug, int, str], _Held] = {}
        self._lock = threading.Lock()

    def token(self, connection: Connection) -> Secret:
        """
        Return an access token that lives.

        Raises `AuthorisationEnded` where the portal no longer lets us in, which stops it;
        `AppMisconfigured`, `PortalUnreachable` or what the store raises, which do not.
        """
        held, now = self._of(connection), self._now()
        kept = held.kept
        if kept is not None and not kept.is_due(now):
            return kept.access
        if kept is not None and kept.is_usable(now):
            if held.not_before is not None and now < held.not_before:
                return kept.access
            if not held.lock.acquire(blocking=False):  # another thread is at it
                return kept.access
            held.lock.release()
        return self._renewed(connection, held).access

    def renew(self, connection: Connection, *, refused: str) -> bool:
        """
        Say whether there is another access token than the one that HubSpot refused.

        `refused` is its fingerprint. One is asked for, unless that one is so new that another
        would be refused too. Raises as `token` does.
        """
        held = self._of(connection)
        now = self._renewed(connection, held, refused=refused)
        return now.access.fingerprint != refused

    def _of(self, connection: Connection) -> _Held:
        key = (connection.client_slug, connection.generation, connection.fingerprint)
        with self._lock:
            if key not in self._held:  # earlier generations of it are over
                for other in [one for one in self._held if one[0] == key[0]]:
                    del self._held[other]
                self._held[key] = _Held()
            return self._held[key]

    def _renewed(
        self, connection: Connection, held: _Held, *, refused: str | None = None
    ) -> Authorisation:
        """Return what lives, renewed if need be; one thread at a time."""
        with held.lock:
            if held.kept is not None and self._will_do(held, held.kept, refused):
                return held.kept
            make_private_dir(self._folder)
            with locked(self._folder / f"{connection.client_slug}.lock"):  # of all processes
                kept = held.kept = self._read(connection)
                if self._will_do(held, kept, refused):
                    return kept
                try:
                    held.kept = self._ask(connection, kept)
                except CredentialRejected:
                    raise
                except HsAgencyError:
                    now = self._now()
                    if refused is not None or not kept.is_usable(now):
                        raise
                    held.not_before = now + _PAUSE
                else:
                    held.instead = held.kept if refused is not None else held.instead
                return held.kept

    def _will_do(self, held: _Held, kept: Authorisation, refused: str | None) -> bool:
        """Say whether to use what is kept, or rather: whether renewing it would not help."""
        now = self._now()
        if refused is None:
            return not kept.is_due(now)
        if kept.access.fingerprint != refused:
            return True
        instead = held.instead
        was_instead = instead is not None and instead.access == kept.access
        return was_instead and timedelta() <= now - kept.issued_at < _JUST

    def _read(self, connection: Connection) -> Authorisation:
        secret = self._store().get(self._name(connection))
        self._check(connection, secret)
        return Authorisation.parse(secret)

    def _ask(self, connection: Connection, kept: Authorisation) -> Authorisation:
        """Renew, and keep what came back before anybody uses it."""
        store, name = self._store(), self._name(connection)
        store.put(name, kept.kept())  # a store that takes no more is found out before HubSpot is
        try:
            issued = self._desk(connection).refresh(kept.refresh)
            _refuse_another_portal(connection, issued)
        except (CredentialRejected, PortalMismatch) as error:
            self._stops.failed(connection, error)
            raise
        now = self._now()
        renewed = Authorisation(
            key=kept.key,
            refresh=issued.refresh,
            access=issued.access,
            issued_at=now,
            expires_at=now + timedelta(seconds=issued.expires_in),
        )
        store.put(name, renewed.kept())
        if issued.scopes is not None:
            self._told(connection, issued.scopes)
        return renewed


def _refuse_another_portal(connection: Connection, issued: Issued) -> None:
    if issued.portal_id not in (None, connection.portal_id):
        raise PortalMismatch(expected=connection.portal_id, got=issued.portal_id)
