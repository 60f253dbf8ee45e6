"""Every call of the control API: what it is for, and an example of what it is asked with."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from hsagency.sandbox.wire import JsonObject


@dataclass(frozen=True, slots=True)
class ControlCall:
    """A method and a path below /_sandbox/; `query` and `body` are examples."""

    method: str
    path: str
    about: str
    body: Mapping[str, Any] | None = None
    query: Mapping[str, Any] = field(default_factory=dict)

    def shown(self) -> JsonObject:
        """Return it as JSON."""
        shown: JsonObject = {"method": self.method, "path": self.path, "about": self.about}
        if self.body is not None:
            shown["body"] = dict(self.body)
        return shown | ({"query": dict(self.query)} if self.query else {})

    def told(self) -> str:
        """Return it for people, with its example."""
        example = json.dumps(self.body) if self.body is not None else ""
        example = f"?{urlencode(self.query)}" if self.query else example
        first = f"    {self.method:<6} {self.path or '/':<17} {example}".rstrip()
        return "\n".join([first, *textwrap.wrap(self.about, 88, **_INDENT)])


_INDENT: dict[str, Any] = {"initial_indent": " " * 11, "subsequent_indent": " " * 11}
_ACME = {"portal": "acme-corp"}

CALLS = (
    ControlCall("GET", "", "This list."),
    ControlCall("GET", "portals", "Who there is; no tokens."),
    ControlCall("GET", "faults", "The rules in force."),
    ControlCall(
        "POST",
        "faults",
        "Adds a rule; its words are those of hsagency.sandbox.Fault, spelled as retryAfter.",
        {"kind": "status", "status": 503, "portal": "acme-corp", "times": 2},
    ),
    ControlCall("DELETE", "faults", "Drops all rules; a single one cannot be dropped."),
    ControlCall("GET", "clock", "The sandbox's time, and how fast it runs; 0 stands still."),
    ControlCall(
        "POST",
        "clock",
        'Moves it by seconds; or {"set": "2026-11-01T05:00:00+00:00"}; or {"speed": 3600}: an '
        "hour in every second.",
        {"advance": 60},
    ),
    ControlCall(
        "POST",
        "tokens/issue",
        "Makes another app's credential and answers its token. Without scopes it may do "
        "everything.",
        {**_ACME, "kind": "service_key", "scopes": ["crm.objects.contacts.read"]},
    ),
    ControlCall("POST", "tokens/reveal", "Answers the token.", _ACME),
    ControlCall(
        "POST",
        "tokens/rotate",
        "Answers a new token. The old one ends at once, with later in seven days as on HubSpot's "
        'screen, or {"expireIn": 60} seconds from now.',
        {**_ACME, "later": True},
    ),
    ControlCall(
        "POST", "tokens/cancel", "Ends the new token of a rotation, answers the old.", _ACME
    ),
    ControlCall("POST", "tokens/expire", "Ends the old token of a rotation now.", _ACME),
    ControlCall("POST", "tokens/revoke", "Ends the token.", _ACME),
    ControlCall(
        "POST", "scopes", "Changes what an app's tokens may do.", {**_ACME, "scopes": ["forms"]}
    ),
    ControlCall(
        "POST",
        "users/remove",
        "Makes a user leave; without userId, who made the token. Answers whom.",
        _ACME,
    ),
    ControlCall("POST", "users/restore", "Takes a user back.", {**_ACME, "userId": 12345678}),
    ControlCall(
        "POST",
        "portals/suspend",
        "Has every call refused, with 401 or 403.",
        {**_ACME, "status": 403},
    ),
    ControlCall("POST", "portals/unsuspend", "Lets the portal answer again.", _ACME),
    ControlCall(
        "POST",
        "portals/alter",
        "Also accountType, tier, timeZone, currency, additionalCurrencies, portalNames, "
        "usageStatus, newerRefusals, searchHeaders, and hublet: tokens that were minted elsewhere "
        "are then refused with 488.",
        {**_ACME, "name": "Acme Holding", "addOns": 1},
    ),
    ControlCall(
        "POST",
        "activity/note",
        "Writes a line into the security history, of any type; also userId and objectId.",
        {**_ACME, "event": "SERVICE_KEY_AUTO_ROTATE"},
    ),
    ControlCall(
        "GET", "usage", "Each portal's day: the limit, our calls, those of others, what is left."
    ),
    ControlCall(
        "POST",
        "usage",
        "Calls that other apps made today, all at once.",
        {**_ACME, "calls": 1000},
    ),
    ControlCall(
        "POST",
        "others",
        "Other apps that call every day, in office hours or flat; also kind.",
        {**_ACME, "callsPerDay": 90_000, "shape": "office"},
    ),
    ControlCall("GET", "ledger", "How many requests each portal received, by status."),
    ControlCall(
        "GET",
        "ledger/entries",
        "The requests one by one, oldest first and without credentials; after in the answer is "
        "where to go on. Without portal, those that came with no known token.",
        query={**_ACME, "after": 0, "limit": 500},
    ),
    ControlCall("GET", "apps", "Which OAuth apps are registered, in how many portals; no secrets."),
    ControlCall(
        "POST",
        "apps",
        "Registers an app and answers its secret, this once. Also optional (scopes), distribution, "
        "partner, listed, appId, clientId and clientSecret.",
        {
            "name": "Planner",
            "redirectUris": ["http://localhost:8085/callback"],
            "required": ["crm.objects.contacts.read"],
            "clientId": "planner",
        },
    ),
    ControlCall(
        "POST",
        "apps/authorize",
        "Agrees on the consent page, without a browser, and answers the code, which the app trades "
        "at /oauth/2026-09/token; also redirectUri.",
        {**_ACME, "clientId": "planner"},
    ),
    ControlCall(
        "POST",
        "apps/install",
        "Consent and the trade of its code in one: answers the access token and the refresh token.",
        {**_ACME, "clientId": "planner"},
    ),
    ControlCall(
        "POST",
        "apps/uninstall",
        "Takes an app out of a portal; its refresh tokens then fail with BAD_REFRESH_TOKEN, or "
        "BAD_HUB if hubGone.",
        {**_ACME, "clientId": "planner", "hubGone": False},
    ),
    ControlCall(
        "POST",
        "apps/end-access",
        "Ends an access token before its time; its refresh token stays good.",
        {"accessToken": "CN2x..."},
    ),
    ControlCall(
        "POST",
        "apps/behaviour",
        "Whether each refresh answers a new refresh token, and whether Cancel on the consent page "
        "sends the browser back to the app.",
        {"rotates": True, "tells": False},
    ),
)


def table() -> str:
    """Return all of them for people."""
    return "\n".join(call.told() for call in CALLS)
