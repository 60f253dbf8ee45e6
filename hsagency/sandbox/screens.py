"""
What people do in HubSpot's own screens, for which HubSpot has no API (facts 1.4).

Credentials are made, revealed, rotated and ended here, users leave, portals change. Each step
leaves the trace in the portal's security history that HubSpot leaves (facts 1.3 and 1.4).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from difflib import get_close_matches
from typing import Any, Literal, TypeAlias, Unpack

from hsagency.errors import SandboxError
from hsagency.sandbox.altering import Changes, demand_changes
from hsagency.sandbox.clock import Clock
from hsagency.sandbox.contents.activity import Activity
from hsagency.sandbox.contents.people import people
from hsagency.sandbox.contents.state import PortalState
from hsagency.sandbox.limits import Usage
from hsagency.sandbox.others import CALLS_MAX, Others, Shape
from hsagency.sandbox.portals import FULL_SCOPES, Credential, Kind, Portal, granted, make_token

_Deed: TypeAlias = Literal["make", "rotate", "end", "view", "scopes"]

# How long "rotate and expire later" leaves the old token alive.
GRACE = 7 * 86_400.0
# A year; HubSpot's own choice is now or seven days.
EXPIRE_MAX = 366 * 86_400.0
PRIVATE_APPS_MAX = 20
# No document names an event for what becomes of a static app's token.
_TRACES: dict[tuple[Kind, _Deed], str] = {
    ("private_app", "make"): "PRIVATE_APP_ACCESS_TOKEN_CREATE",
    ("private_app", "rotate"): "PRIVATE_APP_ACCESS_TOKEN_ROTATE",
    ("private_app", "end"): "PRIVATE_APP_ACCESS_TOKEN_DEACTIVATE",
    ("private_app", "view"): "PRIVATE_APP_ACCESS_TOKEN_VIEW",
    ("private_app", "scopes"): "PRIVATE_APP_SCOPE_GROUPS_UPDATE",
    ("service_key", "make"): "SERVICE_KEY_CREATE",
    ("service_key", "rotate"): "SERVICE_KEY_ROTATE",
    ("service_key", "end"): "SERVICE_KEY_DEACTIVATE",
    ("service_key", "view"): "SERVICE_KEY_REVEAL",
    ("service_key", "scopes"): "SERVICE_KEY_PERMISSIONS_UPDATE",
    ("static_app", "make"): "INSTALL_INTEGRATION",
    ("static_app", "end"): "UNINSTALL_INTEGRATION",
}


class Screens:
    """
    The portals of a sandbox as people change them.

    A portal is named by its id or its client slug. Where a credential is meant and no `app_id`
    given, it is the portal's newest one.
    """

    def __init__(self, states: Iterable[PortalState], *, clock: Clock) -> None:
        self._clock = clock
        self._states = {state.portal.portal_id: state for state in states}
        self._by_token = {
            credential.token: state
            for state in self._states.values()
            for credential in state.portal.credentials
        }

    @property
    def clock(self) -> Clock:
        """The sandbox's own time, which can be moved."""
        return self._clock

    def portal(self, which: int | str) -> Portal:
        """Return one portal of the fleet, or the spare one, by portal id or client slug."""
        return self._owned(which).portal

    def issue(
        self, portal: int | str, *, kind: Kind = "private_app", scopes: Iterable[str] | None = None
    ) -> Credential:
        """
        Add another app's credential; it has a burst limit of its own.

        Without `scopes` it may do everything. `kind` is private_app, of which a portal may have
        twenty, service_key or static_app. OAuth tokens are not made here but by installing an
        app: `register_app`, then `install`.
        """
        state, allowed = self._owned(portal), granted(FULL_SCOPES if scopes is None else scopes)
        with state.lock:
            self._demand_room(state, kind)
            made = self._add(
                state,
                Credential(
                    token=make_token(state.portal.hublet, state.rng),
                    kind=kind,
                    app_id=state.rng.randrange(1_000_000, 9_999_999),
                    user_id=self._admin(state, state.portal.credential.user_id),
                    scopes=allowed,
                ),
            )
            self._trace(state, made, "make")
            return made

    def reveal(self, portal: int | str, *, app_id: int | None = None) -> str:
        """Show a token again, which the security history tells."""
        state = self._owned(portal)
        with state.lock:
            held = _held(state, app_id)
            self._trace(state, held, "view")
            return held.token

    def revoke(self, portal: int | str, *, app_id: int | None = None) -> None:
        """Make a credential invalid from now on."""
        state = self._owned(portal)
        with state.lock:
            held = _held(state, app_id)
            _change(state, held, expires_at=self._clock.now())
            self._trace(state, held, "end")

    def rotate(
        self,
        portal: int | str,
        *,
        later: bool = False,
        expire_in: float | None = None,
        app_id: int | None = None,
    ) -> Credential:
        """
        Give a credential a new token; the old one ends at once.

        With `later` it lives for seven more days, with `expire_in` for so many seconds. What a
        rotation before this one left alive ends at once: an assumption, but one that leaves
        nobody with a token who rotated to be rid of it.
        """
        seconds = expire_in if expire_in is not None else GRACE if later else 0.0
        if not 0 <= seconds <= EXPIRE_MAX:
            raise SandboxError(f"A token cannot live on for {seconds} seconds; it was kept.")
        state = self._owned(portal)
        with state.lock:
            now, old = self._clock.now(), _held(state, app_id)
            for held in state.portal.credentials:
                if held.app_id == old.app_id:
                    ends = now + timedelta(seconds=seconds) if held is old else now
                    # what was to end sooner, or is dead already, does not come back to life
                    _change(state, held, expires_at=min(ends, held.expires_at or ends))
            token = make_token(state.portal.hublet, state.rng)
            user_id = self._admin(state, old.user_id)
            fresh = replace(old, token=token, user_id=user_id, expires_at=None)
            self._trace(state, fresh, "rotate")
            return self._add(state, fresh)

    def expire_now(self, portal: int | str, *, app_id: int | None = None) -> None:
        """End the old token of a rotation before its time."""
        state = self._owned(portal)
        with state.lock:
            old = self._outgoing(state, _held(state, app_id))
            _change(state, old, expires_at=self._clock.now())
            self._trace(state, old, "end")

    def cancel_rotation(self, portal: int | str, *, app_id: int | None = None) -> Credential:
        """
        Keep the old token of a rotation after all; the new one ends at once.

        Which of the two stays is an assumption: the documents only say that one may cancel.
        """
        state = self._owned(portal)
        with state.lock:
            fresh = _held(state, app_id)
            old = self._outgoing(state, fresh)
            kept = replace(old, expires_at=None)
            # they change places: the one that counts is always the app's newest
            swapped = {old.token: replace(fresh, expires_at=self._clock.now()), fresh.token: kept}
            credentials = (swapped.get(held.token, held) for held in state.portal.credentials)
            state.portal = replace(state.portal, credentials=tuple(credentials))
            self._trace(state, fresh, "end")
            return kept

    def set_scopes(
        self, portal: int | str, scopes: Iterable[str], *, app_id: int | None = None
    ) -> None:
        """Change what an app's tokens may do, those in use too; `oauth` always stays."""
        state, allowed = self._owned(portal), granted(scopes)
        with state.lock:
            app = _held(state, app_id)
            for held in state.portal.credentials:
                if held.app_id == app.app_id:
                    _change(state, held, scopes=allowed)
            self._trace(state, app, "scopes")

    def suspend(self, portal: int | str, *, status: int = 403) -> None:
        """
        Make the portal refuse every call, that for its account information too.

        Nobody has published what a suspended portal answers: `status` is 401, with the body of
        an unknown token, or 403.
        """
        if status not in (401, 403):
            raise SandboxError(f"A suspended portal answers 401 or 403, not {status}.")
        self._set(portal, suspended=status)

    def unsuspend(self, portal: int | str) -> None:
        """Let a suspended portal answer again."""
        self._set(portal, suspended=None)

    def remove_user(self, portal: int | str, user_id: int | None = None) -> int:
        """
        Make a user leave; without `user_id`, whoever made the newest credential.

        Private apps of theirs fail until their token is rotated or the user is back. Service
        keys and static apps survive.
        """
        state = self._owned(portal)
        with state.lock:
            leaver = state.portal.credential.user_id if user_id is None else user_id
            if leaver in state.portal.leavers:
                raise SandboxError(f"User {leaver} has left portal {portal} already.")
            state.portal = replace(state.portal, leavers=state.portal.leavers | {leaver})
            self._note(state, "REMOVE_USER", object_id=str(leaver))
            return leaver

    def restore_user(self, portal: int | str, user_id: int) -> None:
        """Take a user back."""
        state = self._owned(portal)
        with state.lock:
            if user_id not in state.portal.leavers:
                raise SandboxError(f"User {user_id} has not left portal {portal}.")
            state.portal = replace(state.portal, leavers=state.portal.leavers - {user_id})
            self._note(state, "REACTIVATE_USER", object_id=str(user_id))

    def alter(self, portal: int | str, **changes: Unpack[Changes]) -> Portal:
        """
        Rename a portal, or change what it is, has bought or says of itself.

        With another `hublet` it moves: tokens made until now then answer 488 on every host but
        that of its new data centre (facts 1.8).
        """
        demand_changes(changes)
        return self._set(portal, **changes)

    def note(
        self,
        portal: int | str,
        event: str,
        *,
        user_id: int | None = None,
        object_id: str | None = None,
    ) -> None:
        """
        Enter an event in the security history, such as `SERVICE_KEY_AUTO_ROTATE`.

        HubSpot's list of types is open (facts 1.3): any name will do. Without `user_id` it was
        an administrator.
        """
        if not event.isidentifier():
            raise SandboxError(f"{event!r} is no name of an event; nothing was noted.")
        state = self._owned(portal)
        with state.lock:
            self._note(state, event, object_id=object_id, user_id=user_id)

    def spend(self, portal: int | str, calls: int, *, kind: Kind = "private_app") -> None:
        """Use up calls of the portal's day, as other apps on the same portal would."""
        if not 0 <= calls <= CALLS_MAX:
            raise SandboxError(
                "So many calls cannot be spent; nothing was counted.",
                hint=f"Calls: 0 to {CALLS_MAX:,}.",
            )
        state = self._owned(portal)
        with state.lock:
            now = self._clock.now()
            state.meter.day.remaining(now, now.timestamp())  # begins a new day first
            state.meter.day.take(kind, calls, theirs=True)

    def others(
        self,
        portal: int | str,
        *,
        calls_per_day: int,
        kind: Kind = "private_app",
        shape: Shape = "office",
    ) -> None:
        """
        Let other apps use the portal too, today and every day; no calls a day stop them.

        They count for the day as ours do, are in no ledger, and are refused when it is used up.
        """
        state = self._owned(portal)
        seed = f"{state.seed}/{state.portal.portal_id}/others"
        traffic = Others(calls_per_day, kind=kind, shape=shape, seed=seed)
        with state.lock:
            state.meter.day.share(traffic, self._clock.now())

    def usage(self, portal: int | str) -> Usage:
        """Return the portal's day so far, our calls and those of others."""
        state = self._owned(portal)
        with state.lock:
            return state.meter.day.usage(self._clock.now())

    def _set(self, portal: int | str, **changes: Any) -> Portal:
        state = self._owned(portal)
        with state.lock:
            state.portal = replace(state.portal, **changes)
            state.meter.suit(state.portal, self._clock.now())
            return state.portal

    def _owned(self, portal: int | str) -> PortalState:
        if isinstance(portal, int):
            found = self._states.get(portal)
        else:
            owned = self._states.values()
            found = next((state for state in owned if state.portal.client_slug == portal), None)
        if found is None:
            portals = [state.portal for state in self._states.values()]
            names = [str(name) for one in portals for name in (one.client_slug, one.portal_id)]
            near = ", ".join(get_close_matches(str(portal), names))
            hint = f"Close to it: {near}." if near else ""
            raise SandboxError(f"The sandbox has no portal {portal!r}.", hint=hint)
        return found

    def _add(self, state: PortalState, credential: Credential) -> Credential:
        state.portal = replace(state.portal, credentials=(*state.portal.credentials, credential))
        self._by_token[credential.token] = state
        return credential

    def _admin(self, state: PortalState, user_id: int) -> int:
        """Return this user, or another one where they have left."""
        if user_id not in state.portal.leavers:
            return user_id
        staff = (person.user_id for person in people(state.portal, seed=state.seed))
        return next((here for here in staff if here not in state.portal.leavers), user_id)

    def _outgoing(self, state: PortalState, fresh: Credential) -> Credential:
        """Return the token that a rotation left alive."""
        for held in reversed(state.portal.credentials):
            if held.app_id == fresh.app_id and held.token != fresh.token:
                if held.live(self._clock.now()):
                    return held
                break
        raise SandboxError(
            f"No rotation is under way in portal {state.portal.portal_id}; nothing was changed.",
            hint="Rotate with `later` first; after seven days it is over.",
        )

    def _demand_room(self, state: PortalState, kind: Kind) -> None:
        if kind not in ("private_app", "service_key", "static_app"):
            raise SandboxError(
                f"A credential of the kind {kind!r} cannot be issued; nothing was made.",
                hint="Issue a private_app, service_key or static_app; install an app for OAuth.",
            )
        now = self._clock.now()
        apps = {
            held.app_id
            for held in state.portal.credentials
            if held.kind == "private_app" and held.live(now)
        }
        if kind == "private_app" and len(apps) >= PRIVATE_APPS_MAX:
            raise SandboxError(
                f"Portal {state.portal.portal_id} has {len(apps)} private apps, which is as many "
                "as HubSpot allows; no other was made.",
                hint="Revoke one, or issue a service key.",
            )

    def _trace(self, state: PortalState, credential: Credential, deed: _Deed) -> None:
        type_ = _TRACES.get((credential.kind, deed))
        if type_ is not None:
            self._note(state, type_, object_id=str(credential.app_id))

    def _note(
        self, state: PortalState, type_: str, *, object_id: str | None, user_id: int | None = None
    ) -> None:
        by = user_id or self._admin(state, state.portal.founder)
        state.part(Activity).note(type_, at=self._clock.now(), user_id=by, object_id=object_id)


def _held(state: PortalState, app_id: int | None) -> Credential:
    """Return the newest credential of the portal, or of one of its apps."""
    for held in reversed(state.portal.credentials):
        if app_id in (None, held.app_id):
            return held
    raise SandboxError(f"Portal {state.portal.portal_id} has no app {app_id}.")


def _change(state: PortalState, credential: Credential, **changes: Any) -> None:
    """Change one credential in its place."""
    credentials = tuple(
        replace(held, **changes) if held.token == credential.token else held
        for held in state.portal.credentials
    )
    state.portal = replace(state.portal, credentials=credentials)
