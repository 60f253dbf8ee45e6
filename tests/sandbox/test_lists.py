"""Lists: what is in them, who may change that, and how they are found (facts 5.1, 5.2, 6)."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsagency.sandbox import Fault, Request, Sandbox
from tests.sandbox.asking import Asking

OLD, DATED = "/crm/v3/lists", "/crm/lists/2026-09"
CONTACTS, COMPANIES = "0-1", "0-2"
CUSTOMERS, GUESTS, RETAILERS = "1", "2", "3"  # what every portal starts with
IDS = [str(101 + 50 * number) for number in range(12)]


@pytest.fixture
def ask(sandbox: Sandbox) -> Asking:
    return Asking(sandbox)


def where(*alternatives: list[dict[str, Any]]) -> dict[str, Any]:
    """Write filters: any of these groups, each of which wants all of its conditions."""
    return {
        "filterBranchType": "OR",
        "filters": [],
        "filterBranches": [
            {"filterBranchType": "AND", "filterBranches": [], "filters": group}
            for group in alternatives
        ],
    }


def condition(name: str, sort: str, operator: str, **more: object) -> dict[str, Any]:
    operation = {"operationType": sort, "operator": operator, **more}
    return {"filterType": "PROPERTY", "property": name, "operation": operation}


def create(ask: Asking, name: str, processing: str = "MANUAL", **more: object) -> str:
    """Make a list of contacts."""
    body = {"name": name, "objectTypeId": CONTACTS, "processingType": processing, **more}
    status, answer = ask("POST", OLD, body)
    assert status == 200, answer
    return answer["list"]["listId"]


def members(ask: Asking, list_id: str, path: str = OLD) -> list[str]:
    status, answer = ask("GET", f"{path}/{list_id}/memberships?limit=250")
    assert status == 200, answer
    assert answer["total"] == len(answer["results"])
    return [one["recordId"] for one in answer["results"]]


def refused(answer: tuple[int, Any], status: int, *words: str) -> None:
    assert answer[0] == status, answer
    assert all(word in answer[1]["message"] for word in words), answer


@pytest.mark.parametrize("path", [OLD, "/crm/lists/2026-03", DATED])
def test_a_list_is_made_and_read_in_every_form_of_its_path(ask: Asking, path: str) -> None:
    """Facts 5.1; that a list is made with 200 and not with 201 rests on documents alone."""
    body = {"name": "VIP", "objectTypeId": CONTACTS, "processingType": "MANUAL"}
    status, made = ask("POST", path, body)
    assert status == 200
    assert made["list"] == ask("GET", f"{path}/{made['list']['listId']}")[1]["list"]
    assert (
        made["list"]
        | {
            "name": "VIP",
            "objectTypeId": CONTACTS,
            "processingType": "MANUAL",
            "processingStatus": "COMPLETE",
            "listVersion": 1,
            "size": 0,
        }
        == made["list"]
    )


def test_a_list_without_a_name_or_type_is_refused(ask: Asking) -> None:
    status, answer = ask("POST", OLD, {"name": "VIP"})
    assert status == 400
    assert [one["in"] for one in answer["errors"]] == ["objectTypeId", "processingType"]
    body = {"name": "VIP", "objectTypeId": CONTACTS, "processingType": "OTHER"}
    refused(ask("POST", OLD, body), 400, "processingType must be one of")
    refused(ask("POST", OLD, body | {"name": 7}), 400, "'name' must be a text")


def test_the_name_of_a_live_list_is_taken_in_whatever_letters(ask: Asking) -> None:
    """The sub-category is what others' programs react to; that case is ignored, an assumption."""
    body = {"name": "trade FAIR guests", "objectTypeId": CONTACTS, "processingType": "MANUAL"}
    status, answer = ask("POST", OLD, body)
    assert (status, answer["category"]) == (400, "VALIDATION_ERROR")
    assert answer["subCategory"] == "ILS.DUPLICATE_LIST_NAMES"
    rename = ask("PUT", f"{OLD}/{CUSTOMERS}/update-list-name?listName=Trade+fair+guests")
    assert rename[1]["subCategory"] == "ILS.DUPLICATE_LIST_NAMES"


