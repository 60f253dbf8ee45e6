"""
A rule of what goes wrong: which calls it is about, and how they fail.

A rule that makes no sense cannot be made: each word has its type and its range, and says nothing
to a kind that has no use for it.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, fields
from datetime import datetime
from functools import cache
from types import UnionType
from typing import Literal, TypeAlias, get_args

from hsagency.errors import SandboxError
from hsagency.sandbox.limits import Marker
from hsagency.sandbox.portals import Portal
from hsagency.sandbox.wire import Request

FaultKind: TypeAlias = Literal[
    "status", "burst", "daily", "redirect", "drop_before", "reset_before",
    "drop_after", "reset_after", "truncated", "slow_body", "empty", "malformed", "headers",
    "wrong_portal", "latency", "lag",
]  # fmt: skip
Distribution: TypeAlias = Literal["fixed", "uniform", "normal", "lognormal"]
Form: TypeAlias = Literal["json", "html", "empty"]
Oddity: TypeAlias = Literal[
    "duplicate", "not_a_number", "negative", "very_long", "odd_case", "no_limits",
    "content_type", "gzip", "no_length", "chunked",
]  # fmt: skip

# The longest that anything may take: a day, which is also the longest wait that HubSpot asks for.
SECONDS_MAX = 86_400.0
REDIRECTS = frozenset({301, 302, 303, 307, 308})
# The call has no effect: it is refused before, or never arrives.
_BEFORE = frozenset({"status", "burst", "daily", "redirect", "drop_before", "reset_before"})
_LOST = frozenset({"drop_before", "drop_after", "reset_before", "reset_after"})
_WAIT = ("retry_after", "as_date")
# Where an answer names its portal first of all, without its version.
DETAILS = "/account-info/details"
# What each kind may say beyond which calls it is about; None means nothing, False means no.
_WORDS: dict[str, tuple[str, ...]] = {
    "status": (
        "status", "html", "form", "category", "scopes", "policy", "marker", "hublet", "effect",
        *_WAIT,
    ),
    "burst": _WAIT,
    "daily": _WAIT,
    "redirect": ("status", "location"),
    "truncated": ("keep",),
    "slow_body": ("seconds",),
    "malformed": ("body",),
    "headers": ("oddity",),
    "wrong_portal": ("claims",),
    "latency": ("seconds", "spread", "distribution"),
    "lag": ("seconds",),
}  # fmt: skip
_WHICH = frozenset(
    {
        "kind", "portal", "portal_id", "method", "path", "route", "since", "until", "after",
        "times", "probability",
    }
)  # fmt: skip
# Rules also come from JSON and TOML, where nothing else would stop a number for a path.
_TYPES: dict[str, type | UnionType] = {
    "kind": str,
    "portal": int | str | None,
    "portal_id": int | None,
    "since": datetime | None,
    "until": datetime | None,
    "after": int,
    "times": int | None,
    "probability": int | float,
    "seconds": int | float,
    "spread": int | float,
    "distribution": str,
    "status": int | None,
    "html": bool,
    "scopes": tuple,
    "retry_after": int | float | str | None,
    "as_date": bool,
    "effect": bool,
    "keep": int | None,
    "claims": int | None,
}
_CHOICES: dict[str, tuple[str | None, ...]] = {
    "form": (None, *get_args(Form)),
    "marker": (None, *get_args(Marker)),
    "distribution": get_args(Distribution),
}


@dataclass(frozen=True, slots=True)
class Fault:
    """
    A rule: which calls, how often, and how they fail.

    Refused before they have an effect:

    - `status`: any status from 400 to 599, as HubSpot says it, or as `form` says (json, html,
      empty). 401 and 403 take a `category`, 403 the `scopes` it names, 429 the `policy` and its
      `marker`, 488 the `hublet`. `retry_after` is sent as it is, or `as_date` so many seconds
      ahead. With `effect` the call takes effect all the same, and only its answer is lost.
    - `burst`, `daily`: HubSpot's 429 of that policy, whatever is left of the limit.
    - `redirect`: to `location`, or to the same path on another data centre's host.
    - `drop_before`, `reset_before`: the connection is closed, or reset.

    After they took effect:

    - `drop_after`, `reset_after`: the same, and the caller never learns that it worked.
    - `truncated`: the length promises more than the `keep` bytes that come (None: half).
    - `slow_body`: the body drips for `seconds`. `empty`: there is none.
    - `malformed`: the body is cut JSON, or `body`.
    - `headers`: one `oddity`; see `Oddity`.
    - `wrong_portal`: account details (with `path` or `route`: the answers there) name another
      portal wherever they name one: `claims`, or some other one's id.
    - `latency`: the answer is `seconds` late; `distribution` and `spread` vary it (uniform: that
      much more or less; normal: the standard deviation; lognormal: sigma, around the median).
    - `lag`: reads do not see what was written in the last `seconds`. At once they see groups of
      properties, folders, changes to forms, choices of subscriptions, who left a list, and which
      links or labels of links were taken away.

    `portal` is an id or a client slug, `path` a prefix, and `route` a template without its version,
    with or without its method: "POST /crm/objects/{type}/search". What is None matches everything.
    `portal_id` is another word for `portal` with an id, and `html` for `form="html"`.
    """

    kind: FaultKind
    portal_id: int | None = None
    method: str | None = None
    path: str | None = None
    times: int | None = None
    probability: float = 1.0
    seconds: float = 0.0
    status: int | None = None
    html: bool = False
    claims: int | None = None
    portal: int | str | None = None
    route: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    after: int = 0
    distribution: Distribution = "fixed"
    spread: float = 0.0
    form: Form | None = None
    category: str | None = None
    scopes: tuple[str, ...] = ()
    policy: str | None = None
    marker: Marker | None = None
    retry_after: float | str | None = None
    as_date: bool = False
    hublet: str | None = None
    effect: bool = False
    location: str | None = None
    keep: int | None = None
    body: str | None = None
    oddity: Oddity | None = None

    def __post_init__(self) -> None:
        for name in _TEXTS:
            demand(isinstance(getattr(self, name), str | None), name, "must be text")
        for name, kinds in _TYPES.items():
            value = getattr(self, name)
            # true is a whole number to Python, and to nobody else
            fits = isinstance(value, kinds) and (kinds is bool or not isinstance(value, bool))
            demand(fits, name, "has the wrong type")
        demand(self.kind in get_args(FaultKind), "kind", f"{self.kind!r} does not exist", KINDS)
        known = _WHICH.union(_WORDS.get(self.kind, ()))
        for field in fields(self):
            unused = getattr(self, field.name) == field.default or field.name in known
            demand(unused, field.name, f"means nothing to kind {self.kind}", known_words(self.kind))
        _check_numbers(self)
        _check_words(self)
        _check_calls(self)

    @property
    def before(self) -> bool:
        """Whether it keeps the call from taking effect."""
        return self.kind in _BEFORE and not self.effect

    @property
    def refuses(self) -> bool:
        """Whether it answers in HubSpot's place."""
        return self.kind in {"status", "burst", "daily", "redirect"}

    @property
    def loses(self) -> bool:
        """Whether the caller gets no answer at all."""
        return self.kind in _LOST

    def matches(
        self, request: Request, *, now: datetime, portal: Portal | None, route: str
    ) -> bool:
        """Whether the rule is about this call."""
        return (
            (self.portal_id is None or self.portal_id == (portal and portal.portal_id))
            and (self.portal is None or _is(portal, self.portal))
            and (self.method is None or self.method.upper() == request.method)
            and (self.path is None or request.path.startswith(self.path))
            and (self.route is None or _fits(self.route, request.method, route))
            and (self.since is None or self.since <= now)
            and (self.until is None or now < self.until)
            and (self.kind != "wrong_portal" or bool(self.path or self.route) or route == DETAILS)
        )


