"""
The page that asks for consent, and what follows from the answer (facts 6).

Nobody is sent to an address that was not registered: until the app and its address are known,
whatever is wrong is said on a page.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote, urlencode

from hsagency.sandbox.contents.state import PortalState
from hsagency.sandbox.desk import DeskRoute, Visit
from hsagency.sandbox.envelopes import named
from hsagency.sandbox.oauth.apps import App
from hsagency.sandbox.oauth.consent import Consent, notice, shown
from hsagency.sandbox.oauth.grants import Challenge
from hsagency.sandbox.oauth.installing import Terms, consent, obstacle
from hsagency.sandbox.portals import Portal
from hsagency.sandbox.routes import Route
from hsagency.sandbox.wire import Reply, Request

_CHALLENGE = re.compile(r"[A-Za-z0-9._~-]{43,128}")
_METHODS = ("S256", "plain")
# What a browser says of a form that was sent from this very page, or by hand.
_OWN_SITE = (None, "same-origin", "none")
_DENIED = "The user canceled the authorization"


class Blocked(Exception):
    """What is asked for cannot be: said on a page."""

    def __init__(self, status: int, title: str, message: str) -> None:
        super().__init__(message)
        self.status, self.title, self.message = status, title, message


@dataclass(frozen=True, slots=True)
class Asked:
    """What an app asks for, found to be in order."""

    terms: Terms
    accounts: Sequence[Portal]
    state: str | None

    def page(self, visit: Visit, *, status: int = 200, problem: str = "") -> Reply:
        """Ask."""
        only = self.accounts[0].portal_id if len(self.accounts) == 1 else None
        chosen = visit.state.portal.portal_id if visit.state else only
        terms = self.terms
        form = Consent(
            terms.app.name, terms.redirect_uri, self.accounts, terms.required, terms.optional
        )
        page = form.page(chosen=chosen, problem=problem)
        return shown(status, page, id_=visit.id_, leads_to=terms.redirect_uri)

    def back(self, visit: Visit, **answer: str) -> Reply:
        """Send the browser back to the app."""
        if self.state is not None:
            answer["state"] = self.state
        joint = "&" if "?" in self.terms.redirect_uri else "?"
        where = f"{self.terms.redirect_uri}{joint}{urlencode(answer, quote_via=quote)}"
        headers = (
            ("Location", where),
            named(visit.id_),
            ("Cache-Control", "no-store"),
            ("Referrer-Policy", "no-referrer"),
        )
        return Reply(302, headers=headers)


def ask(visit: Visit) -> Reply:
    """Show the page."""
    try:
        return _asked(visit).page(visit)
    except Blocked as blocked:
        return _said(visit, blocked)


def decide(visit: Visit) -> Reply:
    """Do what the person decided."""
    try:
        return _decided(visit, _asked(visit))
    except Blocked as blocked:
        return _said(visit, blocked)


def _decided(visit: Visit, asked: Asked) -> Reply:
    if not _from_own_site(visit.request):
        raise Blocked(403, "This form came from elsewhere", "Nothing was connected.")
    decision = visit.form.get("decision")
    if decision == "cancel":
        return _cancelled(visit, asked)
    if decision != "connect":
        return asked.page(visit, status=400, problem="Choose Connect app or Cancel.")
    state = _chosen(visit, asked)
    if state is None:
        return asked.page(visit, status=400, problem="Choose an account first.")
    problem = obstacle(asked.terms, state)
    if problem:
        return asked.page(visit, status=403, problem=problem)
    return _connected(visit, asked, state)


def _from_own_site(request: Request) -> bool:
    """Whether a form was sent from this very page, or by no browser; a page tells no address."""
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site not in _OWN_SITE:
        return False
    if origin == "null":  # what a browser says that was told to send no referrer
        return site == "same-origin"
    return origin is None or origin.partition("://")[2] == request.headers.get("host")


def authorize_routes() -> list[Route]:
    """Return the routes of this module."""
    answers = {"GET": ask, "POST": decide}
    return [
        DeskRoute(template, {}, door="desk", answers=answers)
        for template in ("/oauth/authorize", "/oauth/{portalId}/authorize")
    ]


def _asked(visit: Visit) -> Asked:
    request = visit.request
    app = visit.desk.apps.find(request.param("client_id") or "")
    if app is None:
        raise Blocked(400, "Unknown app", "No app has this client_id. Nothing was connected.")
    redirect_uri = request.param("redirect_uri") or ""
    if redirect_uri not in app.redirect_uris:
        raise Blocked(
            400,
            "Redirect URL does not match",
            f"The redirect_uri of this link is not registered for {app.name}. "
            "It must be the same to the letter. Nothing was connected.",
        )
    required = frozenset((request.param("scope") or "").split()) | {"oauth"}
    optional = frozenset((request.param("optional_scope") or "").split()) - required
    _check_scopes(app, required, optional)
    return Asked(
        terms=Terms(app, redirect_uri, required, optional, _challenge(visit)),
        accounts=_accounts(visit),
        state=request.param("state"),
    )


def _check_scopes(app: App, required: frozenset[str], optional: frozenset[str]) -> None:
    """Refuse a link that leaves out what the app needs, or asks for what it never registered."""
    missing = app.required - required
    unknown = (required | optional) - app.required - app.optional
    if missing:
        said = f"{app.name} needs these scopes, and the link does not ask for them"
    elif unknown:
        said = f"{app.name} did not register these scopes"
    else:
        return
    names = ", ".join(sorted(missing or unknown))
    raise Blocked(400, "Scopes do not match", f"{said}: {names}. Nothing was connected.")


def _accounts(visit: Visit) -> Sequence[Portal]:
    if "portalId" not in visit.values:
        return tuple(state.portal for state in visit.desk.fleet)
    if visit.state is None or str(visit.state.portal.portal_id) != visit.values["portalId"]:
        raise Blocked(404, "Unknown account", "You have no account with this number.")
    return (visit.state.portal,)


def _challenge(visit: Visit) -> Challenge | None:
    value, method = (visit.request.param(f"code_challenge{end}") for end in ("", "_method"))
    if value is None and method is None:
        return None
    if method not in (None, *_METHODS) or not _CHALLENGE.fullmatch(value or ""):
        raise Blocked(400, "Code challenge not understood", "Nothing was connected.")
    return Challenge(value or "", method or "plain")


def _chosen(visit: Visit, asked: Asked) -> PortalState | None:
    """Return the account that was picked, if it is one of those on the page."""
    picked = visit.form.get("portalId")
    state = visit.state
    offered = {str(portal.portal_id) for portal in asked.accounts}
    if state is None or picked not in offered or str(state.portal.portal_id) != picked:
        return None
    return state


def _connected(visit: Visit, asked: Asked, state: PortalState) -> Reply:
    text = consent(asked.terms, state, now=visit.now)
    visit.desk.bind(text, state)
    return asked.back(visit, code=text)


def _cancelled(visit: Visit, asked: Asked) -> Reply:
    if visit.desk.tells:
        return asked.back(visit, error="access_denied", error_description=_DENIED)
    page = notice(
        "Nothing was connected", f"You can close this page and go back to {asked.terms.app.name}."
    )
    return shown(200, page, id_=visit.id_)


def _said(visit: Visit, blocked: Blocked) -> Reply:
    return shown(blocked.status, notice(blocked.title, blocked.message), id_=visit.id_)