def test_a_list_gets_another_name(ask: Asking) -> None:
    path = f"{DATED}/{GUESTS}/update-list-name"
    assert ask("PUT", f"{path}?listName=TRADE+FAIR+GUESTS")[0] == 200  # its own, in other letters
    status, answer = ask("PUT", f"{path}?listName=Guests")
    assert (status, answer["updatedList"]["name"]) == (200, "Guests")
    assert answer["updatedList"]["listVersion"] == 3
    refused(ask("PUT", path), 400, "listName is required")


def test_a_list_is_found_by_its_name_and_type(ask: Asking) -> None:
    path = f"{OLD}/object-type-id/{CONTACTS}/name"
    assert ask("GET", f"{path}/ALL%20customers")[1]["list"]["listId"] == CUSTOMERS
    refused(ask("GET", f"{path}/Retail%20companies"), 404, "does not exist")
    refused(ask("GET", f"{OLD}/object-type-id/9-9/name/x"), 400, "9-9")


def test_filters_are_shown_to_who_asks_for_them(ask: Asking) -> None:
    for target in (
        f"{OLD}/{CUSTOMERS}?includeFilters=",
        f"{OLD}/object-type-id/{CONTACTS}/name/All%20customers?includeFilters=",
    ):
        assert "filterBranch" not in ask("GET", f"{target}false")[1]["list"]
        branch = ask("GET", f"{target}true")[1]["list"]["filterBranch"]
        assert branch["filterBranches"][0]["filters"][0]["property"] == "lifecyclestage"


def test_many_lists_are_read_at_once_and_unknown_ones_passed_over(ask: Asking) -> None:
    """An assumption: HubSpot's documents do not say what becomes of ids that are no list."""
    status, answer = ask("GET", f"{OLD}?listIds=3&listIds=1,77&listIds=x")
    assert status == 200
    assert [one["listId"] for one in answer["lists"]] == [CUSTOMERS, RETAILERS]
    assert ask("GET", OLD)[1] == {"lists": []}


def test_a_list_that_is_not_there_is_a_404(ask: Asking) -> None:
    for method, path in (
        ("GET", "99"),
        ("GET", "x"),
        ("DELETE", "99"),
        ("GET", "99/memberships"),
        ("PUT", "99/restore"),
        ("GET", "99/schedule-conversion"),
    ):
        status, answer = ask(method, f"{OLD}/{path}")
        assert (status, answer["category"]) == (404, "OBJECT_NOT_FOUND")


def test_search_finds_lists_by_name_type_and_processing(ask: Asking) -> None:
    """Facts 5.2: a read, although it is a POST."""

    def found(**body: object) -> list[str]:
        return [one["listId"] for one in ask("POST", f"{DATED}/search", body)[1]["lists"]]

    assert found() == [CUSTOMERS, GUESTS, RETAILERS]
    assert found(query="CUSTOM") == [CUSTOMERS]
    assert found(processingTypes=["DYNAMIC"]) == [CUSTOMERS, RETAILERS]
    assert found(processingTypes=["DYNAMIC"], objectTypeId=COMPANIES) == [RETAILERS]
    assert found(listIds=[2, "3", 99]) == [GUESTS, RETAILERS]


def test_search_returns_all_lists_on_its_pages_once(ask: Asking) -> None:
    for number in range(4):
        create(ask, f"List {number}")
    seen, offset, more = [], 0, True
    while more:
        answer = ask("POST", f"{OLD}/search", {"offset": offset, "count": 3})[1]
        seen += [one["listId"] for one in answer["lists"]]
        offset, more = answer["offset"], answer["hasMore"]
    assert seen == [str(number) for number in range(1, 8)]
    assert answer["total"] == 7


