"""
What must be so before a person is sent to HubSpot's page, all of it found out at once.

Some of it only the person can see to: those are told, and not judged.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Final

from hsagency.agency import Agency
from hsagency.auth import OAuthApp
from hsagency.connecting.asking import registered
from hsagency.connecting.listening import check_port
from hsagency.errors import ConnectingError, HsAgencyError, NoOAuthApp, UsageError
from hsagency.fleet.listing import Slots, slots
from hsagency.hosts import parse_api_base
from hsagency.index import Snapshot
from hsagency.onboarding.limits import exceeds, full
from hsagency.onboarding.rows import client_slug
from hsagency.portals import (
    ClientSlug,
    Connection,
    ConnectionType,
    CredentialKind,
    PortalId,
    Tombstone,
    unknown_client,
)
from hsagency.scopes import Wanted, wanted
from hsagency.words import counted, listed

YOURS: Final = (
    "You are a Super Admin of the account, or may install apps and have every permission that "
    "is asked for.",
    "The account is not linked under another client here, nor in another workspace that is "
    "still in use.",
    "The browser lets this page open: a pop-up blocker may swallow it.",
)
"""What only the person at the browser can see to."""

_NEAR: Final = 0.8  # of the installs that an app may have
_FEW: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """One thing that must be so, what was found, and what to do where it is not."""

    name: str
    met: bool
    said: str
    hint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Installs:
    """How many accounts have our app as far as this workspace knows, and how many may."""

    used: int
    most: int
    why: str

    cure: ClassVar[str] = (
        "Uninstall it in HubSpot from accounts that are no longer yours to serve; an app of a "
        "Solutions Partner, or one listed in HubSpot's marketplace, may be in more."
    )

    @property
    def shortage(self) -> str:
        """What to say where the end is near, else nothing."""
        left = self.most - self.used
        if self.used < self.most * _NEAR and left > _FEW:
            return ""
        room = counted(left, "more account") if left > 0 else "no other account"
        return f"HubSpot will let the app into {room}: {self.used} of {self.most} have it ({self.why})."

    @property
    def warning(self) -> str:
        """The same with what to do."""
        return f"{self.shortage} {self.cure}" if self.shortage else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preflight:
    """Everything that was found before the browser opens."""

    connection_type: ConnectionType
    wanted: tuple[Wanted, ...]
    requirements: tuple[Requirement, ...]
    slots: Slots
    app: OAuthApp | None = None
    installs: Installs | None = None
    client: ClientSlug | None = None
    portal: PortalId | None = None
    """The portal that must be picked: the named one, or that of a client which is or was here."""
    before: Connection | None = None
    """The connection that is to be connected again, if it is one."""

    @property
    def failing(self) -> tuple[Requirement, ...]:
        """What is not as it must be."""
        return tuple(one for one in self.requirements if not one.met)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know, though nothing keeps them from going on."""
        said = [self.installs.warning] if self.installs else []
        if self.app is not None:
            names = [one.name for one in self.wanted]
            left_out = sorted({*names} - {*registered(self.app, names)})
            if left_out:
                said.append(
                    f"The app did not register {listed(left_out)}, so that nobody is asked for it. "
                    "To register it: hsagency connect --setup, then upload the app again."
                )
        return tuple(one for one in said if one)

    def check(self) -> None:
        """Raise `NotReady` with everything that fails."""
        if self.failing:
            raise NotReady(self)


class NotReady(ConnectingError):
    """Something must be seen to before anybody is asked; `failing` has all of it."""

    def __init__(self, preflight: Preflight) -> None:
        self.failing = preflight.failing
        if len(self.failing) == 1:
            (one,) = self.failing
            super().__init__(f"{one.said} Nothing was asked.", hint=one.hint)
            return
        each = " ".join(
            f"({number}) {one.said} {one.hint}".rstrip()
            for number, one in enumerate(self.failing, start=1)
        )
        super().__init__(
            f"{len(self.failing)} things must be seen to first, and nothing was asked: {each}",
            hint="",
        )


def preflight(
    agency: Agency,
    *,
    api: str = "",
    client: str | None = None,
    portal: PortalId | None = None,
    connection_type: ConnectionType | None = None,
    again: bool = False,
    listen: bool = True,
) -> Preflight:
    """
    Find out whether a portal can be connected now; asks HubSpot nothing.

    With `again` the client is one that is connected already. Raises `UsageError` for an `api`
    that is no sandbox's; what else is wrong is among the requirements.
    """
    found = _Found(agency.index.read(), parse_api_base(api), portal, again=again)
    settings = agency.workspace.settings
    found.ask("halt", agency.halt.check, "The fleet is not halted.")
    found.ask("client", lambda: found.name(client), "The slug can be used.")
    api = found.before.api_base if found.before else found.api
    chosen = connection_type or found.type_before() or ConnectionType.CONFIG_AND_AUDIT
    apps: list[OAuthApp] = []
    found.ask("app", lambda: apps.append(agency.apps.read(api)), "The OAuth app is set up.")
    app = apps[0] if apps else None
    if app is not None:
        found.ask("scopes", lambda: _check_scopes(app, chosen), "The app registered its scopes.")
        if listen:
            found.ask("port", lambda: check_port(app.port), f"Port {app.port} is free.")
    room = slots(settings, found.known)
    if not again:
        found.ask("portal", found.check_portal, "The portal is not connected yet.")
        found.ask("slots", lambda: _check_slots(room), "The fleet has a free slot.")
    return Preflight(
        connection_type=chosen,
        wanted=wanted(chosen),
        requirements=tuple(found.requirements),
        slots=room,
        app=app,
        installs=installs(app, found.known) if app else None,
        client=found.client,
        portal=found.portal,
        before=found.before,
    )


