"""What all endpoints of associations share: the pair of types, its checks, and batches."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from hsagency.sandbox.bodies import id_of
from hsagency.sandbox.call import Call
from hsagency.sandbox.contents.definitions import ObjectType
from hsagency.sandbox.contents.labels import Label, Labels, Limits
from hsagency.sandbox.contents.links import Linked, Links
from hsagency.sandbox.wire import ApiError, JsonObject, invalid, is_number, not_found

PAGE_MAX = 500
READ_MAX, WRITE_MAX = 1_000, 2_000
NONE: Mapping[Label, int] = {}
READ, WRITE = ("crm.objects.{type}.read",), ("crm.objects.{type}.write",)


@dataclass(frozen=True, slots=True)
class Pair:
    """The two types of records that a path names, seen from the first."""

    call: Call
    kind: ObjectType
    other: ObjectType
    links: Links
    labels: Labels
    limits: Limits

    @classmethod
    def named_by(cls, call: Call) -> Pair:
        """Return the pair of a call."""
        state = call.state
        other = state.types.find(call.values["other"])
        links, labels, limits = state.part(Links), state.part(Labels), state.part(Limits)
        return cls(call, call.kind, other, links, labels, limits)

    def ids(self, given: object, other_given: object) -> tuple[int, int]:
        """Return the ids of two live records, or refuse as HubSpot does."""
        found = self.known(self.kind, given), self.known(self.other, other_given)
        id_, other_id = found
        if id_ is None or other_id is None:
            kinds = (self.kind, given), (self.other, other_given)
            missing = [pair for pair, one in zip(kinds, found, strict=True) if one is None]
            raise _no_records(missing)
        if self.kind is self.other and id_ == other_id:
            raise invalid("A record cannot be associated with itself")
        return id_, other_id

    def known(self, kind: ObjectType, given: object) -> int | None:
        """Return the id of a live record; the id of a merged one leads to the other."""
        record = self.call.state.store(kind).find(str(given))
        return record.record_id if record is not None else None

    def found(self, given: object) -> int:
        """Return the id of a live record of the first type, or answer that there is none."""
        id_ = self.known(self.kind, given)
        if id_ is None:
            raise not_found()
        return id_

    def linked(self, id_: int) -> Linked:
        """Return what the record is linked to, as a read sees it."""
        return self.links.of(self.kind, id_, self.other, as_of=self.call.as_of)

    def types(self, ids: Iterable[int]) -> list[Label]:
        """Return the labels with these ids, the plain one first."""
        wanted = frozenset(ids)
        return [one for one in self.labels.between(self.kind, self.other) if one.type_id in wanted]

    def specified(self, given: object) -> list[Label]:
        """Return the labels that a list of category and type id names."""
        if not isinstance(given, list) or not given:
            raise invalid("Invalid input JSON: association types must be a list that is not empty")
        return [self._specified(one) for one in given]

    def link(self, id_: int, other_id: int, *labels: Label) -> frozenset[int]:
        """Link two records, or refuse where one has as many links as the portal allows."""
        self.demand_room(id_, other_id, labels)
        return self.links.add(self.kind, id_, self.other, other_id, labels=labels, at=self.call.at)

    def demand_room(
        self,
        id_: int,
        other_id: int,
        labels: Iterable[Label],
        *,
        here: Mapping[Label, int] = NONE,
        there: Mapping[Label, int] = NONE,
    ) -> None:
        """
        Refuse a link where one record has as many as the portal allows.

        `here` and `there` count links that either record is to have besides.
        """
        for label in (self.labels.plain(self.kind, self.other), *labels):
            back = self.labels.inverse(self.kind, self.other, label)
            self._demand_room(self.kind, id_, self.other, other_id, label, here.get(label, 0))
            self._demand_room(self.other, other_id, self.kind, id_, back, there.get(label, 0))

    def unlink(
        self, given: str, other_given: str, *, labels: Iterable[Label] | None = None
    ) -> None:
        """Take two records apart, or only labels off; HubSpot says nothing where no link was."""
        id_, other_id = self.known(self.kind, given), self.known(self.other, other_given)
        if id_ is None or other_id is None:
            return
        if labels is None:
            self.links.remove(self.kind, id_, self.other, other_id)
        else:
            self.links.remove_labels(self.kind, id_, self.other, other_id, labels=labels)

    def set_labels(self, id_: int, other_id: int, labels: list[Label]) -> None:
        """Link two records; of a portal's own labels they have only these afterwards."""
        stale = [
            one
            for one in self.types(self.link(id_, other_id, *labels))
            if one.category == "USER_DEFINED" and one.label and one not in labels
        ]
        if stale:
            self.links.remove_labels(self.kind, id_, self.other, other_id, labels=stale)

    def _demand_room(
        self,
        kind: ObjectType,
        id_: int,
        other: ObjectType,
        other_id: int,
        label: Label,
        more: int,
    ) -> None:
        most = self.limits.of(kind, other, label)
        if most is None:
            return
        linked = self.links.of(kind, id_, other).items()
        if sum(label.type_id in types for one, types in linked if one != other_id) + more >= most:
            raise _invalid_association(
                MAX_ASSOCIATIONS=[
                    f"{word(kind)}={id_ or 'new'} may have {most} of {label.type_id}"
                ],
            )

    def _specified(self, given: object) -> Label:
        if not isinstance(given, dict) or not isinstance(given.get("associationTypeId"), int):
            raise invalid("Invalid input JSON: associationTypeId is required and must be a number")
        type_id, category = given["associationTypeId"], given.get("associationCategory")
        found = self.labels.find(self.kind, self.other, type_id)
        if found is None or category not in (None, found.category):
            spec = f"{category or 'HUBSPOT_DEFINED'}={type_id}"
            raise _invalid_association(
                associationSpec=[spec],
                INVALID_ASSOCIATION_TYPE_ID=[f"{spec} is not a valid association definition id"],
            )
        return found


def ends(given: JsonObject) -> tuple[str, str]:
    """Return the ids that an input of a batch links or takes apart."""
    return id_of(given.get("from")), id_of(given.get("to"))


def word(kind: ObjectType) -> str:
    """Return what refusals call a type."""
    return kind.type_id if kind.custom else kind.singular.upper().replace(" ", "_")


def nothing_linked(pair: Pair, given: str) -> ApiError:
    """Return what a batch says about a record without associations, or about none at all."""
    if not is_number(given):
        return ApiError(
            400,
            f"{given} is not a valid identifier",
            category="VALIDATION_ERROR",
            subCategory="crm.associations.INVALID_IDENTIFIER",
            context={"id": [given]},
        )
    kind, other = word(pair.kind).lower(), word(pair.other).lower()
    return ApiError(
        404,
        f"No {other} is associated with {kind} {given}.",
        category="OBJECT_NOT_FOUND",
        subCategory="crm.associations.NO_ASSOCIATIONS_FOUND",
        context={"fromObjectId": [given], "fromObjectType": [kind], "toObjectType": [other]},
    )


def _no_records(missing: list[tuple[ObjectType, object]]) -> ApiError:
    return _invalid_association(
        INVALID_OBJECT_IDS=[f"{word(kind)}={given} is not valid" for kind, given in missing],
        objectId=[str(given) for _, given in missing],
        objectType=[word(kind) for kind, _ in missing],
    )


def _invalid_association(**context: list[str]) -> ApiError:
    return ApiError(
        400, "One or more associations are invalid", category="VALIDATION_ERROR", context=context
    )
