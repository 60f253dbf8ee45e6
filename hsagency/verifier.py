"""
Whose credential is this? Returns the identity HubSpot reports, or raises.

There is no boolean to forget: an `Identity` exists only for a credential that was shown to
belong to the expected portal, or for an explicit first contact. The portal id HubSpot
reports is the ground truth; the token's prefix, the client's word and the file are hints.

Anything that can send a request will do: a portal client, a client for a credential being
judged, an `httpx.Client` over a test transport.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal, Protocol, TypeVar

import httpx
import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from hsagency import hubspot_errors as kinds
from hsagency.errors import (
    CredentialRejected,
    MissingScopes,
    PortalForbidden,
    PortalMismatch,
    PortalUnreachable,
    UnexpectedAnswer,
    VerificationError,
)
from hsagency.portals import PortalId, parse_portal_id, plain_text, plain_word
from hsagency.routes import touched
from hsagency.said import Seen
from hsagency.secret import Secret
from hsagency.verdicts import Attempt, judge

API_VERSION: Final = "2026-09"
FALLBACK_VERSION: Final = "v3"
DAILY_USAGE: Final = f"/account-info/{API_VERSION}/api-usage/daily/private-apps"
FIRST_CONTACT: Final[Literal["first contact"]] = "first contact"
"""Said instead of a portal id when there is none to expect: an explicit choice."""
HUBSPOT: Final = "HubSpot"

M = TypeVar("M", bound="_Answer")
Expected = PortalId | Literal["first contact"]


class Sender(Protocol):
    """Whatever can send a request to one portal."""

    def request(self, method: str, url: str, *, json: Any = None) -> httpx.Response:
        """Send a request and return the answer, or raise the error that it is."""


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
    collected_at: object = None
    resets_at: object = None


class _UsageAnswer(_Answer):
    results: tuple[_Usage, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """
    What HubSpot reports of the portal a credential belongs to; absent is not empty.

    What is no short printable text, or has a token's shape, counts as not reported. The limits
    are those that the headers of the answer tell, a day and in ten seconds.
    """

    portal_id: PortalId
    account_type: str | None
    time_zone: str | None
    currency: str | None
    ui_domain: str | None
    hosting: str | None
    name: str | None
    correlation_id: str | None
    daily_limit: int | None = None
    burst_limit: int | None = None
    at: datetime = field(default_factory=lambda: datetime.now(UTC))


@dataclass(frozen=True, slots=True, kw_only=True)
class Introspection:
    """What HubSpot reports of a token itself."""

    portal_id: PortalId
    scopes: tuple[str, ...]
    hub_domain: str | None = None  # of OAuth: where the customer's website is
    distribution: str | None = None  # of OAuth: how the app is distributed, which limits go by


@dataclass(frozen=True, slots=True, kw_only=True)
class DailyUsage:
    """
    The daily limit and use that HubSpot's usage endpoint reports for legacy private apps.

    `collected_at` is when HubSpot counted, and absent where it did not say so readably.
    """

    limit: int
    used: int
    fetch_status: str = ""
    collected_at: datetime | None = None
    resets_at: datetime | None = None


def verify(sender: Sender, *, expected: Expected, who: str = HUBSPOT) -> Identity:
    """
    Return the identity of the portal that `sender`'s credential belongs to.

    `expected` is a portal id, or `FIRST_CONTACT` where none is known; `who` is asked, by the
    name that messages give it (see `answerer`). Raises `PortalMismatch`, `CredentialRejected`
    (401), `MissingScopes` or `PortalForbidden` (403, 404), `PortalUnreachable` (network, 429,
    5xx) or `UnexpectedAnswer`: each says what happened and what to do. What was not done
    because of it, the caller adds.
    """
    wanted = None if expected == FIRST_CONTACT else parse_portal_id(expected)
    response = _get(sender, f"/account-info/{API_VERSION}/details", who=who)
    if response.status_code == 404:
        response = _get(sender, f"/account-info/{FALLBACK_VERSION}/details", who=who)
    details = _read(response, _Details, what="account details", who=who)
    if wanted is not None and details.portal_id != wanted:
        raise PortalMismatch(expected=wanted, got=details.portal_id)
    return Identity(
        portal_id=PortalId(details.portal_id),
        account_type=plain_text(details.account_type),
        time_zone=plain_text(details.time_zone),
        currency=plain_text(details.company_currency),
        ui_domain=plain_text(details.ui_domain),
        hosting=plain_text(details.data_hosting_location),
        name=plain_text(details.portal_name),
        correlation_id=_correlation_id(response),
        daily_limit=_limit(response, "x-hubspot-ratelimit-daily"),
        burst_limit=_limit(response, "x-hubspot-ratelimit-max"),
    )


def introspect(sender: Sender, token: Secret) -> Introspection | None:
    """
    Return a static token's scopes, or nothing where HubSpot does not say.

    The token travels in the body, which is never recorded. A missing answer is no verdict:
    the endpoint has no dated successor and may go (HubSpot private apps overview, 2026-10).
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
    scopes = tuple(one for one in info.scopes if plain_text(one))
    return Introspection(portal_id=PortalId(info.hub_id), scopes=scopes)