def test_search_tells_more_when_asked(ask: Asking) -> None:
    body = {"query": "guests", "additionalProperties": ["hs_list_size", "hs_folder_name", "nope"]}
    plain = ask("POST", f"{OLD}/search", {"query": "guests"})[1]["lists"][0]
    assert plain["additionalProperties"] == {}
    assert ask("POST", f"{OLD}/search", body)[1]["lists"][0] == plain | {
        "additionalProperties": {"hs_list_size": "4"}
    }


@pytest.mark.parametrize("body", [{"count": 501}, {"offset": -1}, {"count": "three"}, {"sort": "x"}])
def test_a_search_beyond_its_limits_is_refused(ask: Asking, body: dict[str, Any]) -> None:
    """That 500 is the most for one page rests on documents alone; sorting is not simulated."""
    assert ask("POST", f"{OLD}/search", body)[0] == 400


# --- members


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
    """Facts 5.2: `DELETE memberships` empties the list."""
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
    """Facts 4.2: 207 is a success with failures inside."""
    path = f"{OLD}/records/memberships/batch/read"
    inputs = [
        {"objectTypeId": CONTACTS, "recordId": "101"},
        {"objectTypeId": COMPANIES, "recordId": "101"},
    ]
    status, answer = ask("POST", path, {"inputs": inputs})
    assert (status, answer["status"]) == (200, "COMPLETE")
    assert [one["objectTypeId"] for one in answer["results"]] == [CONTACTS, COMPANIES]
    assert [one["listId"] for one in answer["results"][0]["recordListMemberships"]] == [GUESTS]
    inputs += [{"objectTypeId": CONTACTS, "recordId": "7"}, {"objectTypeId": CONTACTS}]
    status, answer = ask("POST", path, {"inputs": inputs})
    assert (status, answer["numErrors"], len(answer["results"])) == (207, 2, 2)
    assert answer["errors"][0]["context"] == {"recordId": ["7"]}
    refused(ask("POST", path, {"inputs": [inputs[0]] * 101}), 400, "101")


# --- dynamic lists


@pytest.fixture
def people(ask: Asking) -> dict[str, str]:
    """Four contacts of ours, by first name; the seeded ones are gone."""
    for id_ in IDS:
        assert ask("DELETE", f"/crm/v3/objects/contacts/{id_}")[0] == 204
    made = {}
    for number, (name, more) in enumerate(
        {
            "Ada": {"company": "Acme Ltd", "annualrevenue": "10", "hs_email_optout": "true"},
            "Ben": {"company": "acme gmbh", "annualrevenue": "20.5", "lifecyclestage": "lead"},
            "Cleo": {"company": "Bolt", "annualrevenue": "30", "lifecyclestage": "customer"},
            "Dora": {"hs_email_optout": "false"},
        }.items()
    ):
        properties = {"firstname": name, "email": f"{name}.{number}@example.com", **more}
        status, answer = ask("POST", "/crm/v3/objects/contacts", {"properties": properties})
        assert status == 201, answer
        made[answer["id"]] = name
    return made


