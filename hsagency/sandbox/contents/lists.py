"""
The lists of one portal.

A manual list holds the records it was given. A dynamic one holds whatever its filters let in at
the moment it is asked. A snapshot did so once. HubSpot works through filters in the background;
here they apply at once, so `processingStatus` is always COMPLETE. When a record joined a dynamic
list is not recorded: the answer is when the record or the filters last changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from hsagency.sandbox.contents.definitions import ObjectType
from hsagency.sandbox.contents.list_filters import Test, membership_test
from hsagency.sandbox.contents.records import FIRST_ID, ID_STEP
from hsagency.sandbox.contents.state import PortalState
from hsagency.sandbox.portals import FOUNDED
from hsagency.sandbox.wire import ApiError, JsonObject, invalid, is_number, not_found, stamp

PROCESSING = ("MANUAL", "DYNAMIC", "SNAPSHOT")
RESTORABLE = timedelta(days=90)
ROOT = 0
_DAYS = {"DAY": 1, "WEEK": 7, "MONTH": 30}


@dataclass(slots=True)
class CrmList:
    """
    One list; `joined` and `first` say since when a record is in it, and when it first was.

    `version` counts its changes. `legacy_id` is what lists of the old contacts API were known by.
    """

    list_id: int
    name: str
    kind: ObjectType
    processing: str
    created_at: str
    created_by: int
    updated_at: str
    updated_by: int
    branch: JsonObject | None = None
    test: Test | None = field(default=None, repr=False)
    filtered_at: str | None = None
    version: int = 1
    folder: int = ROOT
    legacy_id: int | None = None
    deleted_at: datetime | None = None
    conversion: JsonObject | None = None
    converted_at: str | None = None
    joined: dict[int, str] = field(default_factory=dict, repr=False)
    first: dict[int, str] = field(default_factory=dict, repr=False)

    def touch(self, *, at: datetime, user: int) -> None:
        """Note a change of the list itself."""
        self.version += 1
        self.updated_at, self.updated_by = stamp(at), user

    def shown(self) -> JsonObject:
        """Return the list as HubSpot answers it, without its filters and its size."""
        content: JsonObject = {
            "listId": str(self.list_id),
            "listVersion": self.version,
            "name": self.name,
            "objectTypeId": self.kind.type_id,
            "processingType": self.processing,
            "processingStatus": "COMPLETE",
            "createdAt": self.created_at,
            "createdById": str(self.created_by),
            "updatedAt": self.updated_at,
            "updatedById": str(self.updated_by),
        }
        if self.filtered_at is not None:
            content["filtersUpdatedAt"] = self.filtered_at
        return content


@dataclass(frozen=True, slots=True)
class Change:
    """What a change of memberships did, as record ids; `missing` ones are no records at all."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


