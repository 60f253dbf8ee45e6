"""Reads that lag behind writes: what they do not see yet, and what they see at once (facts 4.3)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from hsagency.sandbox import Fault, Sandbox
from tests.sandbox.asking import Asking

LINKS = "/crm/v4/objects/contacts/101/associations/deals"
FIRST_FORM = "/marketing/v3/forms?limit=1"
STATUSES = "/communication-preferences/v4/statuses/ann@example.com?channel=EMAIL"


@pytest.fixture
def ask(sandbox: Sandbox) -> Asking:
    """Ask with reads that lag by half a minute."""
    sandbox.clock.advance(3600)
    sandbox.faults.add(Fault(kind="lag", seconds=30, method="GET"))
    sandbox.faults.add(Fault(kind="lag", seconds=30, path="/crm/v4/associations/", method="POST"))
    return Asking(sandbox)


def read(ask: Asking, target: str) -> Any:
    status, content = ask("GET", target)
    assert status == 200, content
    return content


def linked(ask: Asking) -> set[int]:
    return {one["toObjectId"] for one in read(ask, LINKS)["results"]}


def shown(ask: Asking) -> set[str]:
    """Return the same links as a read of the record shows them."""
    record = read(ask, "/crm/v3/objects/contacts/101?associations=deals")
    found = record.get("associations", {}).get("deals", {"results": []})
    return {one["id"] for one in found["results"]}


def batch(ask: Asking) -> set[int]:
    body = {"inputs": [{"id": "101"}]}
    status, content = ask("POST", "/crm/v4/associations/contacts/deals/batch/read", body)
    assert status in (200, 207)
    return {to["toObjectId"] for one in content["results"] for to in one["to"]}


def test_a_new_link_is_seen_late_from_both_sides_and_in_every_kind_of_read(ask: Asking) -> None:
    """Facts 4.3; that links lag is an assumption."""
    (_, deal) = ask("POST", "/crm/v3/objects/deals", {"properties": {"dealname": "Late"}})
    id_, before = int(deal["id"]), linked(ask)
    back = f"/crm/v4/objects/deals/{id_}/associations/contacts"
    ask.sandbox.clock.advance(60)
    ask("PUT", f"/crm/v4/objects/contacts/101/associations/default/deals/{id_}")
    assert linked(ask) == batch(ask) == before
    assert id_ not in {int(one) for one in shown(ask)}
    assert read(ask, back)["results"] == []
    ask.sandbox.clock.advance(31)
    assert linked(ask) == batch(ask) == {int(one) for one in shown(ask)} == {*before, id_}
    assert [one["toObjectId"] for one in read(ask, back)["results"]] == [101]


def test_a_link_that_was_there_is_seen_though_it_is_made_again(ask: Asking) -> None:
    before = linked(ask)
    for id_ in before:
        ask("PUT", f"/crm/v4/objects/contacts/101/associations/default/deals/{id_}")
    assert before
    assert linked(ask) == before


def test_a_link_that_is_made_with_a_new_record_is_seen_as_late_as_the_record(ask: Asking) -> None:
    before = linked(ask)
    types = [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 3}]
    body = {"properties": {}, "associations": [{"to": {"id": "101"}, "types": types}]}
    status, deal = ask("POST", "/crm/v3/objects/deals", body)
    assert (status, linked(ask)) == (201, before)
    ask.sandbox.clock.advance(31)
    assert linked(ask) == {*before, int(deal["id"])}


def unlink(ask: Asking) -> Callable[[], object]:
    one = min(linked(ask))
    ask("DELETE", f"{LINKS}/{one}")
    return lambda: one in linked(ask)


def group(ask: Asking) -> Callable[[], object]:
    path = "/crm/v3/properties/contacts/groups"
    ask("POST", path, {"name": "late", "label": "Late", "displayOrder": 1})
    return lambda: "late" not in {one["name"] for one in read(ask, path)["results"]}


def form(ask: Asking) -> Callable[[], object]:
    (first,) = read(ask, FIRST_FORM)["results"]
    ask("PATCH", f"/marketing/v3/forms/{first['id']}", {"name": "Late"})
    return lambda: read(ask, FIRST_FORM)["results"][0]["name"] != "Late"


def preference(ask: Asking) -> Callable[[], object]:
    path = STATUSES.partition("?")[0]
    before = read(ask, STATUSES)
    body = {
        "channel": "EMAIL",
        "statusState": "UNSUBSCRIBED",
        "subscriptionId": before["results"][0]["subscriptionId"],
    }
    assert ask("POST", path, body)[0] == 200
    return lambda: read(ask, STATUSES) == before


def member(ask: Asking) -> Callable[[], object]:
    body = {"name": "Late", "objectTypeId": "0-1", "processingType": "MANUAL"}
    path = f"/crm/v3/lists/{ask('POST', '/crm/v3/lists', body)[1]['list']['listId']}/memberships"
    ask("PUT", f"{path}/add", ["101"])
    ask.sandbox.clock.advance(60)
    assert len(read(ask, path)["results"]) == 1
    ask("PUT", f"{path}/remove", ["101"])
    return lambda: len(read(ask, path)["results"]) == 1


@pytest.mark.parametrize("written", [unlink, group, form, preference, member])
def test_some_writes_are_seen_at_once(
    ask: Asking, written: Callable[[Asking], Callable[[], object]]
) -> None:
    """A simplification, which the words on `Fault` name."""
    lags = written(ask)
    assert not lags()
