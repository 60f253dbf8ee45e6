"""
What HubSpot, or what stands in front of it, answers where it refuses a call on request.

The words of 401, 403, 404, 409, 429 and 488 are those that others have observed; the bodies of
423, 477 and most 5xx are in no document, and Cloudflare's pages are shaped like its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import format_datetime
from http import HTTPStatus
from urllib.parse import urlencode

from hsagency.sandbox.envelopes import (
    HTML,
    answered,
    missing_scopes,
    named,
    plain_page,
    refused,
    unauthenticated,
)
from hsagency.sandbox.faults.rules import Fault
from hsagency.sandbox.limits import BURST, DAILY, too_many
from hsagency.sandbox.portals import Credential, Portal
from hsagency.sandbox.wire import ApiError, Headers, JsonObject, Reply, Request, stamp

MIGRATION_WAIT = 3600  # seconds; HubSpot says "typically up to 24 hours"
# Who says these is the network in front of HubSpot, in pages of its own.
CLOUDFLARE = {
    520: "Web server is returning an unknown error",
    521: "Web server is down",
    522: "Connection timed out",
    523: "Origin is unreachable",
    524: "A timeout occurred",
    525: "SSL handshake failed",
    526: "Invalid SSL certificate",
    527: "Railgun error",
    530: "Origin DNS error",
}
# Answered before the portal is reached: nothing is known of its limits there.
_IN_FRONT = frozenset({401, 414, 477, 488})
_CATEGORIES = {
    401: "INVALID_AUTHENTICATION",
    403: "MISSING_SCOPES",
    404: "OBJECT_NOT_FOUND",
    409: "CONFLICT",
}
_POLICIES = {"burst": BURST, "daily": DAILY}
_MESSAGES = {
    "INVALID_AUTHENTICATION": unauthenticated().message,
    "EXPIRED_AUTHENTICATION": "The OAuth token used to make this call expired 0 second(s) ago.",
    "MISSING_SCOPES": missing_scopes().message,
    "GATED": "This account does not have access to this feature.",
    "OBJECT_NOT_FOUND": "resource not found",
    "CONFLICT": "Contact already exists. Existing ID: 12345",
    423: "The resource is locked by another request",
    477: "Hub {portal} is currently being migrated",
    500: "internal error",
}


@dataclass(frozen=True, slots=True)
class Refused:
    """A call that is refused: who asked for what, and when."""

    request: Request
    now: datetime
    id_: str
    portal: Portal | None = None
    credential: Credential | None = None

    @property
    def portal_id(self) -> int:
        """The portal that was asked for; 0 where nobody can tell."""
        return self.portal.portal_id if self.portal else 0


def refusal(fault: Fault, call: Refused) -> Reply:
    """Answer a call as a refusing fault says."""
    if fault.kind == "redirect":
        return _redirect(fault, call)
    status = 429 if fault.kind in _POLICIES else fault.status or 500
    form = fault.form or ("html" if fault.html or status in CLOUDFLARE else "json")
    wait = _wait(fault, status, call.now)
    if form == "empty":
        return answered(status, None, id_=call.id_, headers=wait)
    if form == "html":
        server: Headers = (("Server", "cloudflare"),) if status in CLOUDFLARE else ()
        headers = (HTML, *server, named(call.id_), *wait)
        return Reply(status, headers=headers, body=_page(status))
    return refused(_refused(fault, status, call), id_=call.id_, headers=wait)


def shows_limits(status: int) -> bool:
    """Whether an answer with this status comes from the portal, with its rate limit headers."""
    return 200 <= status < 300 or (400 <= status < 500 and status not in _IN_FRONT)


def limited_by(fault: Fault) -> str | None:
    """Return the policy that a refusal names, of which then nothing is left."""
    return _POLICIES.get(fault.kind) or fault.policy


def _redirect(fault: Fault, call: Refused) -> Reply:
    where = fault.location
    if where is None:
        # urlencode leaves nothing in it that could end the header
        query = f"?{urlencode(call.request.query)}" if call.request.query else ""
        elsewhere = "api" if call.portal and call.portal.hublet == "eu1" else "api-eu1"
        where = f"https://{elsewhere}.hubapi.com{call.request.path}{query}"
    return Reply(fault.status or 302, headers=(("Location", where),))


def _wait(fault: Fault, status: int, now: datetime) -> Headers:
    wait = fault.retry_after
    if wait is None:
        return (("Retry-After", str(MIGRATION_WAIT)),) if status == 477 else ()
    if fault.as_date:
        at = now + timedelta(seconds=float(wait))
        return (("Retry-After", format_datetime(at, usegmt=True)),)
    return (("Retry-After", str(wait)),) if wait != "" else ()


def _refused(fault: Fault, status: int, call: Refused) -> ApiError:
    if status == 429:
        policy, marker = limited_by(fault), fault.marker
        return too_many(policy, portal=call.portal, credential=call.credential, marker=marker)
    if status == 488:
        elsewhere = "na1" if call.portal and call.portal.hublet == "eu1" else "eu1"
        return unknown_here(call.portal_id, correct=fault.hublet or elsewhere)
    category = fault.category or _CATEGORIES.get(status)
    wording = _MESSAGES.get(category or status) or _MESSAGES.get(status) or _phrase(status)
    extra: JsonObject = {}
    if category == "MISSING_SCOPES":
        extra = missing_scopes(*fault.scopes).extra
    if category == "EXPIRED_AUTHENTICATION":
        extra = {"context": {"expire time": [stamp(call.now)]}}
    return ApiError(status, wording.format(portal=call.portal_id), category=category, **extra)


def unknown_here(portal_id: int, *, correct: str) -> ApiError:
    """Return the 488 of a data centre that does not have the portal (facts 1.8)."""
    return ApiError(
        488,
        f"Hub {portal_id} is unknown to this Hublet, but it appears to exist in Hublet {correct}",
        headers=(("X-HubSpot-Correct-Hublet", correct),),
        correctHublet=correct,
    )


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return CLOUDFLARE.get(status, "Error")


def _page(status: int) -> bytes:
    if status not in CLOUDFLARE:
        return plain_page(f"{status} {_phrase(status)}")
    title = f"api.hubapi.com | {status}: {CLOUDFLARE[status]}"
    page = (
        f"<!DOCTYPE html>\n<html lang='en-US'><head><title>{title}</title></head>"
        f"<body><h1>{CLOUDFLARE[status]} <span>Error code {status}</span></h1>"
        "<p>Performance &amp; security by Cloudflare</p></body></html>\n"
    )
    return page.encode()
