"""What may change about a simulated portal, and which values it may take."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, TypedDict, get_args
from zoneinfo import available_timezones

from hsagency.errors import SandboxError
from hsagency.sandbox.portals import AccountType, Tier, UsageStatus


class Changes(TypedDict, total=False):
    """New values for fields of a portal; each means what it means there."""

    name: str
    account_type: AccountType
    tier: Tier
    time_zone: str
    currency: str
    additional_currencies: tuple[str, ...]
    add_ons: int
    portal_names: bool
    usage_status: UsageStatus
    newer_refusals: bool
    search_headers: bool
    hublet: str


def _one_of(values: tuple[str, ...]) -> tuple[Callable[[Any], bool], str]:
    return lambda value: value in values, f"one of {', '.join(values)}"


def _is_currency(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch("[A-Z]{3}", value) is not None


def _is_flag(value: object) -> bool:
    return isinstance(value, bool)


_RULES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "name": (lambda value: isinstance(value, str) and bool(value.strip()), "a name"),
    "account_type": _one_of(get_args(AccountType)),
    "tier": _one_of(get_args(Tier)),
    "time_zone": (
        lambda value: isinstance(value, str) and value in available_timezones(),
        "the name of a time zone, such as Europe/Berlin",
    ),
    "currency": (_is_currency, "a currency's code, such as EUR"),
    "additional_currencies": (
        lambda value: isinstance(value, tuple) and all(map(_is_currency, value)),
        "currencies' codes",
    ),
    "add_ons": (lambda value: type(value) is int and 0 <= value <= 2, "0, 1 or 2"),
    "portal_names": (_is_flag, "true or false"),
    "usage_status": _one_of(get_args(UsageStatus)),
    "newer_refusals": (_is_flag, "true or false"),
    "search_headers": (_is_flag, "true or false"),
    "hublet": (
        lambda value: (
            isinstance(value, str) and re.fullmatch(r"[a-z]{2}\d{1,3}", value) is not None
        ),
        "the name of a data centre, such as eu1",
    ),
}


def demand_changes(changes: Mapping[str, object]) -> None:
    """Refuse what is no field of a portal, or no value for it."""
    for name, value in changes.items():
        fits, words = _RULES.get(name, (None, ""))
        if fits is None:
            raise SandboxError(
                f"A portal has no {name} to change; nothing was changed.",
                hint=f"Known: {', '.join(_RULES)}.",
            )
        if not fits(value):
            raise SandboxError(f"The {name} of a portal is {words}; nothing was changed.")
