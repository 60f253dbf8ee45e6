"""What the people of one portal granted to apps: codes, refresh tokens and access tokens."""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from random import Random
from uuid import UUID

from hsagency.sandbox.contents.activity import Activity
from hsagency.sandbox.contents.state import PortalState
from hsagency.sandbox.oauth.apps import App
from hsagency.sandbox.portals import Credential
from hsagency.sandbox.wire import ApiError, JsonObject

ACCESS_SECONDS = 1800
# HubSpot does not say how long a code lives; others have seen minutes.
CODE_SECONDS = 300
# HubSpot's words for what it refuses, and the words of RFC 6749 (facts 4.2).
_REFUSALS = {
    "BAD_AUTH_CODE": ("invalid_grant", "missing or unknown auth code"),
    "BAD_CLIENT_ID": ("invalid_client", "missing or unknown client id"),
    "BAD_CLIENT_SECRET": ("invalid_client", "missing or invalid client secret"),
    "BAD_CODE_VERIFIER": ("invalid_grant", "missing or invalid code verifier"),
    "BAD_GRANT_TYPE": ("unsupported_grant_type", "missing or unknown grant type"),
    "BAD_HUB": ("access_denied", "missing or unknown hub id"),
    "BAD_REDIRECT_URI": ("invalid_grant", "missing or invalid redirect uri"),
    "BAD_REFRESH_TOKEN": ("invalid_grant", "refresh token is invalid, expired or revoked"),
    "BAD_SCOPES": ("invalid_scope", "missing or invalid scopes"),
    "EXPIRED_AUTH_CODE": ("invalid_grant", "auth code is expired"),
}


class OAuthError(ApiError):
    """A refusal of the OAuth endpoints, whose body is theirs alone."""

    def __init__(self, marker: str) -> None:
        self.marker = marker
        self.error, message = _REFUSALS[marker]
        super().__init__(400, message)

    def envelope(self, correlation_id: str) -> JsonObject:
        """Return the body, which names no correlation id."""
        del correlation_id
        return {
            "error": self.error,
            "error_description": self.message,
            "status": self.marker,
            "message": self.message,
        }


@dataclass(frozen=True, slots=True)
class Challenge:
    """What an app sent ahead so that only it can use its code (RFC 7636)."""

    value: str = field(repr=False)
    method: str

    def is_met_by(self, verifier: str) -> bool:
        """Whether this is the verifier that the challenge was made from."""
        if self.method == "S256":
            digest = hashlib.sha256(verifier.encode()).digest()
            verifier = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        return hmac.compare_digest(verifier.encode(), self.value.encode())


@dataclass(frozen=True, slots=True)
class Code:
    """What the browser carries from the consent page to the app."""

    app: App
    user_id: int
    redirect_uri: str
    scopes: frozenset[str]
    challenge: Challenge | None
    ends: datetime


@dataclass(frozen=True, slots=True)
class Grant:
    """A refresh token."""

    token: str = field(repr=False)
    app: App
    user_id: int
    scopes: frozenset[str]


@dataclass(frozen=True, slots=True)
class Install:
    """An app in a portal."""

    app: App
    number: int


