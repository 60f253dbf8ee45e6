"""
Which records of one portal are linked.

A link has a set of types in each direction, and both directions always agree. The links a
portal starts with follow from the numbers of its seeded records and are written down only where
one of them changes: ten thousand contacts with a company each cost nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from hsagency.sandbox.contents.definitions import ObjectType
from hsagency.sandbox.contents.labels import Label, Labels
from hsagency.sandbox.contents.records import FIRST_ID, ID_STEP
from hsagency.sandbox.contents.state import PortalState

# The id of each linked record, and the ids of the association types that link it.
Linked: TypeAlias = dict[int, frozenset[int]]
# By type ids. Seeded record n of the first type is linked to record n modulo the count of the
# second: so a deal's contact works at the deal's company.
_SEEDED = {
    ("0-1", "0-2"): frozenset({279, 1}),
    ("0-3", "0-2"): frozenset({341, 5}),
    ("0-3", "0-1"): frozenset({3}),
    ("0-5", "0-1"): frozenset({16}),
    ("0-8", "0-3"): frozenset({20}),
}
_SEEDED_BACK = {
    ("0-2", "0-1"): frozenset({280, 2}),
    ("0-2", "0-3"): frozenset({342, 6}),
    ("0-1", "0-3"): frozenset({4}),
    ("0-1", "0-5"): frozenset({15}),
    ("0-3", "0-8"): frozenset({19}),
}


class Links:
    """The links of one portal, by record and type of the others; it knows no record itself."""

    def __init__(self, state: PortalState) -> None:
        self._state = state
        self._labels = state.part(Labels)
        # what has been changed, by type id, record id and type id of the others
        self._known: dict[tuple[str, int, str], Linked] = {}
        # when links were made that are not seeded, for reads that lag; each in both directions
        self._made: dict[tuple[str, int, str, int], str] = {}

    def of(
        self, kind: ObjectType, record_id: int, other: ObjectType, *, as_of: str | None = None
    ) -> Linked:
        """
        Return the linked records of another type, in the order of ids, each with its types.

        With `as_of`, links that were made later are not among them; what became of the others
        since is seen all the same.
        """
        key = (kind.type_id, record_id, other.type_id)
        found = self._known.get(key)
        if found is None:
            return self._seeded(kind, record_id, other)
        return {
            other_id: types
            for other_id, types in sorted(found.items())
            if as_of is None or self._made.get((*key, other_id), "") <= as_of
        }

    def add(
        self,
        kind: ObjectType,
        record_id: int,
        other: ObjectType,
        other_id: int,
        *,
        labels: Iterable[Label] = (),
        at: str = "",
    ) -> frozenset[int]:
        """
        Link two records, keep what links them already, and return all types.

        The plain type always belongs to a link. The first company becomes the primary one.
        Without `at`, no read is late to see it.
        """
        plain = self._labels.plain(kind, other)
        added = {plain, *labels}
        for label in self._labels.between(kind, other):
            if label.primary and self._lacks(kind, record_id, other, other_id, label):
                added.add(label)
        for label in added:
            self._make_room(kind, record_id, other, other_id, label)
        side, back = self._sides(kind, record_id, other, other_id)
        if at and other_id not in side:
            self._made[kind.type_id, record_id, other.type_id, other_id] = at
            self._made[other.type_id, other_id, kind.type_id, record_id] = at
        side[other_id] = side.get(other_id, frozenset()) | {one.type_id for one in added}
        back[record_id] = back.get(record_id, frozenset()) | {one.inverse_id for one in added}
        return side[other_id]

    def remove(self, kind: ObjectType, record_id: int, other: ObjectType, other_id: int) -> None:
        """Take two records apart; nothing happens if they are not linked."""
        if other_id in self.of(kind, record_id, other):
            side, back = self._sides(kind, record_id, other, other_id)
            del side[other_id]
            del back[record_id]
            self._made.pop((kind.type_id, record_id, other.type_id, other_id), None)
            self._made.pop((other.type_id, other_id, kind.type_id, record_id), None)

    def remove_labels(
        self,
        kind: ObjectType,
        record_id: int,
        other: ObjectType,
        other_id: int,
        *,
        labels: Iterable[Label],
    ) -> None:
        """Take labels off a link; without its plain type it is none any more."""
        if other_id not in self.of(kind, record_id, other):
            return
        taken = tuple(labels)
        if any(label.label is None for label in taken):
            self.remove(kind, record_id, other, other_id)
            return
        side, back = self._sides(kind, record_id, other, other_id)
        side[other_id] -= {label.type_id for label in taken}
        back[record_id] -= {label.inverse_id for label in taken}

    def remove_all(self, kind: ObjectType, record_id: int) -> None:
        """Take a record apart from everything, as when it is archived or deleted for good."""
        for other in self._state.types:
            for other_id in self.of(kind, record_id, other):
                self.remove(kind, record_id, other, other_id)

    def move(self, kind: ObjectType, record_id: int, *, into: int) -> None:
        """Give all links of a record to another of its type, as when they are merged."""
        for other in self._state.types:
            linked = self.of(kind, record_id, other)
            # the more labels the sooner: the primary one is to stay it
            for other_id, types in sorted(linked.items(), key=lambda one: -len(one[1])):
                self.remove(kind, record_id, other, other_id)
                if other is kind and other_id == into:
                    continue
                found = (self._labels.find(kind, other, one) for one in types)
                kept = [label for label in found if label and not label.primary]
                self.add(kind, into, other, other_id, labels=kept)

    def forget(self, kind: ObjectType, other: ObjectType, label: Label) -> None:
        """Take a label off every link, because it is no more."""
        for (kind_id, _, other_type), linked in self._known.items():
            for pair, type_id in (
                ((kind.type_id, other.type_id), label.type_id),
                ((other.type_id, kind.type_id), label.inverse_id),
            ):
                if (kind_id, other_type) == pair:
                    linked.update({id_: types - {type_id} for id_, types in linked.items()})

    def _lacks(
        self, kind: ObjectType, record_id: int, other: ObjectType, other_id: int, label: Label
    ) -> bool:
        """Whether the record on whose side a label is single has none with it yet."""
        if not label.single:
            kind, record_id, other, label = self._turned(kind, other, other_id, label)
        return all(label.type_id not in types for types in self.of(kind, record_id, other).values())

    def _make_room(
        self, kind: ObjectType, record_id: int, other: ObjectType, other_id: int, label: Label
    ) -> None:
        """Take a single label off the record that has it until now."""
        if not label.primary:
            return
        if not label.single:
            kind, record_id, other, label = self._turned(kind, other, other_id, label)
        for id_, types in self.of(kind, record_id, other).items():
            if label.type_id in types:
                self.remove_labels(kind, record_id, other, id_, labels=(label,))

    def _turned(
        self, kind: ObjectType, other: ObjectType, other_id: int, label: Label
    ) -> tuple[ObjectType, int, ObjectType, Label]:
        return other, other_id, kind, self._labels.inverse(kind, other, label)

    def _sides(
        self, kind: ObjectType, record_id: int, other: ObjectType, other_id: int
    ) -> tuple[Linked, Linked]:
        """Return both directions, written down so that they can be changed."""
        return self._own(kind, record_id, other), self._own(other, other_id, kind)

    def _own(self, kind: ObjectType, record_id: int, other: ObjectType) -> Linked:
        key = (kind.type_id, record_id, other.type_id)
        if key not in self._known:
            self._known[key] = self._seeded(kind, record_id, other)
        return self._known[key]

    def _seeded(self, kind: ObjectType, record_id: int, other: ObjectType) -> Linked:
        pair = (kind.type_id, other.type_id)
        if pair not in _SEEDED and pair not in _SEEDED_BACK:
            return {}
        count = self._state.store(kind).seeded
        others = self._state.store(other).seeded
        number, odd = divmod(record_id - FIRST_ID, ID_STEP)
        if odd or not 0 <= number < count or not others:
            return {}
        if pair in _SEEDED:
            return {FIRST_ID + number % others * ID_STEP: _SEEDED[pair]}
        types = _SEEDED_BACK[pair]
        return {FIRST_ID + one * ID_STEP: types for one in range(number, others, count)}
