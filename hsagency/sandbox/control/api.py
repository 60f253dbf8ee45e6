"""Answers the control API: who may ask, which call it is, and what is said of a mistake."""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeAlias

from hsagency.errors import SandboxError
from hsagency.sandbox.control.apps import AppControl
from hsagency.sandbox.control.asked import PORTAL, Asked
from hsagency.sandbox.control.calls import CALLS
from hsagency.sandbox.control.screens import ScreenCalls
from hsagency.sandbox.core import Sandbox
from hsagency.sandbox.faults.armed import fault_from, fault_shown
from hsagency.sandbox.ledger import entry_shown
from hsagency.sandbox.wire import JsonObject, Reply, Request, is_number

ROOT = "/_sandbox"
PREFIX = f"{ROOT}/"
KEY_HEADER = "X-Sandbox-Key"
# How many entries of a ledger one answer holds.
ENTRIES_MAX = 500

_Result: TypeAlias = tuple[int, JsonObject | None]


def is_control(path: str) -> bool:
    """Whether a path is the control API's, and so none of HubSpot's."""
    return path == ROOT or path.startswith(PREFIX)


class Control:
    """Answers the control API of one server."""

    def __init__(self, sandbox: Sandbox, *, key: str) -> None:
        self._sandbox, self._key = sandbox, key.encode()
        self._screens = ScreenCalls(sandbox)
        self._calls: dict[tuple[str, str], Callable[[JsonObject], _Result]] = {
            ("GET", ""): self._list,
            ("GET", "portals"): self._portals,
            ("GET", "faults"): self._faults,
            ("POST", "faults"): self._add_fault,
            ("DELETE", "faults"): self._clear_faults,
            ("GET", "clock"): self._clock,
            ("POST", "clock"): self._move_clock,
            ("GET", "usage"): self._usage,
            ("GET", "ledger"): self._ledger,
            ("GET", "ledger/entries"): self._entries,
            **AppControl(sandbox).calls,
            **self._screens.calls,
        }

    def handle(self, request: Request) -> Reply:
        """Answer one request to the control API."""
        given = request.headers.get(KEY_HEADER.lower(), "").encode("latin-1", "replace")
        if not hmac.compare_digest(given, self._key):
            return _reply(403, {"error": f"The control API needs the key in {KEY_HEADER}."})
        name = request.path.removeprefix(ROOT).strip("/")
        call = self._calls.get((request.method, name))
        if call is None:
            return self._unknown(request.method, name)
        asked = request.method == "GET"
        try:
            return _reply(*call(_query(request) if asked else _content(request.body)))
        except SandboxError as error:
            return _reply(400, {"error": str(error)})

    def _unknown(self, method: str, name: str) -> Reply:
        allowed = [known for known, path in self._calls if path == name]
        if not allowed:
            error = f"The control API has no call {name}. GET {PREFIX} lists those that it has."
            return _reply(404, {"error": error})
        error = f"{PREFIX}{name} is asked with {' or '.join(allowed)}, not with {method}."
        return _reply(405, {"error": error}, ("Allow", ", ".join(allowed)))

    def _list(self, _: JsonObject) -> _Result:
        return 200, {"calls": [call.shown() for call in CALLS]}

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
        return 200, {"faults": [fault_shown(fault) for fault in self._sandbox.faults.armed()]}

    def _add_fault(self, content: JsonObject) -> _Result:
        fault = fault_from(content)
        self._sandbox.faults.add(fault)
        return 201, {"faults": len(self._sandbox.faults)}

    def _clear_faults(self, _: JsonObject) -> _Result:
        self._sandbox.faults.clear()
        return 204, None

    def _clock(self, _: JsonObject) -> _Result:
        clock = self._sandbox.clock
        return 200, {"now": clock.now().isoformat(), "speed": clock.speed}

    def _move_clock(self, content: JsonObject) -> _Result:
        if content.keys() == {"advance"}:
            self._sandbox.clock.advance(Asked(content).number("advance"))
        elif content.keys() == {"set"}:
            self._sandbox.clock.set(_time(content["set"]))
        elif content.keys() == {"speed"}:
            self._sandbox.clock.run(speed=Asked(content).number("speed"))
        else:
            raise SandboxError(
                'The clock takes one of {"advance": seconds}, {"set": time}, {"speed": times}.'
            )
        return self._clock({})

    def _usage(self, _: JsonObject) -> _Result:
        days = [self._screens.day(portal.portal_id) for portal in self._sandbox.portals]
        return 200, {"portals": days}

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

    def _entries(self, content: JsonObject) -> _Result:
        asked = Asked(content).only(*PORTAL, "after", "limit")
        named = any(word in asked for word in PORTAL)
        portal_id = self._sandbox.portal(asked.portal()).portal_id if named else None
        after = asked.whole("after") if "after" in asked else 0
        limit = asked.whole("limit") if "limit" in asked else ENTRIES_MAX
        if not 1 <= limit <= ENTRIES_MAX:
            raise SandboxError(f"limit must be from 1 to {ENTRIES_MAX}, not {limit}.")
        entries = self._sandbox.ledger(portal_id)
        page = [entry_shown(portal_id, entry) for entry in entries[after : after + limit]]
        reached = after + len(page)
        return 200, {"entries": page, "after": reached, "more": reached < len(entries)}


def _query(request: Request) -> JsonObject:
    """Return what a reading call asks for; numbers are numbers there too."""
    return {name: int(text) if is_number(text) else text for name, text in request.query}


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


def _time(value: Any) -> datetime:
    try:
        return datetime.fromisoformat(value)
    except (TypeError, ValueError) as error:
        raise SandboxError(
            "The clock was not set: the time cannot be read.",
            hint="Write it as 2026-11-01T05:00:00+00:00.",
        ) from error


def _reply(status: int, content: JsonObject | None, *headers: tuple[str, str]) -> Reply:
    if content is None:
        return Reply(status)
    body = json.dumps(content).encode()
    return Reply(status, headers=(("Content-Type", "application/json"), *headers), body=body)
