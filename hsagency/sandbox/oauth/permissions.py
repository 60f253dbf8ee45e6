"""What a scope lets an app do, in words, and which portals can grant it."""

from __future__ import annotations

import re
from collections.abc import Iterable

from hsagency.sandbox.portals import Tier

_WORDS = {
    "account-info.security.read": "See the account's login, security and audit history",
    "automation": "See, create, change and delete workflows",
    "communication_preferences.read": "See which subscriptions contacts have",
    "communication_preferences.read_write": "See and change which subscriptions contacts have",
    "crm.export": "Export records",
    "crm.lists.read": "See lists and who is on them",
    "crm.lists.write": "Create, change and delete lists",
    "crm.objects.owners.read": "See the owners of records",
    "crm.objects.users.read": "See the account's users as records",
    "e-commerce": "See, create, change and delete products and line items",
    "forms": "See, create, change and delete forms",
    "oauth": "See basic details of the account",
    "settings.users.read": "See the account's users",
    "settings.users.teams.read": "See the account's teams",
    "tickets": "See, create, change and delete tickets",
}
_PATTERN = re.compile(r"crm\.(objects|schemas)\.([A-Za-z0-9_-]+)\.(read|write)")
_VERBS = {"read": "See", "write": "Create, change and delete"}
_AREAS = {"objects": "{}", "schemas": "the properties, groups and pipelines of {}"}
_THINGS = {"custom": "custom objects", "line_items": "line items"}


def in_words(scope: str) -> str:
    """
    Say what a scope allows.

    >>> in_words("crm.objects.companies.write")
    'Create, change and delete companies'
    """
    known = _WORDS.get(scope)
    if known is not None:
        return known
    found = _PATTERN.fullmatch(scope)
    if found is None:
        return f"Use whatever the scope {scope} opens"
    area, thing, verb = found.groups()
    named = _THINGS.get(thing, thing.replace("_", " "))
    return f"{_VERBS[verb]} {_AREAS[area].format(named)}"


def out_of_reach(scopes: Iterable[str], tier: Tier) -> frozenset[str]:
    """Return the scopes that no portal of this tier can grant: custom objects are Enterprise's."""
    if tier == "enterprise":
        return frozenset()
    return frozenset(scope for scope in scopes if ".custom." in scope)
