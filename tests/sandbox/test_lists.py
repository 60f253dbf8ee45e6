"""Lists: made, found, converted and deleted, and who may do so (facts 5.1, 5.2, 6)."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from hsagency.sandbox import Fault, Request, Sandbox
from tests.sandbox.asking import Asking
from tests.sandbox.listing import (
    COMPANIES,
    CONTACTS,
    CUSTOMERS,
    DATED,
    GUESTS,
    OLD,
    RETAILERS,
    condition,
    create,
    members,
    refused,
    where,
)


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
    """Facts 5.2: a read, although it is a POST. From documents alone."""

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


@pytest.mark.parametrize(
    "body", [{"count": 501}, {"offset": -1}, {"count": "three"}, {"sort": "x"}]
)
def test_a_search_beyond_its_limits_is_refused(ask: Asking, body: dict[str, Any]) -> None:
    """That 500 is the most for one page rests on documents alone; sorting is not simulated."""
    assert ask("POST", f"{OLD}/search", body)[0] == 400


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
    body = {
        "processingType": "DYNAMIC",
        "filterBranch": where([condition("company", "ALL_PROPERTY", "IS_KNOWN")]),
    }
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
    """Facts 5.2 and 6. From documents alone."""
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
    """Facts 6. From documents alone."""
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
    """Facts 4.3: reads may lag behind writes. That lists do is an assumption."""
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


HUGE = 10**400


def dynamic(**operation: object) -> dict[str, object]:
    """Write a list of those whose amount fits."""
    one = {"filterType": "PROPERTY", "property": "amount", "operation": operation}
    branch = {"filterBranchType": "AND", "filterBranches": [], "filters": [one]}
    root = {"filterBranchType": "OR", "filterBranches": [branch], "filters": []}
    return {"name": "Big", "objectTypeId": "0-3", "processingType": "DYNAMIC", "filterBranch": root}


def test_numbers_no_computer_can_hold_are_refused(ask: Asking) -> None:
    """An assumption."""
    bound = dynamic(operationType="NUMBER", operator="IS_EQUAL_TO", value=HUGE)
    assert ask("POST", OLD, bound)[0] == 400
    day = {"conversionType": "CONVERSION_DATE", "year": 10**20, "month": 1, "day": 1}
    assert ask("PUT", f"{OLD}/1/schedule-conversion", day)[0] == 400
    day["year"], day["month"], day["day"] = 9999, 12, 31
    assert ask("PUT", f"{OLD}/1/schedule-conversion", day)[0] in {200, 400}


def test_a_list_is_converted_at_a_time_in_utc(ask: Asking) -> None:
    """An assumption: times are in UTC, with Z; a day begins at the portal's own midnight."""
    ask.sandbox.alter(ask.sandbox.portals[0].portal_id, time_zone="Asia/Kolkata")
    day = {"conversionType": "CONVERSION_DATE", "year": 2026, "month": 10, "day": 20}
    assert ask("PUT", f"{OLD}/1/schedule-conversion", day)[0] == 200
    ask.sandbox.clock.advance(7 * 86_400)
    said = ask("GET", f"{OLD}/1/schedule-conversion")[1]
    assert said["convertedAt"] == "2026-10-19T18:30:00.000Z"
