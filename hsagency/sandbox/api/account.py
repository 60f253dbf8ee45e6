"""Account information, daily usage and the introspection of static credentials."""

from __future__ import annotations

from hsagency.sandbox.routes import Endpoint, Outcome, Route, forms
from hsagency.sandbox.state import Call
from hsagency.sandbox.wire import ApiError, JsonObject, stamp

INTROSPECTION = "/oauth/v2/private-apps/get/access-token-info"
# The first version whose answer names the account and says when it was made.
NAMED_SINCE = "2026-09"


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
        "additionalCurrencies": [],
        "utcOffset": _offset(seconds),
        "utcOffsetMilliseconds": seconds * 1000,
        "uiDomain": portal.ui_domain,
        "dataHostingLocation": portal.hublet,
    }
    if call.version >= NAMED_SINCE and call.version != "v3":
        content["portalName"] = portal.name
        content["createdAt"] = int(portal.created_at.timestamp() * 1000)
    return 200, content


def private_app_usage(call: Call) -> Outcome:
    """Count today's calls of legacy private apps; those of service keys are not among them."""
    used = call.state.meter.day.used_by("private_app")
    return 200, _usage(call, "private-apps-api-calls-daily", used=used)


def account_usage(call: Call) -> Outcome:
    """Count today's calls of the older sibling, which adds up all apps."""
    return 200, _usage(call, "api-calls-daily", used=call.state.meter.day.used)


def token_info(call: Call) -> Outcome:
    """Say what the token in the body may do, and where."""
    credential = call.credential
    if not credential.live(call.now):
        raise unauthenticated()
    return 200, {
        "userId": credential.user_id,
        "hubId": call.state.portal.portal_id,
        "appId": credential.app_id,
        "scopes": sorted(credential.scopes),
    }


def unauthenticated() -> ApiError:
    """
    Return the 401 for a missing, malformed, unknown or revoked token.

    HubSpot answers all four alike. That introspection of an unknown token is a 401 too is an
    assumption: the documents do not show it.
    """
    return ApiError(
        401,
        "Authentication credentials not found. This API supports OAuth 2.0 authentication and "
        "you can find more details at "
        "https://developers.hubspot.com/docs/methods/auth/oauth-overview",
        category="INVALID_AUTHENTICATION",
    )


def account_routes() -> list[Route]:
    """Return the routes of this module."""
    oauth = ("oauth",)
    daily = "api-usage/daily"
    return [
        *forms(
            {"GET": Endpoint(details, oauth)},
            "/account-info/v3/details",
            "/account-info/{dated}/details",
        ),
        *forms(
            {"GET": Endpoint(private_app_usage, oauth)},
            f"/account-info/v3/{daily}/private-apps",
            f"/account-info/{{dated}}/{daily}/private-apps",
        ),
        Route(f"/account-info/v3/{daily}", {"GET": Endpoint(account_usage, oauth)}),
        Route(INTROSPECTION, {"POST": Endpoint(token_info)}, door="body"),
    ]


def _offset(seconds: int) -> str:
    sign, minutes = "-" if seconds < 0 else "+", abs(seconds) // 60
    return f"{sign}{minutes // 60:02}:{minutes % 60:02}"


def _usage(call: Call, name: str, *, used: int) -> JsonObject:
    day = call.state.meter.day
    return {
        "results": [
            {
                "name": name,
                "usageLimit": day.limit,
                "currentUsage": used,
                "collectedAt": stamp(call.now),
                "fetchStatus": "SUCCESS",
                "resetsAt": stamp(day.resets_at),
            }
        ]
    }