_TEXTS = (
    "method", "path", "route", "form", "category", "policy", "marker", "hublet", "location",
    "body", "oddity",
)  # fmt: skip
KINDS = f"Kinds: {', '.join(get_args(FaultKind))}."


class FaultError(SandboxError):
    """A rule that makes no sense; `word` is what is wrong with it."""

    def __init__(self, message: str, *, word: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.word = word


def _is(portal: Portal | None, which: int | str) -> bool:
    return portal is not None and which in (portal.portal_id, portal.client_slug)


def _fits(wanted: str, method: str, route: str) -> bool:
    asked, _, template = wanted.rpartition(" ")
    return (not asked or asked.upper() == method) and same_route(template) == same_route(route)


@cache
def same_route(template: str) -> str:
    """Return a template without the names of its values, which differ between versions."""
    return re.sub(r"\{[^}]*\}", "{}", template.rstrip("/"))


def _check_numbers(fault: Fault) -> None:
    demand(0 <= fault.probability <= 1, "probability", "must be from 0 to 1")
    demand(0 <= fault.seconds <= SECONDS_MAX, "seconds", "must be from 0 to a day")
    # beyond five, the tail of a lognormal is longer than any day
    most = 5 if fault.distribution == "lognormal" else SECONDS_MAX
    demand(0 <= fault.spread <= most, "spread", f"must be from 0 to {most:g}")
    demand(fault.times is None or fault.times >= 1, "times", "must be 1 or more")
    demand(fault.after >= 0, "after", "must be 0 or more")
    demand(fault.keep is None or fault.keep >= 0, "keep", "must be 0 or more")
    wait = fault.retry_after
    demand(
        not isinstance(wait, float) or math.isfinite(wait), "retry_after", "must be a finite number"
    )
    demand(
        not fault.as_date or (isinstance(wait, int | float) and 0 <= wait <= SECONDS_MAX),
        "retry_after",
        "must be seconds, up to a day, to be sent as a date",
    )


def _check_words(fault: Fault) -> None:
    status = fault.status or 0
    demand(fault.kind != "status" or 400 <= status <= 599, "status", "must be from 400 to 599")
    demand(
        fault.category is None or status not in {429, 488},
        "category",
        f"means nothing to status {status}",
    )
    demand(fault.kind != "redirect" or status in {0, *REDIRECTS}, "status", "must be 301 to 308")
    for word, choices in _CHOICES.items():
        demand(getattr(fault, word) in choices, word, f"must be one of {_listed(choices)}")
    demand(
        fault.kind != "headers" or fault.oddity in get_args(Oddity),
        "oddity",
        f"must be one of {_listed(get_args(Oddity))}",
    )
    demand(all(isinstance(scope, str) for scope in fault.scopes), "scopes", "must be names")
    for word in ("location", "hublet", "retry_after"):
        sent = str(getattr(fault, word) or "")
        demand(sent.isascii() and (not sent or sent.isprintable()), word, "cannot be sent")


def _check_calls(fault: Fault) -> None:
    """Refuse a rule that is about no call at all."""
    demand(fault.path is None or fault.path.startswith("/"), "path", "must begin with a slash")
    verb = (fault.route or "").rpartition(" ")[0]
    one = not fault.method or verb.upper() in {"", fault.method.upper()}
    demand(one, "method", "is another than the route's")
    for word in ("since", "until"):
        at = getattr(fault, word)
        demand(at is None or at.tzinfo is not None, word, "must name its zone")
    if fault.since is not None and fault.until is not None:
        demand(fault.since < fault.until, "until", "must be later than from")


def demand(holds: bool, word: str, message: str, hint: str = "") -> None:  # noqa: FBT001 - reads as assert
    """Refuse a rule that does not hold."""
    if not holds:
        raise FaultError(
            f"A fault's {outer(word)} {message}; nothing was added.", word=outer(word), hint=hint
        )


def _listed(choices: tuple[str | None, ...]) -> str:
    return ", ".join(choice for choice in choices if choice)


def known_words(kind: object) -> str:
    """Say what a rule of some kind may say."""
    own = _WORDS.get(kind, ()) if isinstance(kind, str) else ()
    return f"Known: {', '.join(outer(word) for word in (*sorted(_WHICH), *own))}."


def outer(name: str) -> str:
    """Return a word as JSON and TOML spell it."""
    if name == "since":
        return "from"
    return re.sub(r"_([a-z])", lambda found: found[1].upper(), name)
