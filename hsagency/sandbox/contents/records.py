"""
The CRM records of one type in one portal.

Ids grow with every record, so a list in the order of creation is a list in the order of ids,
and paging is "ids above the last one seen". Ids are the same in every portal on purpose: a call
that reaches the wrong portal finds a record there, as it may in HubSpot. A seeded record is made
when it is first asked for: a hundred portals of ten thousand contacts start at once.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from hsagency.sandbox.contents.definitions import ObjectType
from hsagency.sandbox.contents.record import Record
from hsagency.sandbox.contents.values import Properties, complaint, not_valid
from hsagency.sandbox.wire import ApiError, invalid, is_number, not_found, stamp

FIRST_ID, ID_STEP = 101, 50
# A record takes so many others into itself, and no more (facts 4.2).
IDENTITIES_MAX = 250

MERGED_IDS, MORE_ADDRESSES = "hs_merged_object_ids", "hs_additional_emails"


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
        self._blocked: set[str] = set()
        self._order: list[int] | None = None  # sorted live ids; None before they are asked for
        self._unique: dict[tuple[str, str], int] = {}
        self._next_id = FIRST_ID + self._seeds.count * ID_STEP
        self._gone = 0

    def __len__(self) -> int:
        return (self._next_id - FIRST_ID) // ID_STEP - self._gone

    @property
    def seeded(self) -> int:
        """How many records it started with."""
        return self._seeds.count

    def __iter__(self) -> Iterator[Record]:
        """Yield the live records in the order of ids."""
        return self.visible()

    def visible(self, *, as_of: str | None = None) -> Iterator[Record]:
        """Yield in the order of ids what a reader that lags behind sees."""
        for id_ in tuple(self._ids(as_of)):
            found = self._known(id_) or self._archived.get(id_)
            if found and (as_of is None or found.created_at <= as_of):
                yield found

    def create(self, properties: Properties, *, at: datetime) -> Record:
        """Add a record."""
        self.demand_free(properties)
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
        found = self.find(record_id, id_property=id_property, archived=archived, as_of=as_of)
        if found is None:
            raise not_found()
        return found

    def find(
        self,
        record_id: str,
        *,
        id_property: str | None = None,
        archived: bool = False,
        as_of: str | None = None,
    ) -> Record | None:
        """Return a record by its id or by a unique property; a merged one leads to the other."""
        id_ = self._resolve(record_id, id_property, archived=archived)
        id_ = self._merged.get(id_, id_)
        found = self._archived.get(id_) if archived else self._known(id_)
        if as_of is not None:
            found = found or self._lately_archived(id_, as_of)
            return found if found and found.created_at <= as_of else None
        return found

    def update(self, record: Record, properties: Properties, *, at: datetime) -> None:
        """Change some properties."""
        self.demand_free(properties, besides=record)
        self._unindex(record)
        now = stamp(at)
        record.change({**properties, self.kind.changed: now}, at=now)
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

    def block(self, address: str) -> None:
        """Let no record have this e-mail address from now on (facts 5.2)."""
        self._blocked.add(address.lower())

    def merge(self, record: Record, into: Record, *, at: datetime) -> None:
        """
        Take one record into another, to which its id and its addresses lead from now on.

        The survivor keeps its values; what it has none for, it takes from the other.
        """
        ids = [str(old) for old, new in self._merged.items() if new == record.record_id]
        ids.append(str(record.record_id))
        if self.identities(into) + len(ids) > IDENTITIES_MAX:
            raise ApiError(414, f"A merged record has at most {IDENTITIES_MAX} identities")
        self._remove(record)
        self._merged |= {int(id_): into.record_id for id_ in ids}
        gained: Properties = {
            name: value
            for name, value in record.properties.items()
            if value and name not in self.kind.stamps and not into.properties.get(name)
        }
        gained[MERGED_IDS] = ";".join([*_parts(into, MERGED_IDS), *ids])
        addresses = [*_addresses(into), *_addresses(record)]
        if len(addresses) > 1:
            gained[MORE_ADDRESSES] = ";".join(addresses[1:])
        self.update(into, gained, at=at)

    def identities(self, record: Record) -> int:
        """Count the ids that lead to a record, its own among them."""
        return 1 + sum(id_ == record.record_id for id_ in self._merged.values())

    def page(
        self, *, after: int, limit: int, archived: bool = False, as_of: str | None = None
    ) -> Page:
        """Return up to `limit` records with ids above `after`."""
        order = sorted(self._archived) if archived else self._ids(as_of)
        start = bisect_right(order, after)
        ids = order[start : start + limit]
        source = self._archived.get if archived else self._known
        found = (source(id_) or self._archived.get(id_) for id_ in ids)
        records = [one for one in found if one and (as_of is None or one.created_at <= as_of)]
        more = start + limit < len(order)
        return Page(records, after=ids[-1] if more else None)

    def demand_free(
        self, properties: Mapping[str, str | None], *, besides: Record | None = None
    ) -> None:
        """Refuse values that belong to another record, or to nobody any more."""
        for name in self.kind.unique:
            value = properties.get(name)
            if not value:
                continue
            taken = self._holder(name, value)
            if taken is not None and (besides is None or taken != besides.record_id):
                raise self.taken(name, value, taken)
            if name == "email" and value.lower() in self._blocked:
                message = f"Email address {value} was deleted for good and is blocked"
                raise not_valid([complaint("BLOCKLISTED_EMAIL", name, message)])

    def taken(self, name: str, value: str, holder: int | None) -> Exception:
        """Return the refusal of a unique value; with no holder another input of a batch has it."""
        if name == "email":
            at = "" if holder is None else f" Existing ID: {holder}"
            return ApiError(409, f"{self.kind.singular} already exists.{at}", category="CONFLICT")
        where = "on another input" if holder is None else f"on the record {holder}"
        message = f'Property "{name}" already has the value {value} {where}'
        return not_valid([complaint("CONFLICTING_UNIQUE_VALUE", name, message)])

    def _ids(self, as_of: str | None) -> list[int]:
        """Return the sorted live ids, with those of records that went after a time."""
        order = self._sorted()
        if as_of is None:
            return order
        late = [id_ for id_ in self._archived if self._lately_archived(id_, as_of)]
        return sorted([*order, *late]) if late else order

    def _lately_archived(self, record_id: int, as_of: str) -> Record | None:
        found = self._archived.get(record_id)
        return found if found and found.archived_at and found.archived_at > as_of else None

    def _made(self, record_id: int, properties: Properties, at: datetime) -> Record:
        now = stamp(at)
        stamps = {self.kind.created: now, "hs_object_id": str(record_id), self.kind.changed: now}
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
        if self._order is not None:
            del self._order[bisect_left(self._order, record.record_id)]
        self._gone += 1

    def _resolve(self, record_id: str, id_property: str | None, *, archived: bool) -> int:
        if id_property in (None, "hs_object_id"):
            return int(record_id) if is_number(record_id) else -1
        if id_property not in self.kind.unique:
            raise invalid(f"Property {id_property!r} is not a unique property of {self.kind.name}")
        if archived:  # what is in the recycling bin has no claim to its values
            held = ((one, one.properties.get(id_property)) for one in self._archived.values())
            value = record_id.lower()
            return next((one.record_id for one, text in held if text and text.lower() == value), -1)
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

    def _index(self, record: Record) -> None:
        for key in self._keys(record):
            self._unique[key] = record.record_id

    def _unindex(self, record: Record) -> None:
        for key in self._keys(record):
            if self._unique.get(key) == record.record_id:
                del self._unique[key]

    def _keys(self, record: Record) -> Iterator[tuple[str, str]]:
        """Yield the unique values by which a record is found."""
        for name in self.kind.unique:
            value = record.properties.get(name)
            if value:
                yield name, value.lower()
        for address in _parts(record, MORE_ADDRESSES):
            yield "email", address.lower()


def _addresses(record: Record) -> list[str]:
    """Return all e-mail addresses of a contact, the main one first."""
    return [*_parts(record, "email"), *_parts(record, MORE_ADDRESSES)]


def _parts(record: Record, name: str) -> list[str]:
    """Return the parts of a list that is written with semicolons."""
    text = record.properties.get(name)
    return text.split(";") if text else []
