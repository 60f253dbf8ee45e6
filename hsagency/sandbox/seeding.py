"""The records a portal starts with, made from the seed the first time they are asked for."""

from __future__ import annotations

from datetime import timedelta
from random import Random

from hsagency.sandbox import names
from hsagency.sandbox.portals import FOUNDED, Portal
from hsagency.sandbox.records import ObjectType, Properties, RecordStore


def seeded(kind: ObjectType, portal: Portal, *, seed: int, contacts: int) -> RecordStore:
    """Return a portal's store of one type: so many contacts, and fewer companies and deals."""
    rng = Random(f"{seed}/{portal.portal_id}/{kind.name}")  # noqa: S311 - repeatable is the point
    make = {"contacts": _contact, "companies": _company, "deals": _deal}[kind.name]
    count = contacts if kind.name == "contacts" else contacts // 4
    store, at = RecordStore(kind), FOUNDED
    for number in range(count):
        at += timedelta(seconds=rng.randrange(60, 40_000))
        store.create(make(rng, portal, number), at=at)
    return store


def _contact(rng: Random, portal: Portal, number: int) -> Properties:
    first, last = rng.choice(names.FIRST_NAMES), rng.choice(names.LAST_NAMES)
    local = f"{first}.{last}.{number}".lower().replace("ë", "e")
    return {
        "email": f"{local}@{portal.client_slug}.example.com",
        "firstname": first,
        "lastname": last,
        "lifecyclestage": rng.choice(names.LIFECYCLE_STAGES),
    }


def _company(rng: Random, portal: Portal, number: int) -> Properties:
    name = names.client_name(rng.randrange(250))
    return {
        "name": name,
        "domain": f"{name.lower().replace(' ', '-')}-{number}.{portal.client_slug}.example.com",
        "industry": rng.choice(names.INDUSTRIES),
    }


def _deal(rng: Random, portal: Portal, number: int) -> Properties:
    closes = FOUNDED + timedelta(days=rng.randrange(30, 700))
    return {
        "amount": str(rng.randrange(5, 900) * 100),
        "closedate": closes.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "dealname": f"{names.client_name(rng.randrange(250))} {rng.choice(names.DEAL_WORDS)}",
        "dealstage": rng.choice(names.DEAL_STAGES),
        "pipeline": "default",
    }
