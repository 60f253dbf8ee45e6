"""
A rule of what goes wrong: which calls it is about, and how they fail.

A rule that makes no sense cannot be made: each word has its type and its range, and says nothing
to a kind that has no use for it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import datetime
from functools import cache
from types import UnionType
from typing import Literal, TypeAlias, get_args

from hsagency.errors import SandboxError
from hsagency.sandbox.limits import Marker
from hsagency.sandbox.portals import Portal
from hsagency.sandbox.spelling import camel
from hsagency.sandbox.wire import METHODS, Request

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
_TIMED = frozenset({"latency", "lag", "slow_body"})
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
_NUMBER = ("a number", int | float)
_WHOLE = ("a whole number", int | None)
_TEXT = ("text", str | None)
_YES_OR_NO = ("true or false", bool)
_TIME = ("a time", datetime | None)
_TYPES: dict[str, tuple[str, type | UnionType]] = {
    "kind": ("text", str),
    "portal": ("a client slug or a portal id", int | str | None),
    "portal_id": _WHOLE,
    "since": _TIME,
    "until": _TIME,
    "after": ("a whole number", int),
    "times": _WHOLE,
    "probability": _NUMBER,
    "seconds": _NUMBER,
    "spread": _NUMBER,
    "distribution": ("text", str),
    "status": _WHOLE,
    "html": _YES_OR_NO,
    "scopes": ("a list of names", tuple),
    "retry_after": ("a number or text", int | float | str | None),
    "as_date": _YES_OR_NO,
    "effect": _YES_OR_NO,
    "keep": _WHOLE,
    "claims": _WHOLE,
}
# What only one status has a use for.
_STATUSES = {"policy": 429, "marker": 429, "hublet": 488}
_POLICY = re.compile(r"[A-Z][A-Z0-9_]*")
_CHOICES: dict[str, tuple[str | None, ...]] = {
    "form": (None, *get_args(Form)),
    "marker": (None, *get_args(Marker)),
    "distribution": get_args(Distribution),
}


@dataclass(frozen=True, slots=True)
class Fault:
    """
    A rule: which calls, how often, and how they fail.

    Which calls; what is None matches everything:

    - `portal`: a client slug or a portal id; `portal_id` is another word for an id.
    - `method`; `path`: how the path begins; `route`: a template without its version, with or
      without its method: "POST /crm/objects/{type}/search".
    - `since`, `until`: from which moment of the sandbox's clock on, and before which; in files
      and JSON the first is called `from`.
    - `after`: so many matching calls pass first. `times`: how many are struck then.
    - `probability`: of a call being struck, drawn from the sandbox's seed.

    Refused before they have an effect:

    - `status`: any status from 400 to 599, as HubSpot says it, or in another `form`: json, html,
      empty (`html=True` is `form="html"`). Any but 429 and 488 takes a `category`, 403 the
      `scopes` that it names, and 488 the `hublet` that is said to be right: na1, na2, eu1. 429
      takes the `policy` (TEN_SECONDLY_ROLLING, SECONDLY, DAILY or any other name: HubSpot's set
      is open) and the `marker` by which it says that it is one: errorType, category, none.
      `retry_after` is sent as it is, or `as_date` so many seconds ahead. With `effect` the call
      takes effect all the same, and only its answer is lost.
    - `burst`, `daily`: HubSpot's 429 of that policy, whatever is left of the limit.
    - `redirect`: to `location`, or to the same path on another data centre's host.
    - `drop_before`, `reset_before`: the connection is closed, or reset.

    After they took effect:

    - `drop_after`, `reset_after`: the same, and the caller never learns that it worked.
    - `truncated`: the length promises more than the `keep` bytes that come (None: half).
    - `slow_body`: the body drips for `seconds`. `empty`: there is none.
    - `malformed`: the body is cut JSON, or `body`.
    - `headers`: one `oddity`. Of the rate limit's headers: duplicate, not_a_number, negative,
      very_long, no_limits. Of all: odd_case, content_type (of text), gzip (which it is not),
      no_length, chunked.
    - `wrong_portal`: account details (with `path` or `route`: the answers there) name another
      portal wherever they name one: `claims`, or some other one's id.
    - `latency`: the answer is `seconds` late; `distribution` (fixed, uniform, normal, lognormal)
      and `spread` vary it (uniform: that much more or less; normal: the standard deviation;
      lognormal: sigma, around the median).
    - `lag`: reads do not see what was written in the last `seconds`. At once they see groups of
      properties, folders, changes to forms, choices of subscriptions, who left a list, and which
      links or labels of links were taken away.

    Words are spelled as here in Python and TOML, and as retryAfter in JSON.
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
        for field in fields(self):
            wanted, kinds = _TYPES.get(field.name, _TEXT)
            value = getattr(self, field.name)
            # true is a whole number to Python, and to nobody else
            fits = isinstance(value, kinds) and (kinds is bool or not isinstance(value, bool))
            demand(fits, field.name, f"must be {wanted}")
        demand(self.kind in get_args(FaultKind), "kind", f"{self.kind!r} does not exist", KINDS)
        known = known_words(self.kind)
        for field in fields(self):
            unused = getattr(self, field.name) == field.default or field.name in known
            demand(unused, field.name, f"means nothing to kind {self.kind}", known=known)
        if self.method:
            object.__setattr__(self, "method", self.method.upper())
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
            and (self.method is None or self.method == request.method)
            and (self.path is None or request.path.startswith(self.path))
            and (self.route is None or _fits(self.route, request.method, route))
            and (self.since is None or self.since <= now)
            and (self.until is None or now < self.until)
            and (self.kind != "wrong_portal" or bool(self.path or self.route) or route == DETAILS)
        )


