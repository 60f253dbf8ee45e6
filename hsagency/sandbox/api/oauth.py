"""
The OAuth endpoints of an app, and the uninstall call (facts 1.7).

What an endpoint does with a token that nobody knows, or that is another app's, is an assumption
unless a test says otherwise: the documents describe only the good case.
"""

from __future__ import annotations

import base64
import hashlib
from datetime import datetime, timedelta

from hsagency.sandbox.api.authorize import authorize_routes
from hsagency.sandbox.call import Call
from hsagency.sandbox.contents.people import people
from hsagency.sandbox.contents.state import PortalState
from hsagency.sandbox.desk import FORM, DeskRoute, OwnToken, Visit
from hsagency.sandbox.oauth.apps import App, is_secret_of
from hsagency.sandbox.oauth.grants import (
    ACCESS_SECONDS,
    Grant,
    OAuthError,
    access_token,
    grants,
    remove_app,
)
from hsagency.sandbox.oauth.installing import exchange
from hsagency.sandbox.portals import Credential
from hsagency.sandbox.routes import DATED, Endpoint, Outcome, Route, routes_at
from hsagency.sandbox.wire import ApiError, JsonObject, Reply, not_found

# What an app may do for itself, without any portal (facts 6).
OWN_SCOPES = frozenset(
    {
        "developer.webhooks_journal.read",
        "developer.webhooks_journal.subscriptions.read",
        "developer.webhooks_journal.subscriptions.write",
    }
)


def token(visit: Visit) -> Reply:
    """Trade a code, a refresh token or the app's own credentials for an access token."""
    app = _app(visit)
    if visit.given("grant_type") == "client_credentials":
        return _own_token(visit, app)
    trades = {
        "authorization_code": (_exchange, "BAD_AUTH_CODE"),
        "refresh_token": (_refresh, "BAD_REFRESH_TOKEN"),
    }
    if visit.given("grant_type") not in trades:
        raise OAuthError("BAD_GRANT_TYPE")
    trade, unknown = trades[visit.given("grant_type")]
    state = visit.state
    if state is None:
        raise OAuthError(unknown)
    if state.portal.suspended is not None:
        # That a suspended portal is refused in these words is an assumption.
        raise OAuthError("BAD_HUB")
    grant = trade(visit, state, app)
    credential = grants(state).access(grant, scopes=_scopes(visit, grant), now=visit.now)
    visit.desk.bind(grant.token, state)
    visit.desk.hand_out(credential, state)
    return visit.json(_issued(visit, state, credential, refresh_token=grant.token))


def introspect(visit: Visit) -> Reply:
    """Say what a token is; one that is no more, or is another app's, is only not active."""
    app, text = _app(visit), visit.given("token")
    own = visit.desk.own_tokens.get(text)
    if own is not None:
        return visit.json(_own_shown(own, text, visit) if own.app is app else {"active": False})
    if visit.state is None:
        return visit.json({"active": False})
    credential = visit.state.access_tokens.get(text)
    if credential is not None:
        if credential.app_id != app.app_id or not credential.live(visit.now):
            return visit.json({"active": False})
        return visit.json(_access_shown(app, visit.state, credential, visit.now))
    grant = grants(visit.state).find(text)
    if grant is None or grant.app is not app:
        return visit.json({"active": False})
    shown = {"active": True, "token": text, "token_type": "bearer", "token_use": "refresh_token"}
    about = _about(visit.state, user_id=grant.user_id, scopes=grant.scopes)
    return visit.json(shown | _of(app) | about)


def revoke(visit: Visit) -> Reply:
    """
    End a refresh token; an access token that was issued lives to its end.

    One that is unknown is as good as revoked, as in RFC 7009: an assumption.
    """
    app, text = _app(visit), visit.given("token")
    if visit.state is not None:
        grant = grants(visit.state).find(text)
        if grant is not None and grant.app is app:
            grants(visit.state).revoke(text)
    return visit.empty(200)


