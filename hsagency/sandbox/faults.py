"""
What goes wrong on request: a rule that matches calls and says how they fail.

Rules are tried in the order they were added. Every matching latency adds up; of the others the
first one strikes. A rule with `times` stops after so many strikes, and one with `probability`
draws from the sandbox's seed, so that a sequence of calls fails the same way every time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from random import Random
from threading import Lock
from types import UnionType
from typing import Literal, TypeAlias, get_args

from hsagency.errors import SandboxError
from hsagency.sandbox.wire import Request

FaultKind: TypeAlias = Literal[
    "status", "burst", "daily", "drop_before", "drop_after", "wrong_portal", "latency"
]
# Rules also come from JSON, where nothing else would stop a number for a path.
_TYPES: dict[str, type | UnionType] = {
    "kind": str,
    "portal_id": int | None,
    "method": str | None,
    "path": str | None,
    "times": int | None,
    "probability": int | float,
    "seconds": int | float,
    "status": int | None,
    "html": bool,
    "claims": int | None,
}
_STATUSES = frozenset({401, 403, 423, *range(500, 600)})


@dataclass(frozen=True, slots=True)
class Fault:
    """
    A rule: which calls, how often, and how they fail.

    - `status`: answers `status` (401, 403, 423 or 5xx), as HTML when `html`.
    - `burst`, `daily`: answers HubSpot's 429 of that policy, whatever is left of the limit.
    - `drop_before`, `drop_after`: closes the connection before or after the call took effect.
    - `wrong_portal`: account details name another portal: `claims`, or some other one's id.
    - `latency`: the answer comes `seconds` late.

    `path` is a prefix of the path; what is None matches everything.
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

    def __post_init__(self) -> None:
        for name, kinds in _TYPES.items():
            if not isinstance(getattr(self, name), kinds):
                raise SandboxError(f"A fault's {name} has the wrong type; nothing was added.")
        for wrong, message in (
            (self.kind not in get_args(FaultKind), f"There is no fault {self.kind!r}"),
            (self.kind == "status" and self.status not in _STATUSES, f"No fault {self.status}"),
            (not 0 <= self.probability <= 1, f"A probability of {self.probability} is none"),
            (not 0 <= self.seconds < math.inf, f"{self.seconds} is no latency"),
            (self.times is not None and self.times < 1, f"{self.times} times is never"),
        ):
            if wrong:
                raise SandboxError(
                    f"{message}; nothing was added.",
                    hint=f"Kinds: {', '.join(get_args(FaultKind))}; statuses: 401, 403, 423, 5xx.",
                )

    def matches(self, request: Request, portal_id: int | None) -> bool:
        """Whether the rule is about this call."""
        return (
            (self.portal_id is None or self.portal_id == portal_id)
            and (self.method is None or self.method.upper() == request.method)
            and (self.path is None or request.path.startswith(self.path))
            and (self.kind != "wrong_portal" or _asks_for_details(request.path))
        )


@dataclass(frozen=True, slots=True)
class Strike:
    """What the rules did to one call."""

    fault: Fault | None = None
    delay: float = 0.0
    lag: float = 0.0

    def is_a(self, *kinds: FaultKind) -> bool:
        """Whether a fault of one of these kinds struck."""
        return self.fault is not None and self.fault.kind in kinds


NOTHING = Strike()


class Faults:
    """The rules in force."""

    def __init__(self, *, seed: int = 0) -> None:
        self._rng = Random(f"{seed}/faults")  # noqa: S311 - repeatable is the point
        self._armed: tuple[Fault, ...] = ()
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._armed)

    def add(self, fault: Fault) -> None:
        """Put a rule in force, behind those that are."""
        with self._lock:
            self._armed = (*self._armed, fault)

    def clear(self) -> None:
        """Drop all rules."""
        with self._lock:
            self._armed = ()

    def armed(self) -> tuple[Fault, ...]:
        """Return the rules in force; `times` is what is left of it."""
        return self._armed

    def strike(self, request: Request, *, portal_id: int | None) -> Strike:
        """Decide what happens to a call, and use up the rules that did it."""
        if not self._armed:  # the usual case costs no lock
            return NOTHING
        with self._lock:
            delay, struck, left = 0.0, None, []
            for fault in self._armed:
                open_ = fault.kind == "latency" or struck is None
                if not (open_ and fault.matches(request, portal_id) and self._drawn(fault)):
                    left.append(fault)
                    continue
                if fault.kind == "latency":
                    delay += fault.seconds
                else:
                    struck = fault
                left.extend(_after_strike(fault))
            self._armed = tuple(left)
        return Strike(fault=struck, delay=delay)

    def _drawn(self, fault: Fault) -> bool:
        return fault.probability >= 1 or self._rng.random() < fault.probability


def _after_strike(fault: Fault) -> list[Fault]:
    if fault.times is None:
        return [fault]
    return [replace(fault, times=fault.times - 1)] if fault.times > 1 else []


def _asks_for_details(path: str) -> bool:
    return path.startswith("/account-info/") and path.endswith("/details")
