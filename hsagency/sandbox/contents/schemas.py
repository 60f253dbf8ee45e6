"""
The custom object types of one portal, as their schemas describe them.

What records, properties and pipelines need to know of a type is in its `ObjectType`; a schema
is the rest. Schemas never change: a change makes another in their place. The type ids of one
portal grow by one, whatever the other portals have: as with record ids, a call that reaches the
wrong portal finds something there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from hsagency.sandbox.contents.definitions import FIRST_CUSTOM, ObjectType
from hsagency.sandbox.contents.labels import Label, Labels
from hsagency.sandbox.contents.pipelines import Pipelines
from hsagency.sandbox.contents.revisions import Revision
from hsagency.sandbox.contents.state import PortalState
from hsagency.sandbox.portals import FOUNDED
from hsagency.sandbox.wire import stamp


@dataclass(frozen=True, slots=True)
class Schema(Revision):
    """
    What a type's schema says besides its properties.

    `linked` are the type ids of the types it is associated with, and what each association was
    called by whoever made it.
    """

    kind: ObjectType
    primary: str | None
    secondary: tuple[str, ...] = ()
    searchable: tuple[str, ...] = ("hs_object_id",)
    required: tuple[str, ...] = ()
    labels: tuple[str, str] = ("", "")
    description: str | None = None
    linked: dict[str, str | None] = field(default_factory=dict)
    created_by: int | None = None
    updated_by: int | None = None
    archived: bool = False


class Schemas:
    """The schemas of one portal; the caller holds its lock."""

    def __init__(self, state: PortalState) -> None:
        self._state = state
        self._known: dict[str, Schema] = {}
        self._bin: dict[str, Schema] = {}

    def of(self, kind: ObjectType) -> Schema:
        """Return the schema of a type; that of one which nobody changed follows from the type."""
        found = self._known.get(kind.type_id)
        if found is None:
            found = self._known[kind.type_id] = _first(kind)
        return found

    def custom(self) -> list[Schema]:
        """Return the schemas of the portal's own types, oldest first."""
        return [self.of(kind) for kind in self._state.types.custom()]

    def archived(self) -> list[Schema]:
        """Return the schemas in the recycling bin."""
        return list(self._bin.values())

    def new_type_id(self) -> str:
        """Return the id for the next type; an id is never used twice."""
        used = [int(one.kind.type_id[2:]) for one in (*self.custom(), *self._known.values())
                if one.kind.custom]  # fmt: skip
        return f"2-{max(used, default=FIRST_CUSTOM - 1) + 1}"

    def add(self, made: Schema) -> None:
        """Add a type; an archived one with its name is gone for good."""
        for old in self.archived():
            if old.kind.name.lower() == made.kind.name.lower():
                self.purge(old)
        self._state.types.add(made.kind)
        self._known[made.kind.type_id] = made

    def put(self, made: Schema) -> None:
        """Put a schema in the place of the one it was made from, and let records go by it."""
        kind = made.kind
        self._known[kind.type_id] = replace(made, before=replace(self.of(kind), before=None))
        kind.required = made.required
        kind.singular, kind.plural = made.labels

    def archive(self, schema: Schema, *, at: str) -> None:
        """Move a type to the recycling bin: nothing finds it by its name any more."""
        self._state.types.drop(schema.kind)
        gone = replace(schema, archived=True, updated_at=at, before=None)
        self._known[schema.kind.type_id] = self._bin[schema.kind.type_id] = gone

    def purge(self, schema: Schema) -> None:
        """Delete an archived type for good, with the records in its recycling bin."""
        del self._bin[schema.kind.type_id]
        self._state.drop_store(schema.kind)
        self._state.part(Pipelines).forget(schema.kind)

    def links(self, schema: Schema) -> Iterator[tuple[ObjectType, ObjectType, Label]]:
        """Yield each way in which a type is associated with another: from, to and the way."""
        known, types = self._state.part(Labels), self._state.types
        linked = [types.get(type_id) for type_id in schema.linked]
        if not schema.kind.custom:
            linked = [one for one in types if not one.custom]
        for other in linked:
            if other is None:  # archived since
                continue
            for way in known.between(schema.kind, other):
                yield schema.kind, other, way
            if other is not schema.kind:
                for way in known.between(other, schema.kind):
                    yield other, schema.kind, way


def _first(kind: ObjectType) -> Schema:
    primary = kind.required[0] if kind.required else "hs_object_id" if kind.custom else None
    return Schema(
        kind=kind,
        primary=primary,
        searchable=tuple(dict.fromkeys(["hs_object_id", *kind.required])),
        required=kind.required,
        labels=(kind.singular, kind.plural),
        created_at=stamp(FOUNDED),
        updated_at=stamp(FOUNDED),
    )
