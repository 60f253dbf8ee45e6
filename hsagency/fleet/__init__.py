"""
One function over every portal of an agency at once, what it would cost, and what there is.

A row for each portal, also for those that failed, were left alone or were never begun: one dead
portal never stops the others, and one that waits never delays them.

    mapping    a job over portals: who is meant, what is left alone, what came of it
    choosing   which portals are meant, and which are left alone, from what is stored
    cost       what a job would take of each portal's quota
    running    the portals side by side; cancelling and interrupts
    rows       what came of each portal, as a frame
    values     what the function returned, as a column
    listing    the table of portals, and the slots of the fleet
    details    everything known of one portal

Names are loaded when they are first used: the table of portals needs none of the machinery.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hsagency.fleet.choosing import Clients
    from hsagency.fleet.cost import COST, Amounts, batches, pages, searches
    from hsagency.fleet.listing import PORTALS, Slots, slots
    from hsagency.fleet.mapping import PURPOSE, Fleet, FleetInterrupted, estimate, map_portals
    from hsagency.fleet.rows import RESULTS, Outcome

__all__ = [
    "COST",
    "PORTALS",
    "PURPOSE",
    "RESULTS",
    "Amounts",
    "Clients",
    "Fleet",
    "FleetInterrupted",
    "Outcome",
    "Slots",
    "batches",
    "estimate",
    "map_portals",
    "pages",
    "searches",
    "slots",
]

_HOMES = {
    "COST": "cost",
    "PORTALS": "listing",
    "PURPOSE": "mapping",
    "RESULTS": "rows",
    "Amounts": "cost",
    "Clients": "choosing",
    "Fleet": "mapping",
    "FleetInterrupted": "mapping",
    "Outcome": "rows",
    "Slots": "listing",
    "batches": "cost",
    "estimate": "mapping",
    "map_portals": "mapping",
    "pages": "cost",
    "searches": "cost",
    "slots": "listing",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'hsagency.fleet' has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(f"hsagency.fleet.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
