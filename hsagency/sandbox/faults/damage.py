"""
What becomes of an answer on its way to the caller; the call itself has taken effect.

Damage that an answer cannot take (a truncated body where there is none) leaves it as it is.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from hsagency.sandbox.faults.armed import Strike
from hsagency.sandbox.faults.refusals import Refused, refusal, shows_limits
from hsagency.sandbox.faults.rules import Fault
from hsagency.sandbox.wire import Headers, Reply, encode

_LIMIT = "x-hubspot-ratelimit-"
# The words by which answers name their portal.
NAMES = ("portalId", "hubId", "hub_id")
_ENDLESS = "9" * 5000  # more digits than Python makes a number of


def damaged(reply: Reply, strike: Strike, call: Refused, *, other_portal: int) -> Reply:
    """Return what is left of a reply after what struck the call."""
    fault = strike.fault
    if fault is not None and not fault.before:
        reply = _spoilt(reply, fault, call, other_portal=other_portal)
    return replace(reply, delay=strike.delay) if strike.delay else reply


def _spoilt(reply: Reply, fault: Fault, call: Refused, *, other_portal: int) -> Reply:
    if fault.loses:
        return replace(reply, drop="after", reset=fault.kind == "reset_after")
    if fault.refuses:
        return _behind(reply, fault, call)
    if fault.kind == "wrong_portal":
        claims = other_portal if fault.claims is None else fault.claims
        return _renamed(reply, portal_id=claims)
    if fault.kind == "headers":
        return _ODDITIES[fault.oddity or "duplicate"](reply)
    return _torn(reply, fault)


def _torn(reply: Reply, fault: Fault) -> Reply:
    if not reply.body:  # a 204 that came with a body would be read as part of the next answer
        return reply
    if fault.kind == "truncated":
        half = len(reply.body) // 2
        keep = half if fault.keep is None else fault.keep
        return replace(reply, cut=keep) if keep < len(reply.body) else reply
    if fault.kind == "slow_body":
        return replace(reply, drip=fault.seconds)
    if fault.kind == "empty":
        return replace(reply, body=b"")
    cut = reply.body[: len(reply.body) // 2]
    body = cut if fault.body is None else fault.body.encode(errors="replace")
    return replace(reply, body=body)


def _behind(reply: Reply, fault: Fault, call: Refused) -> Reply:
    """Return the refusal of a call that worked all the same."""
    refused = refusal(fault, call)
    kept = limits_of(reply) if shows_limits(refused.status) else ()
    return replace(refused, headers=(*refused.headers, *kept))


def limits_of(reply: Reply) -> Headers:
    """Return the rate limit headers of a reply."""
    return tuple(pair for pair in reply.headers if pair[0].lower().startswith(_LIMIT))


def _renamed(reply: Reply, *, portal_id: int) -> Reply:
    try:
        content = json.loads(reply.body)
    except ValueError:
        return reply
    renamed = _claimed(content, portal_id)
    return reply if renamed == content else replace(reply, body=encode(renamed))


def _claimed(content: Any, portal_id: int) -> Any:
    """Return JSON with another portal in each place that names one, however deep."""
    if isinstance(content, list):
        return [_claimed(one, portal_id) for one in content]
    if not isinstance(content, dict):
        return content
    return {
        name: portal_id if name in NAMES else _claimed(value, portal_id)
        for name, value in content.items()
    }


def _with_limits(change: Callable[[str], str]) -> Callable[[Reply], Reply]:
    """Return an oddity that changes the value of each rate limit header."""

    def odd(reply: Reply) -> Reply:
        limits = set(limits_of(reply))
        headers = (
            (name, change(value)) if (name, value) in limits else (name, value)
            for name, value in reply.headers
        )
        return replace(reply, headers=tuple(headers))

    return odd


def _twice(reply: Reply) -> Reply:
    again = tuple((name, str(int(value) + 7)) for name, value in limits_of(reply))
    return replace(reply, headers=(*reply.headers, *again))


def _odd_case(reply: Reply) -> Reply:
    headers = tuple((name.swapcase(), value) for name, value in reply.headers)
    return replace(reply, headers=headers)


def _no_limits(reply: Reply) -> Reply:
    limits = set(limits_of(reply))
    kept = tuple(pair for pair in reply.headers if pair not in limits)
    return replace(reply, headers=kept)


def _said_to_be(name: str, value: str) -> Callable[[Reply], Reply]:
    """Return an oddity that sets one header."""

    def odd(reply: Reply) -> Reply:
        kept = tuple(pair for pair in reply.headers if pair[0].lower() != name.lower())
        return replace(reply, headers=((name, value), *kept))

    return odd


_ODDITIES: dict[str, Callable[[Reply], Reply]] = {
    "duplicate": _twice,
    "not_a_number": _with_limits(lambda _: "unlimited"),
    "negative": _with_limits(lambda value: f"-{value}"),
    "very_long": _with_limits(lambda _: _ENDLESS),
    "odd_case": _odd_case,
    "no_limits": _no_limits,
    "content_type": _said_to_be("Content-Type", "text/plain"),
    "gzip": _said_to_be("Content-Encoding", "gzip"),
    "no_length": lambda reply: replace(reply, framing="none"),
    "chunked": lambda reply: replace(reply, framing="chunked"),
}
