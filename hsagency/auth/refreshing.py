"""
The access token of this moment, renewed ahead of its end, once for all threads and processes.

What HubSpot returns is in the store before it is used, because the refresh token may be another
one (facts 1.7). While a token lives nobody waits for the next: one caller renews it, the others
go on, and where that fails for want of an answer so does everybody. Once it is over, all wait
for one renewal, and those who waited for one that failed are told the same.

Not promised: that a refresh token survives this process being killed between HubSpot's answer
and the store, where HubSpot ended the old one with it. Then the portal says so and is stopped.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from hsagency.auth.authorisation import Authorisation
from hsagency.auth.desk import PATIENCE, Issued, TokenDesk
from hsagency.credentials import CredentialStore, SecretName
from hsagency.durable import locked, locked_if_free, make_private_dir
from hsagency.errors import (
    AppMisconfigured,
    ClientClosed,
    CredentialMissing,
    CredentialRejected,
    HsAgencyError,
    NoOAuthApp,
    PortalMismatch,
    PortalUnreachable,
    StoreUnreadable,
    UnexpectedAnswer,
    VerificationError,
    WorkspaceError,
    WriteNotConfirmed,
)
from hsagency.portals import ClientSlug, Connection
from hsagency.secret import Secret
from hsagency.stopping import refuse_if_stopped

FOLDER: Final = "authorisation"
"""Of the state of a workspace: where the locks are."""
_JUST: Final = timedelta(seconds=60)  # a token that is refused so young is not helped by another
_PAUSE: Final = timedelta(seconds=20)  # between two renewals ahead of time that came to nothing
_PASSING: Final = (  # what says nothing of a token that lives
    AppMisconfigured,
    NoOAuthApp,
    PortalUnreachable,
    StoreUnreadable,
    UnexpectedAnswer,
    WorkspaceError,
    WriteNotConfirmed,
)


class Consequence(Protocol):
    """Sees to a connection whose authorisation is over, or another portal's."""

    def failed(self, connection: Connection, error: VerificationError) -> None:
        """Stop the portal, or halt the fleet, and add to the error what was done."""


class Keeping(Protocol):
    """What a refresher asks about the connections that it works for."""

    def check(self, connection: Connection, kept: Secret) -> None:
        """Raise where what is kept is not what was authorised for this portal and address."""

    def still(self, connection: Connection) -> Connection:
        """
        Return a connection as it is stored now.

        Raises `ClientClosed` where it was removed, and `CredentialMissing` where another
        authorisation took the place of this one.
        """

    def told(self, connection: Connection, issued: Issued) -> None:
        """Hear what HubSpot says with new tokens."""

    def warn(self, connection: Connection, message: str) -> None:
        """Tell a person, once, what will stop a portal's calls unless something is done."""


class _Unkept(NamedTuple):
    """Tokens that the store did not take; `base` is what it held when they were given out."""

    base: Authorisation
    renewed: Authorisation
    issued: Issued


@dataclass(slots=True)
class _Held:
    """What one process knows of one authorisation; the lock lets one thread renew it."""

    kept: Authorisation | None = None
    not_before: datetime | None = None
    instead: Authorisation | None = None  # the last that took the place of a refused one
    unkept: _Unkept | None = None
    failures: int = 0
    failure: HsAgencyError | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def fail(self, error: HsAgencyError) -> None:
        """Remember why a renewal came to nothing, without the frames that it came from."""
        self.failures, self.failure = self.failures + 1, copy.copy(error)

    def raise_for(self, seen: int) -> None:
        """Raise what a renewal came to that ended since `seen` failures were counted."""
        if self.failures > seen and self.failure is not None:
            raise copy.copy(self.failure)


@dataclass(frozen=True, slots=True)
class _Want:
    """One caller's wish for a token; `seen` and `at` are as of when it came."""

    at: datetime
    seen: int
    refused: str | None = None  # the fingerprint of the token that HubSpot did not accept
    ahead: bool = False  # while there is one that lives


