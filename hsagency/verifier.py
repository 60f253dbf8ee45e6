"""
Whose credential is this? Returns the identity HubSpot reports, or raises.

There is no boolean to forget: an `Identity` exists only for a credential that was shown to
belong to the expected portal, or for an explicit first contact. The portal id HubSpot
reports is the ground truth; the token's prefix, the client's word and the file are hints.

Anything that can send a request will do: a portal client, a client for a credential being
judged, an `httpx.Client` over a test transport.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal, Protocol, TypeVar

import httpx
import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from hsagency.errors import (
    CredentialRejected,
    MissingScopes,
    PortalMismatch,
    PortalUnreachable,
    UnexpectedAnswer,
    VerificationError,
)
from hsagency.portals import PortalId, parse_portal_id
from hsagency.secret import Secret

API_VERSION: Final = "2026-09"
FALLBACK_VERSION: Final = "v3"
FIRST_CONTACT: Final[Literal["first contact"]] = "first contact"
"""Said instead of a portal id when there is none to expect: an explicit choice."""

M = TypeVar("M", bound="_Answer")
Expected = PortalId | Literal["first contact"]


class Sender(Protocol):
    """Whatever can send a request to one portal."""

    def request(self, method: str, url: str, *, json: Any = None) -> httpx.Response:
        """Send a request and return the answer."""


class _Answer(BaseModel):
    # HubSpot adds fields and leaves some out; what is read here is all that is needed.
    model_config = ConfigDict(
        alias_generator=to_camel, extra="ignore", hide_input_in_errors=True, frozen=True
    )


# A number and no text, true or fraction of one: what is compared must be what HubSpot sends.
_Id = Annotated[int, Field(strict=True, gt=0, lt=10**12)]


class _Details(_Answer):
    portal_id: _Id
    account_type: str | None = None
    time_zone: str | None = None
    company_currency: str | None = None
    ui_domain: str | None = None
    data_hosting_location: str | None = None
    portal_name: str | None = None


class _TokenInfo(_Answer):
    hub_id: _Id
    scopes: tuple[str, ...] = ()


class _Usage(_Answer):
    name: str = ""
    usage_limit: int | None = None
    current_usage: int | None = None
    fetch_status: str = ""


class _UsageAnswer(_Answer):
    results: tuple[_Usage, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What HubSpot reports of the portal a credential belongs to; absent is not empty."""

    portal_id: PortalId
    account_type: str | None
    time_zone: str | None
    currency: str | None
    ui_domain: str | None
    hosting: str | None
    name: str | None
    correlation_id: str | None
    at: datetime = field(default_factory=lambda: datetime.now(UTC))


@dataclass(frozen=True, slots=True, kw_only=True)
class Introspection:
    """What HubSpot reports of a static token itself."""

    portal_id: PortalId
    scopes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DailyUsage:
    """The daily limit and use that HubSpot's usage endpoint reports for private apps."""

    limit: int
    used: int


def verify(sender: Sender, *, expected: Expected) -> Identity:
    """
    Return the identity of the portal that `sender`'s credential belongs to.

    `expected` is a portal id, or `FIRST_CONTACT` where none is known. Raises
    `PortalMismatch`, `CredentialRejected` (401), `MissingScopes` (403), `PortalUnreachable`
    (network, 429, 5xx) or `UnexpectedAnswer`, each with what to do.
    """
    wanted = None if expected == FIRST_CONTACT else parse_portal_id(expected)
    response = _get(sender, f"/account-info/{API_VERSION}/details")
    if response.status_code == 404:
        response = _get(sender, f"/account-info/{FALLBACK_VERSION}/details")
    details = _read(response, _Details, what="account details")
    if wanted is not None and details.portal_id != wanted:
        raise PortalMismatch(expected=wanted, got=details.portal_id)
    return Identity(
        portal_id=PortalId(details.portal_id),
        account_type=details.account_type,
        time_zone=details.time_zone,
        currency=details.company_currency,
        ui_domain=details.ui_domain,
        hosting=details.data_hosting_location,
        name=details.portal_name,
        correlation_id=response.headers.get("x-hubspot-correlation-id"),
    )


