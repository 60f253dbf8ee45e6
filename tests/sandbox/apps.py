"""An OAuth app, as its developer and the person in front of the browser act."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import httpx

from hsagency.sandbox import Sandbox
from hsagency.sandbox.oauth.apps import App

CALLBACK = "http://localhost:8085/callback"
READ = "crm.objects.contacts.read"
CUSTOM = "crm.objects.custom.read"
TOKEN = "/oauth/2026-09/token"
INTROSPECT = "/oauth/2026-09/token/introspect"
REVOKE = "/oauth/2026-09/token/revoke"
UNINSTALL = "/appinstalls/2026-09/external-install"
MODERN = ("/oauth/2026-09/token", "/oauth/2026-03/token", "/oauth/v3/token")
VERIFIER = "a-verifier-of-at-least-forty-three-characters-0123"
CHALLENGE = (
    base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
)


_ERRORS = {
    "BAD_AUTH_CODE": "invalid_grant",
    "BAD_CLIENT_ID": "invalid_client",
    "BAD_CLIENT_SECRET": "invalid_client",
    "BAD_CODE_VERIFIER": "invalid_grant",
    "BAD_GRANT_TYPE": "unsupported_grant_type",
    "BAD_HUB": "access_denied",
    "BAD_REDIRECT_URI": "invalid_grant",
    "BAD_REFRESH_TOKEN": "invalid_grant",
    "BAD_SCOPES": "invalid_scope",
    "EXPIRED_AUTH_CODE": "invalid_grant",
}


@dataclass
class Developer:
    """One app and a client that sends no token of its own."""

    app: App
    client: httpx.Client
    sandbox: Sandbox
    scope: str = f"oauth {READ}"

    def link(self, path: str = "/oauth/authorize", **changes: str | None) -> str:
        params: dict[str, str | None] = {
            "client_id": self.app.client_id,
            "redirect_uri": CALLBACK,
            "scope": self.scope,
            "state": "s-1",
        }
        kept = {name: value for name, value in (params | changes).items() if value is not None}
        return f"{path}?{urlencode(kept, quote_via=quote)}"

    def decide(self, portal: int | None = 0, *, decision: str = "connect", **changes: str | None):
        """Answer the consent page for a portal of the fleet."""
        form = {"decision": decision}
        if portal is not None:
            form["portalId"] = str(self.sandbox.portals[portal].portal_id)
        return self.client.post(self.link(**changes), data=form)

    def code(self, portal: int = 0, **changes: str | None) -> str:
        return answered(self.decide(portal, **changes))["code"]

    def post(self, path: str = TOKEN, **form: str | None) -> httpx.Response:
        known = {"client_id": self.app.client_id, "client_secret": self.app.client_secret}
        return self.client.post(
            path, data={key: value for key, value in (known | form).items() if value is not None}
        )

    def exchange(self, code: str, *, path: str = TOKEN, **form: str | None) -> httpx.Response:
        known = {"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK}
        return self.post(path, **(known | form))

    def refresh(self, token: str, *, path: str = TOKEN, **form: str | None) -> httpx.Response:
        return self.post(path, **({"grant_type": "refresh_token", "refresh_token": token} | form))

    def install(self, portal: int = 0, **changes: str | None) -> dict[str, Any]:
        answer = self.exchange(self.code(portal, **changes))
        assert answer.status_code == 200, answer.text
        return answer.json()

    def call(self, token: str, path: str = "/crm/v3/objects/contacts") -> httpx.Response:
        return self.client.get(path, headers={"authorization": f"Bearer {token}"})


def planner(
    sandbox: Sandbox, connect: Callable[[Sandbox, str | None], httpx.Client], **how: Any
) -> Developer:
    """Register an app, which asks to read contacts and may read more."""
    app = sandbox.register_app(
        "Planner", redirect_uris=[CALLBACK], required=[READ], optional=[CUSTOM, "forms"], **how
    )
    return Developer(app, connect(sandbox, None), sandbox)


def refused(answer: httpx.Response, marker: str) -> None:
    """Check the whole body of a refusal: HubSpot's fields and those of RFC 6749 (facts 4.2)."""
    assert answer.status_code == 400
    body = answer.json()
    assert body.keys() == {"error", "error_description", "status", "message"}
    assert body["status"] == marker
    assert body["error"] == _ERRORS[marker]
    assert body["message"] == body["error_description"] != ""


def answered(response: httpx.Response) -> dict[str, str]:
    """Read what the browser carries back to the app."""
    assert response.status_code == 302, response.text
    where = urlsplit(response.headers["location"])
    assert f"{where.scheme}://{where.netloc}{where.path}" == CALLBACK
    return {name: values[0] for name, values in parse_qs(where.query).items()}
