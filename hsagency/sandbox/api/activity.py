"""Pages of the audit log, the login history and the security history (facts 2.4)."""

from __future__ import annotations

from datetime import datetime

from hsagency.sandbox.api.paging import page_by_number, whole
from hsagency.sandbox.call import Call
from hsagency.sandbox.contents.activity import Activity, Event, Log
from hsagency.sandbox.routes import Endpoint, Outcome, Route, routes_at
from hsagency.sandbox.wire import ApiError, JsonObject, invalid

SCOPE = ("account-info.security.read",)
VERSIONS = ("v3", "2025-09", "2026-03", "2026-09")
PAGE_MAX, PAGE = 200, 100


def audit_logs(call: Call) -> Outcome:
    """Answer a page of the audit log, which only Enterprise has."""
    if call.state.portal.tier != "enterprise":
        raise ApiError(
            403,
            "This account does not have access to the audit log, which is part of Enterprise.",
            category="GATED",
        )
    users = {whole(text, "actingUserId") for text in call.request.params("actingUserId")}
    since, until = _moment(call, "occurredAfter"), _moment(call, "occurredBefore")
    if call.request.param("fillFinalTimestamp") not in (None, "true", "false"):
        raise invalid("fillFinalTimestamp must be true or false")
    events = [
        event
        for event in call.state.part(Activity).events("audit", now=call.now)
        if (not users or event.user_id in users)
        and (since is None or event.at > since)
        and (until is None or event.at < until)
    ]
    return 200, _page(call, events, newest_first=_newest_first(call))


def login_history(call: Call) -> Outcome:
    """Answer a page of the login history."""
    return 200, _page(call, _of_user(call, "login"))


def security_history(call: Call) -> Outcome:
    """Answer a page of the security history."""
    since, until = _milliseconds(call, "fromTimestamp"), _milliseconds(call, "toTimestamp")
    events = [
        event
        for event in _of_user(call, "security")
        if (since is None or event.at.timestamp() * 1000 >= since)
        and (until is None or event.at.timestamp() * 1000 <= until)
    ]
    return 200, _page(call, events)


def activity_routes() -> list[Route]:
    """Return the routes of this module."""
    return routes_at(
        "/account-info/{dated}/activity",
        tails={
            "/audit-logs": {"GET": Endpoint(audit_logs, SCOPE)},
            "/login": {"GET": Endpoint(login_history, SCOPE)},
            "/security": {"GET": Endpoint(security_history, SCOPE)},
        },
        dated=VERSIONS,
    )


def _of_user(call: Call, log: Log) -> list[Event]:
    text = call.request.param("userId")
    wanted = None if text is None else whole(text, "userId")
    events = call.state.part(Activity).events(log, now=call.now)
    return [event for event in events if wanted in (None, event.user_id)]


def _page(call: Call, events: list[Event], *, newest_first: bool = True) -> JsonObject:
    """Cut a page; the cursor is an id, so that new events in between move nothing."""
    found, paging = page_by_number(
        call,
        reversed(events) if newest_first else events,
        number=lambda event: int(event.id),
        default=PAGE,
        most=PAGE_MAX,
        descending=newest_first,
    )
    return {"results": [{"id": event.id} | event.content for event in found]} | paging


def _newest_first(call: Call) -> bool:
    order = call.request.params("sort") or ["-occurredAt"]
    if order not in (["occurredAt"], ["-occurredAt"]):
        raise invalid("sort must be occurredAt or -occurredAt")
    return order == ["-occurredAt"]


def _milliseconds(call: Call, name: str) -> int | None:
    text = call.request.param(name)
    return None if text is None else whole(text, name)


def _moment(call: Call, name: str) -> datetime | None:
    text = call.request.param(name)
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise invalid(f"{name} must be a date and time with a zone")
    return at
