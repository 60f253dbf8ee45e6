"""
What goes wrong on request: the rules in force, and what they do to a call.

Rules are tried in the order they were added. Every matching latency and lag adds up; of the
others the first one strikes. A rule with `times` stops after so many strikes, one with `after`
lets so many matching calls pass first, and one with `probability` draws from the sandbox's seed,
apart for each portal, so that a portal's sequence of calls fails the same way every time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime
from random import Random
from threading import Lock
from typing import Any

from hsagency.sandbox.faults.rules import (
    KINDS,
    SECONDS_MAX,
    Fault,
    FaultError,
    demand,
    in_json,
    known_words,
)
from hsagency.sandbox.portals import Portal
from hsagency.sandbox.spelling import snake
from hsagency.sandbox.wire import JsonObject, Request

_ADD_UP = frozenset({"latency", "lag"})


@dataclass(frozen=True, slots=True)
class Strike:
    """What the rules did to one call."""

    fault: Fault | None = None
    delay: float = 0.0
    lag: float = 0.0

    @property
    def name(self) -> str | None:
        """What the ledger calls it."""
        if self.fault is not None:
            return self.fault.kind
        return "lag" if self.lag else "latency" if self.delay else None


NOTHING = Strike()


class Faults:
    """The rules in force; `check` refuses one that no call to its sandbox can meet."""

    def __init__(self, *, seed: int = 0, check: Callable[[Fault], None]) -> None:
        self._seed = seed
        self.check = check
        self._rngs: dict[int, Random] = {}
        self._armed: tuple[Fault, ...] = ()
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._armed)

    def add(self, fault: Fault) -> None:
        """Put a rule in force, behind those that are, if a call can meet it."""
        self.check(fault)
        with self._lock:
            self._armed = (*self._armed, fault)

    def clear(self) -> None:
        """Drop all rules."""
        with self._lock:
            self._armed = ()

    def armed(self) -> tuple[Fault, ...]:
        """Return the rules in force; `times` and `after` are what is left of them."""
        return self._armed

    def strike(
        self, request: Request, *, now: datetime, portal: Portal | None, route: str = ""
    ) -> Strike:
        """Decide what happens to a call, and use up the rules that did it."""
        if not self._armed:  # the usual case costs no lock
            return NOTHING
        with self._lock:
            rng, struck, left = self._rng(portal), NOTHING, []
            for fault in self._armed:
                if not fault.matches(request, now=now, portal=portal, route=route):
                    left.append(fault)
                elif fault.after:
                    left.append(replace(fault, after=fault.after - 1))
                elif struck.fault is None or fault.kind in _ADD_UP:
                    drawn = fault.probability >= 1 or rng.random() < fault.probability
                    struck = _struck(struck, fault, rng) if drawn else struck
                    left.extend(_after_strike(fault) if drawn else [fault])
                else:
                    left.append(fault)
            self._armed = tuple(left)
        return struck

    def _rng(self, portal: Portal | None) -> Random:
        portal_id = portal.portal_id if portal else 0
        if portal_id not in self._rngs:
            # repeatable is the point
            self._rngs[portal_id] = Random(f"{self._seed}/faults/{portal_id}")  # noqa: S311
        return self._rngs[portal_id]


def fault_from(content: Mapping[str, object], *, spell: Callable[[str], str] = in_json) -> Fault:
    """Make a rule from JSON or TOML, and say what is wrong with it in the words used there."""
    named: dict[str, Any] = {_inner(word): value for word, value in content.items()}
    known = {field.name for field in fields(Fault)}
    for word in content:
        could = tuple(spell(one) for one in known_words(content.get("kind")))
        demand(_inner(word) in known, word, "is unknown", known=could)
    demand("kind" in named, "kind", "is missing", KINDS)
    if isinstance(named.get("scopes"), list):
        named["scopes"] = tuple(named["scopes"])
    try:
        for word in ("since", "until"):
            if isinstance(named.get(word), str):
                named[word] = _time(word, str(named[word]))
        return Fault(**named)
    except FaultError as error:
        raise error.spelled(spell) from error


def fault_shown(fault: Fault) -> JsonObject:
    """Return what makes the same rule again, as JSON."""
    shown: JsonObject = {}
    for field in fields(fault):
        value = getattr(fault, field.name)
        if value == field.default:
            continue
        if isinstance(value, datetime):
            value = value.isoformat()
        shown[in_json(field.name)] = list(value) if isinstance(value, tuple) else value
    return shown


def _struck(so_far: Strike, fault: Fault, rng: Random) -> Strike:
    if fault.kind == "latency":
        return replace(so_far, delay=so_far.delay + _drawn_delay(fault, rng))
    if fault.kind == "lag":
        return replace(so_far, lag=so_far.lag + fault.seconds)
    return replace(so_far, fault=fault)


def _drawn_delay(fault: Fault, rng: Random) -> float:
    seconds, spread = fault.seconds, fault.spread
    if fault.distribution == "uniform":
        seconds = rng.uniform(seconds - spread, seconds + spread)
    elif fault.distribution == "normal":
        seconds = rng.gauss(seconds, spread)
    elif fault.distribution == "lognormal":
        seconds *= rng.lognormvariate(0, spread)
    return min(max(seconds, 0.0), SECONDS_MAX)


def _after_strike(fault: Fault) -> list[Fault]:
    if fault.times is None:
        return [fault]
    return [replace(fault, times=fault.times - 1)] if fault.times > 1 else []


def _inner(word: str) -> str:
    return "since" if word == "from" else snake(word)


def _time(word: str, text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise FaultError(
            "cannot be read",
            word=word,
            hint="Write it as 2026-11-01T05:00:00+00:00.",
        ) from error