class ListBook:
    """All lists of one portal, live and deleted; the caller holds the portal's lock."""

    def __init__(self, state: PortalState) -> None:
        self._state = state
        self._lists: dict[int, CrmList] = {}
        self._seed()

    def live(self, now: datetime, *, as_of: str | None = None) -> Iterator[CrmList]:
        """Yield the lists that are there, oldest first."""
        for one in tuple(self._lists.values()):
            if one.deleted_at is None and (as_of is None or one.created_at <= as_of):
                self._convert_if_due(one, now)
                yield one

    def get(self, list_id: str, now: datetime, *, as_of: str | None = None) -> CrmList:
        """Return a list, or refuse with 404."""
        found = self._lists.get(int(list_id)) if is_number(list_id) else None
        if found is None or found.deleted_at or (as_of is not None and found.created_at > as_of):
            raise not_found(f"List does not exist with ID {list_id}.")
        self._convert_if_due(found, now)
        return found

    def create(
        self,
        name: str,
        kind: ObjectType,
        processing: str,
        *,
        branch: JsonObject | None,
        at: datetime,
        user: int,
        folder: int = ROOT,
    ) -> CrmList:
        """Add a list; its filters decide at once who is in it."""
        self.demand_free(name)
        if (branch is None) is not (processing == "MANUAL"):
            needs = "takes no filterBranch" if processing == "MANUAL" else "needs a filterBranch"
            raise invalid(f"A {processing} list {needs}")
        test = None if branch is None else membership_test(kind, branch)
        now = stamp(at)
        made = CrmList(
            list_id=len(self._lists) + 1,
            name=name,
            kind=kind,
            processing=processing,
            created_at=now,
            created_by=user,
            updated_at=now,
            updated_by=user,
            branch=branch,
            test=test,
            filtered_at=None if branch is None else now,
            folder=folder,
        )
        if processing == "SNAPSHOT":
            self._freeze(made, at=now)
        self._lists[made.list_id] = made
        return made

    def rename(self, one: CrmList, name: str, *, at: datetime, user: int) -> None:
        """Give a list another name; its own in other letters will do."""
        self.demand_free(name, besides=one)
        one.name = name
        one.touch(at=at, user=user)

    def refilter(self, one: CrmList, branch: JsonObject, *, at: datetime, user: int) -> None:
        """Replace the filters of a dynamic list."""
        if one.processing != "DYNAMIC":
            raise invalid(f"The filters of a {one.processing} list cannot be updated")
        one.test, one.branch = membership_test(one.kind, branch), branch
        one.touch(at=at, user=user)
        one.filtered_at = one.updated_at

    def delete(self, one: CrmList, *, at: datetime) -> None:
        """Move a list to the recycling bin; its name is free again."""
        one.deleted_at = at

    def restore(self, list_id: str, *, at: datetime) -> None:
        """
        Take a list out of the recycling bin, where it stays for 90 days.

        It comes back at the root, as its folder may be gone; that is an assumption.
        """
        found = self._lists.get(int(list_id)) if is_number(list_id) else None
        if found is None or (found.deleted_at and at - found.deleted_at > RESTORABLE):
            raise not_found(f"List does not exist with ID {list_id}.")
        if found.deleted_at is not None:
            self.demand_free(found.name)
            found.deleted_at, found.folder = None, ROOT

    def members(self, one: CrmList) -> dict[int, str]:
        """Return the records that are in a list, by id, and since when."""
        store = self._state.store(one.kind)
        if one.processing != "DYNAMIC":
            found = ((store.find(str(id_)), at) for id_, at in one.joined.items())
            return {record.record_id: at for record, at in found if record is not None}
        test, since = one.test, one.filtered_at or one.created_at
        return {
            record.record_id: max(since, record.updated_at)
            for record in store
            if test is not None and test(record.properties)
        }

    def change(
        self, one: CrmList, *, add: Iterable[str] = (), remove: Iterable[str] = (), at: datetime
    ) -> Change:
        """Put records into a list and take others out of it; what is so already stays so."""
        demand_static(one)
        one.joined = self.members(one)  # without archived records, merged ones under their new id
        added: list[str] = []
        removed: list[str] = []
        missing: list[str] = []
        now, store = stamp(at), self._state.store(one.kind)
        for given in dict.fromkeys(add):
            record = store.find(given)
            if record is None:
                missing.append(given)
            elif record.record_id not in one.joined:
                one.joined[record.record_id] = now
                one.first.setdefault(record.record_id, now)
                added.append(given)
        for given in dict.fromkeys(remove):
            record = store.find(given)
            if record is None:
                missing.append(given)
            elif one.joined.pop(record.record_id, None) is not None:
                removed.append(given)
        return Change(tuple(added), tuple(removed), tuple(missing))

    def schedule(self, one: CrmList, wish: JsonObject, *, now: datetime) -> None:
        """Have a dynamic list become a snapshot on a day, or when nobody has joined for a while."""
        if one.processing != "DYNAMIC":
            raise invalid(f"A {one.processing} list cannot be converted")
        if self._due(one, wish) <= now:
            raise invalid("The time of conversion must be in the future")
        one.conversion = wish

    def demand_free(self, name: str, *, besides: CrmList | None = None) -> None:
        """Refuse a name that a live list has, in whatever letters."""
        for one in self._lists.values():
            if one is not besides and not one.deleted_at and one.name.lower() == name.lower():
                raise ApiError(
                    400,
                    f"A list with the name {name!r} already exists.",
                    category="VALIDATION_ERROR",
                    subCategory="ILS.DUPLICATE_LIST_NAMES",
                )

    def _convert_if_due(self, one: CrmList, now: datetime) -> None:
        if one.conversion is None or one.converted_at is not None:
            return
        due = self._due(one, one.conversion)
        if due <= now:
            self._freeze(one, at=stamp(due))
            one.processing, one.converted_at = "SNAPSHOT", stamp(due)
            one.version += 1

    def _freeze(self, one: CrmList, *, at: str) -> None:
        """Keep whom the filters let in now; also when they should have been frozen before."""
        store, test = self._state.store(one.kind), one.test
        ids = [record.record_id for record in store if test is not None and test(record.properties)]
        one.joined = dict.fromkeys(ids, at)
        one.first = dict(one.joined)

    def _due(self, one: CrmList, wish: JsonObject) -> datetime:
        if wish.get("conversionType") == "CONVERSION_DATE":
            try:
                day = datetime(wish["year"], wish["month"], wish["day"], tzinfo=self._state.zone)
                return day.astimezone(UTC)
            except (KeyError, OverflowError, TypeError, ValueError) as error:
                raise invalid("year, month and day must be a date") from error
        if wish.get("conversionType") == "INACTIVITY":
            days, offset = _DAYS.get(str(wish.get("timeUnit"))), wish.get("offset")
            if days is None or type(offset) is not int or not 0 < offset <= 10_000:
                raise invalid("timeUnit must be DAY, WEEK or MONTH, and offset a whole number")
            latest = max([one.filtered_at or one.created_at, *self.members(one).values()])
            return datetime.fromisoformat(latest) + timedelta(days=days * offset)
        raise invalid("conversionType must be CONVERSION_DATE or INACTIVITY")

    def _seed(self) -> None:
        """Make the lists a portal starts with; the contact lists were made by the old API."""
        contacts, companies = (self._state.types.find(name) for name in ("contacts", "companies"))
        user = self._state.portal.founder
        customers = self.create(
            "All customers",
            contacts,
            "DYNAMIC",
            branch=any_of("lifecyclestage", "customer"),
            at=FOUNDED,
            user=user,
        )
        fair = self.create(
            "Trade fair guests", contacts, "MANUAL", branch=None, at=FOUNDED, user=user
        )
        every_third = (str(FIRST_ID + number * ID_STEP) for number in range(0, 60, 3))
        self.change(fair, add=every_third, at=FOUNDED + timedelta(days=510))
        customers.legacy_id, fair.legacy_id = 1, 2
        self.create(
            "Retail companies",
            companies,
            "DYNAMIC",
            branch=any_of("industry", "RETAIL"),
            at=FOUNDED,
            user=user,
        )


def demand_static(one: CrmList) -> None:
    """Refuse to change by hand who is in a dynamic list."""
    if one.processing == "DYNAMIC":
        raise invalid(
            f"List {one.list_id} is a DYNAMIC list; only the memberships of MANUAL and SNAPSHOT "
            "lists can be changed"
        )


def any_of(name: str, *values: str) -> JsonObject:
    """Return filters that let in the records with one of these choices."""
    return {
        "filterBranchType": "OR",
        "filterBranchOperator": "OR",
        "filters": [],
        "filterBranches": [
            {
                "filterBranchType": "AND",
                "filterBranchOperator": "AND",
                "filterBranches": [],
                "filters": [
                    {
                        "filterType": "PROPERTY",
                        "property": name,
                        "operation": {
                            "operationType": "ENUMERATION",
                            "operator": "IS_ANY_OF",
                            "values": list(values),
                            "includeObjectsWithNoValueSet": False,
                        },
                    }
                ],
            }
        ],
    }
