"""Who is in a list: put in and taken out by hand, and told in pages (facts 5.1 and 5.2)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsagency.sandbox import Sandbox
from tests.sandbox.asking import Asking
from tests.sandbox.listing import (
    COMPANIES,
    CONTACTS,
    CUSTOMERS,
    DATED,
    GUESTS,
    IDS,
    OLD,
    RETAILERS,
    create,
    members,
    refused,
)


def test_records_are_put_in_and_taken_out(ask: Asking) -> None:
    """Facts 5.2; what is reported of a record that is no member to take out is an assumption."""
    id_ = create(ask, "VIP")
    status, answer = ask("PUT", f"{OLD}/{id_}/memberships/add", ["151", 101, "151", "7"])
    assert (status, answer) == (
        200,
        {"recordsIdsAdded": ["151", "101"], "recordIdsRemoved": [], "recordIdsMissing": ["7"]},
    )
    assert members(ask, id_) == ["101", "151"]
    assert ask("PUT", f"{OLD}/{id_}/memberships/add", ["101"])[1]["recordsIdsAdded"] == []
    status, answer = ask("PUT", f"{DATED}/{id_}/memberships/remove", ["101", "201"])
    assert (status, answer["recordIdsRemoved"]) == (200, ["101"])
    body = {"recordIdsToAdd": ["201", "251"], "recordIdsToRemove": ["151", "251"]}
    assert ask("PUT", f"{OLD}/{id_}/memberships/add-and-remove", body)[0] == 200
    assert members(ask, id_, DATED) == ["201"]


def test_a_body_of_memberships_must_be_a_list_of_ids(ask: Asking) -> None:
    path = f"{OLD}/{GUESTS}/memberships/add"
    for body in ({"ids": ["101"]}, [["101"]], [True], None, "101"):
        assert ask("PUT", path, body)[0] == 400, body
    assert len(members(ask, GUESTS)) == 4


def test_deleting_memberships_empties_the_list_and_keeps_it(ask: Asking) -> None:
    """Facts 5.2: `DELETE memberships` empties the list. From documents alone."""
    assert ask("DELETE", f"{DATED}/{GUESTS}/memberships") == (204, None)
    assert members(ask, GUESTS) == []
    assert ask("GET", f"{OLD}/{GUESTS}")[0] == 200
    assert ask("GET", "/crm/v3/objects/contacts/101")[0] == 200


def test_one_list_is_filled_from_another(ask: Asking) -> None:
    id_ = create(ask, "VIP")
    ask("PUT", f"{OLD}/{id_}/memberships/add", ["151"])
    assert ask("PUT", f"{OLD}/{id_}/memberships/add-from/{GUESTS}") == (204, None)
    assert members(ask, id_) == ["101", "151", "251", "401", "551"]
    mixed = ask("PUT", f"{OLD}/{id_}/memberships/add-from/{RETAILERS}")
    refused(mixed, 400, "different types")


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "add", ["101"]),
        ("PUT", "remove", ["101"]),
        ("PUT", "add-and-remove", {"recordIdsToAdd": [], "recordIdsToRemove": ["101"]}),
        ("PUT", f"add-from/{GUESTS}", None),
        ("DELETE", "", None),
    ],
)
def test_nobody_changes_by_hand_who_is_in_a_dynamic_list(
    ask: Asking, method: str, path: str, body: object
) -> None:
    """From documents alone: only manual lists and snapshots take such changes."""
    before = members(ask, CUSTOMERS)
    target = f"{OLD}/{CUSTOMERS}/memberships/{path}".rstrip("/")
    refused(ask(method, target, body), 400, "DYNAMIC")
    assert members(ask, CUSTOMERS) == before


def test_a_record_that_goes_is_in_no_list(ask: Asking) -> None:
    """An assumption: HubSpot's documents do not say so of lists."""
    assert ask("DELETE", "/crm/v3/objects/contacts/101")[0] == 204
    assert "101" not in members(ask, GUESTS)
    refused(ask("GET", f"{OLD}/records/{CONTACTS}/101/memberships"), 404)


