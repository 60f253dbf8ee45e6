"""What records have to do with associations: linked when made, shown when read, let go."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace

from hsagency.sandbox.api.linking import Pair
from hsagency.sandbox.bodies import id_of, objects
from hsagency.sandbox.call import Call
from hsagency.sandbox.contents.definitions import ObjectType, fully_qualified
from hsagency.sandbox.contents.labels import Label, Labels
from hsagency.sandbox.contents.links import Links
from hsagency.sandbox.contents.record import Record
from hsagency.sandbox.contents.state import PortalState
from hsagency.sandbox.wire import ApiError, JsonObject

# The id that a record has before it is made.
_NEW = 0


@dataclass(frozen=True, slots=True)
class Bond:
    """A link that a new record is to have."""

    other: ObjectType
    other_id: int
    labels: frozenset[Label]


def bonds_of(
    call: Call, kind: ObjectType, content: JsonObject, *, earlier: Iterable[Bond] = ()
) -> list[Bond]:
    """
    Return the links that the body of a new record asks for, or refuse them.

    `earlier` are those of other new records that are made in the same call.
    """
    bonds: list[Bond] = []
    for one in objects(content, "associations"):
        bonds.append(_bond(call, kind, one, beside=bonds, earlier=earlier))
    return bonds


def bind(state: PortalState, kind: ObjectType, record: Record, bonds: Iterable[Bond]) -> None:
    """Link a new record."""
    links, id_, at = state.part(Links), record.record_id, record.created_at
    for bond in bonds:
        links.add(kind, id_, bond.other, bond.other_id, labels=bond.labels, at=at)


def release(state: PortalState, kind: ObjectType, record: Record) -> None:
    """Take a record that goes apart from all others."""
    state.part(Links).remove_all(kind, record.record_id)


def links_shown(
    state: PortalState,
    kind: ObjectType,
    record: Record,
    others: Iterable[ObjectType],
    *,
    as_of: str | None,
) -> JsonObject:
    """Return a record's links as a read shows them: an entry for each way, no empty lists."""
    links, labels = state.part(Links), state.part(Labels)
    found: JsonObject = {}
    for other in others:
        ways = {way.type_id: way.name for way in labels.between(kind, other)}
        entries = [
            {"id": str(id_), "type": ways[type_id]}
            for id_, types in links.of(kind, record.record_id, other, as_of=as_of).items()
            for type_id in sorted(types)
            if type_id in ways
        ]
        if entries:
            found[_name(state, other)] = {"results": entries}
    return {"associations": found} if found else {}


def _bond(
    call: Call,
    kind: ObjectType,
    content: JsonObject,
    *,
    beside: Iterable[Bond],
    earlier: Iterable[Bond],
) -> Bond:
    types = content.get("types")
    other = _other(call.state, kind, types)
    pair = Pair.named_by(replace(call, values={**call.values, "other": other.type_id}))
    ways = pair.specified(types)
    given = id_of(content.get("to"))
    id_ = pair.known(other, given)
    if id_ is None:
        raise ApiError(
            400,
            "One or more associations are invalid",
            category="VALIDATION_ERROR",
            context={"INVALID_OBJECT_IDS": [f"{other.singular.upper()}={given} is not valid"]},
        )
    labels = frozenset((pair.labels.plain(kind, other), *ways))
    here = _labels(bond for bond in beside if bond.other is other and bond.other_id != id_)
    there = _labels(bond for bond in earlier if bond.other is other and bond.other_id == id_)
    pair.demand_room(_NEW, id_, labels, here=here, there=there)
    return Bond(other, id_, labels)


def _labels(bonds: Iterable[Bond]) -> Counter[Label]:
    return Counter(label for bond in bonds for label in bond.labels)


def _other(state: PortalState, kind: ObjectType, types: object) -> ObjectType:
    """Return the type that the first id of an association's types leads to."""
    first = types[0] if isinstance(types, list) and types else None
    type_id = first.get("associationTypeId") if isinstance(first, dict) else None
    if not isinstance(type_id, int):
        return kind  # the types are refused as what they are
    labels = state.part(Labels)
    return next((one for one in state.types if labels.find(kind, one, type_id)), kind)


def _name(state: PortalState, kind: ObjectType) -> str:
    """Return what a read calls a type; HubSpot writes line items with a space."""
    if kind.custom:
        return fully_qualified(state.portal.portal_id, kind)
    return kind.plural.lower()
