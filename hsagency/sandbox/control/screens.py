"""HubSpot's screens over the control API: what its users do there, as calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import Any, TypeAlias

from hsagency.errors import SandboxError
from hsagency.sandbox.altering import Changes
from hsagency.sandbox.control.asked import PORTAL, Asked
from hsagency.sandbox.portals import Credential
from hsagency.sandbox.screens import Screens
from hsagency.sandbox.spelling import camel, snake
from hsagency.sandbox.wire import JsonObject, stamp

_Words: TypeAlias = Mapping[str, Callable[[Asked, str], Any]]


def _currencies(asked: Asked, word: str) -> tuple[str, ...]:
    return tuple(asked.names(word))


@dataclass(frozen=True, slots=True)
class _Step:
    """What a call does on a screen, and how it reads the words that it needs or may be given."""

    act: Callable[..., object]
    needs: _Words = field(default_factory=dict)
    takes: _Words = field(default_factory=dict)


_APP: _Words = MappingProxyType({"appId": Asked.whole})
_CHANGES: _Words = {camel(name): Asked.value for name in Changes.__annotations__} | {
    "additionalCurrencies": _currencies
}
_STEPS = {
    "tokens/issue": _Step(Screens.issue, takes={"kind": Asked.value, "scopes": Asked.names}),
    "tokens/reveal": _Step(Screens.reveal, takes=_APP),
    "tokens/revoke": _Step(Screens.revoke, takes=_APP),
    "tokens/rotate": _Step(
        Screens.rotate, takes={**_APP, "expireIn": Asked.number, "later": Asked.flag}
    ),
    "tokens/expire": _Step(Screens.expire_now, takes=_APP),
    "tokens/cancel": _Step(Screens.cancel_rotation, takes=_APP),
    "scopes": _Step(Screens.set_scopes, needs={"scopes": Asked.names}, takes=_APP),
    "users/remove": _Step(Screens.remove_user, takes={"userId": Asked.whole}),
    "users/restore": _Step(Screens.restore_user, needs={"userId": Asked.whole}),
    "portals/suspend": _Step(Screens.suspend, takes={"status": Asked.whole}),
    "portals/unsuspend": _Step(Screens.unsuspend),
    "portals/alter": _Step(Screens.alter, takes=_CHANGES),
    "activity/note": _Step(
        Screens.note,
        needs={"event": Asked.text},
        takes={"userId": Asked.whole, "objectId": Asked.text},
    ),
    "usage": _Step(Screens.spend, needs={"calls": Asked.whole}),
    "others": _Step(
        Screens.others,
        needs={"callsPerDay": Asked.whole},
        takes={"kind": Asked.value, "shape": Asked.value},
    ),
}


class ScreenCalls:
    """Answers the calls of the control API that stand for a person in front of a screen."""

    def __init__(self, screens: Screens) -> None:
        self._screens = screens

    @property
    def calls(self) -> dict[tuple[str, str], Callable[[JsonObject], tuple[int, JsonObject]]]:
        """What answers which call."""
        return {("POST", name): partial(self._done, name) for name in _STEPS}

    def _done(self, name: str, content: JsonObject) -> tuple[int, JsonObject]:
        """Do a step and say what came of it."""
        step = _STEPS[name]
        asked = Asked(content).only(*PORTAL, *step.needs, *step.takes)
        given = {snake(word): read(asked, word) for word, read in step.needs.items()}
        given |= {
            snake(word): read(asked, word) for word, read in step.takes.items() if word in asked
        }
        portal_id = self._screens.portal(asked.portal()).portal_id
        if name == "portals/alter" and not given:
            raise SandboxError(
                "Nothing to change was named.", hint=f"Known: {', '.join(_CHANGES)}."
            )
        made = step.act(self._screens, portal_id, **given)
        if name in {"others", "usage"}:
            return 200, self.day(portal_id)
        return 200, {"portalId": portal_id} | _told(made)

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


def _told(made: object) -> JsonObject:
    """Return what a step made: a credential, a token, or the id of a user."""
    if isinstance(made, Credential):
        return {"appId": made.app_id, "token": made.token}
    if isinstance(made, str):
        return {"token": made}
    return {"userId": made} if isinstance(made, int) else {}