CONDITIONS: list[tuple[dict[str, Any], str]] = [
    (condition("company", "STRING", "IS_EQUAL_TO", value="ACME ltd"), "Ada"),
    (condition("company", "MULTISTRING", "IS_EQUAL_TO", values=["bolt", "acme ltd"]), "Ada Cleo"),
    (condition("company", "STRING", "IS_NOT_EQUAL_TO", value="bolt"), "Ada Ben"),
    (condition("company", "STRING", "CONTAINS", value="acme"), "Ada Ben"),
    (condition("company", "STRING", "DOES_NOT_CONTAIN", value="acme"), "Cleo"),
    (
        condition(
            "company", "STRING", "DOES_NOT_CONTAIN", value="acme", includeObjectsWithNoValueSet=True
        ),
        "Cleo Dora",
    ),
    (condition("company", "STRING", "STARTS_WITH", value="Bo"), "Cleo"),
    (condition("company", "MULTISTRING", "ENDS_WITH", values=["ltd", "lt"]), "Ada Cleo"),
    (condition("annualrevenue", "NUMBER", "IS_EQUAL_TO", value=10.0), "Ada"),
    (condition("annualrevenue", "NUMBER", "IS_NOT_EQUAL_TO", value=10), "Ben Cleo"),
    (condition("annualrevenue", "NUMBER", "IS_GREATER_THAN", value=20.5), "Cleo"),
    (condition("annualrevenue", "NUMBER", "IS_GREATER_THAN_OR_EQUAL_TO", value=20.5), "Ben Cleo"),
    (condition("annualrevenue", "NUMBER", "IS_LESS_THAN", value=20.5), "Ada"),
    (condition("annualrevenue", "NUMBER", "IS_LESS_THAN_OR_EQUAL_TO", value=20.5), "Ada Ben"),
    (
        condition("annualrevenue", "NUMBER_RANGED", "IS_BETWEEN", lowerBound=10, upperBound=21),
        "Ada Ben",
    ),
    (
        condition("annualrevenue", "NUMBER_RANGED", "IS_NOT_BETWEEN", lowerBound=10, upperBound=21),
        "Cleo",
    ),
    (condition("hs_email_optout", "BOOL", "IS_EQUAL_TO", value=True), "Ada"),
    (condition("hs_email_optout", "BOOL", "IS_NOT_EQUAL_TO", value=True), "Dora"),
    (
        condition("lifecyclestage", "ENUMERATION", "IS_ANY_OF", values=["lead", "customer"]),
        "Ben Cleo",
    ),
    (condition("lifecyclestage", "ENUMERATION", "IS_NONE_OF", values=["lead"]), "Cleo"),
    (condition("lifecyclestage", "ENUMERATION", "IS_EXACTLY", values=["lead"]), "Ben"),
    (condition("lifecyclestage", "ENUMERATION", "IS_NOT_EXACTLY", values=["lead"]), "Cleo"),
    (condition("lifecyclestage", "ENUMERATION", "CONTAINS_ALL", values=["lead"]), "Ben"),
    (condition("lifecyclestage", "ENUMERATION", "DOES_NOT_CONTAIN_ALL", values=["lead"]), "Cleo"),
    (condition("company", "ALL_PROPERTY", "IS_KNOWN"), "Ada Ben Cleo"),
    (condition("company", "ALL_PROPERTY", "IS_UNKNOWN"), "Dora"),
]


@pytest.mark.parametrize(("one", "expected"), CONDITIONS, ids=lambda one: str(one)[:90])
def test_a_dynamic_list_holds_what_its_filters_let_in(
    ask: Asking, people: dict[str, str], one: dict[str, Any], expected: str
) -> None:
    """From documents alone; that case is ignored is an assumption."""
    id_ = create(ask, "Dynamic", "DYNAMIC", filterBranch=where([one]))
    assert [people[record] for record in members(ask, id_)] == expected.split()


def test_conditions_of_a_group_must_all_hold_and_one_group_is_enough(
    ask: Asking, people: dict[str, str]
) -> None:
    acme = condition("company", "STRING", "CONTAINS", value="acme")
    rich = condition("annualrevenue", "NUMBER", "IS_GREATER_THAN", value=15)
    nobody = condition("company", "ALL_PROPERTY", "IS_UNKNOWN")
    id_ = create(ask, "Dynamic", "DYNAMIC", filterBranch=where([acme, rich], [nobody]))
    assert [people[record] for record in members(ask, id_)] == ["Ben", "Dora"]


