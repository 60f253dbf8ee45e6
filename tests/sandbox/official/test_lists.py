"""The official client's list classes against the sandbox's lists (facts 7)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC

import pytest
from hubspot import HubSpot
from hubspot.crm.lists import (
    ApiException,
    ListCreateRequest,
    ListFilterUpdateRequest,
    ListFolderCreateRequest,
    ListMoveRequest,
    ListSearchRequest,
    MembershipChangeRequest,
    PublicAndFilterBranch,
    PublicEnumerationPropertyOperation,
    PublicObjectList,
    PublicOrFilterBranch,
    PublicPropertyFilter,
)

from hsagency.sandbox import Sandbox
from tests.sandbox.conftest import NOON

CONTACTS = "0-1"
CUSTOMERS, GUESTS = "1", "2"


def in_stages(*stages: str) -> PublicOrFilterBranch:
    """Write the filters that let in the contacts of some lifecycle stages."""
    operation = PublicEnumerationPropertyOperation(
        operation_type="ENUMERATION",
        operator="IS_ANY_OF",
        values=list(stages),
        include_objects_with_no_value_set=False,
    )
    condition = PublicPropertyFilter(
        filter_type="PROPERTY", _property="lifecyclestage", operation=operation
    )
    group = PublicAndFilterBranch(
        filter_branch_type="AND",
        filter_branch_operator="AND",
        filter_branches=[],
        filters=[condition],
    )
    return PublicOrFilterBranch(
        filter_branch_type="OR", filter_branch_operator="OR", filter_branches=[group], filters=[]
    )


def make(hubspot: HubSpot, name: str = "VIP") -> PublicObjectList:
    request = ListCreateRequest(name=name, object_type_id=CONTACTS, processing_type="MANUAL")
    return hubspot.crm.lists.lists_api.create(request).list


def member_ids(hubspot: HubSpot, list_id: str) -> list[str]:
    page = hubspot.crm.lists.memberships_api.get_page(list_id, limit=250)
    return [one.record_id for one in page.results]


def test_a_list_is_made_read_renamed_deleted_and_restored(hubspot: HubSpot) -> None:
    lists = hubspot.crm.lists.lists_api
    made = make(hubspot)
    assert (made.name, made.processing_type, made.size) == ("VIP", "MANUAL", 0)
    assert (made.processing_status, made.list_version) == ("COMPLETE", 1)
    assert made.created_at == made.updated_at == NOON.astimezone(UTC)
    assert lists.get_by_id(made.list_id).list == made
    renamed = lists.update_name(made.list_id, list_name="VIPs", include_filters=True)
    assert renamed.updated_list.name == "VIPs"
    assert lists.get_by_name("vips", CONTACTS).list.list_id == made.list_id
    assert lists.remove(made.list_id) is None
    with pytest.raises(ApiException) as caught:
        lists.get_by_id(made.list_id)
    assert caught.value.status == 404
    assert lists.restore(made.list_id) is None
    assert lists.get_by_id(made.list_id).list.name == "VIPs"


def test_a_dynamic_list_is_made_and_its_filters_replaced(hubspot: HubSpot) -> None:
    lists, everyone = hubspot.crm.lists.lists_api, hubspot.crm.contacts.basic_api
    stages = {
        one.id: one.properties["lifecyclestage"]
        for one in everyone.get_page(limit=100, properties=["lifecyclestage"]).results
    }
    first, second = sorted(set(stages.values()))[:2]
    request = ListCreateRequest(
        name="Dynamic",
        object_type_id=CONTACTS,
        processing_type="DYNAMIC",
        filter_branch=in_stages(first),
    )
    made = lists.create(request).list
    shown = lists.get_by_id(made.list_id, include_filters=True).list.filter_branch
    assert shown.filter_branches[0].filters[0].operation.values == [first]
    assert member_ids(hubspot, made.list_id) == [one for one in stages if stages[one] == first]
    change = ListFilterUpdateRequest(filter_branch=in_stages(first, second))
    answer = lists.update_list_filters(made.list_id, change, enroll_objects_in_workflows=False)
    assert answer.updated_list.list_version == 2
    both = [one for one in stages if stages[one] in {first, second}]
    assert member_ids(hubspot, made.list_id) == both
    assert answer.updated_list.size == len(both)


def test_lists_are_read_and_searched_together(hubspot: HubSpot) -> None:
    lists = hubspot.crm.lists.lists_api
    found = lists.get_all(list_ids=[GUESTS, CUSTOMERS], include_filters=True).lists
    assert [one.list_id for one in found] == [CUSTOMERS, GUESTS]
    request = ListSearchRequest(
        query="guests", count=1, offset=0, additional_properties=["hs_list_size"]
    )
    page = lists.do_search(request)
    assert (page.total, page.offset, page.has_more) == (1, 1, False)
    assert page.lists[0].additional_properties == {"hs_list_size": "4"}


def test_a_taken_name_is_an_api_exception(hubspot: HubSpot) -> None:
    with pytest.raises(ApiException) as caught:
        make(hubspot, "All customers")
    assert caught.value.status == 400
    assert "ILS.DUPLICATE_LIST_NAMES" in caught.value.body


def test_members_are_put_in_and_taken_out(hubspot: HubSpot) -> None:
    memberships, id_ = hubspot.crm.lists.memberships_api, make(hubspot).list_id
    answer = memberships.add(id_, ["101", "151", "7"])
    assert answer.records_ids_added == ["101", "151"]
    assert answer.record_ids_missing == ["7"]
    assert memberships.remove(id_, ["101"]).record_ids_removed == ["101"]
    change = MembershipChangeRequest(record_ids_to_add=["201"], record_ids_to_remove=["151"])
    answer = memberships.add_and_remove(id_, change)
    assert (answer.records_ids_added, answer.record_ids_removed) == (["201"], ["151"])
    assert memberships.add_all_from_list(id_, GUESTS) is None
    assert member_ids(hubspot, id_) == ["101", "201", "251", "401", "551"]
    assert memberships.remove_all(id_) is None
    assert member_ids(hubspot, id_) == []


@pytest.mark.parametrize("order", ["get_page", "get_page_ordered_by_added_to_list_date"])
def test_members_are_read_page_by_page(hubspot: HubSpot, order: str) -> None:
    read: Callable[..., object] = getattr(hubspot.crm.lists.memberships_api, order)
    page = read(GUESTS, limit=3)
    assert (page.total, len(page.results)) == (4, 3)
    assert page.results[0].membership_timestamp < NOON
    rest = read(GUESTS, limit=3, after=page.paging.next.after)
    assert [one.record_id for one in page.results + rest.results] == ["101", "251", "401", "551"]
    assert rest.paging.next is None
    back = read(GUESTS, limit=1, before=rest.paging.prev.before)
    assert [one.record_id for one in back.results] == ["401"]


def test_the_lists_of_a_record_are_read(hubspot: HubSpot) -> None:
    found = hubspot.crm.lists.memberships_api.get_lists(CONTACTS, "251").results
    guests = next(one for one in found if one.list_id == GUESTS)
    assert guests.first_added_timestamp == guests.last_added_timestamp
    assert guests.list_version == 1


def test_a_change_of_a_dynamic_list_is_an_api_exception(hubspot: HubSpot) -> None:
    memberships = hubspot.crm.lists.memberships_api
    for change in (
        lambda: memberships.add(CUSTOMERS, ["101"]),
        lambda: memberships.remove_all(CUSTOMERS),
    ):
        with pytest.raises(ApiException) as caught:
            change()
        assert caught.value.status == 400
        assert "DYNAMIC" in caught.value.body


def test_legacy_ids_are_translated(hubspot: HubSpot) -> None:
    mapping = hubspot.crm.lists.mapping_api
    one = mapping.translate_legacy_list_id_to_list_id(legacy_list_id="2")
    assert (one.legacy_list_id, one.list_id) == ("2", GUESTS)
    many = mapping.translate_legacy_list_id_to_list_id_batch(["1", "9"])
    assert [one.list_id for one in many.legacy_list_ids_to_ids_mapping] == [CUSTOMERS]
    assert many.missing_legacy_list_ids == ["9"]
    with pytest.raises(ApiException) as caught:
        mapping.translate_legacy_list_id_to_list_id(legacy_list_id="9")
    assert caught.value.status == 404


def test_folders_are_made_moved_renamed_and_deleted(hubspot: HubSpot) -> None:
    folders = hubspot.crm.lists.folders_api
    outer = folders.create(ListFolderCreateRequest(name="2026")).folder
    inner = folders.create(
        ListFolderCreateRequest(name="May", parent_folder_id=str(outer.id))
    ).folder
    assert (outer.id, inner.parent_folder_id) == (1, 1)
    assert folders.rename(inner.id, new_folder_name="June").folder.name == "June"
    request = ListMoveRequest(list_id=GUESTS, new_folder_id=str(inner.id))
    assert folders.move_list(request) is None
    assert folders.move(inner.id, "0").folder.parent_folder_id == 0
    root = folders.get_all().folder
    assert [one.name for one in root.child_nodes] == ["2026", "June"]
    assert folders.get_all(folder_id=str(inner.id)).folder.child_lists == [2]
    assert folders.remove(outer.id) is None
    with pytest.raises(ApiException) as caught:
        folders.remove(inner.id)
    assert caught.value.status == 400


def test_a_missing_scope_is_an_api_exception(
    sandbox: Sandbox, connect_official: Callable[[str], HubSpot]
) -> None:
    token = sandbox.issue(sandbox.portals[0].portal_id, scopes=["crm.lists.read"]).token
    reader = connect_official(token)
    assert reader.crm.lists.lists_api.get_by_id(GUESTS).list.size == 4
    with pytest.raises(ApiException) as caught:
        reader.crm.lists.memberships_api.remove_all(GUESTS)
    assert caught.value.status == 403
    assert "MISSING_SCOPES" in caught.value.body
