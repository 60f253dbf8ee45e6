"""Pages: every result once, one call for each, and nothing lost where one of them fails."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest

from hsagency.client import PortalClient
from hsagency.errors import HsAgencyError, UnusableAnswer, UsageError
from hsagency.hubspot_errors import TokenRejected
from hsagency.objects import Results, pages
from hsagency.sandbox import Fault
from tests.objects.conftest import DATED, V3, Open, Portal
from tests.support import Answer, Seen, listening, lone_client

WIDE = [f"property_with_a_long_name_{number}" for number in range(900)]


class Once:
    """Sends each request one time alone."""

    def __init__(self, client: PortalClient) -> None:
        self._client = client

    def request(self, method: str, url: str, *, json: object = None) -> httpx.Response:
        return self._client.request(method, url, json=json, extensions={"retry": False})


def json_answer(content: object) -> Answer:
    return Answer(headers={"Content-Type": "application/json"}, body=json.dumps(content).encode())


@pytest.mark.parametrize(("contacts", "calls"), [(1, 1), (100, 1), (101, 2), (250, 3)])
def test_a_page_costs_one_call(opened: Open, contacts: int, calls: int) -> None:
    portal = opened(contacts)
    expected = portal.ids()
    found = pages(portal.client, DATED)
    assert [one["id"] for one in found] == expected
    assert len(portal.calls()) == found.calls == calls
    assert found.came == contacts


def test_pages_are_asked_for_when_they_are_needed(portal: Portal) -> None:
    found = iter(pages(portal.client, DATED))
    assert portal.calls() == []
    for _ in range(100):
        next(found)
    assert len(portal.calls()) == 1
    next(found)
    assert len(portal.calls()) == 1


def test_an_object_type_stands_for_its_dated_path(portal: Portal) -> None:
    assert len(list(pages(portal.client, "contacts"))) == 250
    assert {one.path for one in portal.calls()} == {DATED}
    assert len(list(pages(portal.client, "0-1"))) == 250


def test_version_3_is_asked_where_a_portal_lacks_the_dated_one(portal: Portal) -> None:
    portal.sandbox.faults.add(Fault(kind="status", status=404, path="/crm/objects/2026-09"))
    assert len(list(pages(portal.client, "contacts"))) == 250
    assert [one.path for one in portal.calls()] == [DATED, V3, V3, V3]


def test_what_is_in_neither_version_is_not_found(portal: Portal) -> None:
    portal.sandbox.faults.add(Fault(kind="status", status=404))
    with pytest.raises(HsAgencyError, match="404"):
        list(pages(portal.client, "contacts"))
    assert len(portal.calls()) == 2


@pytest.mark.parametrize(
    ("path", "limit"),
    [
        ("/crm/owners/2026-09", 3),
        ("/crm/v3/owners", 3),
        ("/crm/v4/objects/companies/101/associations/contacts", 2),
        ("/account-info/2026-09/activity/login", 5),
        ("/crm/properties/2026-09/contacts", None),
    ],
)
def test_whatever_has_results_has_pages(portal: Portal, path: str, limit: int | None) -> None:
    whole = list(pages(portal.client, path, limit=None if limit is None else 100))
    assert len(whole) > (limit or 0)
    assert list(pages(portal.client, path, limit=limit)) == whole
    frame = pages(portal.client, path, limit=limit).frame()
    assert frame.height == len(whole)
    assert set(frame.dtypes) <= {pl.String()}


def test_members_of_a_list_come_with_their_total(portal: Portal) -> None:
    made = portal.client.post(
        "/crm/v3/lists",
        json={"name": "All", "objectTypeId": "0-1", "processingType": "MANUAL"},
    ).json()
    path = f"/crm/lists/2026-09/{made['list']['listId']}/memberships"
    portal.client.put(f"{path}/add", json=portal.ids())
    portal.calls()
    found = pages(portal.client, path)
    assert len(list(found)) == found.total == 250
    assert len(portal.calls()) == 3


def test_a_cursor_of_the_callers_is_where_it_begins(portal: Portal) -> None:
    ids = portal.ids()
    found = pages(portal.client, f"{DATED}?archived=false", params={"after": ids[99]})
    assert [one["id"] for one in found] == ids[100:]
    assert dict(portal.calls()[0].query)["archived"] == "false"


def test_an_address_in_an_answer_is_never_followed(tmp_path: Path) -> None:
    elsewhere = "https://evil.example/crm/v3/objects/contacts?after=2"

    def answer(seen: Seen) -> Answer:
        if "after=" in seen.path:
            return json_answer({"results": [{"id": "2"}]})
        return json_answer({"results": [{"id": "1"}], "paging": {"next": {"link": elsewhere}}})

    with listening(answer) as server, lone_client(tmp_path, url=server.url) as client:
        assert [one["id"] for one in pages(client, V3)] == ["1", "2"]
        assert [one.path for one in server.seen] == [
            f"{V3}?limit=100",
            f"{V3}?limit=100&after=2",
        ]


def test_a_cursor_that_comes_a_second_time_is_an_error_and_no_loop(tmp_path: Path) -> None:
    cursors = {"": "a", "a": "b", "b": "a"}

    def answer(seen: Seen) -> Answer:
        after = httpx.URL(seen.path).params.get("after", "")
        paging = {"next": {"after": cursors[after]}}
        return json_answer({"results": [{"id": "1"}], "paging": paging})

    with listening(answer) as server, lone_client(tmp_path, url=server.url) as client:
        with pytest.raises(UnusableAnswer, match="3 came before that"):
            list(pages(client, V3))
        assert len(server.seen) == 3


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"results": [], "hasMore": True, "offset": 5}, "no cursor"),
        ({"results": [], "paging": {"next": {}}}, "no cursor"),
        ({"results": [], "paging": {"next": {"link": "https://x.example/"}}}, "no cursor"),
        ({"results": [], "paging": {"next": {"link": "http://[::1"}}}, "no cursor"),
        ({"lists": []}, "no list of results"),
        ({"results": [1]}, "no list of results"),
        ([], "no JSON object"),
    ],
)
def test_an_answer_that_would_lose_something_is_an_error(
    tmp_path: Path, content: object, said: str
) -> None:
    with (
        listening(lambda _: json_answer(content)) as server,
        lone_client(tmp_path, url=server.url) as client,
        pytest.raises(UnusableAnswer, match=said),
    ):
        list(pages(client, V3))


def test_a_401_in_the_middle_leaves_what_came_before(portal: Portal) -> None:
    """Airbyte #62467: a 401 in the middle of a long read loses the whole of it."""
    portal.sandbox.faults.add(Fault(kind="status", status=401, after=2))
    came: list[str] = []

    def read(found: Results) -> None:
        came.extend(one["id"] for one in found)

    found = pages(portal.client, DATED)
    with pytest.raises(TokenRejected, match="200 came before that") as raised:
        read(found)
    assert len(came) == found.came == 200
    assert raised.value.status_code == 401
    portal.sandbox.faults.clear()
    rest = pages(portal.client, DATED, params={"after": found.after})
    assert [*came, *(one["id"] for one in rest)] == portal.ids()


