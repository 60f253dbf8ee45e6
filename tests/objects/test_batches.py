"""Batches: a line for each input, in their order, whatever became of it (F68, facts 4.2)."""

from __future__ import annotations

import json
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hsagency.errors import CallRefused, UsageError
from hsagency.hubspot_errors import NotPermitted, TokenRejected
from hsagency.objects import (
    batch_archive,
    batch_create,
    batch_read,
    batch_update,
    batch_upsert,
)
from hsagency.portals import ConnectionType
from hsagency.sandbox import Fault, Sandbox
from tests.objects.conftest import DATED, V3, Portal, Ticking
from tests.support import Answer, Seen, listening, lone_client

COLUMNS = [
    "input", "id", "outcome", "status", "category", "subcategory", "correlation_id", "new",
]  # fmt: skip


def people(count: int) -> list[dict[str, object]]:
    return [{"email": f"new-{number}@example.com", "city": "Ulm"} for number in range(count)]


def tally(frame: pl.DataFrame) -> dict[str, int]:
    return dict(frame.group_by("outcome").len().cast({"outcome": pl.String}).rows())


@pytest.mark.parametrize(("count", "calls"), [(0, 0), (1, 1), (100, 1), (101, 2), (250, 3)])
def test_a_batch_costs_a_call_for_a_hundred(portal: Portal, count: int, calls: int) -> None:
    frame = batch_create(portal.client, "contacts", people(count))
    assert frame.columns == COLUMNS
    assert frame["input"].to_list() == list(range(count))
    assert frame["id"].n_unique() == count
    assert set(frame["outcome"]) <= {"done"}
    assert [one.path for one in portal.calls()] == [f"{DATED}/batch/create"] * calls
    ids = frame["id"].to_list()
    read = batch_read(portal.client, "contacts", ids, properties=["email", "city"])
    assert read["email"].to_list() == [one["email"] for one in people(count)]
    assert read["id"].to_list() == ids
    changed = batch_update(portal.client, "contacts", [{"id": id_, "city": "Bonn"} for id_ in ids])
    assert set(changed["outcome"]) <= {"done"}
    gone = batch_archive(portal.client, "contacts", ids)
    assert gone["status"].to_list() == [204] * count
    assert gone["id"].to_list() == ids
    assert len(portal.calls()) == 3 * calls
    left = batch_read(portal.client, "contacts", ids)
    assert set(left["outcome"]) <= {"failed"}


def test_a_polars_frame_goes_in_as_it_is(portal: Portal) -> None:
    given = pl.DataFrame(
        {
            "dealname": ["One", "Two"],
            "closedate": [date(2026, 11, 20), None],
            "amount": [9.5, 10.0],
        }
    )
    made = batch_create(portal.client, "deals", given)
    read = batch_read(
        portal.client, "0-3", made["id"],
        properties=["dealname", "closedate", "amount"], dates=["closedate"],
    )  # fmt: skip
    assert read["dealname"].to_list() == ["One", "Two"]
    assert read["closedate"].to_list() == [datetime(2026, 11, 20, tzinfo=UTC), None]
    assert [float(one) for one in read["amount"]] == [9.5, 10.0]


def test_a_row_that_is_refused_stops_no_other(portal: Portal) -> None:
    taken = batch_read(portal.client, "contacts", portal.ids()[:1], properties=["email"])["email"]
    rows = people(120)
    rows[3] = {"email": taken[0]}
    rows[110] = {"email": "not an address"}
    frame = batch_create(portal.client, "contacts", rows)
    failed = frame.filter(pl.col("outcome") == "failed")
    assert failed["input"].to_list() == [3, 110]
    assert failed["status"].to_list() == [207, 207]
    assert failed["category"].to_list() == ["CONFLICT", "VALIDATION_ERROR"]
    assert failed["correlation_id"].null_count() == failed["id"].len() - 2
    assert frame.filter(pl.col("outcome") == "done")["id"].null_count() == 0
    assert "example.com" not in str(failed.rows())


