"""Account information, daily usage and the introspection of static credentials (facts 1.5, 2)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from hsagency.sandbox.call import Call
from hsagency.sandbox.contents.state import PortalState
from hsagency.sandbox.envelopes import unauthenticated
from hsagency.sandbox.portals import Credential
from hsagency.sandbox.routes import Endpoint, Outcome, Route, routes_at
from hsagency.sandbox.wire import JsonObject, stamp

INTROSPECTION = "/oauth/v2/private-apps/get/access-token-info"
# The first version whose answer names the account and says when it was made.
NAMED_SINCE = "2026-09"
BETA = "2027-03-beta"
VERSIONS = ("v3", "2025-09", "2026-03", "2026-09", BETA)
SENSITIVE = frozenset({"sensitive", "highly_sensitive"})
# Which kinds of credential make up each of the beta's types of app.
APP_TYPES = {
    "LEGACY_PRIVATE_APP": ("private_app",),
    "DEVELOPER_PLATFORM_APP": ("static_app", "oauth"),
    "SERVICE_KEY": ("service_key",),
}


@dataclass(frozen=True, slots=True)
class Count:
    """A day's calls as HubSpot counted them at one moment."""

    at: datetime
    limit: int
    by_type: dict[str, int]
    every: int
    resets_at: datetime


class Counts:
    """The last count of a portal's day, which is what it answers when it says CACHED."""

    def __init__(self, state: PortalState) -> None:
        self._state = state
        self._last: Count | None = None

    def at(self, now: datetime) -> Count:
        """Count, unless that is to fail: then the count is old, or nothing at all."""
        status, day = self._state.portal.usage_status, self._state.meter.day
        usage = day.usage(now)
        fresh = Count(
            at=now,
            limit=usage.limit,
            by_type={name: day.used_by(*kinds) for name, kinds in APP_TYPES.items()},
            every=day.used,
            resets_at=usage.resets_at,
        )
        if status == "SUCCESS" or self._last is None:
            self._last = fresh
        if status in ("SUCCESS", "CACHED"):
            return self._last
        return replace(fresh, by_type=dict.fromkeys(APP_TYPES, 0), every=0)


def details(call: Call) -> Outcome:
    """Say whose portal this is; the offset is today's, with daylight saving."""
    portal, local = call.state.portal, call.now.astimezone(call.state.zone)
    offset = local.utcoffset()
    seconds = int(offset.total_seconds()) if offset else 0
    content: JsonObject = {
        "portalId": portal.portal_id,
        "accountType": portal.account_type,
        "timeZone": portal.time_zone,
        "companyCurrency": portal.currency,
        "additionalCurrencies": list(portal.additional_currencies),
        "utcOffset": _offset(seconds),
        "utcOffsetMilliseconds": seconds * 1000,
        "uiDomain": portal.ui_domain,
        "dataHostingLocation": portal.hublet,
    }
    if portal.portal_names and call.version >= NAMED_SINCE and call.version != "v3":
        content["portalName"] = portal.name
        content["createdAt"] = int(portal.created_at.timestamp() * 1000)
    return 200, content


def private_app_usage(call: Call) -> Outcome:
    """
    Count today's calls of legacy private apps; those of service keys are not among them.

    The beta counts all three types of app, and says how many calls each of them made.
    """
    count = call.state.part(Counts).at(call.now)
    used = count.by_type["LEGACY_PRIVATE_APP"]
    if call.version != BETA:
        return 200, {"results": [_usage(call, "private-apps-api-calls-daily", count, used=used)]}
    by_type = [{"appType": name, "currentUsage": calls} for name, calls in count.by_type.items()]
    usage = _usage(call, "private-apps-api-calls-daily", count, used=sum(count.by_type.values()))
    return 200, {"results": [usage | {"usageByAppType": by_type}]}


def account_usage(call: Call) -> Outcome:
    """Count today's calls of the older sibling, which adds up all apps."""
    count = call.state.part(Counts).at(call.now)
    return 200, {"results": [_usage(call, "api-calls-daily", count, used=count.every)]}


def token_info(call: Call) -> Outcome:
    """
    Say what the token in the body may do, and where.

    That an OAuth token is unknown here is an assumption: it has an introspection of its own.
    """
    credential = call.credential
    if credential.kind == "oauth":
        raise unauthenticated()
    return 200, {
        "userId": credential.user_id,
        "hubId": call.state.portal.portal_id,
        "appId": credential.app_id,
        "scopes": sorted(_as_granted(scope, credential) for scope in credential.scopes),
    }


def account_routes() -> list[Route]:
    """Return the routes of this module."""
    oauth = ("oauth",)
    daily = "api-usage/daily"
    return [
        *routes_at(
            "/account-info/{dated}",
            tails={
                "/details": {"GET": Endpoint(details, oauth)},
                f"/{daily}/private-apps": {"GET": Endpoint(private_app_usage, oauth)},
            },
            dated=VERSIONS,
        ),
        Route(f"/account-info/v3/{daily}", {"GET": Endpoint(account_usage, oauth)}),
        Route(INTROSPECTION, {"POST": Endpoint(token_info)}, door="body"),
    ]


def _offset(seconds: int) -> str:
    sign, minutes = "-" if seconds < 0 else "+", abs(seconds) // 60
    return f"{sign}{minutes // 60:02}:{minutes % 60:02}"


def _as_granted(scope: str, credential: Credential) -> str:
    """
    Write a scope as introspection does: a service key's sensitive ones end in `.v2`.

    Which scopes are sensitive is an assumption: those that have the word in their name.
    """
    sensitive = credential.kind == "service_key" and SENSITIVE.intersection(scope.split("."))
    return f"{scope}.v2" if sensitive else scope


def _usage(call: Call, name: str, count: Count, *, used: int) -> JsonObject:
    return {
        "name": name,
        "usageLimit": count.limit,
        "currentUsage": used,
        "collectedAt": stamp(count.at),
        "fetchStatus": call.state.portal.usage_status,
        "resetsAt": stamp(count.resets_at),
    }