KINDS = f"Kinds: {', '.join(get_args(FaultKind))}."


class FaultError(SandboxError):
    """
    A rule that makes no sense; `word` is what is wrong with it.

    `known` are the words that could have been meant.
    """

    def __init__(
        self, problem: str, *, word: str, hint: str = "", known: tuple[str, ...] = ()
    ) -> None:
        self.word, self._problem, self._known = word, problem, known
        hint = f"Known: {', '.join(known)}." if known else hint
        super().__init__(f"A fault's {word} {problem}; nothing was added.", hint=hint)

    def spelled(self, spell: Callable[[str], str]) -> FaultError:
        """Return it in the words of where the rule comes from."""
        known = tuple(spell(word) for word in self._known)
        return FaultError(self._problem, word=spell(self.word), hint=self.hint, known=known)


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
    idle = fault.kind in _TIMED and not fault.seconds and not fault.spread
    demand(not idle, "seconds", f"is what kind {fault.kind} needs")
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
    for word, meant in _STATUSES.items():
        fits = getattr(fault, word) is None or status == meant
        demand(fits, word, f"means nothing to status {status}, only to {meant}")
    policy = fault.policy is None or _POLICY.fullmatch(fault.policy)
    demand(bool(policy), "policy", "must be a name in capitals, such as DAILY")
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
    one = not fault.method or verb.upper() in {"", fault.method}
    demand(one, "method", "is another than the route's")
    verbs = f"must be one of {', '.join(sorted(METHODS))}"
    demand(fault.method is None or fault.method in METHODS, "method", verbs)
    demand(not verb or verb.upper() in METHODS, "route", f"has a method that {verbs}")
    for word in ("since", "until"):
        at = getattr(fault, word)
        demand(at is None or at.tzinfo is not None, word, "must name its zone")
    if fault.since is not None and fault.until is not None:
        demand(fault.since < fault.until, "until", "must be later than its beginning")


def demand(
    holds: bool,  # noqa: FBT001 - reads as assert
    word: str,
    problem: str,
    hint: str = "",
    *,
    known: tuple[str, ...] = (),
) -> None:
    """Refuse a rule that does not hold."""
    if not holds:
        raise FaultError(problem, word=word, hint=hint, known=known)


def _listed(choices: tuple[str | None, ...]) -> str:
    return ", ".join(choice for choice in choices if choice)


def known_words(kind: object) -> tuple[str, ...]:
    """Return what a rule of some kind may say."""
    own = _WORDS.get(kind, ()) if isinstance(kind, str) else ()
    return (*sorted(_WHICH), *own)


def in_json(name: str) -> str:
    """Return a word as JSON spells it."""
    return camel(in_toml(name))


def in_toml(name: str) -> str:
    """Return a word as TOML spells it."""
    return "from" if name == "since" else name