def test_ids_that_lead_nowhere_are_told_in_their_lines(portal: Portal) -> None:
    ids = portal.ids()
    asked = [ids[1], "999999", ids[0], ids[1], "nonsense"]
    frame = batch_read(portal.client, "contacts", asked, properties=["email"])
    assert frame["outcome"].to_list() == ["done", "failed", "done", "done", "failed"]
    assert frame["category"].to_list() == [None, "OBJECT_NOT_FOUND", None, None, "OBJECT_NOT_FOUND"]
    assert frame["id"].to_list() == [ids[1], None, ids[0], ids[1], None]
    assert frame["email"].null_count() == 2
    assert len(portal.calls()) == 1
    changes = [{"id": id_, "city": "Ulm"} for id_ in (ids[1], "999999")]
    frame = batch_update(portal.client, "contacts", changes)
    assert frame["outcome"].to_list() == ["done", "failed"]


def test_a_unique_property_names_records_without_standing_in_an_address(portal: Portal) -> None:
    emails = batch_read(portal.client, "contacts", portal.ids(), properties=["email"])["email"]
    portal.calls()
    asked = [emails[7].upper(), "nobody@example.com", emails[3]]
    frame = batch_read(portal.client, "contacts", asked, unique="email", properties=["city"])
    assert frame["outcome"].to_list() == ["done", "failed", "done"]
    assert frame.columns == [*COLUMNS, "city"]
    changed = batch_update(
        portal.client, "contacts", [{"email": one, "city": "Ulm"} for one in asked], unique="email"
    )
    assert changed["outcome"].to_list() == ["done", "failed", "done"]
    upserted = batch_upsert(
        portal.client, "contacts", [{"email": one, "city": "Bonn"} for one in asked], unique="email"
    )
    assert upserted["outcome"].to_list() == ["done"] * 3
    assert upserted["new"].to_list() == [False, True, False]
    assert upserted["id"].to_list()[::2] == frame["id"].to_list()[::2]
    assert not any(one.query for one in portal.calls())


@pytest.mark.parametrize("kind", ["drop_after", "reset_after", "truncated", "empty", "malformed"])
def test_a_chunk_whose_answer_was_lost_is_unknown_and_never_sent_again(
    portal: Portal, kind: Any
) -> None:
    portal.sandbox.faults.add(Fault(kind=kind, after=1, times=1, path=DATED))
    frame = batch_create(portal.client, "contacts", people(250))
    outcomes = ["done"] * 100 + ["unknown"] * 100 + ["done"] * 50
    assert frame["outcome"].to_list() == outcomes
    assert len(portal.calls()) == 3
    assert len(portal.ids()) == 250 + 250


@pytest.mark.parametrize("status", [500, 502, 504, 524])
def test_an_outage_leaves_a_create_unknown(portal: Portal, status: int) -> None:
    portal.sandbox.faults.add(Fault(kind="status", status=status, effect=True, path=DATED))
    frame = batch_create(portal.client, "contacts", people(5))
    assert tally(frame) == {"unknown": 5}
    assert frame["status"].to_list() == [status] * 5
    assert len(portal.calls()) == 1


def test_stop_on_error_sends_no_more(portal: Portal) -> None:
    rows = people(250)
    rows[120] = {"email": "not an address"}
    frame = batch_create(portal.client, "contacts", rows, stop_on_error=True)
    assert tally(frame) == {"done": 199, "failed": 1, "skipped": 50}
    assert frame["outcome"].to_list()[200:] == ["skipped"] * 50
    assert len(portal.calls()) == 2


def test_a_401_in_the_middle_keeps_what_was_done_and_sends_no_more(portal: Portal) -> None:
    portal.sandbox.faults.add(Fault(kind="status", status=401, after=1, path=DATED))
    frame = batch_create(portal.client, "contacts", people(350))
    assert tally(frame) == {"done": 100, "failed": 100, "skipped": 150}
    assert set(frame["status"][100:200]) == {401}
    assert len(portal.calls()) == 2