def access_token_info(visit: Visit) -> Reply:
    """Answer the old lookup of an access token, which knew no static ones (facts 1.5)."""
    text = visit.values["token"]
    credential = visit.state.access_tokens.get(text) if visit.state else None
    if visit.state is None or credential is None or not credential.live(visit.now):
        raise not_found("The access token is unknown or expired")
    about = _about(visit.state, user_id=credential.user_id, scopes=credential.scopes)
    return visit.json(
        {
            "token": text,
            **about,
            "app_id": credential.app_id,
            "expires_in": _seconds_left(credential, visit.now),
            "token_type": "access",
        }
    )


def refresh_token_info(visit: Visit) -> Reply:
    """Answer the old lookup of a refresh token."""
    state, grant = _found(visit)
    about = _about(state, user_id=grant.user_id, scopes=grant.scopes)
    more = {"client_id": grant.app.client_id, "token_type": "refresh"}
    return visit.json({"token": grant.token, **about, **more})


def drop_refresh_token(visit: Visit) -> Reply:
    """Answer the old way to end a refresh token."""
    state, grant = _found(visit)
    grants(state).revoke(grant.token)
    return visit.empty(204)


def uninstall(call: Call) -> Outcome:
    """Take the calling app out of the portal; static credentials belong to no such app."""
    install = grants(call.state).installs.get(call.credential.app_id)
    if call.credential.kind != "oauth" or install is None:
        raise ApiError(403, "Only an OAuth app can uninstall itself.")
    remove_app(install.app, call.state, now=call.now)
    return 204, None


def oauth_routes() -> list[Route]:
    """Return the routes of this module."""
    current = (*DATED, "v3")
    at_desk: list[Route] = [
        DeskRoute(template, {}, door="desk", answers={"POST": answer})
        for template, answer in (
            *((f"/oauth/{version}/token", token) for version in (*current, "v1")),
            *((f"/oauth/{version}/token/introspect", introspect) for version in current),
            *((f"/oauth/{version}/token/revoke", revoke) for version in current),
            # A shorter form that some callers use; that it works is an assumption.
            ("/oauth/v3/introspect", introspect),
        )
    ]
    for template, answers in (
        ("/oauth/v1/access-tokens/{token}", {"GET": access_token_info}),
        (
            "/oauth/v1/refresh-tokens/{token}",
            {"GET": refresh_token_info, "DELETE": drop_refresh_token},
        ),
    ):
        at_desk.append(DeskRoute(template, {}, door="desk", answers=answers))
    gone = routes_at(
        "/appinstalls/v3",
        "/appinstalls/{dated}",
        tails={"/external-install": {"DELETE": Endpoint(uninstall, ("oauth",))}},
        dated=("2026-09",),
    )
    return [*at_desk, *authorize_routes(), *gone]


def _app(visit: Visit) -> App:
    """Return the app that says who it is and can prove it."""
    kind = visit.request.headers.get("content-type", "")
    if visit.request.body and kind.partition(";")[0].strip().lower() != FORM:
        raise ApiError(415, "HTTP 415 Unsupported Media Type")
    app = visit.desk.apps.find(visit.given("client_id"))
    if app is None:
        raise OAuthError("BAD_CLIENT_ID")
    if not is_secret_of(app, visit.given("client_secret")):
        raise OAuthError("BAD_CLIENT_SECRET")
    return app


def _exchange(visit: Visit, state: PortalState, app: App) -> Grant:
    return exchange(
        visit.given("code"),
        app=app,
        state=state,
        redirect_uri=visit.given("redirect_uri"),
        verifier=visit.given("code_verifier"),
        now=visit.now,
    )


def _refresh(visit: Visit, state: PortalState, app: App) -> Grant:
    held, text = grants(state), visit.given("refresh_token")
    found = held.find(text)
    if found is not None and not found.scopes.issuperset(visit.given("scope").split()):
        raise OAuthError("BAD_SCOPES")
    return held.refresh(text, app=app, rotate=visit.desk.rotates)


def _scopes(visit: Visit, grant: Grant) -> frozenset[str]:
    """Return what the access token may do: less, if the app asked for less."""
    asked = frozenset(visit.given("scope").split())
    return (asked | {"oauth"}) & grant.scopes if asked else grant.scopes


