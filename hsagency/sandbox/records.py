"""
The CRM records of one type in one portal.

Ids grow with every record, so a list in the order of creation is a list in the order of ids,
and paging is "ids above the last one seen". Ids are the same in every portal on purpose: a call
that reaches the wrong portal finds a record there, as it may in HubSpot. A seeded record is made
when it is first asked for: a hundred portals of ten thousand contacts start at once.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from hsagency.sandbox.definitions import ObjectType
from hsagency.sandbox.values import Properties, fault, refusal
from hsagency.sandbox.wire import ApiError, JsonObject, invalid, is_number, not_found, stamp

FIRST_ID, ID_STEP = 101, 50


class Seeds(Protocol):
    """The records a store starts with, numbered from 0; each is the same whenever it is made."""

    count: int

    def make(self, number: int) -> tuple[Properties, datetime]:
        """Return the properties of one record, and when it was created; later ones are later."""
        ...

    def number_of(self, name: str, value: str) -> int | None:
        """Return which record may hold this value of a unique property."""
        ...


class NoSeeds:
    """A store that starts empty."""

    count = 0

    def make(self, number: int) -> tuple[Properties, datetime]:
        """Never asked: there is no number below 0."""
        raise LookupError(number)

    def number_of(self, name: str, value: str) -> int | None:
        """Know of no value."""
        del name, value
        return None


@dataclass(slots=True)
class Record:
    """One record, live or archived; `before` is what it was until its last change."""

    record_id: int
    properties: Properties = field(repr=False)
    created_at: str
    updated_at: str
    archived_at: str | None = None
    before: Properties | None = field(default=None, repr=False)

    def shown(self, names: Iterable[str], *, as_of: str | None = None) -> JsonObject:
        """Return the record as HubSpot answers it, with these properties."""
        seen = self.seen(as_of)
        answer: JsonObject = {
            "id": str(self.record_id),
            "properties": {name: seen.get(name) for name in names},
            "createdAt": self.created_at,
            "updatedAt": self.updated_at,
            "archived": self.archived_at is not None,
        }
        if self.archived_at is not None:
            answer["archivedAt"] = self.archived_at
        return answer

    def seen(self, as_of: str | None) -> Properties:
        """Return the properties as a reader that lags behind sees them, one change back at most."""
        if as_of is None or self.before is None or self.updated_at <= as_of:
            return self.properties
        return self.before


@dataclass(frozen=True, slots=True)
class Page:
    """Some records, and the cursor behind the last of them if there are more."""

    records: list[Record]
    after: int | None


class RecordStore:
    """The records of one type in one portal; the caller holds the portal's lock."""

    def __init__(self, kind: ObjectType, seeds: Seeds | None = None) -> None:
        self.kind = kind
        self._seeds: Seeds = seeds or NoSeeds()
        self._live: dict[int, Record] = {}
        self._archived: dict[int, Record] = {}
        self._merged: dict[int, int] = {}
        self._purged: set[int] = set()
        self._order: list[int] | None = None  # sorted live ids; None after one went
        self._unique: dict[tuple[str, str], int] = {}
        self._next_id = FIRST_ID + self._seeds.count * ID_STEP
        self._gone = 0

    def __len__(self) -> int:
        return (self._next_id - FIRST_ID) // ID_STEP - self._gone

    def __iter__(self) -> Iterator[Record]:
        """Yield the live records in the order of ids."""
        return (found for id_ in tuple(self._sorted()) if (found := self._known(id_)))

    def create(self, properties: Properties, *, at: datetime) -> Record:
        """Add a record."""
        self._refuse_taken(properties, besides=None)
        record = self._made(self._next_id, properties, at)
        self._next_id += ID_STEP
        if self._order is not None:
            self._order.append(record.record_id)
        return record

    def get(
        self,
        record_id: str,
        *,
        id_property: str | None = None,
        archived: bool = False,
        as_of: str | None = None,
    ) -> Record:
        """Return a record by its id or by a unique property, or refuse with 404."""
        found = self.find(record_id, id_property=id_property, archived=archived)
        if found is None or (as_of is not None and found.created_at > as_of):
            raise not_found()
        return found

    def find(
        self, record_id: str, *, id_property: str | None = None, archived: bool = False
    ) -> Record | None:
        """Return a record by its id or by a unique property; a merged one leads to the other."""
        id_ = self._resolve(record_id, id_property)
        id_ = self._merged.get(id_, id_)
        return self._archived.get(id_) if archived else self._known(id_)

    def update(self, record: Record, properties: Properties, *, at: datetime) -> None:
        """Change some properties."""
        self._refuse_taken(properties, besides=record.record_id)
        self._unindex(record)
        record.before = record.properties
        record.updated_at = stamp(at)
        record.properties = {
            **record.properties,
            **properties,
            self.kind.changed: record.updated_at,
        }
        self._index(record)

    def archive(self, record: Record, *, at: datetime) -> None:
        """Move a record to the recycling bin; its unique values are free again."""
        self._remove(record)
        record.archived_at = stamp(at)
        self._archived[record.record_id] = record

    def purge(self, record: Record) -> None:
        """Delete a live or archived record for good."""
        if self._archived.pop(record.record_id, None) is None:
            self._remove(record)
        self._purged.add(record.record_id)

    def merge(self, record: Record, into: Record) -> None:
        """Remove a record whose id from now on leads to another one."""
        self._remove(record)
        self._merged[record.record_id] = into.record_id
        for old, new in self._merged.items():
            if new == record.record_id:
                self._merged[old] = into.record_id

    def page(
        self, *, after: int, limit: int, archived: bool = False, as_of: str | None = None
    ) -> Page:
        """Return up to `limit` records with ids above `after`."""
        order = sorted(self._archived) if archived else self._sorted()
        start = bisect_right(order, after)
        ids = order[start : start + limit]
        found = (self._archived.get(id_) if archived else self._known(id_) for id_ in ids)
        records = [one for one in found if one and (as_of is None or one.created_at <= as_of)]
        more = start + limit < len(order)
        return Page(records, after=ids[-1] if more else None)

    def _made(self, record_id: int, properties: Properties, at: datetime) -> Record:
        now = stamp(at)
        stamps = {"createdate": now, "hs_object_id": str(record_id), self.kind.changed: now}
        record = Record(record_id, {**properties, **stamps}, created_at=now, updated_at=now)
        self._live[record_id] = record
        self._index(record)
        return record

    def _known(self, record_id: int) -> Record | None:
        """Return a live record, which is made now if it is a seeded one."""
        found = self._live.get(record_id)
        if found is not None:
            return found
        number, odd = divmod(record_id - FIRST_ID, ID_STEP)
        if odd or not 0 <= number < self._seeds.count or self._is_gone(record_id):
            return None
        properties, at = self._seeds.make(number)
        return self._made(record_id, properties, at)

    def _is_gone(self, record_id: int) -> bool:
        return record_id in self._archived or record_id in self._merged or record_id in self._purged

    def _sorted(self) -> list[int]:
        if self._order is None:
            seeded = range(FIRST_ID, FIRST_ID + self._seeds.count * ID_STEP, ID_STEP)
            self._order = [id_ for id_ in seeded if not self._is_gone(id_)]
            self._order += sorted(id_ for id_ in self._live if id_ >= seeded.stop)
        return self._order

    def _remove(self, record: Record) -> None:
        self._unindex(record)
        del self._live[record.record_id]
        self._order = None
        self._gone += 1

    def _resolve(self, record_id: str, id_property: str | None) -> int:
        if id_property in (None, "hs_object_id"):
            return int(record_id) if is_number(record_id) else -1
        if id_property not in self.kind.unique:
            raise invalid(f"Property {id_property!r} is not a unique property of {self.kind.name}")
        return self._holder(id_property, record_id) or -1

    def _holder(self, name: str, value: str) -> int | None:
        """Return the live record that holds this value of a unique property."""
        value = value.lower()
        found = self._unique.get((name, value))
        if found is not None:
            return found
        number = self._seeds.number_of(name, value)
        if number is None or not 0 <= number < self._seeds.count:
            return None
        self._known(FIRST_ID + number * ID_STEP)  # indexes it, if it still has its first value
        return self._unique.get((name, value))

    def _refuse_taken(self, properties: Properties, *, besides: int | None) -> None:
        for name in self.kind.unique:
            value = properties.get(name)
            taken = self._holder(name, value) if value else None
            if taken is not None and taken != besides:
                raise self._taken(name, str(value), taken)

    def _taken(self, name: str, value: str, taken: int) -> Exception:
        if name == "email":
            return ApiError(
                409,
                f"{self.kind.singular} already exists. Existing ID: {taken}",
                category="CONFLICT",
            )
        message = f'Property "{name}" already has the value {value} on the record {taken}'
        return refusal([fault("CONFLICTING_UNIQUE_VALUE", name, message)])

    def _index(self, record: Record) -> None:
        for name in self.kind.unique:
            value = record.properties.get(name)
            if value:
                self._unique[name, value.lower()] = record.record_id

    def _unindex(self, record: Record) -> None:
        for name in self.kind.unique:
            value = record.properties.get(name)
            if value:
                self._unique.pop((name, value.lower()), None)
