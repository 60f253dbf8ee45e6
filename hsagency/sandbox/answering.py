"""How one call is answered: who is asking, what goes wrong on request, limits, scope, endpoint."""

from __future__ import annotations

from hsagency.sandbox.api.account import unauthenticated
from hsagency.sandbox.faults import Fault, Strike
from hsagency.sandbox.limits import BURST, DAILY, Budget
from hsagency.sandbox.routes import Endpoint, Match, Outcome
from hsagency.sandbox.state import Call
from hsagency.sandbox.wire import ApiError, Headers, Reply, Request, decode, encode, invalid, stamp

SCOPES_LINK = "https://developers.hubspot.com/scopes"
_JSON = ("Content-Type", "application/json;charset=utf-8")
_HTML = ("Content-Type", "text/html;charset=utf-8")
_MESSAGES = {
    423: "The resource is locked by another request",
    500: "internal error",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}


def presented_token(request: Request, match: Match | None) -> str | None:
    """Return the token a request comes with; introspection carries it in the body."""
    if match is None or match.route.door != "body":
        scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
        return bearer.strip() if scheme.lower() == "bearer" else None
    try:
        found: object = decode(request.body).get("tokenKey")
    except ApiError:
        return None
    return found if isinstance(found, str) else None


def answer_stranger(token: str | None, match: Match | None, *, strike: Strike, id_: str) -> Reply:
    """Answer a request whose token no portal knows."""
    if strike.fault is not None and strike.fault.kind == "status":
        return _refused(_status_fault(strike.fault), id_)
    if token is None and match is not None and match.route.door == "body":
        return _refused(invalid("tokenKey is required and must be a string"), id_)
    return _refused(unauthenticated(), id_)


def answer(call: Call, match: Match | None, *, id_: str) -> Reply:
    """
    Answer a call whose portal is known.

    (1) the credential is live, its portal and its user in good standing, (2) no fault was asked
    for, (3) the limits have room, (4) path and method exist, (5) the scope is granted; then (6)
    the endpoint answers. Whatever the portal itself decides carries the rate limit headers; a
    401 and a 5xx come from in front of it.
    """
    metered = match is None or match.route.door == "bearer"
    budget: Budget = match.route.budget if match else "general"
    try:
        if not call.credential.live(call.now):
            raise _ended(call)
        _demand_standing(call)  # (1)
        _fail_on_request(call)  # (2)
        if metered:
            call.state.meter.admit(call.now, call.credential, budget=budget)  # (3)
        endpoint = _endpoint(call, match)  # (4)
        _demand_scope(call, endpoint)  # (5)
        outcome = endpoint.handler(call)  # (6)
    except ApiError as error:
        counted = metered and error.status != 401 and error.status < 500
        policy = error.extra.get("policyName")
        headers = _limits(call, budget, policy) if counted else ()
        return _refused(error, id_, headers=headers)
    return _granted(outcome, id_, headers=_limits(call, budget) if metered else ())


def _ended(call: Call) -> ApiError:
    """Return the 401 of a dead credential: only an OAuth token says that its time is over."""
    ends = call.credential.expires_at
    if call.credential.kind != "oauth" or call.credential.revoked or ends is None:
        return unauthenticated()
    seconds = int((call.now - ends).total_seconds())
    return ApiError(
        401,
        f"The OAuth token used to make this call expired {seconds} second(s) ago.",
        category="EXPIRED_AUTHENTICATION",
        context={"expire time": [stamp(ends)]},
    )


def _demand_standing(call: Call) -> None:
    """
    Refuse what a suspended portal, or the private app of somebody who left, asks for.

    Neither body was ever seen: both are assumptions (facts 1.1 and 4.2).
    """
    portal, credential = call.state.portal, call.credential
    if portal.suspended == 401:
        raise unauthenticated()
    if portal.suspended is not None:
        raise ApiError(portal.suspended, "This account is suspended.")
    if credential.kind == "private_app" and credential.user_id in portal.leavers:
        raise ApiError(
            403,
            "The user who created this app does not have permissions in this account.",
            category="USER_DOES_NOT_HAVE_PERMISSIONS",
        )


def _fail_on_request(call: Call) -> None:
    fault = call.strike.fault
    if fault is None:
        return
    if fault.kind == "status":
        raise _status_fault(fault)
    if fault.kind == "burst":
        raise call.state.meter.refusal(BURST, call.credential)
    if fault.kind == "daily":
        raise call.state.meter.refusal(DAILY, call.credential)


def _status_fault(fault: Fault) -> ApiError:
    status = fault.status or 500
    if fault.html:
        return ApiError(status, _MESSAGES.get(status, "Error"), html=True)
    if status == 401:
        return unauthenticated()
    if status == 403:
        return _missing_scopes()
    return ApiError(status, _MESSAGES.get(status, "Error"))


def _endpoint(call: Call, match: Match | None) -> Endpoint:
    if match is None:
        # HubSpot answers some unknown paths with a page and others with nothing at all.
        raise ApiError(404, "Not Found (the sandbox does not simulate this path)", html=True)
    return match.endpoint(call.request.method)


def _demand_scope(call: Call, endpoint: Endpoint) -> None:
    if not endpoint.scopes:
        return
    kind = call.kind if "type" in call.values else None
    needed = endpoint.needs(kind)
    if not call.credential.scopes.intersection(needed):
        raise _missing_scopes(*needed)


def _missing_scopes(*scopes: str) -> ApiError:
    """Return HubSpot's 403; some of its bodies name no scope."""
    needed = {"requiredGranularScopes": list(scopes)} if scopes else {}
    return ApiError(
        403,
        "This app hasn't been granted all required scopes to make this call. "
        f"Read more about required scopes here: {SCOPES_LINK}.",
        category="MISSING_SCOPES",
        errors=[
            {"message": "One or more of the following scopes are required.", "context": needed}
        ],
        links={"scopes": SCOPES_LINK},
    )


def _limits(call: Call, budget: Budget, policy: object = None) -> Headers:
    meter = call.state.meter
    return meter.headers(call.now, call.credential, budget=budget, refused=policy)


def _granted(outcome: Outcome, id_: str, *, headers: Headers) -> Reply:
    status, content = outcome
    named = ("X-HubSpot-Correlation-Id", id_)
    if content is None:
        return Reply(status, headers=(named, *headers))
    return Reply(status, headers=(_JSON, named, *headers), body=encode(content))


def _refused(error: ApiError, id_: str, *, headers: Headers = ()) -> Reply:
    named = ("X-HubSpot-Correlation-Id", id_)
    if error.html:
        title = f"{error.status} {error.message}"
        page = f"<html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>"
        return Reply(error.status, headers=(_HTML, named, *headers), body=page.encode())
    body = encode(error.envelope(id_))
    return Reply(error.status, headers=(_JSON, named, *error.headers, *headers), body=body)