def test_what_is_lost_on_the_way_says_how_many_came_before(portal: Portal) -> None:
    portal.sandbox.faults.add(Fault(kind="drop_before", after=1))
    with pytest.raises(httpx.RemoteProtocolError) as raised:
        list(pages(Once(portal.client), DATED))
    said = " ".join([str(raised.value), *getattr(raised.value, "__notes__", [])])
    assert f"This was page 2 of {DATED}; 100 came before that, in order." in said


def test_a_frame_that_breaks_keeps_what_came(portal: Portal) -> None:
    portal.sandbox.faults.add(Fault(kind="status", status=401, after=1))
    found = pages(portal.client, DATED)
    with pytest.raises(TokenRejected):
        found.frame()
    assert found.so_far().height == 100


def test_530_is_a_malformed_token_and_not_tried_again(portal: Portal) -> None:
    portal.sandbox.faults.add(Fault(kind="status", status=530, form="html"))
    with pytest.raises(TokenRejected):
        list(pages(portal.client, DATED))
    assert len(portal.calls()) == 1


def test_a_429_without_retry_after_is_waited_out(portal: Portal) -> None:
    portal.sandbox.faults.add(
        Fault(kind="status", status=429, policy="SECONDLY", marker="none", times=1)
    )
    assert len(list(pages(portal.client, DATED))) == 250
    assert [one.status for one in portal.calls()] == [429, 200, 200, 200]


def test_900_properties_are_read_by_batch_instead_of_414(portal: Portal) -> None:
    """Airbyte #33976: 900 properties make the address too long."""
    found = pages(portal.client, "contacts", properties=[*WIDE, "email", "city"])
    whole = pages(portal.client, "contacts", properties=["email", "city"]).frame()
    portal.calls()
    frame = found.frame()
    assert frame.select("id", "email", "city").equals(whole.select("id", "email", "city"))
    assert frame.width == 4 + 902
    calls = [(one.method, one.status) for one in portal.calls()]
    assert calls == [("GET", 200), ("POST", 200)] * 3


def test_many_properties_come_with_their_history_and_of_nobody_too(portal: Portal) -> None:
    params = {"propertiesWithHistory": "email", "associations": None}
    found = list(pages(portal.client, DATED, properties=WIDE, params=params))
    assert len(found) == 250
    assert all(one["propertiesWithHistory"]["email"] for one in found)
    assert len(portal.calls()) == 10
    nobody = pages(portal.client, DATED, properties=WIDE, params={"archived": True})
    assert nobody.frame().width == 4 + len(WIDE)
    assert [one.method for one in portal.calls()] == ["GET"]


def test_a_parameter_with_several_values_is_repeated(tmp_path: Path) -> None:
    with (
        listening(lambda _: json_answer({"results": []})) as server,
        lone_client(tmp_path, url=server.url) as client,
    ):
        path = "/account-info/2026-09/activity/audit-logs"
        found = pages(client, path, params={"actingUserId": [1, 2], "limit": 7})
        assert list(found) == []
        assert [one.path for one in server.seen] == [
            f"{path}?actingUserId=1&actingUserId=2&limit=7"
        ]
        assert repr(found) == f"<Results of {path}>"


