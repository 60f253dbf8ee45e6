"""One attempt to connect a portal, from the address that is opened to what is stored."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, Self

from hsagency.agency import Agency
from hsagency.audit.record import Event
from hsagency.connecting.asking import Asking, Brought, registered
from hsagency.connecting.listening import Listener
from hsagency.connecting.preflight import Preflight, preflight
from hsagency.connecting.replacing import Connected
from hsagency.connecting.trading import Found, Trade
from hsagency.errors import ConnectingError, ConsentDenied, ConsentTimedOut, HsAgencyError
from hsagency.hosts import parse_api_base
from hsagency.portals import AGENCY, ConnectionType, PortalId, redact
from hsagency.secret import Secret

PATIENCE: Final = 300.0
"""Seconds that a person has on HubSpot's page, unless said."""

Confirm = Callable[[Found], "str | None"]
"""Asked whether an account is the right one: the slug to keep it under, or nothing for no."""


def start(
    agency: Agency,
    *,
    api: str = "",
    client: str | None = None,
    portal: PortalId | int | None = None,
    connection_type: ConnectionType | None = None,
    again: bool = False,
    listen: bool = True,
) -> Attempt:
    """
    Check what must be so, listen for the browser, and return the attempt; nothing is asked yet.

    `portal` is the account to expect, `connection_type` config_and_audit unless said. With
    `again` the client is connected already: its portal is expected, and its type stays unless
    one is named. Without `listen` an answer only comes by `Attempt.take`. Raises `NotReady`
    with everything that is in the way.
    """
    asked = preflight(
        agency,
        api=api,
        client=client,
        portal=PortalId(portal) if portal is not None else None,
        connection_type=connection_type,
        again=again,
        listen=listen,
    )
    asked.check()
    return Attempt(agency, asked, api=parse_api_base(api), listen=listen)


def finish(
    attempt: Attempt,
    *,
    seconds: float = PATIENCE,
    confirm: Confirm = lambda found: found.slug,
    waiting: Callable[[float], object] = lambda left: None,
) -> Connected:
    """
    Wait for the browser, have the account confirmed, store it, and stop listening.

    `waiting` hears several times a second how many seconds are left. Whatever is raised, nothing
    was connected, and what a person authorised was given back where nobody lives by it:
    `ConsentDenied`, `ConsentTimedOut`, another `ConnectingError`, `AppMisconfigured`, `Conflict`.
    """
    with attempt:
        ends = time.monotonic() + seconds
        while not attempt.came():
            left = ends - time.monotonic()
            if left <= 0:
                raise attempt.late(seconds)
            waiting(left)
            attempt.came(min(_TICK, left))
        found = attempt.found()
        slug = confirm(found)
        if slug is None:
            raise attempt.declined()
        return attempt.store(found, slug=slug)


_TICK: Final = 0.2