def test_a_record_that_was_merged_is_in_the_list_under_its_new_id(ask: Asking) -> None:
    """An assumption: HubSpot's documents do not say so of lists."""
    id_ = create(ask, "VIP")
    ask("PUT", f"{OLD}/{id_}/memberships/add", ["151", "201"])
    body = {"primaryObjectId": "101", "objectIdToMerge": "151"}
    assert ask("POST", "/crm/v3/objects/contacts/merge", body)[0] == 200
    assert members(ask, id_) == ["101", "201"]
    status, answer = ask("PUT", f"{OLD}/{id_}/memberships/remove", ["101"])
    assert (status, answer["recordIdsRemoved"]) == (200, ["101"])
    assert members(ask, id_) == ["201"]


changes = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.lists(st.sampled_from(IDS))),
        st.tuples(st.just("remove"), st.lists(st.sampled_from(IDS))),
        st.tuples(
            st.just("add-and-remove"),
            st.tuples(st.lists(st.sampled_from(IDS)), st.lists(st.sampled_from(IDS))),
        ),
        st.tuples(st.just("empty"), st.none()),
        st.tuples(st.just("archive"), st.sampled_from(IDS)),
    ),
    max_size=12,
)


@given(changes=changes)
def test_after_any_changes_a_list_is_what_a_set_would_be(changes: list[tuple[str, Any]]) -> None:
    sandbox = Sandbox(portals=1, contacts=12)
    ask = Asking(sandbox)
    id_ = create(ask, "VIP")
    path, alive, expected = f"{OLD}/{id_}/memberships", set(IDS), set[str]()
    for what, given_ids in changes:
        if what == "archive":
            ask("DELETE", f"/crm/v3/objects/contacts/{given_ids}")
            alive -= {given_ids}
        elif what == "empty":
            ask("DELETE", path)
            expected = set()
        elif what == "add-and-remove":
            add, remove = given_ids
            body = {"recordIdsToAdd": add, "recordIdsToRemove": remove}
            ask("PUT", f"{path}/{what}", body)
            expected = (expected | set(add)) - set(remove)
        else:
            answer = ask("PUT", f"{path}/{what}", given_ids)[1]
            assert set(answer["recordIdsMissing"]) == set(given_ids) - alive
            expected = expected | set(given_ids) if what == "add" else expected - set(given_ids)
        expected &= alive
    assert members(ask, id_) == sorted(expected, key=int)
    assert ask("GET", f"{OLD}/{id_}")[1]["list"]["size"] == len(expected)


@given(
    limit=st.integers(1, 30),
    chosen=st.sets(st.integers(0, 59)),
    ending=st.sampled_from(["memberships", "memberships/join-order"]),
)
def test_all_pages_together_are_all_members_exactly_once(
    limit: int, chosen: set[int], ending: str
) -> None:
    sandbox = Sandbox(portals=1, contacts=60)
    ask = Asking(sandbox)
    id_ = create(ask, "VIP")
    backwards = sorted((str(101 + 50 * number) for number in chosen), key=int, reverse=True)
    for start in range(0, len(backwards), 7):  # several times of joining, some of them shared
        ask("PUT", f"{OLD}/{id_}/memberships/add", backwards[start : start + 7])
    path, seen, after = f"{DATED}/{id_}/{ending}?limit={limit}", [], ""
    while True:
        page = ask("GET", path + after)[1]
        assert page["total"] == len(chosen)
        seen += [(one["membershipTimestamp"], int(one["recordId"])) for one in page["results"]]
        if "next" not in page.get("paging", {}):
            break
        assert len(page["results"]) == limit
        after = f"&after={page['paging']['next']['after']}"
    assert sorted(str(id_) for _, id_ in seen) == sorted(backwards)
    assert seen == sorted(seen, key=None if "join" in ending else lambda one: one[1])


