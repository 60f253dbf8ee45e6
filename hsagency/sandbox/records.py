"""
The CRM records of one portal: object types, and a store for each.

Ids grow with every record, so a list in the order of creation is a list in the order of ids,
and paging is "ids above the last one seen". Ids are the same in every portal on purpose: a call
that reaches the wrong portal finds a record there, as it may in HubSpot.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias

from hsagency.sandbox.wire import ApiError, JsonObject, invalid

Properties: TypeAlias = dict[str, str | None]

FIRST_ID, ID_STEP = 101, 50
PAGE_DEFAULT, PAGE_MAX = 10, 100


@dataclass(frozen=True, slots=True)
class ObjectType:
    """What HubSpot knows about one kind of record."""

    name: str
    type_id: str
    singular: str
    shown: tuple[str, ...]
    known: frozenset[str]
    changed: str
    unique: str | None = None

    @property
    def stamps(self) -> tuple[str, ...]:
        """The properties HubSpot maintains and returns with every record."""
        return ("createdate", "hs_object_id", self.changed)


def _object_type(
    name: str,
    type_id: str,
    singular: str,
    *,
    shown: str,
    more: str,
    changed: str = "hs_lastmodifieddate",
    unique: str | None = None,
) -> ObjectType:
    always = ("createdate", "hs_object_id", changed)
    return ObjectType(
        name=name,
        type_id=type_id,
        singular=singular,
        shown=tuple(sorted({*always, *shown.split()})),
        known=frozenset({*always, *shown.split(), *more.split(), "hubspot_owner_id"}),
        changed=changed,
        unique=unique,
    )


OBJECT_TYPES = (
    _object_type(
        "contacts",
        "0-1",
        "Contact",
        shown="email firstname lastname",
        more="phone company website jobtitle city country lifecyclestage hs_lead_status",
        changed="lastmodifieddate",
        unique="email",
    ),
    _object_type(
        "companies",
        "0-2",
        "Company",
        shown="name domain",
        more="industry city country phone lifecyclestage numberofemployees",
    ),
    _object_type(
        "deals",
        "0-3",
        "Deal",
        shown="amount closedate dealname dealstage pipeline",
        more="dealtype description hs_priority",
    ),
)
_BY_NAME = {key: kind for kind in OBJECT_TYPES for key in (kind.name, kind.type_id)}


def object_type(name: str) -> ObjectType:
    """Return the type a path names, by name or type id."""
    found = _BY_NAME.get(name)
    if found is None:
        raise invalid(f"Unable to infer object type from: {name}")
    return found


def stamp(at: datetime) -> str:
    """Write a time as HubSpot does: UTC, milliseconds, Z."""
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def is_number(text: str) -> bool:
    """Whether a text is a plain whole number of HubSpot's size."""
    return text.isascii() and text.isdigit() and len(text) < 19


@dataclass(slots=True)
class Record:
    """One record, live or archived."""

    record_id: int
    properties: Properties = field(repr=False)
    created_at: str
    updated_at: str
    archived_at: str | None = None

    def shown(self, names: Iterable[str]) -> JsonObject:
        """Return the record as HubSpot answers it, with these properties."""
        answer: JsonObject = {
            "id": str(self.record_id),
            "properties": {name: self.properties.get(name) for name in names},
            "createdAt": self.created_at,
            "updatedAt": self.updated_at,
            "archived": self.archived_at is not None,
        }
        if self.archived_at is not None:
            answer["archivedAt"] = self.archived_at
        return answer


@dataclass(frozen=True, slots=True)
class Page:
    """Some records, and the cursor behind the last of them if there are more."""

    records: list[Record]
    after: int | None


