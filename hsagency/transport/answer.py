"""What a portal client's calls return and raise, beyond what httpx's own do."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Self, cast

import httpx

from hsagency import hubspot_errors
from hsagency.errors import HsAgencyError, UsageError
from hsagency.hubspot_errors import HubSpotError
from hsagency.routes import OperationClass, Touched, touched
from hsagency.said import Seen
from hsagency.transport.call import Call
from hsagency.verdicts import Attempt, Verdict, judge
from hsagency.verifier import HUBSPOT, answerer


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What was asked, of which portal and of whom, in words that may be written down."""

    method: str
    route: str
    client_slug: str | None = None
    portal_id: int | None = None
    portal_name: str | None = None
    who: str = HUBSPOT
    reads: bool = False
    attempts: int = 1

    @classmethod
    def of(cls, call: Call) -> Asked:
        """Return what a call asks."""
        binding, connection = call.binding, call.connection
        return cls(
            method=call.request.method,
            route=call.touched.template,
            client_slug=binding.candidate_slug or binding.client_slug,
            portal_id=binding.portal_id,
            portal_name=connection.portal.name if connection else None,
            who=answerer(connection.api_base) if connection else HUBSPOT,
            reads=is_read(call.request.method, call.touched),
            attempts=call.attempt,
        )

    @property
    def portal(self) -> str:
        """The portal as it is named wherever it is mentioned."""
        if self.portal_id is None:
            return self.client_slug or ""
        if self.portal_name is None:
            return f"{self.client_slug} (portal {self.portal_id})"
        return f"{self.portal_name} ({self.client_slug}, portal {self.portal_id})"

    @property
    def opening(self) -> str:
        """How a sentence about the answer begins."""
        return f"{self.portal}: {self.who}" if self.portal else self.who

    def told(self, *, executed: bool | None) -> str:
        """Return a sentence about what became of it."""
        if executed is False:
            became = "was not carried out"
        else:
            became = "changed nothing" if self.reads else "may or may not have taken effect"
        tried = f", in {self.attempts} attempts" if self.attempts > 1 else ""
        return f"{self.method} {self.route} {became}{tried}."


def is_read(method: str, what: Touched) -> bool:
    """Say whether a call changes nothing, however often it is made."""
    return method in ("GET", "HEAD", "OPTIONS") or what.operation_class is OperationClass.READ


class HubSpotResponse(httpx.Response):
    """
    An `httpx.Response` that knows what it means.

    `verdict` is nothing for a success; for a 207, in which some of a batch failed, it is no
    error. `raise_for_status()` raises the kind in `hubspot_errors` that the answer stands for,
    which is an `httpx.HTTPStatusError` as well.
    """

    verdict: Verdict | None = None
    asked: Asked | None = None

    @classmethod
    def of(cls, response: httpx.Response, *, call: Call, verdict: Verdict | None) -> Self:
        """Return an answer of another class as one of this, as unread as it was."""
        same = cls(
            response.status_code,
            headers=response.headers,
            stream=response.stream,
            extensions=response.extensions,
        )
        if verdict is not None:  # nothing else is ever asked of a success
            same.verdict, same.asked = verdict, Asked.of(call)
        return same

    @property
    def known(self) -> tuple[Verdict, Asked] | None:
        """What it means and to what it is the answer, once both are known."""
        return (self.verdict, self.asked) if self.verdict and self.asked else None

    def raise_for_status(self) -> Self:
        """Return itself for a success; else raise the typed error that this answer is."""
        if self.is_success:
            return self
        raise error_of(self)


def error_of(response: httpx.Response) -> HubSpotError:
    """
    Return the typed error that an answer is, also one that came by a client of httpx's own.

    Raises `UsageError` for a success.
    """
    known = response.known if isinstance(response, HubSpotResponse) else None
    verdict, asked = known or _judged(response)
    if verdict is None or verdict.kind is None:
        raise UsageError(f"An answer {response.status_code} is no error.")
    return _error(response, asked, verdict, verdict.kind)


