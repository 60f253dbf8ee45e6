"""
In which ways records of two types can be linked: HubSpot's definitions, and a portal's labels.

Each way has two ids, one for each direction. Between HubSpot's own types the unlabelled way is
HubSpot's; a pair with a custom type gets one of its own when it is first asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from hsagency.sandbox.contents.definitions import ObjectType
from hsagency.sandbox.contents.state import PortalState
from hsagency.sandbox.wire import ApiError

Category: TypeAlias = Literal["HUBSPOT_DEFINED", "USER_DEFINED"]
LABELS_MAX = 50
# Above HubSpot's own, so that an id alone says which way is meant.
_FIRST_ID = 501
# Type, other type, id and id of the other direction, name and name of the other direction,
# label and label of the other direction.
_Row: TypeAlias = tuple[str, str, int, int, str, str, str, str]
_HUBSPOT: tuple[_Row, ...] = (
    ("0-1", "0-1", 449, 449, "contact_to_contact", "contact_to_contact", "", ""),
    ("0-1", "0-2", 279, 280, "contact_to_company_unlabeled", "company_to_contact_unlabeled", "", ""),
    ("0-1", "0-2", 1, 2, "contact_to_company", "company_to_contact", "Primary", "Primary"),
    ("0-1", "0-3", 4, 3, "contact_to_deal", "deal_to_contact", "", ""),
    ("0-1", "0-5", 15, 16, "contact_to_ticket", "ticket_to_contact", "", ""),
    ("0-2", "0-2", 450, 450, "company_to_company", "company_to_company", "", ""),
    ("0-2", "0-2", 13, 14, "parent_to_child_company", "child_to_parent_company",
     "Child Company", "Parent Company"),
    ("0-3", "0-2", 341, 342, "deal_to_company_unlabeled", "company_to_deal_unlabeled", "", ""),
    ("0-3", "0-2", 5, 6, "deal_to_company", "company_to_deal", "Primary", "Primary"),
    ("0-3", "0-3", 451, 451, "deal_to_deal", "deal_to_deal", "", ""),
    ("0-3", "0-5", 27, 28, "deal_to_ticket", "ticket_to_deal", "", ""),
    ("0-3", "0-8", 19, 20, "deal_to_line_item", "line_item_to_deal", "", ""),
    ("0-5", "0-2", 339, 340, "ticket_to_company_unlabeled", "company_to_ticket_unlabeled", "", ""),
    ("0-5", "0-2", 26, 25, "ticket_to_company", "company_to_ticket", "Primary", "Primary"),
    ("0-5", "0-5", 452, 452, "ticket_to_ticket", "ticket_to_ticket", "", ""),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Label:
    """
    One way to link records, seen from one side; without `label` it is the plain association.

    Of a `single` one, a record has one at most: a contact has one primary company. `before` is
    what the label was until `changed_at`.
    """

    type_id: int
    inverse_id: int
    name: str
    label: str | None
    category: Category = "HUBSPOT_DEFINED"
    single: bool = False
    changed_at: str = ""
    before: str | None = None

    @property
    def primary(self) -> bool:
        """Whether it marks the most important of several."""
        return self.category == "HUBSPOT_DEFINED" and self.label == "Primary"

    def seen(self, as_of: str | None) -> str | None:
        """Return the label as a reader that lags behind sees it."""
        return self.before if as_of is not None and self.changed_at > as_of else self.label


class Labels:
    """The ways of one portal, by pair of types; the caller holds the portal's lock."""

    def __init__(self, state: PortalState) -> None:
        del state
        self._by_pair: dict[tuple[str, str], dict[int, Label]] = {}
        self._next_id = _FIRST_ID
        for row in _HUBSPOT:
            self._add_hubspot(row)

    def between(self, kind: ObjectType, other: ObjectType) -> tuple[Label, ...]:
        """Return all ways from one type to another, the plain one first."""
        if (kind.custom or other.custom) and self._plain(kind, other) is None:
            self._add_custom(kind, other)
        found = self._by_pair.get((kind.type_id, other.type_id), {})
        return tuple(sorted(found.values(), key=lambda one: (one.label is not None, one.type_id)))

    def plain(self, kind: ObjectType, other: ObjectType) -> Label:
        """Return the way without a label, or refuse a pair that HubSpot never links."""
        ways = self.between(kind, other)
        if not ways:
            raise invalid_pair(kind, other)
        return ways[0]

    def find(self, kind: ObjectType, other: ObjectType, type_id: int) -> Label | None:
        """Return one way by its id in this direction."""
        return next((one for one in self.between(kind, other) if one.type_id == type_id), None)

    def create(
        self, kind: ObjectType, other: ObjectType, *, name: str, labels: tuple[str, str], at: str
    ) -> tuple[Label, ...]:
        """Add a label, with what it is called from each side; it comes back with both its ids."""
        self.plain(kind, other)
        pair = self._by_pair[kind.type_id, other.type_id]
        own = [one for one in pair.values() if one.category == "USER_DEFINED" and one.label]
        ids = {min(one.type_id, one.inverse_id) for one in own}
        if len(ids) >= LABELS_MAX:
            raise ApiError(
                437,
                f"There can be no more than {LABELS_MAX} association labels between "
                f"{kind.plural.lower()} and {other.plural.lower()}",
            )
        type_id = self._new_id()
        alike = kind.type_id == other.type_id and labels[0] == labels[1]
        inverse_id = type_id if alike else self._new_id()
        made = Label(type_id, inverse_id, name, labels[0], "USER_DEFINED", changed_at=at)
        back = replace(made, type_id=inverse_id, inverse_id=type_id, label=labels[1])
        self._put(kind.type_id, other.type_id, made)
        self._put(other.type_id, kind.type_id, back)
        return (made,) if alike else (made, back)

    def rename(
        self, kind: ObjectType, other: ObjectType, old: Label, *, labels: tuple[str, str], at: str
    ) -> None:
        """Change what a label is called from each side; ids stay."""
        for one, side in ((old, labels[0]), (self.inverse(kind, other, old), labels[1])):
            if one.label != side:
                pair = (kind, other) if one is old else (other, kind)
                named = replace(one, label=side, before=one.label, changed_at=at)
                self._put(pair[0].type_id, pair[1].type_id, named)

    def remove(self, kind: ObjectType, other: ObjectType, old: Label) -> None:
        """Forget a label in both directions."""
        del self._by_pair[kind.type_id, other.type_id][old.type_id]
        self._by_pair[other.type_id, kind.type_id].pop(old.inverse_id, None)

    def inverse(self, kind: ObjectType, other: ObjectType, one: Label) -> Label:
        """Return the same way, seen from the other side."""
        return self._by_pair[other.type_id, kind.type_id][one.inverse_id]

    def _plain(self, kind: ObjectType, other: ObjectType) -> Label | None:
        pair = self._by_pair.get((kind.type_id, other.type_id), {})
        return next((one for one in pair.values() if one.label is None), None)

    def _add_hubspot(self, row: _Row) -> None:
        kind, other, type_id, inverse_id, name, back, label, back_label = row
        single = label == "Primary"
        self._put(kind, other, Label(type_id, inverse_id, name, label or None, single=single))
        self._put(other, kind, Label(inverse_id, type_id, back, back_label or None))

    def _add_custom(self, kind: ObjectType, other: ObjectType) -> None:
        type_id = self._new_id()
        inverse_id = type_id if kind is other else self._new_id()
        there, back = f"{kind.name}_to_{other.name}", f"{other.name}_to_{kind.name}"
        self._put(
            kind.type_id, other.type_id, Label(type_id, inverse_id, there, None, "USER_DEFINED")
        )
        self._put(
            other.type_id, kind.type_id, Label(inverse_id, type_id, back, None, "USER_DEFINED")
        )

    def _put(self, kind: str, other: str, label: Label) -> None:
        self._by_pair.setdefault((kind, other), {})[label.type_id] = label

    def _new_id(self) -> int:
        self._next_id += 1
        return self._next_id - 1


