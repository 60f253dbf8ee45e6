"""
What a portal knows about its kinds of record: object types, their properties and groups.

Every portal has its own copy, made at the first use, so that a property added in one portal
is not seen in another. Custom types are added to it by the schemas API.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

from hsagency.sandbox import names
from hsagency.sandbox.contents.elsewhere import NOT_SIMULATED
from hsagency.sandbox.contents.stages import DEFAULT_STAGES
from hsagency.sandbox.wire import JsonObject, invalid, not_simulated

ValueType: TypeAlias = Literal[
    "string", "number", "bool", "enumeration", "date", "datetime", "phone_number"
]
# What HubSpot shows a value of each type with, unless the property says otherwise.
FIELD_TYPES = {
    "string": "text", "number": "number", "bool": "booleancheckbox", "enumeration": "select",
    "date": "date", "datetime": "date", "phone_number": "phonenumber",
}  # fmt: skip
FIRST_CUSTOM = 2_000_001


@dataclass(frozen=True, slots=True)
class Option:
    """One choice of an enumeration."""

    value: str
    label: str
    display_order: int = 0
    hidden: bool = False
    description: str = ""


@dataclass(frozen=True, slots=True)
class Property:
    """
    The definition of one property; `read_only` ones are HubSpot's to write.

    `extra` holds what the API echoes and nothing in the sandbox goes by; `before` is what the
    definition was until its last change.
    """

    name: str
    label: str
    type: ValueType = "string"
    field_type: str = "text"
    group: str = ""
    description: str = ""
    options: tuple[Option, ...] = ()
    unique: bool = False
    read_only: bool = False
    hubspot_defined: bool = True
    created_at: str | None = None
    updated_at: str | None = None
    extra: JsonObject = field(default_factory=dict)
    archived_at: str | None = None
    before: Property | None = field(default=None, repr=False)

    @property
    def choices(self) -> frozenset[str]:
        """The values an enumeration takes; empty where any is taken."""
        return frozenset(option.value for option in self.options)


@dataclass(frozen=True, slots=True)
class Group:
    """A group that properties are shown under."""

    name: str
    label: str
    display_order: int = 0


@dataclass(slots=True)
class ObjectType:
    """One kind of record in one portal; `scope` is the word that scopes use for it."""

    name: str
    type_id: str
    singular: str
    plural: str
    shown: tuple[str, ...]
    properties: dict[str, Property]
    groups: dict[str, Group]
    created: str = "createdate"
    changed: str = "hs_lastmodifieddate"
    scope: str = ""
    required: tuple[str, ...] = ()
    archived: dict[str, Property] = field(default_factory=dict)

    def copy(self) -> ObjectType:
        """Return a type of its own for one portal; definitions themselves never change."""
        return replace(
            self,
            properties=dict(self.properties),
            groups=dict(self.groups),
            archived=dict(self.archived),
        )

    @property
    def custom(self) -> bool:
        """Whether it is a type of the portal's own."""
        return self.type_id.startswith("2-")

    @property
    def stamps(self) -> tuple[str, ...]:
        """The properties HubSpot maintains and returns with every record."""
        return (self.created, "hs_object_id", self.changed)

    @property
    def unique(self) -> tuple[str, ...]:
        """The properties whose values belong to one record each."""
        return tuple(name for name, one in self.properties.items() if one.unique)

    def wanted(self, asked: list[str]) -> tuple[str, ...]:
        """Return what a record is shown with; HubSpot says nothing about unknown properties."""
        if not asked:
            return self.shown
        return tuple(sorted({*self.stamps, *(name for name in asked if name in self.properties)}))


class ObjectTypes:
    """The object types of one portal, by name, type id or fully qualified name, in any letters."""

    def __init__(self, portal_id: int, *, own: Iterable[ObjectType] = ()) -> None:
        self._portal_id = portal_id
        self._own = {kind.name.lower(): kind for kind in own}

    def __iter__(self) -> Iterator[ObjectType]:
        """Yield HubSpot's types, then the portal's own."""
        yield from (self.find(name) for name in BUILT_IN)
        yield from self.custom()

    def custom(self) -> list[ObjectType]:
        """Return the portal's own types, oldest first."""
        return [one for name, one in self._own.items() if name not in BUILT_IN]

    def find(self, name: str) -> ObjectType:
        """Return the type that a path names, or refuse as HubSpot does, or for being left out."""
        found = self.get(name)
        if found is None and name.lower() in NOT_SIMULATED:
            raise not_simulated(f"records of the type {name.lower()}")
        if found is None:
            raise invalid(f"Unable to infer object type from: {name}")
        return found

    def get(self, name: str) -> ObjectType | None:
        """Return the type that a path names, if there is one."""
        name = name.lower()
        key = _BY_NAME.get(name) or self._custom_key(name)
        found = self._own.get(key)
        if found is None and key in BUILT_IN:
            found = self._own[key] = BUILT_IN[key].copy()
        return found

    def add(self, kind: ObjectType) -> None:
        """Add a custom type."""
        self._own[kind.name.lower()] = kind

    def drop(self, kind: ObjectType) -> None:
        """Remove a custom type."""
        del self._own[kind.name.lower()]

    def _custom_key(self, name: str) -> str:
        if name in self._own:
            return name
        if name.startswith("2-"):
            return next((key for key, one in self._own.items() if one.type_id == name), name)
        return re.sub(rf"^p({self._portal_id})?_", "", name)


