"""Ids that answers name are recorded, and nothing of an answer is changed for it (facts 4.2, 5.3)."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsagency.audit import lake
from hsagency.audit.journal.writer import AuditWriter
from hsagency.sandbox import Sandbox
from hsagency.transport import answers
from tests.audit.conftest import Connect
from tests.audit.reading import CONTACTS, records
from tests.support import Answer, listening, lone_client
from tests.support import records as records_of

JSON = {"Content-Type": "application/json;charset=utf-8"}
UUID = "9f1c2d3e-0000-4aaa-8bbb-0123456789ab"


def new(count: int, **more: object) -> dict[str, Any]:
    people = [{"properties": {"email": f"n{one}@example.com"}, **more} for one in range(count)]
    return {"inputs": people}


def details(audit: Path) -> list[dict[str, Any]]:
    return [one for one in records(audit) if one["event"] == "call.detail"]


def sha256(ids: list[str]) -> str:
    return hashlib.sha256("".join(f"{one}\n" for one in sorted(ids)).encode()).hexdigest()


def test_the_id_of_a_created_record_is_recorded_and_shown_with_its_call(
    connect: Connect, audit: Path
) -> None:
    client = connect()
    answer = client.post(CONTACTS, json={"properties": {"email": "new@example.com"}})
    number = answer.json()["id"]
    (detail,) = details(audit)
    assert detail["objectIds"] == [number]
    assert (detail["objectIdCount"], detail["objectIdsSource"]) == (1, "answer")
    assert detail["objectIdsDigest"] == sha256([number])
    assert "example.com" not in json.dumps(records(audit))
    calls = lake.read(audit, ["acme-corp"]).calls.collect()
    assert calls["object_id"].to_list() == [number]


def test_an_id_that_is_in_the_path_already_is_not_recorded_twice(
    connect: Connect, audit: Path, sandbox: Sandbox
) -> None:
    client = connect()
    number = client.get(CONTACTS).json()["results"][0]["id"]
    client.patch(f"{CONTACTS}/{number}", json={"properties": {"city": "Ulm"}})
    assert details(audit) == []
    by_email = client.get(f"{CONTACTS}/{number}").json()["properties"]["email"]
    changed = client.patch(
        f"{CONTACTS}/{by_email}?idProperty=email", json={"properties": {"city": "Ulm"}}
    )
    assert changed.json()["id"] == number
    assert [one["objectIds"] for one in details(audit)] == [[number]]


@pytest.mark.parametrize("path", [CONTACTS, "/crm/objects/2026-09/contacts"])
def test_every_batch_that_changes_leaves_its_ids(connect: Connect, audit: Path, path: str) -> None:
    client = connect()
    made = client.post(f"{path}/batch/create", json=new(3)).json()["results"]
    ids = [one["id"] for one in made]
    inputs = [{"id": one, "properties": {"city": "Ulm"}} for one in ids]
    client.post(f"{path}/batch/update", json={"inputs": inputs})
    upsert = [
        {"id": one["properties"]["email"], "idProperty": "email", "properties": {"city": "Bonn"}}
        for one in made
    ]
    assert client.post(f"{path}/batch/upsert", json={"inputs": upsert}).status_code == 200
    gone = client.post(f"{path}/batch/archive", json={"inputs": [{"id": one} for one in ids]})
    assert gone.status_code == 204
    found = details(audit)
    assert [sorted(one["objectIds"]) for one in found] == [sorted(ids)] * 4
    assert {one["objectIdsDigest"] for one in found} == {sha256(ids)}
    assert [one["objectIdsSource"] for one in found] == ["answer"] * 3 + ["request"]
    assert all("objectId" not in one for one in found)  # which one, of three?


def test_a_merge_names_the_record_it_left(connect: Connect, audit: Path) -> None:
    client = connect()
    one, other = (row["id"] for row in client.get(f"{CONTACTS}?limit=2").json()["results"])
    merged = client.post(
        f"{CONTACTS}/merge", json={"primaryObjectId": one, "objectIdToMerge": other}
    )
    assert [detail["objectIds"] for detail in details(audit)] == [[merged.json()["id"]]]


def test_a_batch_of_which_a_part_failed_says_how_many(connect: Connect, audit: Path) -> None:
    """Facts 4.2: 207 is a success status with failures inside."""
    client = connect()
    body = new(2, objectWriteTraceId="a")
    body["inputs"][1]["properties"] = {"email": "no address", "objectWriteTraceId": "b"}
    body["inputs"][1]["objectWriteTraceId"] = "b"
    answer = client.post(f"{CONTACTS}/batch/create", json=body)
    assert answer.status_code == 207, answer.text
    (detail,) = details(audit)
    assert (detail["partsOk"], detail["partsFailed"]) == (1, answer.json()["numErrors"])
    assert detail["objectIds"] == [answer.json()["results"][0]["id"]]


def test_reads_and_searches_leave_no_ids(connect: Connect, audit: Path) -> None:
    client = connect()
    client.get(CONTACTS)
    client.post(f"{CONTACTS}/search", json={})
    client.post(f"{CONTACTS}/batch/read", json={"inputs": [{"id": "101"}]})
    assert details(audit) == []


def test_ids_of_configuration_are_recorded_too(connect: Connect, audit: Path) -> None:
    client = connect()
    stages = [
        {"label": "New", "displayOrder": 0, "metadata": {"probability": "0.5"}},
        {"label": "Won", "displayOrder": 1, "metadata": {"probability": "1.0"}},
    ]
    body = {"label": "Second", "displayOrder": 1, "stages": stages}
    answer = client.post("/crm/v3/pipelines/deals", json=body)
    assert answer.status_code == 201, answer.text
    (detail,) = details(audit)
    assert detail["objectIds"] == [answer.json()["id"]]


def ids_of(detail: dict[str, Any]) -> tuple[list[str], list[str]]:
    for ids, count, hashed in (
        ("objectIds", "objectIdCount", "objectIdsDigest"),
        ("otherObjectIds", "otherObjectIdCount", "otherObjectIdsDigest"),
    ):
        assert ids not in detail or detail[count] == len(detail[ids])
        assert ids not in detail or detail[hashed] == sha256(detail[ids])
    return detail.get("objectIds", []), detail.get("otherObjectIds", [])


V4, V3 = "/crm/v4/associations/contacts/companies", "/crm/v3/associations/contacts/companies"
LABEL = {"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 279}


def test_a_list_its_folder_and_its_members_leave_their_ids(connect: Connect, audit: Path) -> None:
    client = connect()
    people = [row["id"] for row in client.get(f"{CONTACTS}?limit=3").json()["results"]]
    body = {"name": "Guests", "objectTypeId": "0-1", "processingType": "MANUAL"}
    number = client.post("/crm/v3/lists", json=body).json()["list"]["listId"]
    folder = client.post("/crm/v3/lists/folders", json={"name": "F"}).json()["folder"]["id"]
    members = f"/crm/v3/lists/{number}/memberships"
    client.put(f"{members}/add", json=people)
    client.put(f"{members}/remove", json=people[:1])
    both = {"recordIdsToAdd": people[:1], "recordIdsToRemove": people[1:2]}
    client.put(f"{members}/add-and-remove", json=both)
    assert [ids_of(one) for one in details(audit)] == [
        *(([number], []), ([folder], [])),
        *((people, []), (people[:1], []), (people[:2], [])),
    ]


def test_links_between_records_leave_the_ids_of_both_ends(connect: Connect, audit: Path) -> None:
    client = connect()
    rows = client.get(f"{CONTACTS}?limit=2").json()["results"]
    people = [row["id"] for row in rows]
    firms = [row["id"] for row in client.get("/crm/v3/objects/companies").json()["results"][:2]][
        ::-1
    ]
    pairs = [{"from": {"id": a}, "to": {"id": b}} for a, b in zip(people, firms, strict=True)]
    labelled = [{**one, "types": [LABEL]} for one in pairs]
    client.post(f"{V4}/batch/create", json={"inputs": labelled})
    client.post(f"{V4}/batch/associate/default", json={"inputs": pairs})  # answers both ways
    named = [{**one, "type": "contact_to_company"} for one in pairs]
    client.post(f"{V3}/batch/create", json={"inputs": named})
    gone = [{"from": one["from"], "to": [one["to"]]} for one in pairs]
    assert client.post(f"{V4}/batch/archive", json={"inputs": gone}).status_code == 204
    found = details(audit)
    assert [ids_of(one) for one in found] == [(people, firms)] * 4
    assert [one["objectIdsSource"] for one in found] == ["answer"] * 3 + ["request"]


def test_one_link_is_in_its_path_and_needs_no_second_record(connect: Connect, audit: Path) -> None:
    client = connect()
    path = "/crm/v4/objects/contacts/101/associations"
    assert client.put(f"{path}/default/companies/151").status_code == 200
    assert client.put(f"{path}/companies/151", json=[LABEL]).status_code == 201
    assert details(audit) == []
    assert records(audit)[0]["path"].endswith("/default/companies/151")


def test_labels_leave_the_ids_of_both_directions_and_properties_have_none(
    connect: Connect, audit: Path
) -> None:
    client = connect()
    label = client.post(f"{V4}/labels", json={"name": "chief", "label": "Chief"}).json()
    field = {"name": "tier", "label": "T", "type": "string", "fieldType": "text"}
    field |= {"groupName": "contactinformation"}
    assert client.post("/crm/v3/properties/contacts", json=field).status_code == 201
    assert [ids_of(one) for one in details(audit)] == [
        ([str(one["typeId"]) for one in label["results"]], [])
    ]


def test_the_deletion_of_somebodys_data_says_whose_by_number_and_never_by_address(
    connect: Connect, audit: Path
) -> None:
    client = connect()
    one, other = client.get(f"{CONTACTS}?limit=2").json()["results"]
    path = f"{CONTACTS}/gdpr-delete"
    assert client.post(path, json={"objectId": one["id"]}).status_code == 204
    address = {"objectId": other["properties"]["email"], "idProperty": "email"}
    assert client.post(path, json=address).status_code == 204
    assert [ids_of(detail) for detail in details(audit)] == [([one["id"]], [])]


def test_what_is_recorded_of_ids_is_as_the_schema_says(
    connect: Connect, audit: Path, validator: jsonschema.Draft202012Validator
) -> None:
    client = connect()
    client.post(f"{CONTACTS}/batch/create", json=new(3))
    client.post(CONTACTS, json={"properties": {"email": "new@example.com"}})
    pair = {"from": {"id": "101"}, "to": {"id": "151"}, "types": [LABEL]}
    client.post(f"{V4}/batch/create", json={"inputs": [pair]})
    assert len(details(audit)) == 3
    for record in records(audit):
        validator.validate(record)


def test_the_caller_gets_every_byte_however_it_reads(tmp_path: Path) -> None:
    body = json.dumps({"id": UUID, "name": "ä" * 1000}).encode()
    packed = gzip.compress(body)
    answer = Answer(201, {**JSON, "Content-Encoding": "gzip"}, packed)
    with (
        listening(lambda _: answer) as server,
        lone_client(tmp_path, url=server.url) as client,
    ):
        assert client.post(CONTACTS).content == body
        with client.stream("POST", CONTACTS) as streamed:
            assert b"".join(streamed.iter_raw(7)) == packed
        with client.stream("POST", CONTACTS) as streamed:
            assert "".join(streamed.iter_text()) == body.decode()
    found = [one for one in records_of(tmp_path, "acme-corp") if one["event"] == "call.detail"]
    assert [one["objectIds"] for one in found] == [[UUID]] * 3


def test_an_answer_that_is_not_read_to_its_end_leaves_no_ids(tmp_path: Path) -> None:
    whole = json.dumps({"id": "1", "pad": "x" * 300_000}).encode()
    with (
        listening(lambda _: Answer(201, JSON, whole)) as server,
        lone_client(tmp_path, url=server.url) as client,
    ):
        with client.stream("POST", CONTACTS) as streamed:
            next(streamed.iter_raw())
        with client.stream("POST", CONTACTS):
            pass
    kinds = [one["event"] for one in records_of(tmp_path, "acme-corp")]
    assert [one for one in kinds if one.startswith("call.")] == [
        "call.started",
        "call.finished",
    ] * 2


def test_a_broken_answer_breaks_for_the_caller_as_it_would(tmp_path: Path) -> None:
    with (
        listening(lambda _: Answer(201, JSON, b'{"id": "1"}', cut=5)) as server,
        lone_client(tmp_path, url=server.url) as client,
        pytest.raises(httpx.TransportError),
    ):
        client.post(CONTACTS)


class Counted(httpx.BaseTransport):
    """Answers in parts, and knows how many were asked for."""

    def __init__(self, *parts: bytes) -> None:
        self.parts, self.given = parts, 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        wire = self

        class Body(httpx.SyncByteStream):
            def __iter__(self) -> Iterator[bytes]:
                for part in wire.parts:
                    wire.given += 1
                    yield part

        return httpx.Response(201, headers=JSON, stream=Body(), request=request)


def test_no_part_of_an_answer_is_read_before_the_caller_asks(tmp_path: Path) -> None:
    wire = Counted(b'{"id"', b': "12"', b"}")
    with lone_client(tmp_path, wire=wire) as client, client.stream("POST", CONTACTS) as answer:
        assert wire.given == 0
        parts = answer.iter_raw()
        seen = []
        for number in (1, 2, 3):
            seen.append(next(parts))
            assert wire.given == number
    assert tuple(seen) == wire.parts
    # Closed after the last byte, if not at the end.
    assert records_of(tmp_path, "acme-corp")[-1]["objectIds"] == ["12"]


def test_a_larger_answer_passes_and_is_not_kept(tmp_path: Path) -> None:
    wire = Counted(*[b" " * (1 << 20)] * 5, b'{"id": "12"}')
    with lone_client(tmp_path, wire=wire) as client:
        assert len(client.post(CONTACTS).content) == (5 << 20) + 12
    assert records_of(tmp_path, "acme-corp")[-1]["event"] == "call.finished"


def test_a_bomb_is_not_unpacked_for_its_ids(tmp_path: Path) -> None:
    bomb = gzip.compress(b" " * (64 << 20) + b'{"id": "12"}')
    answer = Answer(201, {**JSON, "Content-Encoding": "gzip"}, bomb)
    with (
        listening(lambda _: answer) as server,
        lone_client(tmp_path, url=server.url) as client,
        client.stream("POST", CONTACTS) as streamed,
    ):
        assert b"".join(streamed.iter_raw()) == bomb
    assert records_of(tmp_path, "acme-corp")[-1]["event"] == "call.finished"


def test_an_answer_read_after_the_log_was_closed_is_still_whole(
    connect: Connect, writer: AuditWriter
) -> None:
    with connect().stream("POST", CONTACTS, json={"properties": {}}) as answer:
        writer.close()
        assert json.loads(answer.read())["id"]


@pytest.mark.parametrize(
    "send",
    [
        lambda client: client.post(f"{CONTACTS}/batch/archive", content=b"no json"),
        lambda client: client.post(f"{CONTACTS}/batch/archive", content=iter([b'{"inputs":[]}'])),
        lambda client: client.post(f"{CONTACTS}/batch/archive", json={"inputs": "x"}),
        lambda client: client.post(
            f"{CONTACTS}/batch/archive",
            json={"inputs": [{"id": "4930123456", "idProperty": "phone"}]},
        ),
        lambda client: client.post(
            f"{CONTACTS}/batch/archive",
            json={"inputs": [{"id": "1"}, {"id": "4930123456", "IDProperty": "phone"}]},
        ),
        lambda client: client.post(
            f"{CONTACTS}/gdpr-delete", json={"objectId": "4930123456", "idProperty": "phone"}
        ),
        lambda client: client.post(
            f"{CONTACTS}/gdpr-delete",
            content=b'{"id\\u0050roperty": "phone", "objectId": "4930123456"}',
        ),
        lambda client: client.post(
            f"{CONTACTS}/gdpr-delete?id%50roperty=phone", json={"objectId": "4930123456"}
        ),
        lambda client: client.post(
            f"{CONTACTS}/gdpr-delete?IDPROPERTY=phone", json={"objectId": "4930123456"}
        ),
        lambda client: client.delete(f"{CONTACTS}/12"),
    ],
)
def test_a_request_is_not_searched_for_more_than_plain_ids(
    tmp_path: Path, send: Callable[[httpx.Client], httpx.Response]
) -> None:
    """Facts 5.3: looked up by a property, a number may be personal data."""
    with (
        listening(lambda _: Answer(204, {}, b"")) as server,
        lone_client(tmp_path, url=server.url) as client,
    ):
        assert send(client).status_code == 204
    assert records_of(tmp_path, "acme-corp")[-1]["event"] == "call.finished"
    assert "4930123456" not in str(records_of(tmp_path, "acme-corp"))


def test_of_many_ids_a_hundred_are_listed_and_all_are_counted_and_digested() -> None:
    ids = [str(number) for number in range(1000, 0, -1)]
    body = json.dumps({"results": [{"id": one} for one in ids]}).encode()
    found = answers.named(body, status=201)
    assert found["objectIds"] == ids[:100]
    assert found["objectIdCount"] == 1000
    assert found["objectIdsDigest"] == sha256(ids)


def test_what_is_no_number_and_no_uuid_is_dropped_and_counted() -> None:
    """Facts 5.3: known-safe ids are numbers and UUIDs."""
    given = ["jane@example.com", UUID, 17, True, "0" * 21, "٣", {"id": 1}, -4, "17"]
    body = json.dumps({"results": [{"id": one} for one in given]}).encode()
    found = answers.named(body, status=200)
    assert found["objectIds"] == [UUID, "17"]
    assert (found["objectIdCount"], found["objectIdsDropped"]) == (2, 6)
    assert "jane" not in str(found)


def test_a_name_instead_of_an_id_is_counted_alone() -> None:
    assert answers.named(b'{"id": "appointmentscheduled"}', status=201) == {"objectIdsDropped": 1}


LEAF = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text("a1-@ä")
PART = st.dictionaries(
    st.sampled_from(["id", "x", "from", "to", "listId", "toObjectId", "associationSpec"]),
    LEAF | st.fixed_dictionaries({"id": LEAF}) | st.lists(st.fixed_dictionaries({"id": LEAF})),
    max_size=3,
)
ANSWER = st.dictionaries(
    st.sampled_from(
        ["id", "results", "numErrors", "errors", "list", "recordIdsAdded", "recordIdsRemoved"]
    ),
    LEAF | PART | st.lists(LEAF | PART),
)


@given(answer=ANSWER | LEAF | st.lists(LEAF), status=st.sampled_from([200, 201, 207]))
def test_whatever_an_answer_says_only_safe_ids_come_of_it(answer: object, status: int) -> None:
    found: Any = answers.named(json.dumps(answer).encode(), status=status)
    for one in (*found.get("objectIds", []), *found.get("otherObjectIds", [])):
        assert one == UUID or (one.isascii() and one.isdigit() and len(one) <= 20)
    assert ("objectIds" in found) == ("objectIdCount" in found)
    assert found.get("objectIdsDropped", 1) >= 1
    assert status == 207 or not {"partsOk", "partsFailed"} & found.keys()


@given(st.binary(max_size=200))
def test_whatever_a_body_holds_it_is_looked_at_quietly(body: bytes) -> None:
    assert isinstance(answers.named(body, status=201), dict)