def test_records_come_and_go_in_a_dynamic_list_as_they_change(
    ask: Asking, people: dict[str, str]
) -> None:
    known = where([condition("company", "ALL_PROPERTY", "IS_KNOWN")])
    dynamic = create(ask, "Dynamic", "DYNAMIC", filterBranch=known)
    snapshot = create(ask, "Snapshot", "SNAPSHOT", filterBranch=known)
    by_name = {name: id_ for id_, name in people.items()}
    for name, company in (("Ada", ""), ("Dora", "Dora & Co")):
        target = f"/crm/v3/objects/contacts/{by_name[name]}"
        assert ask("PATCH", target, {"properties": {"company": company}})[0] == 200
    assert [people[one] for one in members(ask, dynamic)] == ["Ben", "Cleo", "Dora"]
    assert [people[one] for one in members(ask, snapshot)] == ["Ada", "Ben", "Cleo"]
    order = ask("GET", f"{OLD}/{dynamic}/memberships/join-order")[1]["results"]
    assert people[order[-1]["recordId"]] == "Dora"


def test_a_snapshot_is_changed_by_hand_afterwards(ask: Asking, people: dict[str, str]) -> None:
    known = where([condition("company", "ALL_PROPERTY", "IS_KNOWN")])
    id_ = create(ask, "Snapshot", "SNAPSHOT", filterBranch=known)
    first, *_, last = people
    body = {"recordIdsToAdd": [last], "recordIdsToRemove": [first]}
    assert ask("PUT", f"{OLD}/{id_}/memberships/add-and-remove", body)[0] == 200
    assert [people[one] for one in members(ask, id_)] == ["Ben", "Cleo", "Dora"]


def test_the_filters_of_a_dynamic_list_are_replaced(ask: Asking, people: dict[str, str]) -> None:
    id_ = create(ask, "Dynamic", "DYNAMIC", filterBranch=where([CONDITIONS[0][0]]))
    path = f"{DATED}/{id_}/update-list-filters"
    status, answer = ask("PUT", path, {"filterBranch": where([CONDITIONS[6][0]])})
    assert (status, answer["updatedList"]["size"]) == (200, 1)
    assert answer["updatedList"]["listVersion"] == 2
    assert [people[one] for one in members(ask, id_)] == ["Cleo"]
    refused(ask("PUT", path, {}), 400, "filterBranch")
    body = {"filterBranch": where([CONDITIONS[0][0]])}
    refused(ask("PUT", f"{OLD}/{GUESTS}/update-list-filters", body), 400, "MANUAL")


@pytest.mark.parametrize(
    ("branch", "word"),
    [
        ("x", "must be an object"),
        ({"filterBranchType": "AND"}, "must be of type OR"),
        ({"filterBranchType": "OR", "filters": [CONDITIONS[0][0]]}, "filters belong into those"),
        (where(), "at least one AND"),
        (where([]), "at least one filter"),
        (where([{"filterType": "IN_LIST", "listId": "1"}]), "does not simulate filters of type"),
        ({"filterBranchType": "OR", "filterBranches": [where([])]}, "does not simulate a filter b"),
        (where([condition("nope", "STRING", "CONTAINS", value="x")]), "'nope' does not exist"),
        (where([condition("company", "NUMBER", "IS_EQUAL_TO", value=1)]), "does not fit"),
        (where([condition("company", "STRING", "IS_LIKE", value="x")]), "operator IS_LIKE"),
        (where([condition("createdate", "TIME_POINT", "IS_AFTER")]), "TIME_POINT"),
        (where([condition("company", "STRING", "CONTAINS")]), "value must be a list of texts"),
        (where([condition("annualrevenue", "NUMBER", "IS_EQUAL_TO", value="1")]), "a number"),
        (where([condition("hs_email_optout", "BOOL", "IS_EQUAL_TO", value="1")]), "true or false"),
        (where([{"filterType": "PROPERTY", "property": "company"}]), "'operation'"),
    ],
)
def test_filters_that_are_not_simulated_are_refused_in_words(
    ask: Asking, branch: object, word: str
) -> None:
    body = {"name": "x", "objectTypeId": CONTACTS, "processingType": "DYNAMIC"}
    refused(ask("POST", OLD, body | {"filterBranch": branch}), 400, word)
    assert ask("POST", f"{OLD}/search", {})[1]["total"] == 3