def _issued(
    visit: Visit, state: PortalState, credential: Credential, *, refresh_token: str
) -> JsonObject:
    answer: JsonObject = {
        "access_token": credential.token,
        "expires_in": ACCESS_SECONDS,
        "refresh_token": refresh_token,
        "token_type": "bearer",
    }
    if visit.route.version == "v1":
        return answer
    return answer | {
        "token_use": "access_token",
        "hub_id": state.portal.portal_id,
        "scopes": sorted(credential.scopes),
        "user_id": credential.user_id,
    }


def _own_token(visit: Visit, app: App) -> Reply:
    """Issue a token that acts for the app alone."""
    asked = frozenset(visit.given("scope").split())
    if not asked or not asked <= OWN_SCOPES:
        raise OAuthError("BAD_SCOPES")
    text = access_token(visit.book.rng)
    ends = visit.now + timedelta(seconds=ACCESS_SECONDS)
    visit.desk.own_tokens[text] = OwnToken(app, asked, ends)
    return visit.json(
        {
            "access_token": text,
            "expires_in": ACCESS_SECONDS,
            "token_type": "bearer",
            "token_use": "client_credentials",
            "scopes": sorted(asked),
        }
    )


def _own_shown(own: OwnToken, text: str, visit: Visit) -> JsonObject:
    if visit.now >= own.ends:
        return {"active": False}
    use = {"token_type": "bearer", "token_use": "client_credentials"}
    left = {"expires_in": int((own.ends - visit.now).total_seconds())}
    scopes = {"scopes": sorted(own.scopes)}
    return {"active": True, "token": text} | use | _of(own.app) | scopes | left


def _access_shown(
    app: App, state: PortalState, credential: Credential, now: datetime
) -> JsonObject:
    return {
        "active": True,
        "token": credential.token,
        "token_type": "bearer",
        "token_use": "access_token",
        **_of(app),
        **_about(state, user_id=credential.user_id, scopes=credential.scopes),
        "expires_in": _seconds_left(credential, now),
        "is_private_distribution": credential.distribution == "private",
        "signed_access_token": _signed(app, state, credential),
    }


def _signed(app: App, state: PortalState, credential: Credential) -> JsonObject:
    """Return the inside of a token; the signature is as secret as the token, and as random."""
    install = grants(state).installs[app.app_id]
    ends = credential.expires_at
    digest = hashlib.sha256(f"signed {credential.token}".encode()).digest()
    return {
        "hubId": state.portal.portal_id,
        "hublet": state.portal.hublet,
        "userId": credential.user_id,
        "appId": app.app_id,
        "appInstallId": install.number,
        "installingUserId": credential.user_id,
        "expiresAt": int(ends.timestamp() * 1000) if ends else 0,
        "isUserLevel": False,
        "isServiceAccount": False,
        "isPrivateDistribution": credential.distribution == "private",
        "scopes": ",".join(sorted(credential.scopes)),
        "signature": base64.b64encode(digest).decode(),
    }


def _of(app: App) -> JsonObject:
    return {"app_id": app.app_id, "client_id": app.client_id}


def _about(state: PortalState, *, user_id: int, scopes: frozenset[str]) -> JsonObject:
    """Say whose token it is; `hub_domain` is where the customer's website is, not its name."""
    person = next(one for one in people(state.portal, seed=state.seed) if one.user_id == user_id)
    return {
        "hub_id": state.portal.portal_id,
        "hub_domain": f"{state.portal.client_slug}.example",
        "user": person.email,
        "user_id": user_id,
        "scopes": sorted(scopes),
    }


def _found(visit: Visit) -> tuple[PortalState, Grant]:
    """Return the refresh token in the path and its portal."""
    grant = grants(visit.state).find(visit.values["token"]) if visit.state else None
    if visit.state is None or grant is None:
        raise not_found("The refresh token is unknown or revoked")
    return visit.state, grant


def _seconds_left(credential: Credential, now: datetime) -> int:
    return int((credential.expires_at - now).total_seconds()) if credential.expires_at else 0
