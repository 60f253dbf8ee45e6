"""How an app gets into a portal, with a browser or without: what keeps it out, code, token."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from hsagency.sandbox.contents.activity import Activity
from hsagency.sandbox.contents.people import people
from hsagency.sandbox.contents.state import PortalState
from hsagency.sandbox.oauth.apps import App
from hsagency.sandbox.oauth.grants import CODE_SECONDS, Challenge, Code, Grant, grants
from hsagency.sandbox.oauth.permissions import out_of_reach


@dataclass(frozen=True, slots=True)
class Terms:
    """What an app asks for when it sends somebody to the consent page."""

    app: App
    redirect_uri: str
    required: frozenset[str]
    optional: frozenset[str]
    challenge: Challenge | None = None


@dataclass(frozen=True, slots=True)
class Tokens:
    """What an app has of a portal once it is installed."""

    portal_id: int
    app_id: int
    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    scopes: frozenset[str]
    expires_at: datetime


def obstacle(terms: Terms, state: PortalState) -> str:
    """Say what keeps a portal from having the app."""
    portal, app = state.portal, terms.app
    lacking = out_of_reach(terms.required, portal.tier)
    if portal.suspended is not None:
        return f"{portal.name} is suspended."
    if lacking:
        names = ", ".join(sorted(lacking))
        return f"{portal.name} cannot grant what {app.name} needs: {names}."
    if not app.installs.room_for(portal.portal_id):
        return f"{app.name} is in as many accounts as it may be: {app.installs.cap}."
    return ""


def consent(terms: Terms, state: PortalState, *, now: datetime) -> str:
    """Return the code of a portal's first user, who lets the app in; the portal's lock is held."""
    wanted = terms.required | terms.optional
    code = Code(
        app=terms.app,
        user_id=people(state.portal, seed=state.seed)[0].user_id,
        redirect_uri=terms.redirect_uri,
        scopes=wanted - out_of_reach(wanted, state.portal.tier),
        challenge=terms.challenge,
        ends=now + timedelta(seconds=CODE_SECONDS),
    )
    return grants(state).offer(code)


def exchange(
    code: str, *, app: App, state: PortalState, redirect_uri: str, verifier: str, now: datetime
) -> Grant:
    """Trade a code for a refresh token; the first one of an app is an event in the portal."""
    held = grants(state)
    known = app.app_id in held.installs
    grant = held.exchange(code, app=app, redirect_uri=redirect_uri, verifier=verifier, now=now)
    if not known:
        log, number = state.part(Activity), str(app.app_id)
        log.note("INSTALL_INTEGRATION", at=now, user_id=grant.user_id, object_id=number)
    return grant
