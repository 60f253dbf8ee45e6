"""
The control calls about OAuth apps.

    GET    apps             who is registered, in how many portals; no secrets
    POST   apps             {"name": ..., "redirectUris": [...], "required": [...]}; also optional,
                            distribution, partner, listed, appId, clientId and clientSecret.
                            Answers the secret, this once
    POST   apps/uninstall   {"portalId": 1, "clientId": ..., "hubGone": false}
    POST   apps/end-access  {"accessToken": ...}: ends it before its time
    POST   apps/behaviour   {"rotates": true, "tells": false}: new refresh tokens on each use, and
                            whether Cancel sends the browser back to the app
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from hsagency.errors import SandboxError
from hsagency.sandbox.apps import App
from hsagency.sandbox.core import Sandbox
from hsagency.sandbox.wire import JsonObject

_Result: TypeAlias = tuple[int, JsonObject | None]
_Calls: TypeAlias = dict[tuple[str, str], Callable[[JsonObject], _Result]]
_APP_WORDS = {
    "name": str,
    "redirectUris": list,
    "required": list,
    "optional": list,
    "distribution": str,
    "partner": bool,
    "listed": bool,
    "appId": int,
    "clientId": str,
    "clientSecret": str,
}
_NAMES = {
    "redirectUris": "redirect_uris",
    "appId": "app_id",
    "clientId": "client_id",
    "clientSecret": "client_secret",
}


class AppControl:
    """Answers the control calls about apps."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    @property
    def calls(self) -> _Calls:
        """What answers which call."""
        return {
            ("GET", "apps"): self._apps,
            ("POST", "apps"): self._register,
            ("POST", "apps/uninstall"): self._uninstall,
            ("POST", "apps/end-access"): self._end_access,
            ("POST", "apps/behaviour"): self._behave,
        }

    def _apps(self, _: JsonObject) -> _Result:
        return 200, {"apps": [_shown(app) for app in self._sandbox.desk.apps]}

    def _register(self, content: JsonObject) -> _Result:
        given = _checked(content, _APP_WORDS, needed=("name", "redirectUris"))
        app = self._sandbox.register_app(
            **{_NAMES.get(word, word): value for word, value in given.items()}
        )
        return 201, _shown(app) | {"clientSecret": app.client_secret}

    def _uninstall(self, content: JsonObject) -> _Result:
        words = {"portalId": int, "clientId": str, "hubGone": bool}
        given = _checked(content, words, needed=("portalId", "clientId"))
        self._sandbox.uninstall(
            given["portalId"], given["clientId"], hub_gone=given.get("hubGone", False)
        )
        return 200, {"portalId": given["portalId"], "clientId": given["clientId"]}

    def _end_access(self, content: JsonObject) -> _Result:
        given = _checked(content, {"accessToken": str}, needed=("accessToken",))
        self._sandbox.end_access(given["accessToken"])
        return 204, None

    def _behave(self, content: JsonObject) -> _Result:
        desk = self._sandbox.desk
        given = _checked(content, {"rotates": bool, "tells": bool})
        desk.rotates = given.get("rotates", desk.rotates)
        desk.tells = given.get("tells", desk.tells)
        return 200, {"rotates": desk.rotates, "tells": desk.tells}


def _shown(app: App) -> JsonObject:
    return {
        "name": app.name,
        "appId": app.app_id,
        "clientId": app.client_id,
        "redirectUris": list(app.redirect_uris),
        "required": sorted(app.required),
        "optional": sorted(app.optional),
        "distribution": app.distribution,
        "installs": len(app.installs),
        "installsMax": app.installs.cap,
    }


def _checked(
    content: JsonObject, words: Mapping[str, type], *, needed: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Return what a call says, if it says all it must and nothing else."""
    for word in needed:
        if word not in content:
            raise SandboxError(f"{word} is missing; nothing was changed.")
    for word, value in content.items():
        if word not in words:
            raise SandboxError(
                f"There is no {word!r} here; nothing was changed.",
                hint=f"Known: {', '.join(words)}.",
            )
        texts = not isinstance(value, list) or all(isinstance(one, str) for one in value)
        if type(value) is not words[word] or not texts:
            raise SandboxError(f"{word} has the wrong type; nothing was changed.")
    return content
