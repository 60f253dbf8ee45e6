"""Creating once: looks first, never creates twice, and says how the record came to be there."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from hsagency.errors import Cancelled, ClientClosed, UnusableAnswer, UsageError
from hsagency.hubspot_errors import AlreadyThere, InvalidRequest
from hsagency.objects import create_once
from hsagency.objects.asking import may_be_done
from hsagency.objects.creating import How
from hsagency.sandbox import Fault
from hsagency.transport.answer import OutcomeUnknown
from hsagency.waiting import Waits
from tests.objects.conftest import DATED, V3, Portal

ADA = {"email": "ada@example.com", "city": "Ulm"}
LOST = ["drop_after", "reset_after", "truncated", "empty", "malformed"]


def answered(status: int) -> httpx.HTTPStatusError:
    request = httpx.Request("POST", "https://api.hubapi.com/")
    return httpx.HTTPStatusError("x", request=request, response=httpx.Response(status))


def creates(portal: Portal) -> int:
    return sum(one.method == "POST" and one.path in (DATED, V3) for one in portal.calls())


def count(portal: Portal) -> int:
    return len(portal.ids())


def test_a_record_is_created_once_and_found_then(portal: Portal) -> None:
    first = create_once(portal.client, "contacts", ADA, waits=portal.waits)
    second = create_once(portal.client, "contacts", ADA | {"city": "Bonn"}, waits=portal.waits)
    assert (first.how, second.how) == ("created", "found")
    assert first.id == second.id
    assert second.record["properties"]["city"] == "Ulm"
    assert repr(second) == f"<Made {first.id}: found>"
    calls = portal.calls()
    assert [one.path for one in calls] == [
        f"{DATED}/batch/read",
        DATED,
        f"{DATED}/batch/read",
    ]
    assert not any(one.query for one in calls)  # no address in an address
    assert portal.waits.seconds == []


@pytest.mark.parametrize("kind", LOST)
def test_a_creation_whose_answer_was_lost_is_found_and_not_repeated(
    portal: Portal, kind: Any
) -> None:
    portal.sandbox.faults.add(Fault(kind=kind, route="POST /crm/objects/{type}"))
    made = create_once(portal.client, "contacts", ADA, waits=portal.waits)
    assert made.how is How.ANSWER_LOST
    assert creates(portal) == 1
    assert count(portal) == 251


@pytest.mark.parametrize("status", [500, 502, 504, 524])
def test_an_outage_that_did_its_work_is_found_too(portal: Portal, status: int) -> None:
    portal.sandbox.faults.add(
        Fault(kind="status", status=status, effect=True, route="POST /crm/objects/{type}")
    )
    assert create_once(portal.client, "contacts", ADA, waits=portal.waits).how is How.ANSWER_LOST
    assert creates(portal) == 1


def test_it_looks_again_while_reads_lag_behind(portal: Portal) -> None:
    portal.sandbox.faults.add(Fault(kind="drop_after", route="POST /crm/objects/{type}"))
    portal.sandbox.faults.add(Fault(kind="lag", seconds=20, path=f"{DATED}/batch/read"))
    assert create_once(portal.client, "contacts", ADA, waits=portal.waits).how is How.ANSWER_LOST
    assert 10 < sum(portal.waits.seconds) <= 30
    assert creates(portal) == 1


@pytest.mark.parametrize("kind", ["drop_before", "reset_before"])
def test_what_is_never_seen_stays_unknown_and_is_said_so(portal: Portal, kind: Any) -> None:
    portal.sandbox.faults.add(Fault(kind=kind, route="POST /crm/objects/{type}"))
    with pytest.raises(
        OutcomeUnknown, match=r"not sent a second time\. Call create_once"
    ) as raised:
        create_once(portal.client, "contacts", ADA, waits=portal.waits)
    assert isinstance(raised.value, httpx.TransportError)
    assert (raised.value.method, raised.value.route) == ("POST", DATED)
    assert "ada" not in str(raised.value)
    assert sum(portal.waits.seconds) == 30
    assert creates(portal) == 1
    portal.sandbox.faults.clear()
    assert create_once(portal.client, "contacts", ADA, waits=portal.waits).how is How.CREATED


def test_whoever_was_quicker_is_found(portal: Portal) -> None:
    """The look comes before, and the 409 after somebody else's creation."""

    def quicker() -> None:
        if len(portal.calls()) == 1:
            portal.wire.before.clear()
            assert portal.client.post(V3, json={"properties": ADA}).status_code == 201

    portal.wire.before.append(quicker)
    portal.sandbox.faults.add(Fault(kind="lag", seconds=6, path=f"{DATED}/batch/read"))
    made = create_once(portal.client, "contacts", ADA, waits=portal.waits)
    assert made.how is How.FOUND
    assert portal.waits.seconds
    assert count(portal) == 251


