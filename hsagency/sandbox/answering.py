"""How one call is answered: who is asking, what goes wrong on request, limits, scope, endpoint."""

from __future__ import annotations

from dataclasses import replace

from hsagency.sandbox.call import Call
from hsagency.sandbox.envelopes import answered, missing_scopes, refused, unauthenticated
from hsagency.sandbox.faults.refusals import (
    Refused,
    limited_by,
    refusal,
    shows_limits,
    unknown_here,
)
from hsagency.sandbox.faults.rules import Fault
from hsagency.sandbox.limits import Budget, Meter
from hsagency.sandbox.routes import Endpoint, Match
from hsagency.sandbox.wire import (
    ApiError,
    Headers,
    Reply,
    Request,
    decode,
    invalid,
    not_simulated,
    stamp,
)


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


def answer_struck(
    fault: Fault, asked: Refused, match: Match | None, *, meter: Meter | None
) -> Reply:
    """Answer a call that a fault keeps from taking effect."""
    if fault.loses:
        return Reply(0, drop="before", reset=fault.kind == "reset_before")
    reply = refusal(fault, asked)
    metered = match is None or match.route.door == "bearer"
    if meter is None or asked.credential is None or not (metered and shows_limits(reply.status)):
        return reply
    limits = meter.headers(
        asked.now,
        asked.credential,
        budget=match.route.budget if match else "general",
        refused=limited_by(fault),
    )
    return replace(reply, headers=(*reply.headers, *limits))


def answer_stranger(token: str | None, match: Match | None, *, id_: str) -> Reply:
    """Answer a request whose token no portal knows."""
    if token is None and match is not None and match.route.door == "body":
        return refused(invalid("tokenKey is required and must be a string"), id_=id_)
    return refused(unauthenticated(), id_=id_)


def answer(call: Call, match: Match | None, *, id_: str) -> Reply:
    """
    Answer a call whose portal is known.

    (1) the credential is live and of the right data centre, its portal and its user in good
    standing, (2) the limits have room, (3) path and method exist, (4) the scope is granted; then
    (5) the endpoint answers. Whatever the portal itself decides carries the rate limit headers; a
    401, a 488 and a 5xx come from in front of it.
    """
    metered = match is None or match.route.door == "bearer"
    budget: Budget = match.route.budget if match else "general"
    try:
        if not call.credential.live(call.now):
            raise _ended(call)
        _demand_hublet(call)
        _demand_standing(call)  # (1)
        if metered:
            call.state.meter.admit(call.now, call.credential, budget=budget)  # (2)
        endpoint = _endpoint(call, match)  # (3)
        _demand_scope(call, endpoint)  # (4)
        outcome = endpoint.handler(call)  # (5)
    except ApiError as error:
        counted = metered and shows_limits(error.status)
        policy = error.extra.get("policyName")
        headers = _limits(call, budget, policy) if counted else ()
        return refused(error, id_=id_, headers=headers)
    status, content = outcome
    headers = _limits(call, budget) if metered else ()
    return answered(status, content, id_=id_, headers=headers)


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


def _demand_hublet(call: Call) -> None:
    """
    Refuse a token that was minted where the portal was before it moved (facts 1.8).

    The host of the right data centre takes it all the same. That a token which is dead too
    answers 401 is an assumption.
    """
    credential, hublet = call.credential, call.state.portal.hublet
    if credential.kind == "oauth":  # its tokens name no data centre
        return
    if credential.token.startswith(f"pat-{hublet}-"):
        return
    if not call.request.headers.get("host", "").lower().startswith(f"api-{hublet}."):
        raise unknown_here(call.state.portal.portal_id, correct=hublet)


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


def _endpoint(call: Call, match: Match | None) -> Endpoint:
    if match is None:
        raise not_simulated("this path")
    return match.endpoint(call.request.method)


def _demand_scope(call: Call, endpoint: Endpoint) -> None:
    if not endpoint.scopes:
        return
    kind = call.kind if "type" in call.values else None
    needed = endpoint.needs(kind)
    if not call.credential.scopes.intersection(needed):
        raise missing_scopes(*needed)


def _limits(call: Call, budget: Budget, policy: object = None) -> Headers:
    meter = call.state.meter
    return meter.headers(call.now, call.credential, budget=budget, refused=policy)
