"""The records a portal starts with; each is made from the seed and its number alone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TypeAlias
from zlib import crc32

from hsagency.sandbox import names
from hsagency.sandbox.contents.definitions import ObjectType
from hsagency.sandbox.contents.locations import seeds_for_custom
from hsagency.sandbox.contents.records import FIRST_ID, ID_STEP, NoSeeds, Seeds
from hsagency.sandbox.contents.values import Properties
from hsagency.sandbox.portals import FOUNDED, Portal

# All seeded records were created within this time of `FOUNDED`, whatever their number.
_SPAN = 500 * 86_400
_GAP = 20_000
# How many of each type a portal has for a hundred contacts.
_SHARES = {
    "contacts": 100, "companies": 25, "deals": 25, "tickets": 25, "products": 10, "line_items": 25,
}  # fmt: skip


class _Draw:
    """Numbers drawn for one record: quick to begin, unlike a Random of its own."""

    __slots__ = ("_state",)

    def __init__(self, text: str) -> None:
        self._state = crc32(text.encode())

    def below(self, most: int) -> int:
        """Return a number from 0 to most - 1."""
        self._state = (self._state * 1_103_515_245 + 12_345) & 0x7FFF_FFFF
        return (self._state >> 8) % most

    def of(self, some: tuple[str, ...]) -> str:
        """Return one of these."""
        return some[self.below(len(some))]


_Making: TypeAlias = Callable[[_Draw, Portal, int], Properties]


class SeededRecords:
    """The first records of one type in one portal."""

    def __init__(self, kind: str, portal: Portal, *, seed: int, count: int) -> None:
        self.count = count
        self._text = f"{seed}/{portal.portal_id}/{kind}/"
        self._portal, self._making = portal, _MAKING[kind]
        self._gap = min(_GAP, max(1, _SPAN // max(1, count)))

    def make(self, number: int) -> tuple[Properties, datetime]:
        """Return the properties of one record, and when it was created."""
        draw = _Draw(self._text + str(number))
        at = FOUNDED + timedelta(seconds=number * self._gap + draw.below(self._gap))
        return self._making(draw, self._portal, number), at

    def number_of(self, name: str, value: str) -> int | None:
        """Return which record may hold a value: an address has its record's number in it."""
        if name != "email":
            return None
        number = value.partition("@")[0].rpartition(".")[2]
        return int(number) if number.isascii() and number.isdigit() and len(number) < 9 else None


def seeds_for(kind: ObjectType, portal: Portal, *, seed: int, contacts: int) -> Seeds:
    """Return a portal's first records of one type."""
    if kind.custom:
        return seeds_for_custom(kind, portal, seed=seed, contacts=contacts)
    share = _SHARES.get(kind.name)
    if share is None:
        return NoSeeds()
    return SeededRecords(kind.name, portal, seed=seed, count=contacts * share // 100)


def _contact(draw: _Draw, portal: Portal, number: int) -> Properties:
    first, last = draw.of(names.FIRST_NAMES), draw.of(names.LAST_NAMES)
    local = f"{first}.{last}.{number}".lower().replace("ë", "e")
    return {
        "email": f"{local}@{portal.client_slug}.example.com",
        "firstname": first,
        "lastname": last,
        "lifecyclestage": draw.of(names.LIFECYCLE_STAGES),
    }


def _company(draw: _Draw, portal: Portal, number: int) -> Properties:
    name = names.client_name(draw.below(250))
    return {
        "name": name,
        "domain": f"{name.lower().replace(' ', '-')}-{number}.{portal.client_slug}.example.com",
        "industry": draw.of(names.INDUSTRIES),
    }


def _deal(draw: _Draw, _: Portal, __: int) -> Properties:
    closes = FOUNDED + timedelta(days=30 + draw.below(670))
    return {
        "amount": str((5 + draw.below(895)) * 100),
        "closedate": closes.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "dealname": f"{names.client_name(draw.below(250))} {draw.of(names.DEAL_WORDS)}",
        "dealstage": draw.of(names.DEAL_STAGES),
        "pipeline": "default",
    }


def _ticket(draw: _Draw, _: Portal, number: int) -> Properties:
    return {
        "subject": f"{draw.of(names.TICKET_WORDS)} #{1000 + number}",
        "content": "Written to us by the customer.",
        "hs_pipeline": "0",
        "hs_pipeline_stage": str(1 + draw.below(4)),
        "hs_ticket_priority": draw.of(("LOW", "MEDIUM", "HIGH")),
    }


def _product(draw: _Draw, _: Portal, number: int) -> Properties:
    return {
        "name": f"{draw.of(names.DEAL_WORDS).capitalize()} {number + 1}",
        "price": str(10 + draw.below(990)),
        "hs_sku": f"SKU-{number + 1:05}",
    }


def _line_item(draw: _Draw, _: Portal, number: int) -> Properties:
    price, quantity = 10 + draw.below(990), 1 + draw.below(9)
    return {
        "name": draw.of(names.DEAL_WORDS).capitalize(),
        "price": str(price),
        "quantity": str(quantity),
        "amount": str(price * quantity),
        "hs_product_id": str(FIRST_ID + ID_STEP * (number % 10)),
    }


_MAKING: dict[str, _Making] = {
    "contacts": _contact,
    "companies": _company,
    "deals": _deal,
    "tickets": _ticket,
    "products": _product,
    "line_items": _line_item,
}