@pytest.mark.parametrize(("status", "error"), [(401, TokenRejected), (403, NotPermitted)])
def test_what_stops_all_of_it_at_once_is_raised(
    portal: Portal, status: int, error: type[Exception]
) -> None:
    portal.sandbox.faults.add(Fault(kind="status", status=status, path=DATED))
    with pytest.raises(error):
        batch_create(portal.client, "contacts", people(3))


def test_what_may_not_leave_is_raised_and_leaves_nothing_unsaid(tmp_path: Path) -> None:
    sandbox = Sandbox(portals=1, contacts=3)
    with (
        lone_client(
            tmp_path,
            token=sandbox.portals[0].token,
            wire=Ticking(sandbox),
            connection_type=ConnectionType.AUDIT_ONLY,
        ) as client,
        pytest.raises(CallRefused),
    ):
        batch_archive(client, "contacts", ["101"])
    assert sandbox.ledger(sandbox.portals[0].portal_id) == ()


def test_a_client_that_closes_in_the_middle_skips_the_rest(portal: Portal) -> None:
    @contextmanager
    def closing(what: str, total: int) -> Any:
        assert (what, total) == ("create of contacts", 250)
        yield lambda _: portal.client.close()

    frame = batch_create(portal.client, "contacts", people(250), progress=closing)
    assert tally(frame) == {"done": 100, "skipped": 150}
    assert frame["category"].to_list()[100:] == ["ClientClosed"] * 100 + [None] * 50