def test_a_look_that_fails_is_followed_by_another(portal: Portal) -> None:
    portal.sandbox.faults.add(Fault(kind="drop_after", route="POST /crm/objects/{type}"))
    portal.sandbox.faults.add(
        Fault(kind="status", status=400, path=f"{DATED}/batch/read", after=1, times=2)
    )
    assert create_once(portal.client, "contacts", ADA, waits=portal.waits).how is How.ANSWER_LOST
    assert portal.waits.seconds == [0, 1, 2]
    assert creates(portal) == 1


def test_another_property_that_is_taken_is_no_find(portal: Portal) -> None:
    portal.sandbox.faults.add(Fault(kind="status", status=409, route="POST /crm/objects/{type}"))
    with pytest.raises(AlreadyThere):
        create_once(portal.client, "contacts", ADA, waits=portal.waits)
    assert creates(portal) == 1
    assert portal.waits.seconds == [0, 2]


def test_what_hubspot_refuses_is_refused_at_once(portal: Portal) -> None:
    with pytest.raises(InvalidRequest):
        create_once(portal.client, "contacts", ADA | {"no_such_property": "x"}, waits=portal.waits)
    assert creates(portal) == 1
    assert portal.waits.seconds == []


@pytest.mark.parametrize(
    ("error", "may"),
    [
        (httpx.ConnectError("x"), False),
        (httpx.ConnectTimeout("x"), False),
        (httpx.PoolTimeout("x"), False),
        (httpx.ProxyError("x"), False),
        (httpx.WriteTimeout("x"), True),
        (httpx.ReadTimeout("x"), True),
        (httpx.ReadError("x"), True),
        (httpx.RemoteProtocolError("x"), True),
        (UnusableAnswer("x"), True),
        (ClientClosed("x"), False),
        *((answered(status), False) for status in (400, 404, 409, 423, 429, 477, 530)),
        *((answered(status), True) for status in (408, 500, 502, 503, 504, 524)),
    ],
    ids=lambda one: getattr(getattr(one, "response", one), "status_code", type(one).__name__),
)
def test_only_what_hubspot_may_have_read_may_be_done(error: Exception, may: bool) -> None:  # noqa: FBT001
    assert may_be_done(error) is may


def test_looking_can_be_cancelled(portal: Portal) -> None:
    import threading

    portal.sandbox.faults.add(Fault(kind="drop_before", route="POST /crm/objects/{type}"))
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(Cancelled, match="may have been created"):
        create_once(portal.client, "contacts", ADA, waits=Waits(cancel=cancel))
    assert creates(portal) == 1


@pytest.mark.parametrize("given", [{}, {"email": None}, {"email": " "}, {"email": object()}])
def test_without_anything_to_look_for_nothing_is_sent(portal: Portal, given: Any) -> None:
    with pytest.raises(UsageError, match="nothing was sent"):
        create_once(portal.client, "contacts", {"city": "Ulm"} | given)
    assert portal.calls() == []


def test_of_what_is_no_contact_the_unique_property_is_named(portal: Portal) -> None:
    with pytest.raises(UsageError, match="Name a unique property of deals: unique="):
        create_once(portal.client, "deals", {"dealname": "One"})
    assert portal.calls() == []
    made = create_once(portal.client, "0-1", ADA, waits=portal.waits)
    assert create_once(portal.client, "contacts", ADA, unique="email").id == made.id


def test_version_3_is_used_where_a_portal_lacks_the_dated_one(portal: Portal) -> None:
    portal.sandbox.faults.add(Fault(kind="status", status=404, path="/crm/objects/2026-09"))
    assert create_once(portal.client, "contacts", ADA, waits=portal.waits).how is How.CREATED
    assert [one.path for one in portal.calls()] == [f"{DATED}/batch/read", f"{V3}/batch/read", V3]


def test_a_new_record_may_come_with_associations(portal: Portal) -> None:
    company = portal.client.get("/crm/v3/objects/companies?limit=1").json()["results"][0]["id"]
    link = {
        "to": {"id": company},
        "types": [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 279}],
    }
    made = create_once(portal.client, "contacts", ADA, associations=[link], waits=portal.waits)
    shown = portal.client.get(f"{V3}/{made.id}?associations=companies").json()
    assert shown["associations"]["companies"]["results"][0]["id"] == company