def test_only_lists_with_filters_take_filters(ask: Asking) -> None:
    body = {"name": "x", "objectTypeId": CONTACTS, "filterBranch": where([CONDITIONS[0][0]])}
    refused(ask("POST", OLD, body | {"processingType": "MANUAL"}), 400, "takes no filterBranch")
    del body["filterBranch"]
    refused(ask("POST", OLD, body | {"processingType": "DYNAMIC"}), 400, "needs a filterBranch")
    refused(ask("POST", OLD, body | {"processingType": "SNAPSHOT"}), 400, "needs a filterBranch")


# --- deleting, converting, folders, legacy ids


def test_a_deleted_list_is_restored_within_90_days(ask: Asking) -> None:
    """From documents alone. Facts 5.2: restoring is a change by PUT."""
    for days, status in ((89, 204), (91, 404)):
        assert ask("DELETE", f"{OLD}/{GUESTS}") == (204, None)
        assert ask("GET", f"{OLD}/{GUESTS}")[0] == 404
        assert ask("POST", f"{OLD}/search", {})[1]["total"] == 2
        ask.sandbox.clock.advance(timedelta(days=days).total_seconds())
        assert ask("PUT", f"{OLD}/{GUESTS}/restore")[0] == status
        if status == 204:
            assert len(members(ask, GUESTS)) == 4


def test_a_deleted_list_is_not_restored_over_another_of_its_name(ask: Asking) -> None:
    """An assumption: no document says what becomes of the name."""
    ask("DELETE", f"{OLD}/{GUESTS}")
    create(ask, "Trade fair guests")
    status, answer = ask("PUT", f"{OLD}/{GUESTS}/restore")
    assert (status, answer["subCategory"]) == (400, "ILS.DUPLICATE_LIST_NAMES")


def test_a_dynamic_list_becomes_a_snapshot_on_its_day(ask: Asking) -> None:
    """From documents alone; that it becomes a SNAPSHOT is an assumption."""
    path = f"{DATED}/{CUSTOMERS}/schedule-conversion"
    refused(ask("GET", path), 404)
    refused(ask("DELETE", path), 404)
    wish = {"conversionType": "CONVERSION_DATE", "year": 2026, "month": 12, "day": 1}
    asked = {"listId": CUSTOMERS, "requestedConversionTime": wish}
    assert ask("PUT", path, wish) == (200, asked)
    assert ask("GET", path) == (200, asked)
    before = members(ask, CUSTOMERS)
    ask.sandbox.clock.advance(timedelta(days=50).total_seconds())
    converted = ask("GET", path)[1]["convertedAt"]
    assert converted.startswith("2026-12-01T")
    assert ask("GET", f"{OLD}/{CUSTOMERS}")[1]["list"]["processingType"] == "SNAPSHOT"
    assert members(ask, CUSTOMERS) == before
    refused(ask("DELETE", path), 404)


def test_a_dynamic_list_becomes_a_snapshot_when_nobody_joins(ask: Asking) -> None:
    """From documents alone; a month is counted as 30 days here."""
    body = {"processingType": "DYNAMIC", "filterBranch": where([CONDITIONS[0][0]])}
    id_ = create(ask, "Dynamic", **body)
    path = f"{OLD}/{id_}/schedule-conversion"
    wish = {"conversionType": "INACTIVITY", "timeUnit": "WEEK", "offset": 1}
    assert ask("PUT", path, wish)[0] == 200
    ask.sandbox.clock.advance(6 * 86_400)
    properties = {"company": "Acme Ltd"}
    assert ask("PATCH", "/crm/v3/objects/contacts/101", {"properties": properties})[0] == 200
    ask.sandbox.clock.advance(6 * 86_400)
    assert "convertedAt" not in ask("GET", path)[1]
    ask.sandbox.clock.advance(86_400)
    assert "convertedAt" in ask("GET", path)[1]
    assert members(ask, id_) == ["101"]