def fully_qualified(portal_id: int, kind: ObjectType) -> str:
    """Return the name of a custom type that no other portal shares."""
    if kind.custom:
        return f"p{portal_id}_{kind.name}"
    return kind.singular.upper().replace(" ", "_")


def _options(name: str) -> tuple[Option, ...]:
    labelled = DEFAULT_STAGES.get(name) or {
        value: value.replace("_", " ").capitalize() for value in _CHOICES.get(name, ())
    }
    return tuple(
        Option(value, label, order) for order, (value, label) in enumerate(labelled.items())
    )


_CHOICES = {
    "lifecyclestage": names.LIFECYCLE_STAGES,
    "hs_lead_status": ("NEW", "OPEN", "IN_PROGRESS", "CONNECTED", "UNQUALIFIED"),
    "industry": names.INDUSTRIES,
    "dealtype": ("newbusiness", "existingbusiness"),
    "hs_priority": ("low", "medium", "high"),
    "hs_ticket_priority": ("LOW", "MEDIUM", "HIGH", "URGENT"),
    "hs_ticket_category": ("PRODUCT_ISSUE", "BILLING_ISSUE", "FEATURE_REQUEST", "GENERAL_INQUIRY"),
}
_TYPED: dict[str, ValueType] = {
    **dict.fromkeys(
        ("createdate", "lastmodifieddate", "hs_lastmodifieddate", "closedate"), "datetime"
    ),
    **dict.fromkeys(
        ("hs_object_id", "amount", "numberofemployees", "price", "quantity", "annualrevenue"),
        "number",
    ),
    **dict.fromkeys((*_CHOICES, *DEFAULT_STAGES, "hubspot_owner_id"), "enumeration"),
    "hs_email_optout": "bool",
}
# What merging writes; that nobody else may is an assumption for the addresses.
_KEPT = {"hs_additional_emails", "hs_merged_object_ids"}
_LONG = {"description", "content"}
_OWNER = {"externalOptions": True, "referencedObjectType": "OWNER"}


def hubspots(
    name: str, group: str, *, stamps: tuple[str, ...] = (), unique: bool = False
) -> Property:
    """Return a property that HubSpot itself defines; it writes the `stamps` itself."""
    type_ = _TYPED.get(name, "string")
    return Property(
        name=name,
        label=name.removeprefix("hs_").replace("_", " ").capitalize(),
        type=type_,
        field_type="textarea" if name in _LONG else FIELD_TYPES[type_],
        group=group,
        options=_options(name),
        unique=unique,
        read_only=name in stamps or name in _KEPT,
        extra=_OWNER if name == "hubspot_owner_id" else {},
    )


def built_in(
    name: str,
    type_id: str,
    singular: str,
    plural: str,
    *,
    shown: str,
    more: str,
    changed: str = "hs_lastmodifieddate",
    unique: str = "",
) -> ObjectType:
    """Return one of HubSpot's own types, from lists of property names."""
    stamps = ("createdate", "hs_object_id", changed)
    group = f"{singular.lower().replace(' ', '')}information"
    all_names = (
        *stamps, *shown.split(), *more.split(), "hs_merged_object_ids", "hubspot_owner_id"
    )  # fmt: skip
    return ObjectType(
        name=name,
        type_id=type_id,
        singular=singular,
        plural=plural,
        shown=tuple(sorted({*stamps, *shown.split()})),
        properties={
            one: hubspots(one, group, stamps=stamps, unique=one == unique) for one in all_names
        },
        groups={group: Group(group, f"{singular} information")},
        changed=changed,
        scope=name,
    )


BUILT_IN = {
    kind.name: kind
    for kind in (
        built_in(
            "contacts",
            "0-1",
            "Contact",
            "Contacts",
            shown="email firstname lastname",
            more="phone company website jobtitle city country lifecyclestage hs_lead_status "
            "annualrevenue hs_email_optout hs_additional_emails",
            changed="lastmodifieddate",
            unique="email",
        ),
        built_in(
            "companies",
            "0-2",
            "Company",
            "Companies",
            shown="name domain",
            more="industry city country phone lifecyclestage numberofemployees",
        ),
        built_in(
            "deals",
            "0-3",
            "Deal",
            "Deals",
            shown="amount closedate dealname dealstage pipeline",
            more="dealtype description hs_priority",
        ),
        built_in(
            "tickets",
            "0-5",
            "Ticket",
            "Tickets",
            shown="subject content hs_pipeline hs_pipeline_stage hs_ticket_category "
            "hs_ticket_priority",
            more="source_type",
        ),
        built_in(
            "products",
            "0-7",
            "Product",
            "Products",
            shown="name price description",
            more="hs_sku hs_cost_of_goods_sold",
        ),
        built_in(
            "line_items",
            "0-8",
            "Line item",
            "Line items",
            shown="hs_product_id quantity",
            more="name price amount hs_sku",
        ),
    )
}
_BY_NAME = {
    key: kind.name
    for kind in BUILT_IN.values()
    # HubSpot takes the singular too
    for key in (kind.name, kind.type_id, kind.singular.lower().replace(" ", "_"))
}
