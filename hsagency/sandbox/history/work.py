"""What an agency does with its clients' portals: tasks, and the operations they are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from random import Random

from hsagency.sandbox.contents.records import FIRST_ID, ID_STEP

# The dated paths became generally available on these days (facts 0).
_DATED = ((date(2026, 9, 8), "2026-09"), (date(2026, 3, 30), "2026-03"))
# Every seeded portal has at least so many records of each type.
_RECORDS = 4


@dataclass(frozen=True, slots=True)
class Operation:
    """
    One kind of call: its method and path, what it answers, and how long that takes.

    `old` and `dated` are the two forms of its path; `trouble` is what it answers when the
    record or the request is not as it should be, and `ms` the median of its duration.
    """

    method: str
    old: str
    dated: str
    ms: int
    done: int = 200
    trouble: int = 404

    @property
    def is_search(self) -> bool:
        """Whether HubSpot counts it by the second, and sends no limit headers (facts 3.2)."""
        return self.old.endswith("/search")

    @property
    def may_repeat(self) -> bool:
        """Whether it can be sent again when nobody knows what became of it (facts 4.3)."""
        return self.method == "GET" or self.old.endswith(("/search", "/batch/read"))

    def path(self, day: date, chance: Random) -> str:
        """Return a path as it was sent on a day; records are among a portal's first ones."""
        version = next((name for since, name in _DATED if day >= since), None)
        template = self.old if version is None or chance.random() < 0.35 else self.dated
        record = FIRST_ID + ID_STEP * chance.randrange(_RECORDS)
        return template.replace("{dated}", version or "").replace("{id}", str(record))


@dataclass(frozen=True, slots=True)
class Task:
    """Why calls are made together: a purpose, the operations, and how many of them."""

    purpose: str
    weight: int
    least: int
    most: int
    operations: tuple[tuple[int, Operation], ...]

    def some(self, count: int, chance: Random) -> list[Operation]:
        """Return the operations of one sitting."""
        weights = [weight for weight, _ in self.operations]
        return chance.choices([one for _, one in self.operations], weights, k=count)


def _records(
    method: str, tail: str, ms: int, *, done: int = 200, trouble: int = 404
) -> dict[str, Operation]:
    """Return one operation on records of each type, whose name is the first part of the tail."""
    return {
        name: Operation(
            method,
            f"/crm/v3/objects/{name}{tail}",
            f"/crm/objects/{{dated}}/{name}{tail}",
            ms,
            done,
            trouble,
        )
        for name in ("contacts", "companies", "deals", "tickets")
    }


_LIST = _records("GET", "", 140, trouble=400)
_READ = _records("GET", "/{id}", 70)
_CREATE = _records("POST", "", 190, done=201, trouble=409)
_UPDATE = _records("PATCH", "/{id}", 170)
_ARCHIVE = _records("DELETE", "/{id}", 150, done=204)
_SEARCH = _records("POST", "/search", 260, trouble=400)
_BATCH_READ = _records("POST", "/batch/read", 240, trouble=207)
_BATCH_CREATE = _records("POST", "/batch/create", 900, done=201, trouble=207)
_DETAILS = Operation("GET", "/account-info/v3/details", "/account-info/{dated}/details", 60)
_PROPERTIES, _DEAL_PROPERTIES = (
    Operation("GET", f"/crm/v3/properties/{name}", f"/crm/properties/{{dated}}/{name}", 180)
    for name in ("contacts", "deals")
)
_PIPELINES = Operation("GET", "/crm/v3/pipelines/deals", "/crm/pipelines/{dated}/deals", 110)
_OWNERS = Operation("GET", "/crm/v3/owners", "/crm/owners/{dated}", 90)
_FORMS = Operation("GET", "/marketing/v3/forms", "/marketing/v3/forms", 160)
_FLOWS = Operation("GET", "/automation/v4/flows", "/automation/v4/flows", 210)

TASKS: Sequence[Task] = (
    Task(
        "weekly review",
        weight=38,
        least=5,
        most=18,
        operations=(
            (9, _LIST["contacts"]),
            (5, _READ["contacts"]),
            (3, _LIST["companies"]),
            (3, _LIST["deals"]),
            (2, _LIST["tickets"]),
            (1, _OWNERS),
        ),
    ),
    Task(
        "pipeline report",
        weight=26,
        least=4,
        most=12,
        operations=(
            (5, _LIST["deals"]),
            (3, _SEARCH["deals"]),
            (2, _READ["deals"]),
            (2, _BATCH_READ["companies"]),
            (1, _PIPELINES),
        ),
    ),
    Task(
        "config review",
        weight=12,
        least=3,
        most=8,
        operations=(
            (4, _PROPERTIES),
            (3, _DEAL_PROPERTIES),
            (2, _PIPELINES),
            (1, _FORMS),
            (1, _FLOWS),
        ),
    ),
    Task(
        "data hygiene",
        weight=16,
        least=4,
        most=16,
        operations=(
            (5, _SEARCH["contacts"]),
            (4, _READ["contacts"]),
            (4, _UPDATE["contacts"]),
            (2, _UPDATE["companies"]),
            (1, _CREATE["companies"]),
            (1, _ARCHIVE["contacts"]),
        ),
    ),
    Task("health check", weight=8, least=1, most=2, operations=((1, _DETAILS),)),
)
LAUNCH = Task(
    "campaign launch",
    weight=30,
    least=6,
    most=24,
    operations=(
        (5, _SEARCH["contacts"]),
        (5, _UPDATE["contacts"]),
        (4, _CREATE["contacts"]),
        (3, _BATCH_READ["contacts"]),
        (2, _CREATE["deals"]),
        (1, _FORMS),
    ),
)
SYNC = Task("contact sync", weight=0, least=400, most=400, operations=((1, _LIST["contacts"]),))
IMPORT = Task(
    "bulk import", weight=0, least=60, most=160, operations=((1, _BATCH_CREATE["contacts"]),)
)