def test_a_conversion_is_cancelled_and_a_wrong_one_refused(ask: Asking) -> None:
    path = f"{OLD}/{CUSTOMERS}/schedule-conversion"
    wish = {"conversionType": "INACTIVITY", "timeUnit": "MONTH", "offset": 100}
    assert ask("PUT", path, wish)[0] == 200
    assert ask("DELETE", path) == (204, None)
    assert ask("GET", path)[0] == 404
    for wrong in (
        {"conversionType": "NEVER"},
        wish | {"timeUnit": "YEAR"},
        wish | {"offset": 0},
        {"conversionType": "CONVERSION_DATE", "year": 2026, "month": 13, "day": 1},
        {"conversionType": "CONVERSION_DATE", "year": 2020, "month": 1, "day": 1},
        {"conversionType": "CONVERSION_DATE"},
    ):
        assert ask("PUT", path, wrong)[0] == 400, wrong
    refused(ask("PUT", f"{OLD}/{GUESTS}/schedule-conversion", wish), 400, "MANUAL")


def test_folders_are_made_moved_and_renamed_and_hold_lists(ask: Asking) -> None:
    """From documents alone."""
    path = f"{DATED}/folders"
    outer = ask("POST", path, {"name": "2026"})[1]["folder"]
    inner = ask("POST", path, {"name": "May", "parentFolderId": outer["id"]})[1]["folder"]
    assert ask("PUT", f"{path}/{inner['id']}/rename?newFolderName=June")[0] == 200
    body = {"listId": GUESTS, "newFolderId": inner["id"]}
    assert ask("PUT", f"{path}/move-list", body) == (204, None)
    id_ = create(ask, "VIP", listFolderId=int(outer["id"]))
    root = ask("GET", path)[1]["folder"]
    assert (root["id"], root["childLists"]) == ("0", [1, 3])
    assert root["childNodes"][0]["childLists"] == [int(id_)]
    seen = ask("GET", f"{path}?folderId={inner['id']}")[1]["folder"]
    assert (seen["name"], seen["parentFolderId"], seen["childLists"]) == ("June", outer["id"], [2])
    moved = ask("PUT", f"{path}/{inner['id']}/move/0")
    assert (moved[0], moved[1]["folder"]["parentFolderId"]) == (200, "0")
    assert ask("GET", f"{path}?folderId={outer['id']}")[1]["folder"]["childNodes"] == []


def test_a_folder_goes_when_it_is_empty(ask: Asking) -> None:
    """An assumption: no document says what becomes of the lists in a deleted folder."""
    path = f"{OLD}/folders"
    folder = ask("POST", path, {"name": "2026"})[1]["folder"]["id"]
    ask("PUT", f"{path}/move-list", {"listId": GUESTS, "newFolderId": folder})
    refused(ask("DELETE", f"{path}/{folder}"), 400, "not empty")
    ask("PUT", f"{path}/move-list", {"listId": GUESTS, "newFolderId": "0"})
    assert ask("DELETE", f"{path}/{folder}") == (204, None)
    refused(ask("GET", f"{path}?folderId={folder}"), 404)


def test_a_folder_is_not_put_into_itself_and_the_root_stays(ask: Asking) -> None:
    path = f"{OLD}/folders"
    outer = ask("POST", path, {"name": "outer"})[1]["folder"]["id"]
    inner = ask("POST", path, {"name": "inner", "parentFolderId": outer})[1]["folder"]["id"]
    refused(ask("PUT", f"{path}/{outer}/move/{inner}"), 400, "into itself")
    for method, target in (
        ("DELETE", "0"),
        ("PUT", "0/rename?newFolderName=x"),
        ("PUT", f"0/move/{inner}"),
    ):
        refused(ask(method, f"{path}/{target}"), 400, "root folder")
    refused(ask("PUT", f"{path}/{outer}/rename"), 400, "newFolderName")
    refused(ask("POST", path, {"name": "x", "parentFolderId": "99"}), 404, "99")


