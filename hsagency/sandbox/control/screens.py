"""HubSpot's screens over the control API: what its users do there, as calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hsagency.errors import SandboxError
from hsagency.sandbox.altering import Changes
from hsagency.sandbox.control.asked import Asked
from hsagency.sandbox.portals import FULL_SCOPES, Credential
from hsagency.sandbox.screens import Screens
from hsagency.sandbox.wire import JsonObject, stamp

# The fields of an account by the name that they have in JSON.
_CHANGES = {
    name.split("_")[0] + "".join(part.title() for part in name.split("_")[1:]): name
    for name in Changes.__annotations__
}


class ScreenCalls:
    """Answers the calls of the control API that stand for a person in front of a screen."""

    def __init__(self, screens: Screens) -> None:
        self._screens = screens
        self.calls: dict[str, Callable[[Asked], JsonObject]] = {
            "tokens/issue": self._issue,
            "tokens/reveal": self._reveal,
            "tokens/revoke": self._revoke,
            "tokens/rotate": self._rotate,
            "tokens/expire": self._expire,
            "tokens/cancel": self._cancel,
            "scopes": self._scopes,
            "users/remove": self._remove_user,
            "users/restore": self._restore_user,
            "portals/suspend": self._suspend,
            "portals/unsuspend": self._unsuspend,
            "portals/alter": self._alter,
            "usage": self._spend,
            "others": self._others,
        }

    def day(self, portal_id: int) -> JsonObject:
        """Return a portal's day so far."""
        usage = self._screens.usage(portal_id)
        return {
            "portalId": portal_id,
            "limit": usage.limit,
            "ours": usage.ours,
            "theirs": usage.theirs,
            "left": usage.left,
            "resetsAt": stamp(usage.resets_at),
        }

    def _issue(self, asked: Asked) -> JsonObject:
        portal_id = asked.only("portalId", "kind", "scopes").whole("portalId")
        scopes = asked.names("scopes") if "scopes" in asked else FULL_SCOPES
        kind: Any = asked.value("kind") if "kind" in asked else "private_app"
        return _shown(portal_id, self._screens.issue(portal_id, kind=kind, scopes=scopes))

    def _reveal(self, asked: Asked) -> JsonObject:
        portal_id, app_id = _of_app(asked)
        token = self._screens.reveal(portal_id, app_id=app_id)
        return {"portalId": portal_id, "token": token}

    def _revoke(self, asked: Asked) -> JsonObject:
        portal_id, app_id = _of_app(asked)
        self._screens.revoke(portal_id, app_id=app_id)
        return {"portalId": portal_id}

    def _rotate(self, asked: Asked) -> JsonObject:
        portal_id, app_id = _of_app(asked, "expireIn", "later")
        seconds = asked.number("expireIn") if "expireIn" in asked else None
        fresh = self._screens.rotate(
            portal_id, later=asked.flag("later"), expire_in=seconds, app_id=app_id
        )
        return _shown(portal_id, fresh)

    def _expire(self, asked: Asked) -> JsonObject:
        portal_id, app_id = _of_app(asked)
        self._screens.expire_now(portal_id, app_id=app_id)
        return {"portalId": portal_id}

    def _cancel(self, asked: Asked) -> JsonObject:
        portal_id, app_id = _of_app(asked)
        return _shown(portal_id, self._screens.cancel_rotation(portal_id, app_id=app_id))

    def _scopes(self, asked: Asked) -> JsonObject:
        portal_id, app_id = _of_app(asked, "scopes")
        self._screens.set_scopes(portal_id, asked.names("scopes"), app_id=app_id)
        return {"portalId": portal_id}

    def _remove_user(self, asked: Asked) -> JsonObject:
        portal_id = asked.only("portalId", "userId").whole("portalId")
        user_id = asked.whole("userId") if "userId" in asked else None
        return {"portalId": portal_id, "userId": self._screens.remove_user(portal_id, user_id)}

    def _restore_user(self, asked: Asked) -> JsonObject:
        portal_id = asked.only("portalId", "userId").whole("portalId")
        self._screens.restore_user(portal_id, asked.whole("userId"))
        return {"portalId": portal_id}

    def _suspend(self, asked: Asked) -> JsonObject:
        portal_id = asked.only("portalId", "status").whole("portalId")
        status = asked.whole("status") if "status" in asked else 403
        self._screens.suspend(portal_id, status=status)
        return {"portalId": portal_id}

    def _unsuspend(self, asked: Asked) -> JsonObject:
        portal_id = asked.only("portalId").whole("portalId")
        self._screens.unsuspend(portal_id)
        return {"portalId": portal_id}

    def _alter(self, asked: Asked) -> JsonObject:
        portal_id = asked.only("portalId", *_CHANGES).whole("portalId")
        changes: Any = {name: asked.value(key) for key, name in _CHANGES.items() if key in asked}
        if not changes:
            raise SandboxError(
                "Nothing to change was named.", hint=f"Known: {', '.join(_CHANGES)}."
            )
        if "additional_currencies" in changes:
            changes["additional_currencies"] = tuple(asked.names("additionalCurrencies"))
        self._screens.alter(portal_id, **changes)
        return {"portalId": portal_id}

    def _spend(self, asked: Asked) -> JsonObject:
        portal_id = asked.only("portalId", "calls").whole("portalId")
        self._screens.spend(portal_id, int(asked.number("calls")))
        return {"portalId": portal_id}

    def _others(self, asked: Asked) -> JsonObject:
        asked.only("portalId", "callsPerDay", "kind", "shape")
        portal_id = asked.whole("portalId")
        named: Any = {name: asked.value(name) for name in ("kind", "shape") if name in asked}
        self._screens.others(portal_id, calls_per_day=asked.whole("callsPerDay"), **named)
        return self.day(portal_id)


def _of_app(asked: Asked, *more: str) -> tuple[int, int | None]:
    portal_id = asked.only("portalId", "appId", *more).whole("portalId")
    return portal_id, asked.whole("appId") if "appId" in asked else None


def _shown(portal_id: int, credential: Credential) -> JsonObject:
    return {"portalId": portal_id, "appId": credential.app_id, "token": credential.token}
