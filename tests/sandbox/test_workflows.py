"""Workflows: list, read, create, replace, switch, delete (facts 5.1, 5.2, 6)."""

from __future__ import annotations

from typing import Any

import pytest
from hubspot import HubSpot
from hypothesis import given
from hypothesis import strategies as st

from hsagency.sandbox import Fault, Sandbox, serve
from tests.sandbox.asking import Asking

OLD, BETA = "/automation/v4/flows", "/automation/2026-09-beta/flows"
MAPPINGS = "workflow-id-mappings/batch/read"


def flow(**more: object) -> dict[str, Any]:
    """Write a workflow of two actions."""
    actions = [
        {"actionId": "1", "type": "SINGLE_CONNECTION", "connection": {"nextActionId": "2"}},
        {"actionId": "2", "type": "SINGLE_CONNECTION"},
    ]
    return {
        "type": "CONTACT_FLOW",
        "flowType": "WORKFLOW",
        "objectTypeId": "0-1",
        "name": "Thank",
        "isEnabled": False,
        "startActionId": "1",
        "actions": actions,
        **more,
    }


def listed(ask: Asking, query: str = "") -> list[dict[str, Any]]:
    status, answer = ask("GET", f"{OLD}{query}")
    assert status == 200
    return answer["results"]


def test_a_portal_starts_with_workflows_one_of_them_off(ask: Asking) -> None:
    assert [one["isEnabled"] for one in listed(ask)] == [True, True, False]
    assert {"actions", "enrollmentCriteria"}.isdisjoint(listed(ask)[0])


@pytest.mark.parametrize("path", [OLD, BETA])
def test_a_workflow_is_made_and_read_in_every_form_of_its_path(ask: Asking, path: str) -> None:
    """Facts 5.1; the fields rest on documents alone."""
    status, made = ask("POST", path, flow())
    assert (status, made["revisionId"], made["nextAvailableActionId"]) == (201, "1", "3")
    assert made["crmObjectCreationStatus"] == "COMPLETE"
    assert made["suppressionListIds"] == made["timeWindows"] == made["blockedDates"] == []
    assert ask("GET", f"{path}/{made['id']}") == (200, made)
    assert listed(ask)[-1] == {name: made[name] for name in listed(ask)[-1]}


def test_a_workflow_of_other_records_has_nothing_of_contacts(ask: Asking) -> None:
    """From documents alone."""
    made = ask("POST", OLD, flow(type="PLATFORM_FLOW", objectTypeId="0-3"))[1]
    assert {"suppressionListIds", "canEnrollFromSalesforce"}.isdisjoint(made)


@pytest.mark.parametrize(
    "change",
    [
        {"type": "OTHER"},
        {"flowType": "OTHER"},
        {"objectTypeId": "9-9"},
        {"isEnabled": "yes"},
        {"isEnabled": None},
        {"actions": {}},
        {"actions": [{"type": "SINGLE_CONNECTION"}]},
        {"actions": [{"actionId": "1", "type": "DELAY"}, {"actionId": 1, "type": "DELAY"}]},
        {"startActionId": "7"},
    ],
)
def test_a_workflow_that_makes_no_sense_is_refused(ask: Asking, change: dict[str, Any]) -> None:
    assert ask("POST", OLD, flow(**change))[0] == 400
    assert len(listed(ask)) == 3


def test_a_change_from_the_present_revision_switches_a_workflow(ask: Asking) -> None:
    """Facts 5.2: enabling a workflow is a PUT, and reaches people. From documents alone."""
    off = listed(ask)[2]
    whole = ask("GET", f"{OLD}/{off['id']}")[1]
    status, on = ask("PUT", f"{BETA}/{off['id']}", whole | {"isEnabled": True})
    assert (status, on["isEnabled"], on["revisionId"]) == (200, True, "2")
    changed = {"isEnabled", "revisionId", "updatedAt"}
    assert {name for name in on if on[name] != whole.get(name)} == changed
    assert [one["isEnabled"] for one in listed(ask)] == [True, True, True]


def test_a_change_from_an_older_revision_is_a_conflict(ask: Asking) -> None:
    """From documents alone; that another revision is a 409 is an assumption."""
    id_ = listed(ask)[0]["id"]
    whole = ask("GET", f"{OLD}/{id_}")[1]
    assert ask("PUT", f"{OLD}/{id_}", whole | {"name": "mine"})[0] == 200
    status, answer = ask("PUT", f"{OLD}/{id_}", whole | {"name": "yours"})
    assert (status, answer["category"]) == (409, "CONFLICT")
    assert ask("GET", f"{OLD}/{id_}")[1]["name"] == "mine"


@pytest.mark.parametrize("missing", ["revisionId", "type", "isEnabled", "actions"])
def test_a_change_must_say_from_what_and_what(ask: Asking, missing: str) -> None:
    id_ = listed(ask)[0]["id"]
    whole = ask("GET", f"{OLD}/{id_}")[1]
    del whole[missing]
    status, answer = ask("PUT", f"{OLD}/{id_}", whole)
    assert (status, answer["errors"][0]["in"]) == (400, missing)


def test_a_change_replaces_all_but_what_a_workflow_is(ask: Asking) -> None:
    """From documents alone."""
    id_ = listed(ask)[0]["id"]
    change = {"type": "CONTACT_FLOW", "revisionId": "1", "isEnabled": False, "actions": []}
    after = ask("PUT", f"{OLD}/{id_}", change | {"objectTypeId": "0-3", "id": "7"})[1]
    assert (after["id"], after["objectTypeId"], after["flowType"]) == (id_, "0-1", "WORKFLOW")
    assert {"name", "enrollmentCriteria"}.isdisjoint(after)
    assert ask("PUT", f"{OLD}/{id_}", after | {"type": "PLATFORM_FLOW"})[0] == 400


