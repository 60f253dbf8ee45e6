"""The control calls about OAuth apps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from hsagency.sandbox.control.asked import PORTAL, Asked
from hsagency.sandbox.core import Sandbox
from hsagency.sandbox.oauth.apps import App
from hsagency.sandbox.wire import JsonObject, stamp

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
            ("POST", "apps/authorize"): self._authorize,
            ("POST", "apps/install"): self._install,
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

    def _authorize(self, content: JsonObject) -> _Result:
        asked = Asked(content).only(*PORTAL, "clientId", "redirectUri")
        where = asked.text("redirectUri") if "redirectUri" in asked else None
        code = self._sandbox.authorize(asked.text("clientId"), asked.portal(), redirect_uri=where)
        return 200, {"code": code}

    def _install(self, content: JsonObject) -> _Result:
        asked = Asked(content).only(*PORTAL, "clientId")
        tokens = self._sandbox.install(asked.text("clientId"), asked.portal())
        return 200, {
            "portalId": tokens.portal_id,
            "appId": tokens.app_id,
            "accessToken": tokens.access_token,
            "refreshToken": tokens.refresh_token,
            "scopes": sorted(tokens.scopes),
            "expiresAt": stamp(tokens.expires_at),
        }

    def _uninstall(self, content: JsonObject) -> _Result:
        asked = Asked(content).only(*PORTAL, "clientId", "hubGone")
        portal_id = self._sandbox.portal(asked.portal()).portal_id
        client_id = asked.text("clientId")
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