class RecordStore:
    """The records of one type in one portal; the caller holds the portal's lock."""

    def __init__(self, kind: ObjectType) -> None:
        self.kind = kind
        self._live: dict[int, Record] = {}
        self._archived: dict[int, Record] = {}
        self._order: list[int] | None = None  # sorted live ids; None after an archive
        self._unique: dict[str, int] = {}
        self._next_id = FIRST_ID

    def __len__(self) -> int:
        return len(self._live)

    def create(self, properties: Properties, *, at: datetime) -> Record:
        """Add a record."""
        self._refuse_taken(properties, besides=None)
        record_id, now = self._next_id, stamp(at)
        self._next_id += ID_STEP
        stamps = {"createdate": now, "hs_object_id": str(record_id), self.kind.changed: now}
        record = Record(record_id, {**properties, **stamps}, created_at=now, updated_at=now)
        self._live[record_id] = record
        if self._order is not None:
            self._order.append(record_id)
        self._index(record)
        return record

    def get(self, record_id: str, *, id_property: str | None, archived: bool = False) -> Record:
        """Return a record by its id or by its unique property."""
        records = self._archived if archived else self._live
        found = records.get(self._resolve(record_id, id_property))
        if found is None:
            raise ApiError(404, "resource not found", category="OBJECT_NOT_FOUND")
        return found

    def update(self, record: Record, properties: Properties, *, at: datetime) -> None:
        """Change some properties."""
        self._refuse_taken(properties, besides=record.record_id)
        self._unindex(record)
        record.updated_at = stamp(at)
        record.properties.update({**properties, self.kind.changed: record.updated_at})
        self._index(record)

    def archive(self, record: Record, *, at: datetime) -> None:
        """Move a record to the recycling bin; its unique value is free again."""
        self._unindex(record)
        record.archived_at = stamp(at)
        del self._live[record.record_id]
        self._archived[record.record_id] = record
        self._order = None

    def page(self, *, after: int, limit: int, archived: bool = False) -> Page:
        """Return up to `limit` records with ids above `after`."""
        if archived:
            order, records = sorted(self._archived), self._archived
        else:
            order, records = self._sorted(), self._live
        start = bisect_right(order, after)
        ids = order[start : start + limit]
        more = start + limit < len(order)
        return Page([records[id_] for id_ in ids], after=ids[-1] if more else None)

    def _sorted(self) -> list[int]:
        if self._order is None:
            self._order = sorted(self._live)
        return self._order

    def _resolve(self, record_id: str, id_property: str | None) -> int:
        if id_property in (None, "hs_object_id"):
            return int(record_id) if is_number(record_id) else -1
        if id_property != self.kind.unique:
            raise invalid(f"Property {id_property!r} is not a unique property of {self.kind.name}")
        return self._unique.get(record_id.lower(), -1)

    def _refuse_taken(self, properties: Properties, *, besides: int | None) -> None:
        value = properties.get(self.kind.unique) if self.kind.unique else None
        taken = self._unique.get(value) if value else None
        if taken is not None and taken != besides:
            raise ApiError(
                409,
                f"{self.kind.singular} already exists. Existing ID: {taken}",
                category="CONFLICT",
            )

    def _index(self, record: Record) -> None:
        value = record.properties.get(self.kind.unique) if self.kind.unique else None
        if value:
            self._unique[value] = record.record_id

    def _unindex(self, record: Record) -> None:
        value = record.properties.get(self.kind.unique) if self.kind.unique else None
        if value:
            self._unique.pop(value, None)


def judged(kind: ObjectType, content: JsonObject) -> Properties:
    """Return the properties of a create or update body, or refuse it as HubSpot does."""
    given = content.get("properties")
    if not isinstance(given, dict):
        raise invalid("Invalid input JSON: 'properties' is required and must be an object")
    wrong = [fault for name, value in given.items() if (fault := _fault(kind, name, value))]
    if wrong:
        listed = json.dumps(wrong, separators=(",", ":"))
        raise invalid(
            f"Property values were not valid: {listed}",
            errors=[{"message": w["message"], "code": w["error"]} for w in wrong],
        )
    return {name: _text(kind, name, value) for name, value in given.items()}


def _fault(kind: ObjectType, name: str, value: object) -> JsonObject | None:
    if name not in kind.known:
        error, message = "PROPERTY_DOESNT_EXIST", f'Property "{name}" does not exist'
    elif name in kind.stamps:
        error, message = "READ_ONLY_VALUE", f'"{name}" is a read only property'
    elif isinstance(value, dict | list):
        error, message = "INVALID_TYPE", f'Property "{name}" needs a plain value'
    elif name == "email" and value and not _is_address(str(value)):
        error, message = "INVALID_EMAIL", f"Email address {value} is invalid"
    else:
        return None
    return {
        "isValid": False,
        "message": message,
        "error": error,
        "name": name,
        "localizedErrorMessage": message,
    }


def _is_address(value: str) -> bool:
    local, at, domain = value.partition("@")
    return bool(local and at and "." in domain and " " not in value and "@" not in domain)


def _text(kind: ObjectType, name: str, value: object) -> str | None:
    """Return the value as HubSpot stores it: text; empty text and null clear a property."""
    if value is None or value == "":
        return None
    if isinstance(value, bool):
        return str(value).lower()
    return str(value).lower() if name == kind.unique else str(value)