class Refresher:
    """
    Gives out the access tokens of a workspace's OAuth connections, and renews them.

    Many threads may share one. `close` waits for what is under way and renews nothing more.
    """

    def __init__(
        self,
        folder: Path,
        *,
        store: Callable[[], CredentialStore],
        name: Callable[[Connection], SecretName],
        desk: Callable[[Connection], TokenDesk],
        stops: Consequence,
        keeping: Keeping,
        now: Callable[[], datetime],
    ) -> None:
        self._folder, self._store, self._name, self._desk = folder, store, name, desk
        self._stops, self._keeping, self._now = stops, keeping, now
        self._held: dict[tuple[ClientSlug, int, str], _Held] = {}
        self._lock = threading.Lock()
        self._closed = False

    def token(self, connection: Connection) -> Secret:
        """
        Return an access token that lives.

        Raises `AuthorisationEnded` where the portal no longer lets us in, which stops it;
        `AppMisconfigured`, `PortalUnreachable` or what the store raises, which do not.
        """
        held, now = self._of(connection), self._now()
        kept = held.kept or self._first(connection, held)
        if not kept.is_due(now):
            return kept.access
        if not kept.is_usable(now):
            return self._renewed(connection, held, _Want(now, held.failures)).access
        if held.not_before is None or not held.not_before - _PAUSE <= now < held.not_before:
            kept = self._renewed(connection, held, _Want(now, held.failures, ahead=True))
        return kept.access

    def renew(self, connection: Connection, *, refused: str) -> bool:
        """
        Say whether there is another access token than the one that HubSpot refused.

        `refused` is its fingerprint. One is asked for, unless that one is so new that another
        would be refused too. Raises as `token` does.
        """
        held = self._of(connection)
        now = self._renewed(connection, held, _Want(self._now(), held.failures, refused))
        return now.access.fingerprint != refused

    def confirm(self, connection: Connection) -> None:
        """
        Ask HubSpot whether what was authorised still stands, and renew where it says no.

        An access token outlives what it was given out for by up to half an hour (facts 1.7), so
        that calls go well in which nobody sees that they are the last. Raises as `token` does.
        """
        held = self._of(connection)
        kept = held.kept or self._first(connection, held)
        told = self._desk(connection).introspect(kept.refresh, hint="refresh_token")
        if not told.active:  # only a renewal that is refused proves it
            self.renew(connection, refused=kept.access.fingerprint)

    def close(self) -> None:
        """Let renewals that are under way end, so that what they bring is kept; begin no other."""
        self._closed = True
        for held in list(self._held.values()):
            with held.lock:
                pass

    def _of(self, connection: Connection) -> _Held:
        key = (connection.client_slug, connection.generation, connection.fingerprint)
        held = self._held.get(key)
        if held is not None:
            return held
        with self._lock:
            for other in [one for one in self._held if one[0] == key[0] and one[1] < key[1]]:
                del self._held[other]  # earlier generations of it are over
            return self._held.setdefault(key, _Held())

    def _first(self, connection: Connection, held: _Held) -> Authorisation:
        """Read what is kept, once for all threads."""
        with held.lock:
            if held.kept is None:
                held.kept = self._read(connection)
            return held.kept

    def _renewed(self, connection: Connection, held: _Held, want: _Want) -> Authorisation:
        """Return what lives, renewed if need be, by one caller at a time."""
        before = held.kept
        with self._turn(connection, held, wait=not want.ahead) as mine:
            if not mine and before is not None:
                return before  # somebody is at it
            if held.kept is not None and self._will_do(held, held.kept, want):
                return held.kept
            if not want.ahead:
                held.raise_for(want.seen)
            try:
                return self._renew(connection, held, want)
            except HsAgencyError as error:
                lives = self._lives_on(connection, held, want, error)
                if lives is not None:
                    return lives
                _explain(connection, error)
                held.fail(error)
                raise

    def _renew(self, connection: Connection, held: _Held, want: _Want) -> Authorisation:
        """Look at what is kept, and renew it where no other process has."""
        if self._closed:
            raise ClientClosed("This agency was closed meanwhile. Nothing was sent.")
        kept = held.kept = self._read(connection)
        if self._will_do(held, kept, want):
            return kept
        stored = self._keeping.still(connection)
        if stored.stopped is not None and stored.stopped.at >= want.at:
            refuse_if_stopped(stored)  # by whoever had the turn before
        held.kept = self._ask(connection, held, kept, want)
        held.not_before = None
        if want.refused is not None:
            held.instead = held.kept
        return held.kept

    def _lives_on(
        self, connection: Connection, held: _Held, want: _Want, error: HsAgencyError
    ) -> Authorisation | None:
        """Return the token that lives, if it does, though its renewal came to nothing."""
        now, kept = self._now(), held.kept
        if not (want.ahead and isinstance(error, _PASSING) and kept and kept.is_usable(now)):
            return None
        held.not_before = now + _PAUSE
        self._keeping.warn(
            connection,
            f"The access token of {connection.portal} ends at {kept.expires_at:%H:%M} UTC and could "
            f"not be renewed: {error.message} {error.hint}".strip(),
        )
        return kept

    def _will_do(self, held: _Held, kept: Authorisation, want: _Want) -> bool:
        """Say whether to use what is kept, or rather: whether renewing it would not help."""
        now = self._now()
        if want.refused is None:
            return not kept.is_due(now)
        if kept.access.fingerprint != want.refused:
            return True
        instead = held.instead
        was_instead = instead is not None and instead.access == kept.access
        return was_instead and timedelta() <= now - kept.issued_at < _JUST

    def _read(self, connection: Connection) -> Authorisation:
        secret = self._store().get(self._name(connection))
        self._keeping.check(connection, secret)
        return Authorisation.parse(secret)

    def _ask(
        self, connection: Connection, held: _Held, kept: Authorisation, want: _Want
    ) -> Authorisation:
        """Renew, and keep what came back before anybody uses it."""
        unkept = held.unkept
        if unkept is None or unkept.base != kept:
            # A store that takes no more is found out before HubSpot is asked.
            self._keep(connection, kept)
            unkept = held.unkept = self._from_hubspot(connection, kept, want)
        self._keep(connection, unkept.renewed)
        held.unkept = None
        self._keeping.told(connection, unkept.issued)
        return unkept.renewed

    def _from_hubspot(self, connection: Connection, kept: Authorisation, want: _Want) -> _Unkept:
        try:
            desk = self._desk(connection)
            # Who has a token that lives does not wait until another attempt makes sense.
            issued = desk.refresh(kept.refresh, patience=0.0 if want.ahead else PATIENCE)
            _refuse_another_portal(connection, issued)
        except (CredentialRejected, PortalMismatch) as error:
            self._keeping.still(connection)  # what became of an earlier one says nothing
            self._stops.failed(connection, error)
            raise
        renewed = Authorisation.of(issued, now=self._now(), key=kept.key)
        return _Unkept(kept, renewed, issued)

    def _keep(self, connection: Connection, renewed: Authorisation) -> None:
        """Store tokens; none stay behind of a connection that was removed or replaced meanwhile."""
        store, name = self._store(), self._name(connection)
        store.put(name, renewed.kept())
        try:
            # Looked at after the write: whoever changes the index from now on drops the secret.
            self._keeping.still(connection)
        except (ClientClosed, CredentialMissing):
            store.delete(name)
            raise

    @contextmanager
    def _turn(self, connection: Connection, held: _Held, *, wait: bool) -> Iterator[bool]:
        """Have the turn of this thread and this process, or say that it is another's."""
        if not held.lock.acquire(blocking=wait):
            yield False
            return
        with ExitStack() as stack:
            stack.callback(held.lock.release)
            yield self._locked(stack, connection, wait=wait)

    def _locked(self, stack: ExitStack, connection: Connection, *, wait: bool) -> bool:
        path = lock_of(self._folder, connection.client_slug)
        try:
            make_private_dir(self._folder)
            if not wait:
                return stack.enter_context(locked_if_free(path))
            stack.enter_context(locked(path))
        except OSError as error:
            if not wait:  # there is a token that lives: whoever needs another is told
                return False
            raise WorkspaceError(
                f"{path} cannot be opened ({error.strerror}). Without it two processes might "
                "renew one token at once, so nothing was sent.",
                hint="See to who may write there, and to room on the disk.",
            ) from error
        return True


def lock_of(folder: Path, slug: ClientSlug) -> Path:
    """Return the lock that whoever renews a client's token holds meanwhile."""
    return folder / f"{slug}.lock"


def _refuse_another_portal(connection: Connection, issued: Issued) -> None:
    if issued.portal_id not in (None, connection.portal_id):
        raise PortalMismatch(expected=connection.portal_id, got=issued.portal_id)


def _explain(connection: Connection, error: HsAgencyError) -> None:
    """Say what it means to the call that waited for a token."""
    if isinstance(error, PortalUnreachable | UnexpectedAnswer):
        error.message = (
            f"{connection.portal}: there is no access token that HubSpot accepts, and another "
            f"could not be had. {error.message} The call was not carried out."
        )