def daily_usage(sender: Sender) -> DailyUsage | None:
    """Return the portal's daily limit and use, or nothing where HubSpot does not say."""
    try:
        return read_daily_usage(_get(sender, DAILY_USAGE))
    except VerificationError:
        return None


def read_daily_usage(response: httpx.Response) -> DailyUsage | None:
    """
    Return what an answer of `DAILY_USAGE` tells; raises as `verify` does where it is none.

    Nothing is returned for one that tells no figure, or says itself not to be trusted.
    """
    answer = _read(response, _UsageAnswer, what="daily usage")
    for row in answer.results:
        limit, used = row.usage_limit, row.current_usage
        if row.fetch_status not in ("SUCCESS", "CACHED") or limit is None or used is None:
            continue
        if limit > 0 and used >= 0:  # nobody has a limit of none, or used less than that
            return DailyUsage(
                limit=limit,
                used=used,
                fetch_status=row.fetch_status,
                collected_at=_moment(row.collected_at),
                resets_at=_moment(row.resets_at),
            )
    return None


def _moment(value: object) -> datetime | None:
    """Return a time with its zone, or nothing for what is none."""
    try:
        at = datetime.fromisoformat(value) if isinstance(value, str) else None
        return at.astimezone(UTC) if at is not None and at.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None


def answerer(api_base: str) -> str:
    """Return what messages call whoever answers for a connection: HubSpot, or the sandbox."""
    return "the sandbox" if api_base else HUBSPOT


def on_the_way(error: httpx.HTTPError, *, who: str = HUBSPOT) -> PortalUnreachable | None:
    """
    Return what to say if a call ended before it was sent, else nothing.

    It did where whoever answered showed a certificate that is not trusted, or where a proxy
    did not put it through.
    """
    said = getattr(error, "said", None) or str(error)  # httpx's own words, also where ours are on
    if said.startswith("The proxy "):  # as the wire says it, with what to do
        what, _, cure = said.partition("Nothing was sent to HubSpot. ")
        return PortalUnreachable(f"{what}No token and no call were sent.", hint=cure)
    found = _CERTIFICATE.search(said)
    if found is None:
        return None
    return PortalUnreachable(
        f"{_first(who)} showed a certificate that is not trusted ({found[1]}): no token and no "
        "call were sent.",
        hint=_TRUST if who == HUBSPOT else _TRUST_SANDBOX,
    )


# OpenSSL's words: what an error came from is taken off it where the token has been.
_CERTIFICATE: Final = re.compile(r"certificate verify failed: (.*?)(?: \(_ssl|$)")
_TRUST: Final = (
    "Check this machine's clock, and whether something on this network opens HTTPS on the way. If "
    "that is meant to be, ask who runs it for their authority's certificate, and name the file in "
    "hsagency.toml: [network] ca_bundle. Else use another network."
)
_TRUST_SANDBOX: Final = (
    "Name the certificate of its authority in hsagency.toml, [network] ca_bundle: the sandbox "
    "printed where it is, and makes a new one whenever it starts. Or start one without --tls."
)