def test_a_deleted_workflow_is_gone_and_its_id_not_used_again(ask: Asking) -> None:
    made = ask("POST", OLD, flow())[1]["id"]
    assert ask("DELETE", f"{BETA}/{made}") == (204, None)
    for method in ("GET", "PUT", "DELETE"):
        status, answer = ask(method, f"{OLD}/{made}", {} if method == "PUT" else None)
        assert (status, answer["category"]) == (404, "OBJECT_NOT_FOUND")
    assert ask("POST", OLD, flow())[1]["id"] != made


@given(limit=st.integers(1, 12), more=st.integers(0, 6))
def test_all_pages_together_are_all_workflows_exactly_once(limit: int, more: int) -> None:
    ask = Asking(Sandbox(portals=1))
    made = [ask("POST", OLD, flow())[1]["id"] for _ in range(more)]
    seen, after = [], ""
    while True:
        page = ask("GET", f"{OLD}?limit={limit}{after}")[1]
        seen += [one["id"] for one in page["results"]]
        if "next" not in page.get("paging", {}):
            break
        after = f"&after={page['paging']['next']['after']}"
    assert seen[3:] == made
    assert len(set(seen)) == len(seen)


def test_many_workflows_are_read_at_once(ask: Asking) -> None:
    """
    Facts 5.2: a read, although it is a POST; 207 is a success with failures inside.

    From documents alone.
    """
    ids = [one["id"] for one in listed(ask)]
    inputs = [{"type": "FLOW_ID", "flowId": id_} for id_ in ids]
    status, answer = ask("POST", f"{OLD}/batch/read", {"inputs": inputs})
    assert (status, [one["id"] for one in answer["results"]]) == (200, ids)
    assert "actions" in answer["results"][0]
    inputs += [{"type": "FLOW_ID", "flowId": "7"}, {"type": "OTHER"}, {}]
    status, answer = ask("POST", f"{BETA}/batch/read", {"inputs": inputs})
    assert (status, answer["numErrors"], len(answer["results"])) == (207, 3, 3)
    assert answer["errors"][0]["context"] == {"flowId": ["7"]}


def test_workflows_of_the_old_api_lead_to_those_of_this_one(ask: Asking) -> None:
    """Facts 5.2: a read, although it is a POST; the names of the fields are the documents'."""
    first, *_, last = (one["id"] for one in listed(ask))
    path = f"/automation/v4/{MAPPINGS}"
    asked = {"type": "FLOW_ID", "flowMigrationStatuses": first}
    status, answer = ask("POST", path, {"inputs": [asked]})
    assert (status, answer["results"][0]["flowId"]) == (200, int(first))
    back = {
        "type": "WORKFLOW_ID",
        "flowMigrationStatusForClassicWorkflows": str(answer["results"][0]["workflowId"]),
    }
    path = f"/automation/2026-09-beta/{MAPPINGS}"
    assert ask("POST", path, {"inputs": [back]})[1]["results"] == answer["results"]
    new = asked | {"flowMigrationStatuses": last}
    old = back | {"flowMigrationStatusForClassicWorkflows": "7"}
    status, answer = ask("POST", path, {"inputs": [new, old]})
    assert (status, answer["numErrors"], answer["results"]) == (207, 2, [])


@pytest.mark.parametrize(
    ("method", "path"), [("GET", OLD), ("POST", BETA), ("POST", f"/automation/v4/{MAPPINGS}")]
)
def test_one_scope_opens_all_methods(sandbox: Sandbox, ask: Asking, method: str, path: str) -> None:
    """Facts 6: `automation` has no variant that only reads. From documents alone."""
    sandbox.set_scopes(sandbox.portals[0].portal_id, ["crm.lists.read"])
    status, answer = ask(method, path, {})
    assert status == 403
    assert answer["errors"][0]["context"]["requiredGranularScopes"] == ["automation"]
    sandbox.set_scopes(sandbox.portals[0].portal_id, ["automation"])
    assert ask(method, path, flow(inputs=[]))[0] in {200, 201}


def test_workflows_of_one_portal_are_not_those_of_another(sandbox: Sandbox, ask: Asking) -> None:
    made = ask("POST", OLD, flow())[1]["id"]
    other = Asking(sandbox, index=1)
    assert other("GET", f"{OLD}/{made}")[0] == 404
    assert len(listed(other)) == 3


def test_a_workflow_is_seen_later_by_a_reader_that_lags_behind(
    sandbox: Sandbox, ask: Asking
) -> None:
    """Facts 4.3: reads may lag behind writes. That flows do is an assumption."""
    made = ask("POST", OLD, flow())[1]["id"]
    sandbox.faults.add(Fault(kind="lag", seconds=50))
    assert ask("GET", f"{OLD}/{made}")[0] == 404
    assert len(listed(ask)) == 3
    sandbox.clock.advance(50)
    assert ask("GET", f"{OLD}/{made}")[0] == 200


def test_the_official_client_reads_workflows_by_their_path(sandbox: Sandbox) -> None:
    """Facts 7: the client has no class for workflows, but a call for any path. Observed by us."""
    with serve(sandbox) as server:
        hubspot = HubSpot(access_token=sandbox.portals[0].token, base_url=server.url)
        assert len(hubspot.api_request({"path": OLD}).json()["results"]) == 3
        stale = {"path": f"{OLD}/1400001", "method": "PUT", "body": flow(revisionId="7")}
        assert hubspot.api_request(stale).status_code == 409