@given(limit=st.integers(1, 15))
def test_pages_lead_back_to_the_first_member_the_last_one_first(limit: int) -> None:
    """From documents alone: `before` returns the records ahead of a cursor in falling order."""
    ask = Asking(Sandbox(portals=1, contacts=12))
    id_ = create(ask, "VIP")
    ask("PUT", f"{OLD}/{id_}/memberships/add", IDS)
    path = f"{OLD}/{id_}/memberships?limit={limit}"
    last = ask("GET", path)[1]
    while "next" in last.get("paging", {}):
        last = ask("GET", f"{path}&after={last['paging']['next']['after']}")[1]
    seen = [one["recordId"] for one in reversed(last["results"])]
    while "prev" in last.get("paging", {}):
        last = ask("GET", f"{path}&before={last['paging']['prev']['before']}")[1]
        seen += [one["recordId"] for one in last["results"]]
    assert seen == IDS[::-1]


@pytest.mark.parametrize("query", ["limit=251", "limit=0", "after=x", "before=W3RydWVd", "after=1"])
def test_a_page_that_does_not_exist_is_refused(ask: Asking, query: str) -> None:
    """That 250 is the most for one page rests on documents alone."""
    assert ask("GET", f"{OLD}/{GUESTS}/memberships?{query}")[0] == 400


def test_a_cursor_of_one_order_is_none_of_the_other(ask: Asking) -> None:
    page = ask("GET", f"{OLD}/{GUESTS}/memberships/join-order?limit=1")[1]
    after = page["paging"]["next"]["after"]
    refused(ask("GET", f"{OLD}/{GUESTS}/memberships?after={after}"), 400, "not a cursor")
    assert ask("GET", f"{OLD}/{GUESTS}/memberships/join-order?after={after}")[0] == 200


def test_the_lists_of_a_record_are_found(ask: Asking) -> None:
    id_ = create(ask, "VIP")
    for _ in range(2):
        ask("PUT", f"{OLD}/{id_}/memberships/add", ["101"])
        ask("PUT", f"{OLD}/{id_}/memberships/remove", ["101"])
    ask("PUT", f"{OLD}/{id_}/memberships/add", ["101"])
    status, answer = ask("GET", f"{DATED}/records/{CONTACTS}/101/memberships")
    assert status == 200
    assert [one["listId"] for one in answer["results"]] == [GUESTS, id_]
    mine = answer["results"][1]
    assert mine["firstAddedTimestamp"] < mine["lastAddedTimestamp"]


def test_the_lists_of_many_records_are_found_and_no_records_named(ask: Asking) -> None:
    """Facts 4.2: 207 is a success with failures inside. From documents alone."""
    path = f"{OLD}/records/memberships/batch/read"
    inputs = [
        {"objectTypeId": CONTACTS, "recordId": "101"},
        {"objectTypeId": COMPANIES, "recordId": "101"},
    ]
    status, answer = ask("POST", path, {"inputs": inputs})
    assert (status, answer["status"]) == (200, "COMPLETE")
    assert [one["objectTypeId"] for one in answer["results"]] == [CONTACTS, COMPANIES]
    assert [one["listId"] for one in answer["results"][0]["recordListMemberships"]] == [GUESTS]
    inputs += [{"objectTypeId": CONTACTS, "recordId": "151"}]
    assert len(ask("POST", path, {"inputs": inputs})[1]["results"]) == 3
    inputs += [{"objectTypeId": CONTACTS, "recordId": "7"}, {"objectTypeId": CONTACTS}]
    status, answer = ask("POST", path, {"inputs": inputs})
    assert (status, answer["numErrors"], len(answer["results"])) == (207, 2, 3)
    assert answer["errors"][0]["context"] == {"recordId": ["7"]}
    refused(ask("POST", path, {"inputs": [inputs[0]] * 101}), 400, "101")