def _get(sender: Sender, path: str, *, who: str = HUBSPOT) -> httpx.Response:
    try:
        return sender.request("GET", path)
    except httpx.HTTPStatusError as error:
        return error.response  # a sender that raises answers got one all the same
    except httpx.HTTPError as error:
        raise on_the_way(error, who=who) or PortalUnreachable(
            f"{_first(who)} did not answer ({type(error).__name__})."
        ) from error


def _read(response: httpx.Response, model: type[M], *, what: str, who: str = HUBSPOT) -> M:
    if response.status_code != 200:
        raise _explained(response, who)
    try:
        return model.model_validate(orjson.loads(response.content))
    except (ValueError, ValidationError):
        raise UnexpectedAnswer(f"The answer is not {who}'s {what}.") from None


def _explained(response: httpx.Response, who: str) -> VerificationError:
    """Return the error that an answer is; what it means, the table of verdicts says."""
    status = response.status_code
    seen = Seen(status, response.headers, response.content)
    verdict = judge(seen, method="GET", touched=_QUESTION, attempt=Attempt(now=datetime.now(UTC)))
    found = (verdict and verdict.kind) or kinds.HubSpotError
    kind, words, hint = next(_CAUSES[one] for one in found.__mro__ if one in _CAUSES)
    category = verdict.category if verdict and status == 403 else None
    said = f"{status}, {category}" if category else str(status)
    if verdict and not words:
        words, hint = f"{verdict.cause} ({{}})", verdict.action
    if status == 401 and who != HUBSPOT:
        hint = _SANDBOX_KEY
    error = kind(f"{_first(who)} {words.format(said)}.", hint=hint)
    error.status_code = status
    error.correlation_id = _correlation_id(response)
    error.cause = verdict.breaks if verdict else error.cause
    return error


def _limit(response: httpx.Response, header: str) -> int | None:
    """Return a limit that a header tells; absent, unreadable and none at all are not told."""
    told = response.headers.get(header, "")
    is_one = told.isascii() and told.isdigit() and len(told) <= _DIGITS
    return int(told) or None if is_one else None


_DIGITS: Final = 9  # more than any limit of HubSpot's has


def _correlation_id(response: httpx.Response) -> str | None:
    return plain_word(response.headers.get("x-hubspot-correlation-id"))


def _first(who: str) -> str:
    return who[:1].upper() + who[1:]


_QUESTION: Final = touched("GET", f"/account-info/{API_VERSION}/details")
# What each kind of answer is to the question whose a credential is: the error, its words (none:
# those of the table, with its action) and what to do (none: the hint of its class).
_CAUSES: Final[Mapping[type, tuple[type[VerificationError], str, str | None]]] = {
    kinds.TokenRejected: (CredentialRejected, "does not accept the token ({})", None),
    kinds.WrongDataCentre: (CredentialRejected, "", None),
    kinds.ScopeMissing: (
        MissingScopes,
        "accepts the token but it may not read the account ({})",
        None,
    ),
    kinds.UserNotPermitted: (
        PortalForbidden,
        "says that the user behind the credential may not do this ({})",
        "Who made it was deactivated, or may do less there than before: ask the client to let that "
        "person in again, or for a credential that somebody else makes.",
    ),
    kinds.PortalSuspended: (PortalForbidden, "", None),
    kinds.NotPermitted: (
        PortalForbidden,
        "accepts the token but does not let it into the portal ({})",
        None,
    ),
    kinds.NotFound: (
        PortalForbidden,
        "has no account details for the token ({})",
        "The portal may have been deleted: ask the client. If it is there, check proxies and --api.",
    ),
    kinds.PortalMoving: (PortalUnreachable, "", None),
    kinds.DailyLimitReached: (PortalUnreachable, "", None),
    kinds.LimitReached: (PortalUnreachable, "answered {}", None),
    kinds.HubSpotFailing: (PortalUnreachable, "answered {}", None),
    kinds.HubSpotError: (UnexpectedAnswer, "answered {}, which no rule covers", None),
}
_SANDBOX_KEY: Final = (
    "It was revoked, rotated or copied wrongly. The sandbox's control API makes another: "
    'POST /_sandbox/tokens/rotate {"portalId": ID}, with the key that the sandbox printed.'
)