@pytest.mark.parametrize(
    ("do", "said"),
    [
        (lambda c: batch_create(c, "contacts", [{"objectWriteTraceId": "1"}]), "told apart"),
        (lambda c: batch_create(c, "contacts", [{"city": None}]), "nothing to write"),
        (lambda c: batch_create(c, "contacts", ["x"]), "no mapping"),
        (lambda c: batch_create(c, "contacts", [{"city": object()}]), "no property holds"),
        (lambda c: batch_update(c, "contacts", [{"city": "Ulm"}]), "has no id"),
        (lambda c: batch_update(c, "contacts", [{"id": "1"}]), "nothing to write"),
        (
            lambda c: batch_update(c, "contacts", [{"id": 1, "city": "x"}, {"id": "1", "city": "y"}]),
            "Rows 0 and 1",
        ),
        (
            lambda c: batch_upsert(c, "contacts", [{"email": "A@x.de"}, {"email": "a@X.de"}], unique="email"),
            "Rows 0 and 1",
        ),
        (lambda c: batch_upsert(c, "contacts", [{"city": "x"}], unique="email"), "has no email"),
        (lambda c: batch_read(c, "contacts", "101"), "not a list"),
        (lambda c: batch_archive(c, "contacts", ["1", None]), "Id 1, counted from 0, is empty"),
        (lambda c: batch_read(c, "con tacts", ["1"]), "object type"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_before_anything_is_sent(
    portal: Portal, do: Any, said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        do(portal.client)
    assert portal.calls() == []


def test_rows_may_be_spelled_as_hubspot_does(portal: Portal) -> None:
    company = portal.client.get("/crm/v3/objects/companies?limit=1").json()["results"][0]["id"]
    link = {
        "to": {"id": company},
        "types": [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 279}],
    }
    row = {"properties": {"email": "linked@example.com"}, "associations": [link]}
    frame = batch_create(portal.client, "contacts", [row])
    assert frame["outcome"].to_list() == ["done"]
    made = portal.client.get(f"{V3}/{frame['id'][0]}?associations=companies").json()
    assert made["associations"]["companies"]["results"][0]["id"] == company


def test_an_archive_that_says_what_failed_is_believed(tmp_path: Path) -> None:
    error = {"category": "LOCKED", "context": {"ids": ["2"]}}
    said = Answer(207, body=json.dumps({"results": [{"id": "1"}], "errors": [error]}).encode())
    with listening(lambda _: said) as server, lone_client(tmp_path, url=server.url) as client:
        frame = batch_archive(client, "contacts", ["2", "1", "2"])
    assert frame["outcome"].to_list() == ["failed", "done", "failed"]
    assert frame["id"].to_list() == ["2", "1", "2"]
    assert frame["category"].to_list() == ["LOCKED", None, "LOCKED"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (datetime(2026, 11, 20, 13, tzinfo=timezone(timedelta(hours=1))), "2026-11-20T12:00:00.000Z"),
        (["a", "b"], "a;b"),
        (True, "true"),
        (7, "7"),
    ],
)  # fmt: skip
def test_values_go_as_the_text_hubspot_takes(tmp_path: Path, value: object, text: str) -> None:
    with (
        listening(lambda _: Answer(201, body=b'{"results": [{"id": "1"}]}')) as server,
        lone_client(tmp_path, url=server.url) as client,
    ):
        batch_create(client, "contacts", [{"x": value}])
        (sent,) = json.loads(server.seen[0].body)["inputs"]
    assert sent == {"properties": {"x": text}, "objectWriteTraceId": "0"}


@given(st.data())
@settings(max_examples=40)
def test_every_line_says_what_the_answer_says_in_whichever_order_it_comes(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Shuffled results, some failed by trace, some by id, some named nowhere."""
    count = data.draw(st.integers(1, 8))
    fates = data.draw(
        st.lists(st.sampled_from(["done", "failed", "by id"]), min_size=count, max_size=count)
    )
    order = data.draw(st.permutations(range(count)))

    def answer(seen: Seen) -> Answer:
        sent = json.loads(seen.body)["inputs"]
        results: list[dict[str, object]] = []
        errors: list[dict[str, object]] = []
        for at in order:
            trace, id_ = sent[at]["objectWriteTraceId"], sent[at]["id"]
            if fates[at] == "done":
                results.append({"id": id_, "objectWriteTraceId": trace})
            elif fates[at] == "failed":
                context: dict[str, object] = {"objectWriteTraceId": [trace]}
                errors.append({"category": f"C{at}", "context": context})
            else:
                errors.append({"category": f"C{at}", "context": {"ids": [id_]}})
        body = {"results": results, "errors": errors, "numErrors": len(errors)}
        return Answer(207 if errors else 200, body=json.dumps(body).encode())

    rows = [{"id": str(1000 + at), "city": "Ulm"} for at in range(count)]
    folder = tmp_path_factory.mktemp("batch")
    with listening(answer) as server, lone_client(folder, url=server.url) as client:
        frame = batch_update(client, "contacts", rows)
    outcomes = ["done" if fate == "done" else "failed" for fate in fates]
    assert frame["outcome"].to_list() == outcomes
    categories = [None if fate == "done" else f"C{at}" for at, fate in enumerate(fates)]
    assert frame["category"].to_list() == categories
    assert frame["id"].to_list() == [row["id"] for row in rows]


@pytest.mark.parametrize(
    ("answer", "outcomes", "categories"),
    [
        # nothing is named, and as much came as was sent
        ({"results": [{"id": "7"}, {"id": "8"}]}, ["done", "done"], [None, None]),
        # one came, and nobody says which
        ({"results": [{"id": "7"}]}, ["unknown", "unknown"], [None, None]),
        # what is not among the results is what failed
        (
            {
                "results": [{"id": "7", "objectWriteTraceId": "1"}],
                "errors": [{"category": "X", "subCategory": "Y.Z"}],
            },
            ["failed", "done"],
            ["X", None],
        ),
        # one error for two that did not come
        ({"results": [], "errors": [{"category": "X"}]}, ["unknown", "unknown"], [None, None]),
        # traces and categories of a strange make are read as none
        (
            {"results": [{"objectWriteTraceId": "99"}, 5], "errors": [{"context": "x"}, {}]},
            ["failed", "failed"],
            [None, None],
        ),
    ],
)
def test_what_an_answer_does_not_say_is_not_made_up(
    tmp_path: Path, answer: dict[str, object], outcomes: list[str], categories: list[str | None]
) -> None:
    said = Answer(207, body=json.dumps(answer).encode())
    with listening(lambda _: said) as server, lone_client(tmp_path, url=server.url) as client:
        frame = batch_create(client, "contacts", people(2))
    assert frame["outcome"].to_list() == outcomes
    assert frame["category"].to_list() == categories
