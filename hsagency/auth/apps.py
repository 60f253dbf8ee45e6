"""Our own OAuth app, as HubSpot knows it: one per workspace, and one for a sandbox."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Final
from urllib.parse import urlsplit

import orjson

from hsagency.auth.authorisation import is_token
from hsagency.credentials import CredentialStore, SecretName
from hsagency.data import table
from hsagency.errors import CredentialMissing, NoOAuthApp, StoreUnreadable, UsageError
from hsagency.portals import AGENCY
from hsagency.secret import Secret

CALLBACK: Final = "/oauth/callback"
_SCHEMA: Final = 1


class Distribution(StrEnum):
    """How HubSpot lets others install an app (facts 3.1)."""

    PRIVATE = "private"
    MARKETPLACE = "marketplace"


@dataclass(frozen=True, slots=True, kw_only=True)
class OAuthApp:
    """
    An OAuth app.

    `required` and `optional` are the scopes that it registered. `partner` says whether its
    owner is a Solutions Partner, whose apps may have more portals.
    """

    client_id: str
    client_secret: Secret
    redirect_uri: str
    required: tuple[str, ...]
    optional: tuple[str, ...]
    distribution: Distribution = Distribution.PRIVATE
    partner: bool = False
    api_base: str = ""

    @property
    def port(self) -> int:
        """The port on this machine to which HubSpot's page sends the browser back."""
        return urlsplit(self.redirect_uri).port or 80

    @property
    def cap(self) -> tuple[int, str]:
        """How many portals may install it, and why (facts 3.1)."""
        for row in table("oauth")["cap"]:
            if (row["distribution"], row["partner"]) == (self.distribution, self.partner):
                return row["most"], row["why"]
        raise AssertionError("every app has a cap")


class Apps:
    """Keeps the apps of a workspace in its credential store."""

    def __init__(self, *, store: Callable[[], CredentialStore], workspace: str) -> None:
        self._store, self._workspace = store, workspace

    def read(self, api_base: str) -> OAuthApp:
        """Return the app for HubSpot, or for one sandbox; raises `NoOAuthApp`."""
        app = self.find(api_base)
        if app is None:
            hint = f"Set one up: hsagency connect --setup --api {api_base}"
            others = [one for one in map(self._kept, _CAPABILITIES) if one is not None]
            known = " ".join(_elsewhere(one) for one in others)
            raise NoOAuthApp(
                f"No OAuth app is set up for {_at(api_base)}. Nothing was asked.",
                hint=f"{known} {hint if api_base else NoOAuthApp.hint}".strip(),
            )
        return app

    def find(self, api_base: str) -> OAuthApp | None:
        """Return the app for HubSpot, or for one sandbox, if it is set up."""
        app = self._kept(_capability(api_base))
        return app if app is not None and app.api_base == api_base else None

    def _kept(self, capability: str) -> OAuthApp | None:
        try:
            return _parse(self._store().get(self._name(capability)))
        except CredentialMissing:
            return None

    def keep(self, app: OAuthApp) -> None:
        """Keep an app in place of the one before; raises as a store's `put` does."""
        _check_redirect(app.redirect_uri)
        kept = _written(app)
        if kept is None:
            raise UsageError(
                "A client id and a client secret are printable text without spaces. Nothing was "
                "stored.",
                hint="Copy them again from HubSpot > Development > Projects, the app's Auth tab.",
            )
        self._store().put(self._name(_capability(app.api_base)), kept)

    def _name(self, capability: str) -> SecretName:
        return SecretName(self._workspace, AGENCY, 1, capability)


# A sandbox's app never takes the place of HubSpot's.
_CAPABILITIES: Final = ("oauth-app", "oauth-app-sandbox")


def _capability(api_base: str) -> str:
    return _CAPABILITIES[bool(api_base)]


def _at(api_base: str) -> str:
    return f"the sandbox at {api_base}" if api_base else "HubSpot"


def _elsewhere(app: OAuthApp) -> str:
    """Say of an app for which address it is set up, and how that is named."""
    how = f"add --api {app.api_base}" if app.api_base else "leave --api out"
    return f"One is set up for {_at(app.api_base)}: to use it, {how}."


def _written(app: OAuthApp) -> Secret | None:
    """Return what the store is to keep: made here, so that no error's frame holds the secret."""
    if not (is_token(app.client_id) and is_token(app.client_secret.reveal())):
        return None
    content: dict[str, Any] = asdict(app) | {
        "schema": _SCHEMA,
        "client_secret": app.client_secret.reveal(),
    }
    return Secret(orjson.dumps(content).decode())


def _read(kept: Secret) -> OAuthApp:
    content = orjson.loads(kept.reveal())
    if content.pop("schema") != _SCHEMA:
        raise ValueError("of a later schema")
    texts = (content["client_id"], content["redirect_uri"], content["api_base"])
    scopes = (*content["required"], *content["optional"])
    if not all(isinstance(one, str) for one in (*texts, *scopes)):
        raise ValueError("not text")
    if not is_token(content["client_secret"]):
        raise ValueError("no secret")
    return OAuthApp(
        **content
        | {
            "client_secret": Secret(content["client_secret"]),
            "required": tuple(content["required"]),
            "optional": tuple(content["optional"]),
            "distribution": Distribution(content["distribution"]),
            "partner": content["partner"] is True,
        }
    )


def _parse(kept: Secret) -> OAuthApp:
    try:
        return _read(kept)
    except (ValueError, LookupError, TypeError, AttributeError):
        pass
    raise StoreUnreadable(  # outside: the error above would bring the secret along
        "What the store keeps as the OAuth app is not one. It was not used.",
        hint="A later hsagency may have written it; otherwise: hsagency connect --setup",
    )


def _check_redirect(uri: str) -> None:
    """Refuse a redirect URL at which no program of this machine could listen (facts 6)."""
    try:
        parts = urlsplit(uri)
        fits = parts.port is not None and parts.port >= 1024
    except ValueError:
        fits = False
    if not fits or uri != f"http://localhost:{parts.port}{CALLBACK}":
        raise UsageError(
            "The redirect URL is not one at which this machine can listen. Nothing was stored.",
            hint=f"It is http://localhost:PORT{CALLBACK}, with a port from 1024 to 65535.",
        )
