"""
The sandbox's own API under /_sandbox/: faults, clock, tokens and the ledger, over HTTP.

    GET    portals          who there is; no tokens
    GET    faults           the rules in force
    POST   faults           add one: {"kind": "status", "status": 503, "portalId": 1, "times": 2}
    DELETE faults           drop all
    GET    clock            {"now": ...}
    POST   clock            {"advance": seconds}, {"set": "2026-11-01T05:00:00+00:00"},
                            {"speed": 3600}: an hour in every second; 0 stands still
    POST   tokens/issue     {"portalId": 1, "kind": "service_key", "scopes": [...]}
    POST   tokens/reveal    {"portalId": 1}; answers the token
    POST   tokens/revoke    {"portalId": 1}
    POST   tokens/rotate    {"portalId": 1, "expireIn": 0}, or "later": true for the seven days
                            of HubSpot's screen; answers the new token
    POST   tokens/expire    {"portalId": 1}: the old token of a rotation ends now
    POST   tokens/cancel    {"portalId": 1}: the old token stays, and is answered
    POST   scopes           {"portalId": 1, "scopes": [...]}
    POST   users/remove     {"portalId": 1, "userId": 2}; without userId, who made the token
    POST   users/restore    {"portalId": 1, "userId": 2}
    POST   portals/suspend  {"portalId": 1, "status": 403}: every call is refused, with 401 or 403
    POST   portals/unsuspend {"portalId": 1}
    POST   portals/alter    {"portalId": 1, "name": "Acme", "addOns": 1}; also accountType, tier,
                            timeZone, currency, additionalCurrencies, portalNames, usageStatus,
                            newerRefusals, searchHeaders, and hublet: tokens that were minted
                            elsewhere are then refused with 488
    POST   activity/note    {"portalId": 1, "event": "SERVICE_KEY_AUTO_ROTATE"}: a line in the
                            security history, of any type; with "userId" and "objectId"
    GET    usage            each portal's day: the limit, our calls, those of others, what is left
    POST   usage            {"portalId": 1, "calls": 1000}: calls that other apps made today
    POST   others           {"portalId": 1, "callsPerDay": 90000, "shape": "office"}: other apps
                            that call every day; with "kind", and "flat" for no office hours
    GET    ledger           how many requests each portal received, by status
    GET    ledger/entries   ?portalId=1&after=0&limit=500: the requests one by one, oldest first
                            and without credentials; "after" in the answer is where to go on.
                            Without portalId, those that came with no known token
    ...    apps             OAuth apps: see `apps`

Tokens and scopes are those of the portal's newest credential, or of the app in "appId".

Every request needs the server's control key in `X-Sandbox-Key`: a page open in a browser on
this machine can reach loopback too. Nothing here is HubSpot's, and the ledger leaves it out.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeAlias

from hsagency.errors import SandboxError
from hsagency.sandbox.control.apps import AppControl
from hsagency.sandbox.control.asked import Asked
from hsagency.sandbox.control.checking import check_fault
from hsagency.sandbox.control.screens import ScreenCalls
from hsagency.sandbox.core import Sandbox
from hsagency.sandbox.faults.armed import fault_from, fault_shown
from hsagency.sandbox.ledger import entry_shown
from hsagency.sandbox.wire import JsonObject, Reply, Request, is_number

PREFIX = "/_sandbox/"
KEY_HEADER = "X-Sandbox-Key"
# How many entries of a ledger one answer holds.
ENTRIES_MAX = 500

_Result: TypeAlias = tuple[int, JsonObject | None]


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
            ("GET", "usage"): self._usage,
            ("GET", "ledger"): self._ledger,
            ("GET", "ledger/entries"): self._entries,
            **AppControl(sandbox).calls,
        }
        self._screens = ScreenCalls(sandbox)

    def handle(self, request: Request) -> Reply:
        """Answer one request to the control API."""
        given = request.headers.get(KEY_HEADER.lower(), "").encode("latin-1", "replace")
        if not hmac.compare_digest(given, self._key):
            return _reply(403, {"error": f"The control API needs the key in {KEY_HEADER}."})
        name = request.path.removeprefix(PREFIX).strip("/")
        call = self._calls.get((request.method, name))
        try:
            if call is not None:
                asked = request.method == "GET"
                return _reply(*call(_query(request) if asked else _content(request.body)))
            if request.method == "POST":
                told = self._screens.answer(name, _content(request.body))
                if told is not None:
                    return _reply(200, told)
        except SandboxError as error:
            return _reply(400, {"error": str(error)})
        return _reply(404, {"error": "The control API has no such call."})

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
        check_fault(fault, sandbox=self._sandbox)
        self._sandbox.faults.add(fault)
        return 201, {"faults": len(self._sandbox.faults)}

    def _clear_faults(self, _: JsonObject) -> _Result:
        self._sandbox.faults.clear()
        return 204, None

    def _clock(self, _: JsonObject) -> _Result:
        return 200, {"now": self._sandbox.clock.now().isoformat()}

    def _move_clock(self, content: JsonObject) -> _Result:
        if content.keys() == {"advance"}:
            now = self._sandbox.clock.advance(Asked(content).number("advance"))
        elif content.keys() == {"set"}:
            now = self._sandbox.clock.set(_time(content["set"]))
        elif content.keys() == {"speed"}:
            now = self._sandbox.clock.run(speed=Asked(content).number("speed"))
        else:
            raise SandboxError(
                'The clock takes one of {"advance": seconds}, {"set": time}, {"speed": times}.'
            )
        return 200, {"now": now.isoformat()}

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
        asked = Asked(content).only("portalId", "after", "limit")
        portal_id = asked.whole("portalId") if "portalId" in asked else None
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


def _reply(status: int, content: JsonObject | None) -> Reply:
    if content is None:
        return Reply(status)
    body = json.dumps(content).encode()
    return Reply(status, headers=(("Content-Type", "application/json"),), body=body)