def introspect(sender: Sender, token: Secret) -> Introspection | None:
    """
    Return a static token's scopes, or nothing where HubSpot does not say.

    The token travels in the body, which is never recorded. A missing answer is no verdict:
    the endpoint has no dated successor and may go (facts 1.5).
    """
    try:
        response = sender.request(
            "POST",
            "/oauth/v2/private-apps/get/access-token-info",
            json={"tokenKey": token.reveal()},
        )
        info = _read(response, _TokenInfo, what="token information")
    except (httpx.HTTPError, VerificationError):
        return None
    except BaseException as error:
        # The frames below hold the body in their locals: a verbose traceback shows them.
        error.__traceback__ = None
        raise
    return Introspection(portal_id=PortalId(info.hub_id), scopes=info.scopes)


def daily_usage(sender: Sender) -> DailyUsage | None:
    """Return the portal's daily limit and use, or nothing where HubSpot does not say."""
    try:
        response = _get(sender, f"/account-info/{API_VERSION}/api-usage/daily/private-apps")
        answer = _read(response, _UsageAnswer, what="daily usage")
    except VerificationError:
        return None
    for row in answer.results:
        trusted = row.fetch_status in ("SUCCESS", "CACHED")
        if trusted and row.usage_limit is not None and row.current_usage is not None:
            return DailyUsage(limit=row.usage_limit, used=row.current_usage)
    return None


def hublet_warning(token_hublet: str | None, identity: Identity) -> str | None:
    """Return a sentence if a token's prefix and the portal's hosting location differ."""
    if token_hublet is None or identity.hosting is None or token_hublet == identity.hosting:
        return None
    return (
        f"the token was made for {token_hublet}, but the portal is hosted in {identity.hosting}: "
        "calls may answer 488 until the client makes a new key"
    )


def _get(sender: Sender, path: str) -> httpx.Response:
    try:
        return sender.request("GET", path)
    except httpx.HTTPError as error:
        raise PortalUnreachable(
            f"HubSpot did not answer ({type(error).__name__}). Nothing was stored."
        ) from error


def _read(response: httpx.Response, model: type[M], *, what: str) -> M:
    if response.status_code != 200:
        raise _error(response)
    try:
        return model.model_validate(orjson.loads(response.content))
    except (ValueError, ValidationError):
        raise UnexpectedAnswer(f"The answer is not HubSpot's {what}. Nothing was stored.") from None


def _error(response: httpx.Response) -> VerificationError:
    status = response.status_code
    error = _BY_STATUS.get(status, _other)(status)
    error.status_code = status
    error.correlation_id = response.headers.get("x-hubspot-correlation-id")
    return error


def _other(status: int) -> VerificationError:
    if status == 429 or status >= 500:
        return PortalUnreachable(f"HubSpot answered {status}. Nothing was stored.")
    return UnexpectedAnswer(f"HubSpot answered {status}, which no rule covers. Nothing was stored.")


_BY_STATUS: Final[Mapping[int, Callable[[int], VerificationError]]] = {
    401: lambda _: CredentialRejected(
        "HubSpot does not accept the token (401). Nothing was stored."
    ),
    403: lambda _: MissingScopes(
        "HubSpot accepts the token but it may not read the account (403). Nothing was stored."
    ),
    477: lambda _: PortalUnreachable(
        "HubSpot is moving this portal to another data centre (477). Nothing was stored.",
        hint="Try again tomorrow: a move takes up to 24 hours.",
    ),
    488: lambda _: CredentialRejected(
        "The token was made for another HubSpot data centre (488). Nothing was stored.",
        hint="Ask the client for a new service key, made where the portal is now.",
    ),
}
