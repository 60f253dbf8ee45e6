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

from collections.abc import Callable
from typing import Any, TypeAlias

from hsagency.sandbox.control.asked import Asked
from hsagency.sandbox.core import Sandbox
from hsagency.sandbox.oauth.apps import App
from hsagency.sandbox.wire import JsonObject

_Result: TypeAlias = tuple[int, JsonObject | None]
_Calls: TypeAlias = dict[tuple[str, str], Callable[[JsonObject], _Result]]
_TEXTS = {"distribution": "distribution", "clientId": "client_id", "clientSecret": "client_secret"}
_LISTS = {"redirectUris": "redirect_uris", "required": "required", "optional": "optional"}
_FLAGS = ("partner", "listed")


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
        asked = Asked(content).only("name", "appId", *_TEXTS, *_LISTS, *_FLAGS)
        given: dict[str, Any] = {"redirect_uris": asked.names("redirectUris")}
        given |= {name: asked.text(word) for word, name in _TEXTS.items() if word in asked}
        given |= {name: asked.names(word) for word, name in _LISTS.items() if word in asked}
        given |= {word: asked.flag(word) for word in _FLAGS}
        if "appId" in asked:
            given["app_id"] = asked.whole("appId")
        app = self._sandbox.register_app(asked.text("name"), **given)
        return 201, _shown(app) | {"clientSecret": app.client_secret}

    def _uninstall(self, content: JsonObject) -> _Result:
        asked = Asked(content).only("portalId", "clientId", "hubGone")
        portal_id, client_id = asked.whole("portalId"), asked.text("clientId")
        self._sandbox.uninstall(portal_id, client_id, hub_gone=asked.flag("hubGone"))
        return 200, {"portalId": portal_id, "clientId": client_id}

    def _end_access(self, content: JsonObject) -> _Result:
        self._sandbox.end_access(Asked(content).only("accessToken").text("accessToken"))
        return 204, None

    def _behave(self, content: JsonObject) -> _Result:
        desk, asked = self._sandbox.desk, Asked(content).only("rotates", "tells")
        rotates = asked.flag("rotates") if "rotates" in asked else desk.rotates
        tells = asked.flag("tells") if "tells" in asked else desk.tells
        desk.rotates, desk.tells = rotates, tells
        return 200, {"rotates": rotates, "tells": tells}


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
