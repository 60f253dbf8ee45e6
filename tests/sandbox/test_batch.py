"""Batches: a hundred records in one request, and what becomes of those that fail (facts 4.2)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsagency.sandbox import Clock, Fault, Sandbox
from tests.sandbox.asking import Asking
from tests.sandbox.conftest import NOON

CONTACTS = "/crm/v3/objects/contacts"
FORMS = pytest.mark.parametrize(
    "path", [CONTACTS, "/crm/objects/2026-09/contacts", "/crm/objects/2026-03/0-1"]
)


def inputs(*ids: object) -> dict[str, Any]:
    return {"inputs": [{"id": id_} for id_ in ids]}


def everyone(ask: Asking) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = ask("GET", f"{CONTACTS}?limit=100")[1]["results"]
    return found


@FORMS
def test_a_batch_lives_from_create_to_archive(ask: Asking, path: str) -> None:
    new = [{"properties": {"email": f"{name}@example.com"}} for name in ("a", "b")]
    status, made = ask("POST", f"{path}/batch/create", {"inputs": new})
    assert (status, made["status"], len(made["results"])) == (201, "COMPLETE", 2)
    assert made["requestedAt"] <= made["startedAt"] <= made["completedAt"]
    ids = [one["id"] for one in made["results"]]
    changes = [{"id": id_, "properties": {"city": "Ulm"}} for id_ in ids]
    status, changed = ask("POST", f"{path}/batch/update", {"inputs": changes})
    assert (status, [one["properties"]["city"] for one in changed["results"]]) == (200, ["Ulm"] * 2)
    asked = {**inputs(*ids), "properties": ["city", "email"]}
    status, read = ask("POST", f"{path}/batch/read", asked)
    assert (status, "errors" in read) == (200, False)
    assert [one["properties"]["email"] for one in read["results"]] == [
        "a@example.com",
        "b@example.com",
    ]
    assert ask("POST", f"{path}/batch/archive", inputs(*ids)) == (204, None)
    assert ask("POST", f"{path}/batch/read", inputs(*ids))[1]["results"] == []
    gone = ask("POST", f"{path}/batch/read?archived=true", inputs(*ids))[1]["results"]
    assert [one["archived"] for one in gone] == [True, True]


def test_ids_that_lead_nowhere_make_a_read_a_207(ask: Asking) -> None:
    """Facts 4.2 know 207 of create; for read the shape is from documents and issues alone."""
    status, found = ask("POST", f"{CONTACTS}/batch/read", inputs("101", 7, "abc", "101"))
    assert (status, [one["id"] for one in found["results"]]) == (207, ["101"])
    (error,) = found["errors"]
    assert (found["numErrors"], found["status"]) == (1, "COMPLETE")
    assert (error["status"], error["category"]) == ("error", "OBJECT_NOT_FOUND")
    assert error["context"] == {"ids": ["7", "abc"]}
    assert "CONTACT" in error["message"]


def test_a_batch_is_read_by_a_unique_property(ask: Asking) -> None:
    address = everyone(ask)[2]["properties"]["email"]
    body = {**inputs(address.upper(), "x@example.com"), "idProperty": "email"}
    status, found = ask("POST", f"{CONTACTS}/batch/read", body)
    assert (status, [one["id"] for one in found["results"]]) == (207, ["201"])
    assert found["errors"][0]["context"] == {"ids": ["x@example.com"]}
    assert ask("POST", f"{CONTACTS}/batch/read", {**body, "idProperty": "city"})[0] == 400


def test_a_batch_read_lags_behind_like_any_read(sandbox: Sandbox, ask: Asking) -> None:
    """Facts 4.3. That records lag is an assumption."""
    made = ask("POST", CONTACTS, {"properties": {"email": "new@example.com"}})[1]["id"]
    sandbox.faults.add(Fault(kind="lag", seconds=50))
    status, found = ask("POST", f"{CONTACTS}/batch/read", inputs(made, "101"))
    assert (status, [one["id"] for one in found["results"]]) == (207, ["101"])


@pytest.mark.parametrize("verb", ["read", "create", "update", "upsert", "archive"])
def test_a_batch_has_a_hundred_inputs_at_most(ask: Asking, verb: str) -> None:
    """Facts 3.1; from documents alone."""
    one = {"id": "101", "idProperty": "email", "properties": {}}
    if verb == "read":
        one = {"id": "101"}
    status, answer = ask("POST", f"{CONTACTS}/batch/{verb}", {"inputs": [one] * 101})
    assert (status, answer["category"]) == (400, "VALIDATION_ERROR")
    assert len(everyone(ask)) == 12


def test_a_read_with_history_has_fifty_inputs_at_most(ask: Asking) -> None:
    """From documents alone: history halves what fits into an answer."""
    path, history = f"{CONTACTS}/batch/read", {"propertiesWithHistory": ["city"]}
    assert ask("POST", path, {**inputs(*range(50)), **history})[0] == 207
    assert ask("POST", path, {**inputs(*range(51)), **history})[0] == 400
    assert ask("GET", f"{CONTACTS}?limit=51&propertiesWithHistory=city")[0] == 400


@pytest.mark.parametrize("verb", ["read", "create", "update", "upsert", "archive"])
@pytest.mark.parametrize("body", [{}, {"inputs": 7}, {"inputs": [7]}, {"inputs": [{}]}])
def test_a_batch_that_makes_no_sense_is_refused(
    ask: Asking, verb: str, body: dict[str, Any]
) -> None:
    status, answer = ask("POST", f"{CONTACTS}/batch/{verb}", body)
    assert (status, answer["category"]) == (400, "VALIDATION_ERROR")


BAD = {"properties": {"email": "nobody"}}
GOOD = {"properties": {"email": "good@example.com"}}


@FORMS
def test_one_bad_input_refuses_the_whole_batch(ask: Asking, path: str) -> None:
    """Facts 4.2: without a trace id there is no 207. From documents alone."""
    status, answer = ask("POST", f"{path}/batch/create", {"inputs": [GOOD, BAD]})
    assert (status, answer["category"]) == (400, "VALIDATION_ERROR")
    taken = {"properties": {"email": everyone(ask)[0]["properties"]["email"]}}
    status, answer = ask("POST", f"{path}/batch/create", {"inputs": [GOOD, taken]})
    assert (status, answer["message"]) == (409, "Contact already exists. Existing ID: 101")
    changes = [{"id": "101", "properties": {"city": "Ulm"}}, {"id": "151", **BAD}]
    assert ask("POST", f"{path}/batch/update", {"inputs": changes})[0] == 400
    assert len(everyone(ask)) == 12
    assert ask("GET", f"{CONTACTS}/101?properties=city")[1]["properties"]["city"] is None


@FORMS
def test_a_bad_input_with_a_trace_id_fails_alone(ask: Asking, path: str) -> None:
    """Facts 4.2. From documents alone."""
    batch = [{**GOOD, "objectWriteTraceId": "one"}, {**BAD, "objectWriteTraceId": "two"}]
    status, answer = ask("POST", f"{path}/batch/create", {"inputs": batch})
    assert (status, answer["numErrors"], answer["status"]) == (207, 1, "COMPLETE")
    (made,), (error,) = answer["results"], answer["errors"]
    assert (made["properties"]["email"], made["objectWriteTraceId"]) == ("good@example.com", "one")
    assert error["context"] == {"objectWriteTraceId": ["two"]}
    assert (error["category"], error["errors"][0]["code"]) == ("VALIDATION_ERROR", "INVALID_EMAIL")
    assert len(everyone(ask)) == 13
    mixed = [batch[1], BAD]
    assert ask("POST", f"{path}/batch/create", {"inputs": mixed})[0] == 400


def test_an_update_of_what_is_not_there_is_a_207(ask: Asking) -> None:
    """From issues alone: the ids that lead nowhere are named, and the others are written."""
    ulm = {"properties": {"city": "Ulm"}}
    batch = [{"id": "101", **ulm}, {"id": "7", **ulm}, {"id": 9, **ulm}]
    status, answer = ask("POST", f"{CONTACTS}/batch/update", {"inputs": batch})
    assert (status, [one["id"] for one in answer["results"]]) == (207, ["101"])
    assert [error["context"] for error in answer["errors"]] == [{"ids": ["7", "9"]}]
    traced = [{"id": "7", **ulm, "objectWriteTraceId": "x"}]
    (error,) = ask("POST", f"{CONTACTS}/batch/update", {"inputs": traced})[1]["errors"]
    assert error["context"] == {"objectWriteTraceId": ["x"]}


def test_a_batch_updates_by_a_unique_property(ask: Asking) -> None:
    """From an issue alone: hs_object_id is no unique property to a batch."""
    address = everyone(ask)[1]["properties"]["email"]
    one = {"id": address, "idProperty": "email", "properties": {"city": "Ulm"}}
    status, answer = ask("POST", f"{CONTACTS}/batch/update", {"inputs": [one]})
    assert (status, answer["results"][0]["id"]) == (200, "151")
    for name in ("hs_object_id", "city", 7):
        wrong = {"inputs": [{**one, "id": "101", "idProperty": name}]}
        assert ask("POST", f"{CONTACTS}/batch/update", wrong)[0] == 400


@FORMS
def test_an_upsert_changes_what_is_there_and_adds_what_is_not(ask: Asking, path: str) -> None:
    """Facts 4.3: a second upsert leads to the same ids. Observed by others."""
    known = everyone(ask)[0]["properties"]["email"]
    batch = {
        "inputs": [
            {"id": id_, "idProperty": "email", "properties": {"city": "Ulm"}}
            for id_ in (known.upper(), "New@example.com")
        ]
    }
    status, first = ask("POST", f"{path}/batch/upsert", batch)
    assert (status, [one["new"] for one in first["results"]]) == (200, [False, True])
    assert first["results"][1]["properties"]["email"] == "new@example.com"
    status, again = ask("POST", f"{path}/batch/upsert", batch)
    assert (status, [one["new"] for one in again["results"]]) == (200, [False, False])
    assert [one["id"] for one in again["results"]] == [one["id"] for one in first["results"]]
    assert len(everyone(ask)) == 13


@pytest.mark.parametrize("name", [None, "hs_object_id", "city", 7])
def test_an_upsert_needs_a_unique_property(ask: Asking, name: object) -> None:
    """From an issue alone, as is the message."""
    one = {"id": "101", "idProperty": name, "properties": {"city": "Ulm"}}
    status, answer = ask("POST", f"{CONTACTS}/batch/upsert", {"inputs": [one]})
    assert (status, answer["category"]) == (400, "VALIDATION_ERROR")
    if name == "hs_object_id":
        portal_id = ask.sandbox.portals[0].portal_id
        assert answer["message"] == (
            "Unable to perform update/upsert by non-unique 0-1 property hs_object_id "
            f"in portal ID {portal_id}"
        )


def test_a_batch_names_each_record_once(ask: Asking) -> None:
    """From an issue alone: two inputs for one record are refused; the words are an assumption."""
    ulm = {"properties": {"city": "Ulm"}}
    address = everyone(ask)[0]["properties"]["email"]
    twice = [{"id": "101", **ulm}, {"id": address, "idProperty": "email", **ulm}]
    status, answer = ask("POST", f"{CONTACTS}/batch/update", {"inputs": twice})
    assert (status, "Duplicate IDs" in answer["message"]) == (400, True)
    for id_ in ("x@example.com", address):
        cases = [{"id": one, "idProperty": "email", "properties": {}} for one in (id_, id_.upper())]
        status, answer = ask("POST", f"{CONTACTS}/batch/upsert", {"inputs": cases})
        assert (status, "Duplicate IDs" in answer["message"]) == (400, True)
    assert ask("GET", f"{CONTACTS}/101?properties=city")[1]["properties"]["city"] is None


def test_two_inputs_cannot_take_one_address(ask: Asking) -> None:
    """An assumption: the second is refused as if the first were written."""
    status, answer = ask("POST", f"{CONTACTS}/batch/create", {"inputs": [GOOD, GOOD]})
    assert (status, answer["category"]) == (409, "CONFLICT")
    traced = [{**GOOD, "objectWriteTraceId": one} for one in ("a", "b")]
    status, answer = ask("POST", f"{CONTACTS}/batch/create", {"inputs": traced})
    assert (status, len(answer["results"]), len(answer["errors"])) == (207, 1, 1)
    swap = [{"id": "101", **BAD}, {"id": "151", **GOOD}]
    assert ask("POST", f"{CONTACTS}/batch/update", {"inputs": swap})[0] == 400
    both = [{"id": id_, "properties": {"email": "both@example.com"}} for id_ in ("101", "151")]
    assert ask("POST", f"{CONTACTS}/batch/update", {"inputs": both})[0] == 409


def test_archiving_a_batch_twice_is_no_mistake(ask: Asking) -> None:
    """Facts 4.3: batch/archive answers 204 again. From documents alone."""
    for _ in range(2):
        answer = ask("POST", f"{CONTACTS}/batch/archive", inputs("101", "151", "7", "101"))
        assert answer == (204, None)
    assert len(everyone(ask)) == 10


def test_a_batch_needs_the_scope_of_what_it_does(sandbox: Sandbox, ask: Asking) -> None:
    """Facts 5.2: a batch read is a read, though it is a POST. From documents alone."""
    sandbox.set_scopes(sandbox.portals[0].portal_id, {"crm.objects.contacts.read"})
    assert ask("POST", f"{CONTACTS}/batch/read", inputs("101"))[0] == 200
    for verb in ("create", "update", "upsert", "archive"):
        assert ask("POST", f"{CONTACTS}/batch/{verb}", {"inputs": []})[0] == 403


PEOPLE = st.sampled_from(["a@example.com", "b@example.com", "c@example.com", "nobody"])
CITIES = st.sampled_from(["Ulm", "Bern", ""])


@given(batch=st.lists(st.tuples(PEOPLE, CITIES), max_size=6))
def test_a_batch_is_the_same_calls_one_by_one(batch: list[tuple[str, str]]) -> None:
    one, other = (Asking(Sandbox(portals=1, contacts=2, clock=Clock(NOON))) for _ in range(2))
    new = [{"properties": {"email": email, "city": city}} for email, city in batch]
    traced = [{**input_, "objectWriteTraceId": str(n)} for n, input_ in enumerate(new)]
    together = one("POST", f"{CONTACTS}/batch/create", {"inputs": traced})[1]
    singly = [other("POST", CONTACTS, input_) for input_ in new]
    failed = [str(n) for n, (status, _) in enumerate(singly) if status != 201]
    traces = [error["context"]["objectWriteTraceId"] for error in together.get("errors", [])]
    assert traces == [[trace] for trace in failed]
    names = "?limit=100&properties=email&properties=city"
    lists = [
        [
            (record["id"], record["properties"]["email"], record["properties"]["city"])
            for record in ask("GET", f"{CONTACTS}{names}")[1]["results"]
        ]
        for ask in (one, other)
    ]
    assert lists[0] == lists[1]
    kept = [answer["id"] for status, answer in singly if status == 201]
    assert [made["id"] for made in together["results"]] == kept
    ids = ["101", "151", "7", *kept]
    found = other("POST", f"{CONTACTS}/batch/read", {**inputs(*ids), "properties": ["city"]})[1]
    reads = [other("GET", f"{CONTACTS}/{id_}?properties=city") for id_ in ids]
    assert found["results"] == [answer for status, answer in reads if status == 200]


@pytest.mark.parametrize("properties", [{}, {"properties": None}, {"properties": ["city"]}])
def test_an_upsert_needs_properties(ask: Asking, properties: dict[str, object]) -> None:
    one = {"id": "new@example.com", "idProperty": "email", **properties}
    status, answer = ask("POST", f"{CONTACTS}/batch/upsert", {"inputs": [one]})
    assert (status, answer["category"]) == (400, "VALIDATION_ERROR")
    assert len(everyone(ask)) == 12