class Limits:
    """To how many records of another type one may be linked, where the portal has said so."""

    def __init__(self, state: PortalState) -> None:
        self._labels = state.part(Labels)
        self._state = state
        self._most: dict[tuple[str, str, int], int] = {}

    def of(self, kind: ObjectType, other: ObjectType, label: Label) -> int | None:
        """Return the limit of one way in one direction; None: there is none."""
        return self._most.get((kind.type_id, other.type_id, label.type_id))

    def set(self, kind: ObjectType, other: ObjectType, label: Label, most: int) -> None:
        """Set a limit; what is linked already stays linked."""
        self._most[kind.type_id, other.type_id, label.type_id] = most

    def lift(self, kind: ObjectType, other: ObjectType, label: Label) -> None:
        """Let any number be linked again."""
        self._most.pop((kind.type_id, other.type_id, label.type_id), None)

    def all(self) -> Iterator[tuple[Label, int]]:
        """Yield all limits, with what they limit."""
        types = {one.type_id: one for one in self._state.types}
        for (kind, other, type_id), most in self._most.items():
            if kind in types and other in types:
                label = self._labels.find(types[kind], types[other], type_id)
                if label is not None:
                    yield label, most


def invalid_pair(kind: ObjectType, other: ObjectType) -> ApiError:
    """Return the refusal of two types that are never linked."""
    return ApiError(
        400,
        f"No association type exists from {kind.plural.lower()} to {other.plural.lower()}",
        category="VALIDATION_ERROR",
        subCategory="crm.associations.INVALID_ASSOCIATION_TYPE",
        context={"fromObjectType": [kind.type_id], "toObjectType": [other.type_id]},
    )
