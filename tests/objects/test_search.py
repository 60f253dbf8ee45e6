"""Searches: every record that fits comes exactly once, however many there are (F70)."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hsagency.errors import HsAgencyError, UnusableAnswer, UsageError
from hsagency.hubspot_errors import TokenRejected
from hsagency.objects import batch_read, pages, search
from hsagency.sandbox import Clock, Fault, Sandbox
from tests.objects.conftest import DATED, NOON, V3, Open, Portal, Ticking
from tests.support import Answer, listening, lone_client

SEARCH = f"{DATED}/search"


@pytest.mark.parametrize(("contacts", "calls"), [(1, 1), (200, 1), (201, 2), (401, 3)])
def test_a_search_costs_a_call_for_two_hundred_records(
    opened: Open, contacts: int, calls: int
) -> None:
    portal = opened(contacts)
    ids = portal.ids()
    found = search(portal.client, "contacts")
    assert [one["id"] for one in found] == ids
    assert found.total == found.came == contacts
    assert [one.path for one in portal.calls()] == [SEARCH] * calls


def test_a_search_that_finds_nothing_costs_one_call(portal: Portal) -> None:
    found = search(portal.client, "0-1", filters=[("email", "EQ", "nobody@example.com")])
    assert list(found) == []
    assert found.total == 0
    assert len(portal.calls()) == 1
    frame = search(
        portal.client, "contacts", filters=[("city", "EQ", "Atlantis")], properties=["city"]
    ).frame()
    assert frame.columns == ["id", "city", "createdAt", "updatedAt", "archived"]
    assert frame.height == 0


@pytest.mark.parametrize("contacts", [10_000, 10_001])
def test_ten_thousand_results_are_no_limit(opened: Open, contacts: int) -> None:
    portal = opened(contacts)
    found = search(portal.client, "contacts", filters=[("email", "HAS_PROPERTY")])
    ids = [int(one["id"]) for one in found]
    assert len(ids) == len(set(ids)) == found.total == contacts
    assert ids == sorted(ids)
    assert [one.status for one in portal.calls()] == [200] * math.ceil(contacts / 200)


def test_a_record_that_is_archived_meanwhile_moves_no_other_out_of_sight(portal: Portal) -> None:
    ids = portal.ids()
    portal.wire.most = 50
    found = iter(search(portal.client, "contacts"))
    came = [next(found)["id"] for _ in range(50)]
    for id_ in ids[:30]:
        portal.client.delete(f"{V3}/{id_}")
    came += [one["id"] for one in found]
    assert came == ids


def test_a_record_that_is_made_meanwhile_comes_once(portal: Portal) -> None:
    ids = portal.ids()
    portal.wire.most = 100
    found = iter(search(portal.client, "contacts"))
    came = [next(found)["id"]]
    body = {"properties": {"email": "late@example.com"}}
    new = portal.client.post(V3, json=body).json()["id"]
    assert [*came, *(one["id"] for one in found)] == [*ids, new]


def test_what_the_index_shows_late_never_comes_twice(portal: Portal) -> None:
    ids = portal.ids()
    portal.sandbox.faults.add(Fault(kind="lag", seconds=5, path=SEARCH))
    body = {"properties": {"email": "late@example.com"}}
    new = portal.client.post(V3, json=body).json()["id"]
    portal.wire.most = 50
    came = [one["id"] for one in search(portal.client, "contacts")]
    assert len(came) == len(set(came))
    assert set(ids) <= set(came) <= {*ids, new}


@st.composite
def histories(draw: st.DrawFn) -> tuple[int, list[tuple[int, str, int]]]:
    """Draw how many come on a page, and what happens before which call."""
    events = st.tuples(st.integers(1, 12), st.sampled_from(["archive", "make"]), st.integers(0, 39))
    return draw(st.integers(1, 60)), draw(st.lists(events, max_size=20))


@given(histories())
@settings(max_examples=40)
def test_whoever_fits_from_beginning_to_end_comes_exactly_once(
    tmp_path_factory: pytest.TempPathFactory, history: tuple[int, list[tuple[int, str, int]]]
) -> None:
    most, events = history
    sandbox = Sandbox(portals=1, contacts=40, clock=Clock(NOON))
    wire, folder = Ticking(sandbox), tmp_path_factory.mktemp("search")
    with lone_client(folder, token=sandbox.portals[0].token, wire=wire) as client:
        ids = [one["id"] for one in search(client, "contacts")]
        gone: set[str] = set()
        calls = 0

        def happen() -> None:
            nonlocal calls
            wire.before.clear()
            calls += 1
            for at, what, which in events:
                if at == calls and what == "archive":
                    client.delete(f"{V3}/{ids[which]}")
                    gone.add(ids[which])
                elif at == calls:
                    body = {"properties": {"email": f"{at}-{which}@example.com"}}
                    client.post(V3, json=body)
            wire.before.append(happen)

        wire.before.append(happen)
        wire.most = most
        found = search(client, "contacts")
        came = [one["id"] for one in found]
    assert len(came) == len(set(came))
    assert set(ids) - gone <= set(came)
    assert found.calls <= math.ceil(len(came) / most) + 1


def test_filters_are_written_as_people_write_them(portal: Portal) -> None:
    every = search(portal.client, "contacts", properties=["email", "createdate"]).frame()
    one, two, *_ = every["email"].to_list()
    for filters in (
        [("email", "IN", [one, two])],
        [{"propertyName": "email", "operator": "IN", "values": [one, two]}],
        [("email", "IN", (one, two)), ("email", "HAS_PROPERTY")],
        [("createdate", "LT", datetime(2030, 1, 1, tzinfo=UTC)), ("email", "IN", [one, two])],
    ):
        assert search(portal.client, "contacts", filters=filters).frame().height == 2
    assert (
        search(
            portal.client,
            "contacts",
            filters=[("email", "HAS_PROPERTY")],
            any_of=[[("email", "EQ", one)], {"filters": [("email", "EQ", two)]}],
        )
        .frame()["id"]
        .to_list()
        == every["id"].to_list()[:2]
    )
    name = one.split("@")[0]
    assert search(portal.client, "contacts", query=name).total is None
    assert len(list(search(portal.client, "contacts", query=name))) >= 1


def test_one_property_is_a_name_and_not_its_letters(portal: Portal) -> None:
    frame = search(portal.client, "contacts", properties="email").frame()
    assert frame["email"].null_count() == 0
    assert pages(portal.client, "contacts", properties="email").frame().equals(frame)
    read = batch_read(portal.client, "contacts", frame["id"], properties="email")
    assert read["email"].equals(frame["email"])


FULL = [("email", "HAS_PROPERTY")] * 5


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"filters": [*FULL, FULL[0]]}, r"has 6 filters, .* past 10,000"),
        ({"any_of": [[FULL[0]]] * 6}, "at most 5 groups"),
        ({"any_of": [FULL, FULL, FULL, FULL[:1]]}, r"have 16 filters, .* takes 18"),
        ({"query": "x" * 3_001}, "3,001 characters"),
        ({"filters": [("email", "EQUALS", "x")]}, "has: 'EQUALS'. .* EQ, NEQ, LT"),
        (
            {"filters": [{"propertyName": "email", "operator": "eq", "value": "x"}]},
            "has: 'eq'",
        ),
        (
            {"filters": [{"propertyName": "email", "value": "x"}]},
            r"names no operator that HubSpot has\.",
        ),
        ({"filters": ["email"]}, "A filter is"),
        ({"filters": [("email",)]}, "A filter is"),
        ({"filters": [("email", "IN", "a@example.com")]}, "one list of values"),
        ({"filters": [("email", "EQ", object())]}, "no property holds"),
        ({"filters": [("createdate", "GT", datetime(2026, 1, 1))]}, "no time zone"),  # noqa: DTZ001
    ],
)
def test_what_hubspot_has_no_room_for_is_refused_before_anything_is_sent(
    portal: Portal, asked: dict[str, Any], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        search(portal.client, "contacts", **asked)
    assert portal.calls() == []


def test_what_just_has_room_is_sent(portal: Portal) -> None:
    portal.wire.most = 100
    for groups in ([FULL, FULL, FULL[:2], FULL[:1], FULL[:0]], [FULL, FULL, FULL]):
        found = search(portal.client, "contacts", any_of=groups)
        assert len(list(found)) == 250


def test_version_3_is_searched_where_a_portal_lacks_the_dated_one(portal: Portal) -> None:
    portal.sandbox.faults.add(Fault(kind="status", status=404, path="/crm/objects/2026-09"))
    assert len(list(search(portal.client, "contacts"))) == 250
    assert [one.path for one in portal.calls()] == [SEARCH, f"{V3}/search", f"{V3}/search"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"total": 2, "results": [{"id": "2"}, {"id": "1"}]}, "another order"),
        ({"total": 2, "results": [{"id": "2"}, {"id": "2"}]}, "another order"),
        ({"total": 2, "results": []}, "gave none"),
        ({"total": 1, "results": [{"id": "x"}]}, "without an id"),
    ],
)
def test_a_search_that_could_miss_something_is_an_error(
    tmp_path: Path, content: object, said: str
) -> None:
    answer = Answer(body=json.dumps(content).encode())
    with (
        listening(lambda _: answer) as server,
        lone_client(tmp_path, url=server.url) as client,
        pytest.raises(UnusableAnswer, match=said),
    ):
        list(search(client, "contacts"))


def test_a_search_that_broke_goes_on_behind_its_last_id(portal: Portal) -> None:
    portal.sandbox.faults.add(Fault(kind="status", status=401, after=2))
    portal.wire.most = 60
    found = search(portal.client, "contacts")
    with pytest.raises(TokenRejected, match=r"120 came before that, in order\."):
        found.frame()
    portal.sandbox.faults.clear()
    rest = search(portal.client, "contacts", filters=[("hs_object_id", "GT", found.after)])
    ids = [*found.so_far()["id"], *(one["id"] for one in rest)]
    assert ids == portal.ids()


def test_what_hubspot_refuses_is_its_own_error(portal: Portal) -> None:
    with pytest.raises(HsAgencyError, match="400"):
        list(search(portal.client, "contacts", filters=[("no_such", "HAS_PROPERTY")]))