def test_a_record_that_is_archived_between_the_two_calls_of_a_page_is_gone(portal: Portal) -> None:
    ids = portal.ids()

    def archive() -> None:
        if len(portal.sandbox.ledger(portal.sandbox.portals[0].portal_id)) == before + 1:
            portal.wire.before.clear()
            portal.client.delete(f"{V3}/{ids[5]}")

    before = len(portal.sandbox.ledger(portal.sandbox.portals[0].portal_id))
    portal.wire.before.append(archive)
    found = [one["id"] for one in pages(portal.client, DATED, properties=WIDE)]
    assert found == [one for one in ids if one != ids[5]]


def by_batch(errors: object) -> Callable[[Seen], Answer]:
    """List two records, of which the batch gives one, and says this of the other."""

    def answer(seen: Seen) -> Answer:
        if seen.method == "GET":
            return json_answer({"results": [{"id": "1"}, {"id": "2"}]})
        content = {"status": "COMPLETE", "results": [{"id": "1"}], "errors": errors}
        return Answer(207, {"Content-Type": "application/json"}, json.dumps(content).encode())

    return answer


@pytest.mark.parametrize(
    ("errors", "said"),
    [
        ([{"category": "OBJECT_NOT_FOUND"}, {"category": "INTERNAL_ERROR"}], "INTERNAL_ERROR"),
        ([{"category": "jane@example.com"}], r"\?"),
        ([{"category": {}}, {"category": "FORBIDDEN"}], r"\?, FORBIDDEN"),
        (["nonsense"], r"\?"),
    ],
)
def test_a_record_that_the_batch_failed_to_read_is_an_error_and_no_shorter_page(
    tmp_path: Path, errors: object, said: str
) -> None:
    with (
        listening(by_batch(errors)) as server,
        lone_client(tmp_path, url=server.url) as client,
        pytest.raises(UnusableAnswer, match=rf"did not read some .* \({said}\).* page 1"),
    ):
        list(pages(client, V3, properties=WIDE))


@pytest.mark.parametrize("errors", [None, [], [{"category": "OBJECT_NOT_FOUND"}]])
def test_a_record_that_the_batch_says_is_gone_is_left_out(tmp_path: Path, errors: object) -> None:
    with (
        listening(by_batch(errors)) as server,
        lone_client(tmp_path, url=server.url) as client,
    ):
        assert [one["id"] for one in pages(client, V3, properties=WIDE)] == ["1"]


def test_what_is_too_long_elsewhere_is_refused_before_anything_is_sent(portal: Portal) -> None:
    with pytest.raises(UsageError, match="longer than HubSpot takes"):
        pages(portal.client, "/crm/v3/owners", params={"x": "y" * 15_000})
    with pytest.raises(UsageError, match="at least one"):
        pages(portal.client, DATED, limit=0)
    with pytest.raises(UsageError, match="object type"):
        pages(portal.client, "con/tacts")
    assert portal.calls() == []


def test_associations_cost_no_hidden_calls(portal: Portal) -> None:
    found = list(pages(portal.client, DATED, params={"associations": ["companies", "deals"]}))
    assert len(portal.calls()) == 3
    assert any("associations" in one for one in found)


def test_history_comes_fifty_records_at_a_time(portal: Portal) -> None:
    found = list(pages(portal.client, DATED, params={"propertiesWithHistory": ["email"]}))
    assert len(found) == 250
    assert len(portal.calls()) == 5


def test_the_columns_of_a_frame_are_those_asked_for(portal: Portal) -> None:
    names = ["email", "no_such_property", "createdate"]
    frame = pages(portal.client, DATED, properties=names).frame(dates=["createdate"])
    moment = pl.Datetime("ms", "UTC")
    schema: dict[str, Any] = {
        "id": pl.String(),
        "email": pl.String(),
        "no_such_property": pl.String(),
        "createdate": moment,
        "createdAt": moment,
        "updatedAt": moment,
        "archived": pl.Boolean(),
    }
    assert dict(frame.schema) == schema
    assert frame["no_such_property"].null_count() == frame.height == 250
    assert frame["createdate"].equals(frame["createdAt"].rename("createdate"))
    nobody = pages(portal.client, DATED, properties=names, params={"archived": True})
    assert dict(nobody.frame(dates=["createdate"]).schema) == schema
    assert nobody.came == 0
    assert frame["createdAt"].max() <= datetime(2026, 10, 14, 12, tzinfo=UTC)


def test_a_bar_shows_the_pages_after_the_first(portal: Portal) -> None:
    steps: list[int] = []

    @contextmanager
    def shown(what: str, total: int) -> Any:
        assert what == f"records of {DATED}"
        assert total == 0
        yield steps.append

    assert len(list(pages(portal.client, DATED, progress=shown))) == 250
    assert steps == [100, 100, 50]