class _Found:
    """Collects what was found, one requirement after another."""

    def __init__(self, known: Snapshot, api: str, portal: PortalId | None, *, again: bool) -> None:
        self.known, self.api, self.portal, self.again = known, api, portal, again
        self.requirements: list[Requirement] = []
        self.client: ClientSlug | None = None
        self.before: Connection | None = None

    def type_before(self) -> ConnectionType | None:
        """Return the type that the client has, or had until it was removed."""
        if self.before is not None:
            return self.before.connection_type
        stone = self.known.tombstones.get(self.client) if self.client is not None else None
        return stone.connection_type if stone is not None else None

    def ask(self, name: str, check: Callable[[], object], met: str) -> None:
        try:
            check()
        except NoOAuthApp as error:
            said = error.message.removesuffix(" Nothing was asked.")
            self._fails(name, said, error.hint)
        except HsAgencyError as error:
            self._fails(name, _without_end(error.message), error.hint)
        else:
            self.requirements.append(Requirement(name=name, met=True, said=met))

    def _fails(self, name: str, said: str, hint: str) -> None:
        self.requirements.append(Requirement(name=name, met=False, said=said, hint=hint))

    def name(self, given: str | None) -> None:
        if given is None:
            return
        slug = self.client = client_slug(given)
        there, stone = self.known.connections.get(slug), self.known.tombstones.get(slug)
        if self.again:
            self._take(slug, there)
        elif there is not None:
            raise UsageError(
                f"{slug} is connected already, to portal {there.portal_id}.",
                hint=f"To connect it again: hsagency reconnect {slug}. Else choose another slug.",
            )
        elif stone is not None and stone.pending is not None:
            raise UsageError(
                f"The removal of {slug} is not finished.",
                hint=f"Finish it first: hsagency remove {slug}",
            )
        elif stone is not None and self.portal not in (None, stone.portal_id):
            raise UsageError(
                f"{slug} was portal {stone.portal_id} until it was removed, and its log goes on "
                "under that slug.",
                hint="Choose another slug for the other portal.",
            )
        elif stone is not None:
            self.portal = stone.portal_id

    def _take(self, slug: ClientSlug, there: Connection | None) -> None:
        if there is None:
            raise unknown_client([slug], self.known.connections)
        if self.api not in ("", there.api_base):
            raise UsageError(
                f"{slug} is connected through {there.api_base or 'HubSpot'}, not {self.api}.",
                hint="A sandbox's connection is never turned into HubSpot's: leave --api out.",
            )
        if self.portal not in (None, there.portal_id):
            raise UsageError(
                f"{slug} is connected to portal {there.portal_id}, not to {self.portal}.",
                hint="Connect the other portal under a slug of its own: hsagency connect",
            )
        self.before, self.portal = there, there.portal_id

    def check_portal(self) -> None:
        for slug, one in self.known.connections.items():
            if one.portal_id == self.portal and slug != self.client:
                raise UsageError(
                    f"Portal {self.portal} is connected already, as {slug}.",
                    hint=f"To connect it again: hsagency reconnect {slug}",
                )


def installs(app: OAuthApp, known: Snapshot) -> Installs:
    """Count the accounts that have an app: the connected ones, and removed ones that kept it."""
    most, why = app.cap
    # Revoking alone leaves the app in the account, where it goes on being counted.
    stones = [one for one in known.tombstones.values() if not one.uninstalled]
    held: list[Connection | Tombstone] = [*known.connections.values(), *stones]
    portals = {
        one.portal_id
        for one in held
        if one.kind is CredentialKind.OAUTH and one.api_base == app.api_base
    }
    return Installs(used=len(portals), most=most, why=why)


def _check_scopes(app: OAuthApp, kind: ConnectionType) -> None:
    needed = [one.name for one in wanted(kind) if one.required]
    lacking = sorted({*needed} - {*registered(app, needed)})
    if lacking:
        raise UsageError(
            f"The app did not register what {kind} needs: {listed(lacking)}.",
            hint="Run hsagency connect --setup again, and upload the app to HubSpot.",
        )


def _check_slots(room: Slots) -> None:
    if exceeds(room, 1):
        said, hint = full(room, 1)
        raise UsageError(f"{said[:1].upper()}{said[1:]}.", hint=hint)


def _without_end(message: str) -> str:
    """Leave out what was not done: that is said once for all of it."""
    for end in (" Nothing was sent.", " Nothing was asked.", " Nothing was done."):
        message = message.removesuffix(end)
    return message
