"""Associations in bulk: a thousand read at once, two thousand made (F68)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hsagency.errors import HsAgencyError, UnusableAnswer, UsageError
from hsagency.objects import batch_associate, batch_associated
from hsagency.sandbox import Fault
from tests.objects.conftest import Open, Portal
from tests.support import Answer, Seen, listening, lone_client

LINKS = "/crm/associations/2026-09/contacts/companies"


def company(portal: Portal) -> str:
    found = portal.client.post(
        "/crm/v3/objects/companies", json={"properties": {"name": "Linked"}}
    ).json()
    return str(found["id"])


def test_two_thousand_links_are_one_call_and_a_thousand_records_read(opened: Open) -> None:
    portal = opened(2_050)
    ids, other = portal.ids(), company(portal)
    portal.calls()
    frame = batch_associate(portal.client, "contacts", "companies", [(id_, other) for id_ in ids])
    assert frame["outcome"].to_list() == ["done"] * 2_050
    assert frame["id"].to_list() == ids
    assert [one.path for one in portal.calls()] == [f"{LINKS}/batch/associate/default"] * 2
    links = batch_associated(portal.client, "contacts", "companies", [*ids, ids[0], "999999"])
    assert len(portal.calls()) == 3
    assert links.columns == ["id", "to_id", "type_id", "category", "label"]
    ours = links.filter(to_id=other)
    assert sorted(ours["id"].unique()) == sorted(ids)


def test_a_record_with_many_links_is_asked_for_until_all_came(opened: Open) -> None:
    portal = opened(1_201)
    ids, other = portal.ids(), company(portal)
    batch_associate(portal.client, "companies", "contacts", [(other, id_) for id_ in ids])
    portal.calls()
    links = batch_associated(portal.client, "companies", "contacts", [other])
    assert sorted(links["to_id"].unique()) == sorted(ids)
    assert links.is_unique().all()
    assert len(portal.calls()) == 3


def test_links_with_a_label_name_its_type(portal: Portal) -> None:
    ids, other = portal.ids()[:3], company(portal)
    frame = batch_associate(portal.client, "0-1", "0-2", [(id_, other) for id_ in ids], type_id=1)
    assert frame["outcome"].to_list() == ["done"] * 3
    links = batch_associated(portal.client, "0-1", "0-2", ids).filter(to_id=other)
    assert set(links["type_id"]) == {1, 279}


def test_pairs_that_cannot_be_linked_are_told(portal: Portal) -> None:
    ids, other = portal.ids()[:2], company(portal)
    pairs = [(ids[0], other), (ids[1], "999999"), ("999999", other)]
    frame = batch_associate(portal.client, "contacts", "companies", pairs)
    assert frame["outcome"].to_list() == ["done", "failed", "failed"]
    assert frame["category"].null_count() == 1


def test_a_link_may_be_sent_again(portal: Portal) -> None:
    pair = (portal.ids()[0], company(portal))
    for _ in range(2):
        frame = batch_associate(portal.client, "contacts", "companies", [pair])
        assert frame["outcome"].to_list() == ["done"]


def test_nothing_linked_is_no_line(portal: Portal) -> None:
    links = batch_associated(portal.client, "companies", "contacts", [company(portal)])
    assert links.height == 0
    assert links.width == 5


def test_version_4_is_used_where_a_portal_lacks_the_dated_one(portal: Portal) -> None:
    portal.sandbox.faults.add(Fault(kind="status", status=404, path="/crm/associations/2026-09"))
    pair = (portal.ids()[0], company(portal))
    portal.calls()
    assert batch_associate(portal.client, "contacts", "companies", [pair])["outcome"][0] == "done"
    assert [one.path for one in portal.calls()] == [
        f"{LINKS}/batch/associate/default",
        "/crm/v4/associations/contacts/companies/batch/associate/default",
    ]


def test_a_read_that_fails_is_an_error_and_no_shorter_frame(portal: Portal) -> None:
    portal.sandbox.faults.add(Fault(kind="status", status=403, path=LINKS))
    with pytest.raises(HsAgencyError, match="403"):
        batch_associated(portal.client, "contacts", "companies", portal.ids())


def test_an_id_that_is_none_is_an_error_and_no_shorter_frame(portal: Portal) -> None:
    with pytest.raises(UnusableAnswer, match=r"\(INVALID_IDENTIFIER\)"):
        batch_associated(portal.client, "contacts", "companies", [portal.ids()[0], "nonsense"])


def test_a_cursor_that_comes_again_is_an_error_and_no_loop(tmp_path: Path) -> None:
    def answer(_: Seen) -> Answer:
        one = {"from": {"id": "1"}, "to": [], "paging": {"next": {"after": "5"}}}
        return Answer(body=json.dumps({"results": [one]}).encode())

    with listening(answer) as server, lone_client(tmp_path, url=server.url) as client:
        with pytest.raises(UnusableAnswer, match="second time"):
            batch_associated(client, "companies", "contacts", ["1"])
        assert len(server.seen) == 2


def test_what_is_no_pair_is_refused_before_anything_is_sent(portal: Portal) -> None:
    for pair in ("12", ("1",), ("1", "2", "3")):
        with pytest.raises(UsageError, match="Pair 0"):
            batch_associate(portal.client, "contacts", "companies", [pair])
    assert portal.calls() == []
