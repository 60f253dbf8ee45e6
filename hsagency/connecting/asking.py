"""
What one attempt asks HubSpot's page for, and what may come back to it.

The state is random and of this attempt alone; the code that comes with it is of no use without
the verifier, which never leaves this process but to HubSpot's token endpoint.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from hsagency.auth import OAuthApp
from hsagency.auth.apps import CALLBACK
from hsagency.data import table
from hsagency.errors import ConnectingError
from hsagency.portals import PortalId, plain_word
from hsagency.secret import Secret

_CODE_MAX: Final = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """One question to a person: what for, and the two secrets that bind the answer to it."""

    app: OAuthApp
    scope: tuple[str, ...]
    optional_scope: tuple[str, ...]
    portal_id: PortalId | None = None
    ui_domain: str | None = None
    state: Secret = field(default_factory=lambda: Secret(secrets.token_urlsafe(32)))
    verifier: Secret = field(default_factory=lambda: Secret(secrets.token_urlsafe(64)))

    @property
    def url(self) -> str:
        """The address of HubSpot's page for this attempt."""
        digest = hashlib.sha256(self.verifier.reveal().encode()).digest()
        asked = {
            "client_id": self.app.client_id,
            "redirect_uri": self.app.redirect_uri,
            "scope": " ".join(self.scope),
            "optional_scope": " ".join(self.optional_scope),
            "state": self.state.reveal(),
            "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
        }
        given = {name: value for name, value in asked.items() if value}
        return f"{self._page()}?{urlencode(given, quote_via=quote)}"

    def _page(self) -> str:
        rules, paths = table("oauth")["authorize"], table("oauth")["paths"]
        path = str(paths["authorize"])
        host = str(rules["host"])
        # What stands in a fact chooses among HubSpot's own hosts, and nothing else.
        if self.portal_id and self.ui_domain and re.fullmatch(rules["regional"], self.ui_domain):
            host = self.ui_domain
            path = path.replace("/oauth/", f"/oauth/{self.portal_id}/", 1)
        return f"{self.app.api_base or f'https://{host}'}{path}"

    def read(self, query: Secret) -> Brought:
        """
        Return what the browser brought; raises `Forged` for what is no answer to this attempt.

        An answer that is one and holds nothing of use raises too: another may still come.
        """
        return _taken(self._judged(query.reveal()))

    def read_address(self, address: Secret) -> Brought:
        """Return what a pasted address holds, whole or only what is behind its question mark."""
        return _taken(self._found_in(address.reveal().strip()))

    def _found_in(self, text: str) -> Brought | str:
        try:
            parts = urlsplit(text)
            port = parts.port
        except ValueError:
            return "This is no address. It was not used."
        if parts.scheme not in ("http", "https"):
            return self._judged(text.removeprefix("?"))
        if (parts.hostname, port, parts.path) != ("localhost", self.app.port, CALLBACK):
            return "This is not the address to which HubSpot's page leads. It was not used."
        return self._judged(parts.query)

    def _judged(self, query: str) -> Brought | str:
        """Return what a query brings, or why it brings nothing."""
        found = _once(query)
        given = found.get("state", "").encode("utf-8", "surrogatepass")
        if not hmac.compare_digest(given, self.state.reveal().encode()):
            return "This answer does not belong to this attempt. It was not used."
        error, code = found.get("error"), found.get("code")
        if error:
            return Brought(error=plain_word(error) or "an error without a name")
        if not code or len(code) > _CODE_MAX or not code.isprintable():
            return "This answer of HubSpot's holds no code. It was not used."
        return Brought(code=Secret(code))


def _taken(judged: Brought | str) -> Brought:
    """Raise why there is nothing: here, where no frame holds what was told."""
    if isinstance(judged, str):
        raise Forged(judged)
    return judged


class Forged(ConnectingError):
    """What came is no answer to this attempt, which goes on waiting for one."""

    hint = (
        "Copy the whole address out of the browser's address bar, as it is after HubSpot's page: "
        f"http://localhost:PORT{CALLBACK}?code=...&state=..."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Brought:
    """What the browser brought back: a code, or the word HubSpot has for why there is none."""

    code: Secret | None = None
    error: str = ""


def registered(app: OAuthApp, names: Iterable[str]) -> tuple[str, ...]:
    """Return those scopes that the app registered: with any other, HubSpot's page blocks all."""
    known = {*app.required, *app.optional}
    return tuple(one for one in names if one in known)


def _once(query: str) -> dict[str, str]:
    """Return the fields of a query; one that stands twice is none."""
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=20, errors="strict")
    except ValueError:
        return {}
    found = dict(pairs)
    return {name: value for name, value in found.items() if [n for n, _ in pairs].count(name) == 1}