class Grants:
    """The apps in one portal; whoever uses it holds the portal's lock."""

    def __init__(self, state: PortalState) -> None:
        self._state = state
        self._codes: dict[str, Code] = {}
        self._grants: dict[str, Grant] = {}
        self._homeless: set[str] = set()
        # By app id.
        self.installs: dict[int, Install] = {}

    def offer(self, code: Code) -> str:
        """Keep a code until it is used."""
        text = str(UUID(int=self._state.rng.getrandbits(128), version=4))
        self._codes[text] = code
        return text

    def exchange(
        self, text: str, *, app: App, redirect_uri: str, verifier: str, now: datetime
    ) -> Grant:
        """
        Turn a code into a refresh token, which installs the app; a code works once.

        A code that comes with the wrong address or verifier is not used up: the documents do
        not say, and a second try is how a developer finds the mistake.
        """
        code = self._codes.get(text)
        if code is None or code.app is not app:
            raise OAuthError("BAD_AUTH_CODE")
        if now >= code.ends:
            raise OAuthError("EXPIRED_AUTH_CODE")
        if redirect_uri != code.redirect_uri:
            raise OAuthError("BAD_REDIRECT_URI")
        if code.challenge is not None and not code.challenge.is_met_by(verifier):
            raise OAuthError("BAD_CODE_VERIFIER")
        if not app.installs.add(self._state.portal.portal_id):
            raise OAuthError("BAD_HUB")
        del self._codes[text]
        number = self._state.rng.randrange(1_000_000, 9_999_999)
        self.installs.setdefault(app.app_id, Install(app, number))
        grant = Grant(self._new_refresh_token(), app, code.user_id, code.scopes)
        self._grants[grant.token] = grant
        return grant

    def find(self, refresh_token: str) -> Grant | None:
        """Return what a refresh token stands for, while it does."""
        return self._grants.get(refresh_token)

    def refresh(self, refresh_token: str, *, app: App, rotate: bool) -> Grant:
        """Return the grant of a refresh token; with `rotate` it gets a new one and loses this."""
        if refresh_token in self._homeless:
            raise OAuthError("BAD_HUB")
        grant = self._grants.get(refresh_token)
        if grant is None or grant.app is not app:
            raise OAuthError("BAD_REFRESH_TOKEN")
        if not rotate:
            return grant
        self.revoke(refresh_token)
        fresh = replace(grant, token=self._new_refresh_token())
        self._grants[fresh.token] = fresh
        return fresh

    def revoke(self, refresh_token: str) -> bool:
        """Forget a refresh token; access tokens made with it live to their end (facts 1.7)."""
        return self._grants.pop(refresh_token, None) is not None

    def access(self, grant: Grant, *, scopes: frozenset[str], now: datetime) -> Credential:
        """Make an access token."""
        credential = Credential(
            token=access_token(self._state.rng),
            kind="oauth",
            app_id=grant.app.app_id,
            user_id=grant.user_id,
            scopes=scopes,
            expires_at=now + timedelta(seconds=ACCESS_SECONDS),
            distribution=grant.app.distribution,
        )
        self._state.access_tokens[credential.token] = credential
        return credential

    def uninstall(self, app: App, *, hub_gone: bool = False) -> bool:
        """
        Take an app out of the portal, or say that it was not in it.

        Its refresh tokens fail from now on: as unknown, or with `hub_gone` because the portal
        is, which others have seen too. That its access tokens end at once is an assumption.
        """
        if self.installs.pop(app.app_id, None) is None:
            return False
        gone = {token for token, grant in self._grants.items() if grant.app is app}
        for token in gone:
            del self._grants[token]
        if hub_gone:
            self._homeless |= gone
        self._codes = {text: code for text, code in self._codes.items() if code.app is not app}
        for token, held in self._state.access_tokens.items():
            if held.app_id == app.app_id:
                self._state.access_tokens[token] = replace(held, revoked=True)
        app.installs.remove(self._state.portal.portal_id)
        return True

    def _new_refresh_token(self) -> str:
        number = UUID(int=self._state.rng.getrandbits(128), version=4)
        return f"{self._state.portal.hublet}-{number}"


def access_token(rng: Random) -> str:
    """Return an opaque text; HubSpot's vary in size, and 512 characters is the most (facts 1.7)."""
    content = rng.randbytes(rng.randrange(150, 383))
    return f"C{base64.urlsafe_b64encode(content).rstrip(b'=').decode()}"


def grants(state: PortalState) -> Grants:
    """Return what a portal granted; its lock is held."""
    return state.part(Grants)


def remove_app(app: App, state: PortalState, *, now: datetime, hub_gone: bool = False) -> bool:
    """Take an app out of a portal, whose lock is held, and note it there."""
    if not grants(state).uninstall(app, hub_gone=hub_gone):
        return False
    state.part(Activity).note("UNINSTALL_INTEGRATION", at=now, object_id=str(app.app_id))
    return True
