"""
What an answer of HubSpot's says, in machine words; no answer makes that raise.

Of its own text nothing is passed on: it may quote what was submitted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from hsagency.hosts import is_data_centre
from hsagency.portals import looks_like_token, plain_word

MOST: Final = 1 << 16
"""Bytes of a body that are looked at; an error of HubSpot's is smaller."""


@dataclass(frozen=True, slots=True)
class Seen:
    """
    An answer as it came: `headers` by their names in small letters, or httpx's own.

    Of the body no more than `MOST` bytes count, and one that is longer counts as none.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Said:
    """What an answer says in machine words; its message only for looking words up in it."""

    status: int
    named: frozenset[str]
    message: str
    spent: frozenset[str]  # the headers by which nothing is left
    category: str | None
    policy: str | None
    correlation_id: str | None
    scopes: tuple[str, ...]
    hublet: str | None

    @classmethod
    def of(cls, seen: Seen) -> Said:
        """Return what an answer says; nothing of it where it makes no sense."""
        body = object_of(seen.body)
        words = {name: plain_word(body.get(name)) for name in _NAMING}
        message = body.get("message")
        message = message[:_LONGEST_MESSAGE].lower() if isinstance(message, str) else ""
        headers = seen.headers
        return cls(
            status=seen.status,
            named=frozenset(word.upper() for word in words.values() if word),
            message=message,
            spent=frozenset(name for name in _REMAINING if headers.get(name, "").strip() == "0"),
            category=words["category"] or words["errorType"],
            policy=words["policyName"],
            correlation_id=plain_word(headers.get("x-hubspot-correlation-id"))
            or plain_word(body.get("correlationId")),
            scopes=tuple(_scopes(body)),
            hublet=_hublet(body, headers, message),
        )


_NAMING: Final = ("policyName", "category", "subCategory", "errorType")
_REMAINING: Final = ("x-hubspot-ratelimit-daily-remaining", "x-hubspot-ratelimit-remaining")
_LONGEST_MESSAGE: Final = 1000  # characters that words are looked for in
_IN_HUBLET: Final = re.compile(r"exist in hublet ([a-z0-9]{1,9})\b", re.ASCII)
_SCOPE: Final = re.compile(r"[a-z][a-z0-9._-]{0,99}", re.ASCII)
_SCOPES_MOST: Final = 30


def object_of(body: bytes) -> Mapping[str, Any]:
    """Return a body's JSON object; an empty one for whatever is none."""
    if not body or len(body) > MOST:
        return {}
    try:
        found = orjson.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _hublet(body: Mapping[str, Any], headers: Mapping[str, str], message: str) -> str | None:
    told = _IN_HUBLET.search(message)
    named = (body.get("correctHublet"), headers.get("x-hubspot-correct-hublet"))
    for one in (*named, told and told[1]):
        name = one.strip().lower() if isinstance(one, str) else None
        if is_data_centre(name):
            return name
    return None


def _scopes(body: Mapping[str, Any]) -> Iterator[str]:
    """Yield the scopes that an answer asks for, each once."""
    errors = body.get("errors")
    places = [body, *(errors if isinstance(errors, list) else [])]
    contexts = [one.get("context") for one in places if isinstance(one, dict)]
    told = [
        scope
        for context in contexts
        if isinstance(context, dict)
        for name in ("requiredGranularScopes", "requiredScopes")
        for scope in _listed(context.get(name))
        if isinstance(scope, str) and _SCOPE.fullmatch(scope) and not looks_like_token(scope)
    ]
    yield from tuple(dict.fromkeys(told))[:_SCOPES_MOST]


def _listed(value: object) -> Iterable[object]:
    return value if isinstance(value, list) else ()