def test_ids_of_the_old_contacts_api_lead_to_lists(ask: Asking) -> None:
    """Facts 5.2: reads, although one is a POST; which lists have such ids is an assumption."""
    assert ask("GET", f"{OLD}/idmapping?legacyListId=2") == (
        200,
        {"legacyListId": "2", "listId": GUESTS},
    )
    refused(ask("GET", f"{OLD}/idmapping?legacyListId=9"), 404)
    refused(ask("GET", f"{OLD}/idmapping"), 400, "legacyListId")
    assert ask("POST", f"{DATED}/idmapping", ["1", "9"]) == (
        200,
        {
            "legacyListIdsToIdsMapping": [{"legacyListId": "1", "listId": CUSTOMERS}],
            "missingLegacyListIds": ["9"],
        },
    )


# --- scopes, portals, time


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", f"{OLD}/search"),
        ("POST", f"{OLD}/idmapping"),
        ("POST", f"{DATED}/records/memberships/batch/read"),
        ("GET", f"{OLD}/1/memberships"),
        ("GET", f"{OLD}/folders"),
    ],
)
def test_reading_needs_the_scope_for_reading_also_by_post(
    sandbox: Sandbox, ask: Asking, method: str, path: str
) -> None:
    """Facts 5.2 and 6."""
    sandbox.set_scopes(sandbox.portals[0].portal_id, ["crm.lists.write"])
    answer = ask(method, path, [] if "idmapping" in path else {"inputs": []})
    refused(answer, 403, "required scopes")
    assert answer[1]["errors"][0]["context"]["requiredGranularScopes"] == ["crm.lists.read"]
    sandbox.set_scopes(sandbox.portals[0].portal_id, ["crm.lists.read"])
    assert ask(method, path, [] if "idmapping" in path else {"inputs": []})[0] == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", OLD),
        ("DELETE", f"{DATED}/2/memberships"),
        ("PUT", f"{OLD}/2/memberships/add"),
        ("PUT", f"{OLD}/2/restore"),
        ("DELETE", f"{OLD}/folders/1"),
    ],
)
def test_changing_needs_the_scope_for_changing(
    sandbox: Sandbox, ask: Asking, method: str, path: str
) -> None:
    """Facts 6."""
    sandbox.set_scopes(sandbox.portals[0].portal_id, ["crm.lists.read"])
    refused(ask(method, path, {}), 403, "required scopes")


def test_lists_of_one_portal_are_not_those_of_another(sandbox: Sandbox, ask: Asking) -> None:
    create(ask, "VIP")
    other = Asking(sandbox, index=1)
    assert other("POST", f"{OLD}/search", {})[1]["total"] == 3
    assert other("GET", f"{OLD}/4")[0] == 404


def test_the_same_seed_has_the_same_lists() -> None:
    def answer() -> object:
        return Asking(Sandbox(portals=1, contacts=30))("GET", f"{OLD}/{CUSTOMERS}/memberships")

    assert answer() == answer()


def test_a_list_is_seen_later_by_a_reader_that_lags_behind(sandbox: Sandbox, ask: Asking) -> None:
    """Facts 4.3: reads may lag behind writes."""
    id_ = create(ask, "VIP")
    ask("PUT", f"{OLD}/{GUESTS}/memberships/add", ["151"])
    sandbox.faults.add(Fault(kind="lag", seconds=50))
    assert ask("GET", f"{OLD}/{id_}")[0] == 404
    assert "151" not in members(ask, GUESTS)
    sandbox.clock.advance(50)
    assert ask("GET", f"{OLD}/{id_}")[0] == 200
    assert "151" in members(ask, GUESTS)


def test_a_body_that_is_no_json_is_refused(sandbox: Sandbox) -> None:
    headers = [("authorization", f"Bearer {sandbox.portals[0].token}")]
    for body in (b"[1,", b"{", b""):
        path = f"{OLD}/{GUESTS}/memberships/add"
        reply = sandbox.handle(Request.parse("PUT", path, headers=headers, body=body))
        assert reply.status == 400
        assert "not JSON" in json.loads(reply.body)["message"]
