"""
Asks one portal: an answer's content comes back, or the typed error that the answer is.

Objects have two addresses: the dated version, and the one before it where a portal does not
have that yet. Which one it is is learnt from the first answer.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

import httpx
import orjson

from hsagency.errors import HsAgencyError, UnusableAnswer, UsageError
from hsagency.portals import Portal, plain_word
from hsagency.routes import touched
from hsagency.transport.leaving import never_left
from hsagency.verdicts import is_repeatable
from hsagency.verifier import API_VERSION, FALLBACK_VERSION, Sender

JsonObject = dict[str, Any]

_KIND: Final = re.compile(r"[A-Za-z0-9_-]{1,100}", re.ASCII)
_READINGS: Final = 3  # of an answer whose body breaks off: who repeats calls sees its head alone


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: the JSON object, which is empty where there is none (204)."""

    status: int
    content: JsonObject
    correlation_id: str | None


def ask(sender: Sender, method: str, target: str, *, json: object = None) -> Answer:
    """
    Return an answer that is no error; asks again for a damaged one, where that does no harm.

    Raises the error that it is: of a portal client one of `hubspot_errors`, which httpx knows
    as an `httpx.HTTPStatusError` as well. `UnusableAnswer` is an answer that came damaged.
    """
    path, _, query = target.partition("?")
    more = _READINGS if is_repeatable(method, touched(method, path, query)) else 1
    while True:
        more -= 1
        try:
            response = sender.request(method, target, json=json)
            response.raise_for_status()
            content = _content(response)
        except (httpx.TransportError, UnusableAnswer) as error:
            if more and _broke_off(error):
                continue
            if isinstance(error, UnusableAnswer):
                name_portal(error, sender)
            raise
        correlation_id = plain_word(response.headers.get("X-HubSpot-Correlation-Id"))
        return Answer(response.status_code, content, correlation_id)


def _broke_off(error: httpx.TransportError | UnusableAnswer) -> bool:
    """Say whether what came is not whole; what never came was asked for often enough already."""
    return isinstance(error, UnusableAnswer) or bool(getattr(error, "broke_off", False))


def name_portal(error: UnusableAnswer, sender: object) -> None:
    """Put in front of what is said of an answer whose it was, where that is known."""
    portal = getattr(sender, "portal", None)
    if isinstance(portal, Portal) and error.client_slug is None:
        error.client_slug, error.portal_id = portal.client_slug, portal.portal_id
        error.message = f"{portal}: {error.message}"


def may_be_done(error: Exception) -> bool:
    """Say whether a write that ended in an error may have been done all the same."""
    if isinstance(error, httpx.HTTPStatusError):
        verdict = getattr(error.response, "verdict", None)
        refused = verdict is not None and verdict.executed is False
        return not refused and (status_of(error) or 0) in {408, *range(500, 600)} - {530}
    if isinstance(error, HsAgencyError | httpx.RequestError):
        return isinstance(error, UnusableAnswer) or not never_left(error)
    return False


def status_of(error: Exception) -> int | None:
    """Return the status of the answer that an error is, if it is one."""
    return error.response.status_code if isinstance(error, httpx.HTTPStatusError) else None


class Place:
    """Where some objects are: under the dated version, or under the one before it."""

    def __init__(self, sender: Sender, *paths: str) -> None:
        self._sender, self._paths = sender, list(paths)

    @classmethod
    def of(cls, sender: Sender, object_type: str) -> Place:
        """Return where the objects of one type are, by its name or id."""
        kind = _checked(object_type)
        return cls(
            sender,
            f"/crm/objects/{API_VERSION}/{kind}",
            f"/crm/{FALLBACK_VERSION}/objects/{kind}",
        )

    @classmethod
    def between(cls, sender: Sender, object_type: str, other_type: str) -> Place:
        """Return where the links between objects of two types are."""
        ends = f"{_checked(object_type)}/{_checked(other_type)}"
        return cls(
            sender, f"/crm/associations/{API_VERSION}/{ends}", f"/crm/v4/associations/{ends}"
        )

    @property
    def path(self) -> str:
        """The address that counts by what is known so far."""
        return self._paths[0]

    def ask(self, method: str, tail: str = "", *, json: object = None) -> Answer:
        """Ask below the address; the first answer tells which version there is."""
        first, *others = self._paths
        try:
            answer = ask(self._sender, method, first + tail, json=json)
        except httpx.HTTPStatusError as refusal:
            if not others or status_of(refusal) != 404:
                raise
            try:  # a 404 says that nothing was done
                answer = ask(self._sender, method, others[0] + tail, json=json)
            except httpx.HTTPStatusError as other:
                raise (refusal if status_of(other) == 404 else other) from None
            del self._paths[0]
        del self._paths[1:]
        return answer


def _checked(object_type: str) -> str:
    if not _KIND.fullmatch(object_type):
        raise UsageError(
            "An object type is a name or an id as HubSpot has it; nothing was sent.",
            hint="For example contacts, 0-3 or 2-1234567.",
        )
    return object_type


def failed_with(error: Exception) -> dict[str, Any]:
    """Return what a frame may say of an error: nothing that quotes what was submitted."""
    category = getattr(error, "category", None)
    return {
        "status": status_of(error),
        "category": category or type(error).__name__,
        "correlation_id": getattr(error, "correlation_id", None),
    }


def _content(response: httpx.Response) -> JsonObject:
    if response.status_code == 204:
        return {}
    try:
        content = orjson.loads(response.content)
    except orjson.JSONDecodeError:
        content = None
    if not isinstance(content, dict):
        raise UnusableAnswer(
            f"HubSpot answered {response.status_code} with what is no JSON object.",
            hint="Something between here and HubSpot may have answered instead. Try again.",
        )
    return content