class Attempt:
    """One question to a person, and what came of it; use it as a context manager, or close it."""

    def __init__(
        self,
        agency: Agency,
        asked: Preflight,
        *,
        api: str,
        listen: bool,
    ) -> None:
        before = asked.before
        app = asked.app
        assert app is not None  # noqa: S101  (without one, the preflight failed)
        self.preflight = asked
        self._agency, self._over = agency, False
        self.ended = ""
        """How it ended, once it was given up."""
        api = before.api_base if before else api
        self._trade = Trade(agency, asked, api=api, portal=asked.portal)
        facts = before.facts if before else {}
        domain = facts.get("ui_domain")
        optional = registered(app, [one.name for one in asked.wanted])
        self._asking = Asking(
            app=app,
            scope=app.required,
            optional_scope=tuple(one for one in optional if one not in app.required),
            portal_id=asked.portal,
            ui_domain=str(domain.value) if domain else None,
        )
        self._note("Began to ask for a portal over OAuth")
        self._listener = Listener(
            app.port if listen else None, read=self._asking.read, leads_to=self.url
        )

    @property
    def url(self) -> str:
        """
        The address of HubSpot's page, for this attempt alone.

        Whoever sees it can answer in a person's place: a browser of this machine, whose arguments
        other users can read, is given `door`.
        """
        return self._asking.url

    @property
    def door(self) -> str:
        """An address of this machine that leads a browser to HubSpot's page, once."""
        return self._listener.door

    @property
    def address(self) -> str:
        """A short one for the screen, that leads there as often as it is opened."""
        return self._listener.address

    def came(self, seconds: float = 0.0) -> bool:
        """Wait at most so long for the browser's answer, and say whether there is one."""
        return self._listener.came(seconds)

    def take(self, address: Secret | str) -> None:
        """
        Take the address that the browser was led to, whole or what is behind its question mark.

        Raises `ConnectingError` for what is no answer to this attempt, which goes on waiting.
        """
        given = address if isinstance(address, Secret) else Secret(address)
        self._listener.take(self._asking.read_address(given))

    def found(self) -> Found:
        """
        Trade what came for tokens, and return whose account it is; nothing is stored.

        Raises `ConsentDenied`, or another error that says what is wrong and what became of what
        was authorised.
        """
        brought = self._listener.brought
        if brought is None:
            raise ConnectingError("No answer has come yet. Nothing was connected.", hint="Wait.")
        try:
            return self._trade.trade(_code(brought), verifier=self._asking.verifier)
        except BaseException as error:
            self._failed(error)
            raise

    def check_slug(self, slug: str) -> None:
        """Raise `UsageError` for a slug under which what was found cannot be kept."""
        self._trade.check_slug(slug)

    def store(self, found: Found, *, slug: str | None = None) -> Connected:
        """
        Keep what was found, under another slug if one is named, and tell the page.

        A slug that cannot be used raises `UsageError`, and another can be tried; with `Conflict`
        somebody else was first. What is stored is read back first, as onboarding does.
        """
        self._trade.check_slug(slug)
        try:
            done = self._trade.store(found, slug)
        except BaseException as error:
            self._failed(error)
            raise
        self._over = True
        self._listener.say(_DONE, done.said().removeprefix(f"{_DONE} "), good=True)
        return done

    def late(self, seconds: float) -> ConsentTimedOut:
        """Return what to raise where nobody came back; the attempt is over."""
        took = f"{seconds / 60:.0f} minutes" if seconds >= 120 else f"{seconds:.0f} seconds"
        error = ConsentTimedOut(
            f"Nobody came back from HubSpot's page within {took}. Nothing was connected.",
            hint="It may have been closed, or a pop-up blocker kept it shut. Begin again; where no "
            "browser reaches this machine, add --no-browser and paste the address.",
        )
        self._failed(error)
        return error

    def declined(self) -> ConsentDenied:
        """Return what to raise where a person says that this is not the account; it is over."""
        error = ConsentDenied(
            "You said that this is not the account. Nothing was connected.",
            hint="Begin again, and pick the right one on HubSpot's page.",
        )
        self._failed(error)
        return error

    def give_up(self, why: str = "It was given up") -> str:
        """
        End the attempt, give back what was authorised, and return what became of it.

        What is stored by then stays, and is named.
        """
        self._over = True
        kept = self._trade.kept()
        if kept is not None:
            self._listener.say(_DONE, f"{kept.portal} is connected.", good=True)
            self.ended = f"{why}, but {kept.portal} is connected: that was finished."
            return self.ended
        became = self._trade.give_back()
        said = f"{why}. Nothing was connected. {became}".strip()
        self._note(f"Ended without a connection: {said}")
        self._listener.say(_NOT_DONE, said.replace(f" {_NOT_DONE}.", ""), good=False)
        self.ended = said
        return said

    def close(self) -> None:
        """Stop listening; what was authorised and is not stored is given back."""
        try:
            if not self._over:
                self.give_up()
        finally:
            self._listener.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and issubclass(kind, KeyboardInterrupt) and not self._over:
            self.give_up("Interrupted")
        self.close()

    def _failed(self, error: BaseException) -> None:
        """Give back what was authorised, say so in the error, and tell the page."""
        if not isinstance(error, HsAgencyError):
            return  # an interruption: `close` sees to what was stored and what was not
        self._over = True
        became = self._trade.give_back()
        nothing = "" if "othing was" in error.message else "Nothing was connected."
        error.message = " ".join(one for one in (error.message, nothing, became) if one)
        self._note(f"Ended without a connection: {error.message}")
        said = error.message.replace(f" {_NOT_DONE}.", "")
        self._listener.say(_NOT_DONE, redact(f"{said}\n{error.hint}"), good=False)

    def _note(self, message: str) -> None:
        """Put it on record in the agency's own log, so that every attempt can be found."""
        slug = self.preflight.client
        whose = f" as {slug}" if slug and not message.startswith("Ended") else ""
        fields = {"event": Event.CONNECTION_JUDGING, "message": redact(f"{message}{whose}.")}
        self._agency.writer.append(AGENCY, fields)


_DONE: Final = "Connected"
_NOT_DONE: Final = "Nothing was connected"


def _code(brought: Brought) -> Secret:
    """Return the code that came, or raise why there is none."""
    if brought.code is not None:
        return brought.code
    if brought.error == "access_denied":
        raise ConsentDenied(
            "On HubSpot's page somebody said no. Nothing was connected.",
            hint="If that was not meant, begin again and choose Connect app there.",
        )
    raise ConnectingError(
        f"HubSpot's page ended with {brought.error}. Nothing was connected.",
        hint="Begin again; if it stays so, see what the app registered: hsagency connect --setup",
    )