def _judged(response: httpx.Response) -> tuple[Verdict | None, Asked]:
    method, url = response.request.method, response.request.url
    path, _, query = url.raw_path.decode("ascii").partition("?")
    what = touched(method, path, query)
    seen = Seen(response.status_code, response.headers, response.read())
    attempt = Attempt(now=datetime.now(UTC))
    verdict = judge(seen, method=method, touched=what, attempt=attempt)
    return verdict, Asked(method=method, route=what.template, reads=is_read(method, what))


class OutcomeUnknown(HsAgencyError, httpx.TransportError):
    """
    No answer came to a call that may have taken effect.

    `lost_to` names what happened to it, as httpx names it: ReadTimeout, RemoteProtocolError.
    """

    under_way = True

    lost_to = ""
    method = ""
    route = ""
    client_slug: str | None = None
    portal_id: int | None = None

    @classmethod
    def of(cls, asked: Asked, verdict: Verdict, *, lost_to: str) -> Self:
        """Return what a call raises that was lost to an error of httpx's."""
        told = asked.told(executed=None)
        error = cls(
            f"{asked.opening} {verdict.cause} ({lost_to}). {told}",
            hint=verdict.action,
        )
        error.method, error.route, error.lost_to = asked.method, asked.route, lost_to
        error.client_slug, error.portal_id = asked.client_slug, asked.portal_id
        return error

    def __reduce__(self) -> tuple[object, ...]:
        # The request holds what was submitted, which is nobody's beyond this process.
        rebuild, given, state = cast("Any", super().__reduce__())
        return rebuild, given, {**state, "_request": None}


class _Status(httpx.HTTPStatusError):
    """The half of a raised error that httpx's callers know."""

    def __init__(self, message: str) -> None:
        Exception.__init__(self, message)
        self._request = None


def _made(kind: type[HubSpotError]) -> type[HubSpotError]:
    """Return a kind of error that is httpx's too, under the same name."""

    def reduced(self: HubSpotError) -> tuple[object, ...]:
        # Request and response hold what was submitted, which is nobody's beyond this process.
        kept = {**self.__dict__}
        del kept["_request"], kept["response"]
        return _rebuilt, (kind, kept)

    said = {"__module__": kind.__module__, "__doc__": kind.__doc__, "__reduce__": reduced}
    return type(kind.__name__, (kind, _Status), said)


_BOTH: Final = {
    kind: _made(kind)
    for kind in vars(hubspot_errors).values()
    if isinstance(kind, type) and issubclass(kind, HubSpotError)
}


def _rebuilt(kind: type[HubSpotError], kept: dict[str, Any]) -> HubSpotError:
    error = _BOTH[kind](kept["message"], hint=kept["hint"])
    error.__dict__.update(kept)
    cast("_Status", error).response = httpx.Response(error.status_code)
    return error


def _error(
    response: httpx.Response, asked: Asked, verdict: Verdict, kind: type[HubSpotError]
) -> HubSpotError:
    words = [str(response.status_code), verdict.policy_name or verdict.category]
    said = ", ".join(word for word in words if word)
    trace = f" (correlation id {verdict.correlation_id})" if verdict.correlation_id else ""
    error = _BOTH[kind](
        f"{asked.opening} {verdict.cause} ({said}). {asked.told(executed=verdict.executed)}{trace}",
        hint=verdict.action,
    )
    error.cause = f"{asked.who} {verdict.cause}"
    error.status_code, error.category = response.status_code, verdict.category
    error.policy_name, error.until = verdict.policy_name, verdict.until
    error.correlation_id = verdict.correlation_id
    error.method, error.route = asked.method, asked.route
    error.client_slug, error.portal_id = asked.client_slug, asked.portal_id
    error.portal_name = asked.portal_name
    known = cast("_Status", error)
    known.response = response
    known._request = response._request
    return error
