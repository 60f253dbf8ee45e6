"""Dynamic lists: what their filters let in, from documents alone (facts 5.1)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sandbox.asking import Asking
from tests.sandbox.listing import (
    CONTACTS,
    DATED,
    GUESTS,
    IDS,
    OLD,
    condition,
    create,
    members,
    refused,
    where,
)


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
