"""
The sandbox's own API under /_sandbox/: faults, clock, tokens and the ledger, over HTTP.

    GET    portals          who there is; no tokens
    GET    faults           the rules in force
    POST   faults           add one: {"kind": "status", "status": 503, "portalId": 1, "times": 2}
    DELETE faults           drop all
    GET    clock            {"now": ...}
    POST   clock            {"advance": seconds} or {"set": "2026-11-01T05:00:00+00:00"}
    POST   tokens/revoke    {"portalId": 1}
    POST   tokens/rotate    {"portalId": 1, "expireIn": 0}; answers the new token
    POST   scopes           {"portalId": 1, "scopes": [...]}
    POST   usage            {"portalId": 1, "calls": 1000}: calls that other apps made today
    GET    ledger           how many requests each portal received, by status

Every request needs the server's control key in `X-Sandbox-Key`: a page open in a browser on
this machine can reach loopback too. Nothing here is HubSpot's, and the ledger leaves it out.
"""

from __future__ import annotations

import hmac
import json
import math
from collections.abc import Callable
from dataclasses import asdict, fields
from datetime import datetime
from typing import Any, TypeAlias

from hsagency.errors import SandboxError
from hsagency.sandbox.core import Sandbox
from hsagency.sandbox.faults import Fault
from hsagency.sandbox.wire import JsonObject, Reply, Request

PREFIX = "/_sandbox/"
KEY_HEADER = "X-Sandbox-Key"

_Result: TypeAlias = tuple[int, JsonObject | None]
_FAULT_KEYS = {
    "portalId" if field.name == "portal_id" else field.name: field.name for field in fields(Fault)
}


class Control:
    """Answers the control API of one server."""

    def __init__(self, sandbox: Sandbox, *, key: str) -> None:
        self._sandbox, self._key = sandbox, key.encode()
        self._calls: dict[tuple[str, str], Callable[[JsonObject], _Result]] = {
            ("GET", "portals"): self._portals,
            ("GET", "faults"): self._faults,
            ("POST", "faults"): self._add_fault,
            ("DELETE", "faults"): self._clear_faults,
            ("GET", "clock"): self._clock,
            ("POST", "clock"): self._move_clock,
            ("POST", "tokens/revoke"): self._revoke,
            ("POST", "tokens/rotate"): self._rotate,
            ("POST", "scopes"): self._scopes,
            ("POST", "usage"): self._usage,
            ("GET", "ledger"): self._ledger,
        }

    def handle(self, request: Request) -> Reply:
        """Answer one request to the control API."""
        given = request.headers.get(KEY_HEADER.lower(), "").encode("latin-1", "replace")
        if not hmac.compare_digest(given, self._key):
            return _reply(403, {"error": f"The control API needs the key in {KEY_HEADER}."})
        call = self._calls.get((request.method, request.path.removeprefix(PREFIX).strip("/")))
        if call is None:
            return _reply(404, {"error": "The control API has no such call."})
        try:
            return _reply(*call(_content(request.body)))
        except SandboxError as error:
            return _reply(400, {"error": str(error)})

    def _portals(self, _: JsonObject) -> _Result:
        return 200, {
            "portals": [
                {
                    "portalId": portal.portal_id,
                    "clientSlug": portal.client_slug,
                    "name": portal.name,
                    "tier": portal.tier,
                    "timeZone": portal.time_zone,
                    "hublet": portal.hublet,
                    "kind": portal.kind,
                }
                for portal in self._sandbox.portals
            ]
        }

    def _faults(self, _: JsonObject) -> _Result:
        outer = {name: key for key, name in _FAULT_KEYS.items()}
        armed = [
            {outer[name]: value for name, value in asdict(fault).items()}
            for fault in self._sandbox.faults.armed()
        ]
        return 200, {"faults": armed}

    def _add_fault(self, content: JsonObject) -> _Result:
        unknown = sorted(content.keys() - _FAULT_KEYS.keys())
        if unknown or "kind" not in content:
            raise SandboxError(
                f"A fault needs a kind and knows no {', '.join(unknown) or 'other way'}.",
                hint=f"Known: {', '.join(_FAULT_KEYS)}.",
            )
        fault = Fault(**{_FAULT_KEYS[key]: value for key, value in content.items()})
        self._sandbox.faults.add(fault)
        return 201, {"faults": len(self._sandbox.faults)}

    def _clear_faults(self, _: JsonObject) -> _Result:
        self._sandbox.faults.clear()
        return 204, None

    def _clock(self, _: JsonObject) -> _Result:
        return 200, {"now": self._sandbox.clock.now().isoformat()}

    def _move_clock(self, content: JsonObject) -> _Result:
        if content.keys() == {"advance"}:
            now = self._sandbox.clock.advance(_number(content, "advance"))
        elif content.keys() == {"set"}:
            now = self._sandbox.clock.set(_time(content["set"]))
        else:
            raise SandboxError('The clock takes {"advance": seconds} or {"set": time}.')
        return 200, {"now": now.isoformat()}

    def _revoke(self, content: JsonObject) -> _Result:
        portal_id = _portal_id(content)
        self._sandbox.revoke(portal_id)
        return 200, {"portalId": portal_id}

    def _rotate(self, content: JsonObject) -> _Result:
        portal_id = _portal_id(content)
        expire_in = _number(content, "expireIn") if "expireIn" in content else 0.0
        fresh = self._sandbox.rotate(portal_id, expire_in=expire_in)
        return 200, {"portalId": portal_id, "token": fresh.token}

    def _scopes(self, content: JsonObject) -> _Result:
        scopes = content.get("scopes")
        if not isinstance(scopes, list) or not all(isinstance(scope, str) for scope in scopes):
            raise SandboxError("scopes must be a list of names; nothing was changed.")
        self._sandbox.set_scopes(_portal_id(content), scopes)
        return 200, {"portalId": _portal_id(content)}

    def _usage(self, content: JsonObject) -> _Result:
        self._sandbox.spend(_portal_id(content), int(_number(content, "calls")))
        return 200, {"portalId": _portal_id(content)}

    def _ledger(self, _: JsonObject) -> _Result:
        portals = [
            {
                "portalId": portal.portal_id,
                "clientSlug": portal.client_slug,
                "byStatus": self._sandbox.counts(portal.portal_id),
            }
            for portal in self._sandbox.portals
        ]
        return 200, {"portals": portals, "unknownToken": self._sandbox.counts(None)}


def _content(body: bytes) -> JsonObject:
    if not body:
        return {}
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise SandboxError("The body is not JSON; nothing was changed.") from error
    if not isinstance(content, dict):
        raise SandboxError("The body must be a JSON object; nothing was changed.")
    return content


def _portal_id(content: JsonObject) -> int:
    value: Any = content.get("portalId")
    if type(value) is not int:
        raise SandboxError("portalId must be a whole number; nothing was changed.")
    return value


def _number(content: JsonObject, name: str) -> float:
    value: Any = content.get(name)
    if type(value) not in (int, float) or not math.isfinite(value):
        raise SandboxError(f"{name} must be a number; nothing was changed.")
    return float(value)


def _time(value: Any) -> datetime:
    try:
        return datetime.fromisoformat(value)
    except (TypeError, ValueError) as error:
        raise SandboxError(
            "The clock was not set: the time cannot be read.",
            hint="Write it as 2026-11-01T05:00:00+00:00.",
        ) from error


def _reply(status: int, content: JsonObject | None) -> Reply:
    if content is None:
        return Reply(status)
    body = json.dumps(content).encode()
    return Reply(status, headers=(("Content-Type", "application/json"),), body=body)
