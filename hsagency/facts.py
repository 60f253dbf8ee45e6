"""
What is known of a portal: what HubSpot told, what a person declared, what follows from limits.

Each fact has its source and its time. What HubSpot tells takes the place of what it told before;
what it no longer tells stays, with the time at which it was told. A person's word for the tier
counts for more than what follows from limits, and HubSpot's for the name more than a person's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, NamedTuple

from hsagency.data import table
from hsagency.portals import Connection, Fact, Provenance, redact
from hsagency.verifier import DailyUsage, Identity, Introspection

DECLARED_NAME: Final = "declared_name"
"""The fact that keeps what a person calls a portal, beside what HubSpot calls it."""
DOMAIN: Final = "hub domain"
"""The evidence of a name that is no account name but where the client's website is."""
_NAMES: Final = 5  # of scopes that a message lists


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What HubSpot told of a portal and a credential at one time."""

    identity: Identity
    usage: DailyUsage | None = None
    introspection: Introspection | None = None

    def contradiction(self) -> str | None:
        """Return that two of HubSpot's answers name different portals, if they do."""
        said = self.introspection
        if said is None or said.portal_id == self.identity.portal_id:
            return None
        return (
            f"HubSpot names portal {self.identity.portal_id} for the account and "
            f"{said.portal_id} for the token"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified(Identity):
    """
    An identity with what is new of its connection since it was last told.

    `changed` says it old -> new, and is empty where nothing is; `warnings` are what a person
    should know, one clause each. `missing` names the scopes that the connection type lacks.
    """

    connection: Connection
    changed: str = ""
    warnings: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


class Tier(NamedTuple):
    """The tier that limits point to, by what, and how sure that is: high or low."""

    name: str
    evidence: str
    confidence: str


def gathered(
    told: Told, *, at: datetime, name: str | None = None, tier: str | None = None
) -> Mapping[str, Fact]:
    """Return what HubSpot told and a person declared as facts; what neither did is absent."""
    facts = facts_of(told.identity, at=at)
    if told.introspection and told.introspection.distribution:
        said = told.introspection.distribution
        facts["distribution"] = Fact(said, Provenance.FETCHED, at, "of our app")
    if "name" not in facts and told.introspection and told.introspection.hub_domain:
        facts["name"] = Fact(told.introspection.hub_domain, Provenance.FETCHED, at, DOMAIN)
    if told.usage:
        facts["daily_limit"] = Fact(told.usage.limit, Provenance.FETCHED, at)
    if told.introspection:
        facts["scopes"] = Fact(told.introspection.scopes, Provenance.FETCHED, at)
    if name:
        facts[DECLARED_NAME if "name" in facts else "name"] = Fact(name, Provenance.DECLARED, at)
    if tier:
        facts["tier"] = Fact(tier, Provenance.DECLARED, at)
    return _with_tier(facts)


def merged(before: Mapping[str, Fact], told: Mapping[str, Fact]) -> Mapping[str, Fact]:
    """Return what is known now: what was told, and of what was known before all the rest."""
    facts = {**before, **told}
    old, new = before.get("name"), told.get("name")
    if old is not None and new is not None:
        if Provenance.DECLARED in (old.provenance, new.provenance):
            facts |= _both_names(old, new)
        elif new.evidence == DOMAIN and old.evidence != DOMAIN:
            facts["name"] = old
    tier, given = before.get("tier"), told.get("tier")
    if tier is not None and tier.provenance is Provenance.DECLARED:
        is_new = given is not None and given.provenance is Provenance.DECLARED
        facts["tier"] = given if is_new and given is not None else tier
    return _with_tier(facts)


def facts_of(identity: Identity, *, at: datetime) -> dict[str, Fact]:
    """Return what HubSpot told of a portal as fetched facts; what it did not tell is absent."""
    told: dict[str, str | int | None] = {
        "name": identity.name,
        "account_type": identity.account_type,
        "time_zone": identity.time_zone,
        "currency": identity.currency,
        "ui_domain": identity.ui_domain,
        "hosting": identity.hosting,
        "daily_limit": identity.daily_limit,
        "burst_limit": identity.burst_limit,
    }
    return {name: Fact(value, Provenance.FETCHED, at) for name, value in told.items() if value}


def infer_tier(
    *, daily: int | None, burst: int | None = None, account_type: str | None = None
) -> Tier | None:
    """
    Return the tier that a portal's limits point to, or nothing.

    Accounts of developers answer like Enterprise ones, so theirs say nothing. No public endpoint
    tells the tier (HubSpot account information guide, 2026-09), nor which of the hubs has it.
    """
    if account_type in _DEVELOPERS:
        return None
    found = _by_daily(daily)
    if found is None:
        return _by_burst(burst, daily)
    name, add_ons, current = found
    evidence = f"daily limit {daily:,}"
    if add_ons:
        evidence += f" with {add_ons} API add-on{'s' if add_ons > 1 else ''}"
    doubts = list(_doubts(name, add_ons, burst, account_type))
    if not current:
        doubts.append("an older figure of HubSpot's")
    if burst is not None and not doubts and burst != _MARKETPLACE:
        evidence += f", burst limit {burst}"
    return Tier(name, "; ".join([evidence, *doubts]), "low" if doubts else "high")


def differences(before: Mapping[str, Fact], after: Mapping[str, Fact]) -> str:
    """Return which facts have another value than before, old -> new; empty if none has."""
    return ", ".join(
        _difference(name, before.get(name), fact)
        for name, fact in sorted(after.items())
        if name != DECLARED_NAME and _is_another(before.get(name), fact)
    )


def type_warning(before: Mapping[str, Fact], after: Mapping[str, Fact]) -> str | None:
    """Return a clause if HubSpot tells another account type than it did (features F46)."""
    old, new = before.get("account_type"), after.get("account_type")
    if old is None or new is None or old.value == new.value:
        return None
    meaning = _MEANINGS.get(str(new.value), "check that this is the portal that is meant")
    return (
        f"its account type changed from {redact(str(old.value))} to {redact(str(new.value))}: "
        f"{meaning}"
    )


def hublet_warning(token_hublet: str | None, identity: Identity) -> str | None:
    """Return a sentence if a token's prefix and the portal's hosting location differ."""
    if token_hublet is None or identity.hosting is None or token_hublet == identity.hosting:
        return None
    return (
        f"the token was made for {token_hublet}, but the portal is hosted in {identity.hosting}: "
        "calls may answer 488 until the client makes a new key"
    )


_DEVELOPERS: Final = frozenset({"DEVELOPER_TEST", "APP_DEVELOPER"})
_MEANINGS: Final = {
    "STANDARD": "its calls reach a real account now, not one for trials",
    "SANDBOX": "it is a copy for trials now, and its figures are not the client's",
    "DEVELOPER_TEST": "it is a developer's test account now, and its figures are not the client's",
    "APP_DEVELOPER": "it is an account for making apps now, which holds no client's data",
}
_MARKETPLACE: Final[int] = table("limits")["marketplace"]["burst"]
_UNFOUNDED: Final = "; what HubSpot told since points to none"


def _both_names(old: Fact, new: Fact) -> dict[str, Fact]:
    """Return both of two names of which at least one is a person's."""
    if new.provenance is Provenance.FETCHED:
        return {"name": new, DECLARED_NAME: old}
    return (
        {"name": new}
        if old.provenance is Provenance.DECLARED
        else {"name": old, DECLARED_NAME: new}
    )


def _with_tier(facts: dict[str, Fact]) -> Mapping[str, Fact]:
    """Return facts with the tier that follows from them, unless a person said which it is."""
    tier = facts.get("tier")
    if tier is not None and tier.provenance is Provenance.DECLARED:
        return facts
    limits = [one for name in _LIMITS if (one := facts.get(name)) is not None]
    daily, burst = (_number(facts.get(name)) for name in _LIMITS)
    account = facts.get("account_type")
    found = infer_tier(
        daily=daily, burst=burst, account_type=str(account.value) if account else None
    )
    if found is not None:
        at = max(one.at for one in limits)
        facts["tier"] = Fact(found.name, Provenance.INFERRED, at, found.evidence, found.confidence)
    elif tier is not None and limits and not tier.evidence.endswith(_UNFOUNDED):
        facts["tier"] = replace(tier, evidence=tier.evidence + _UNFOUNDED, confidence="low")
    return facts


_LIMITS: Final = ("daily_limit", "burst_limit")


def _number(fact: Fact | None) -> int | None:
    return fact.value if fact is not None and isinstance(fact.value, int) else None


def _by_daily(daily: int | None) -> tuple[str, int, bool] | None:
    """Return the tier of a daily limit, how many add-ons it has, and whether that is current."""
    limits = table("limits")
    for which in ("daily", "daily_before"):
        for tier in limits["tier"]:
            for add_ons in range(limits["add_on"]["most"] + 1):
                if which in tier and daily == tier[which] + add_ons * limits["add_on"]["daily"]:
                    return tier["name"], add_ons, which == "daily"
    return None


def _by_burst(burst: int | None, daily: int | None) -> Tier | None:
    """Return the lowest tier that has a burst limit: on its own that is little to go by."""
    tiers = [one["name"] for one in table("limits")["tier"] if one["burst"] == burst]
    if not tiers:
        return None
    shared = f", which {' and '.join(tiers)} share" if len(tiers) > 1 else ""
    bespoke = f"; the daily limit {daily:,} is no tier's" if daily is not None else ""
    return Tier(tiers[0], f"burst limit {burst}{shared}{bespoke}", "low")


def _doubts(name: str, add_ons: int, burst: int | None, account_type: str | None) -> Iterator[str]:
    """Yield what speaks against a tier that a daily limit points to."""
    limits = table("limits")
    fits = [one["burst"] for one in limits["tier"] if one["name"] == name]
    if add_ons:
        fits = [limits["add_on"]["burst"], limits["add_on"]["burst_before"]]
    if burst is not None and burst not in (*fits, _MARKETPLACE):
        yield f"but its burst limit is {burst} and not {fits[0]}"
    if account_type == "SANDBOX":
        yield "of a sandbox, whose limits may not be the client's"
    if account_type is None and name == limits["tier"][-1]["name"]:
        yield "and HubSpot did not tell whether this is a developer's test account"


def _is_another(old: Fact | None, new: Fact) -> bool:
    if old is None:
        return True
    if isinstance(old.value, tuple) and isinstance(new.value, tuple):
        return set(old.value) != set(new.value)  # in whatever order they were told
    return old.value != new.value


def _difference(name: str, old: Fact | None, new: Fact) -> str:
    label = name.replace("_", " ")
    if old and isinstance(old.value, tuple) and isinstance(new.value, tuple):
        return f"{label}: {moved(old.value, new.value)}"
    return f"{label} {_shown(old)} -> {_shown(new)}"


def moved(before: tuple[str, ...], after: tuple[str, ...]) -> str:
    """Return which of some names are gone, and which are new."""
    gone, new = sorted({*before} - {*after}), sorted({*after} - {*before})
    said = [f"no longer {_listed(gone)}"] if gone else []
    return " and ".join([*said, f"now also {_listed(new)}"] if new else said)


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _NAMES} more" if len(names) > _NAMES else ""
    return redact(", ".join(names[:_NAMES])) + more


def _shown(fact: Fact | None) -> str:
    if fact is None:
        return "unknown"
    return f"{len(fact.value)} of them" if isinstance(fact.value, tuple) else _quoted(fact.value)


def _quoted(value: str | int) -> str:
    # It is HubSpot's text: a record takes it in a length and with letters of its own.
    return redact(repr(value))[:120]
