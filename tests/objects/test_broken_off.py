"""Answers whose body breaks off: a read is read again, and what still fails says where it was."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from hsagency.errors import HsAgencyError, UnusableAnswer
from hsagency.objects import batch_associated, batch_create, batch_read, pages, search
from hsagency.sandbox import Fault
from tests.objects.conftest import DATED, Portal
from tests.objects.test_pages import Once
from tests.support import Answer, listening, lone_client

NAMED = r"^acme-corp \(acme-corp, portal 12345678\):"
BROKEN = ["truncated", "empty", "malformed"]


@pytest.mark.parametrize("kind", BROKEN)
def test_a_page_that_broke_off_is_read_again(portal: Portal, kind: Any) -> None:
    portal.sandbox.faults.add(Fault(kind=kind, after=1, times=2, path=DATED))
    found = pages(portal.client, "contacts")
    assert found.frame().height == 250
    assert (found.calls, len(portal.calls())) == (3, 5)
    portal.sandbox.faults.add(Fault(kind=kind, after=1, times=2, path=DATED))
    assert search(portal.client, "contacts").frame().height == 250
    portal.sandbox.faults.add(Fault(kind=kind, times=2, path=DATED))
    ids = portal.ids()[:2]
    assert batch_read(portal.client, "contacts", ids)["outcome"].to_list() == ["done"] * 2


@pytest.mark.parametrize("kind", BROKEN)
def test_what_stays_broken_says_whose_it_is_and_what_came_before(portal: Portal, kind: Any) -> None:
    portal.sandbox.faults.add(Fault(kind=kind, after=1, path=DATED))
    found = pages(portal.client, "contacts")
    with pytest.raises((HsAgencyError, httpx.HTTPError)) as raised:
        found.frame()
    said = " ".join([str(raised.value), *getattr(raised.value, "__notes__", [])])
    assert f"This was page 2 of {DATED}; 100 came before that, in order." in said
    assert len(portal.calls()) == 1 + 3
    assert found.so_far().height == 100
    portal.sandbox.faults.clear()
    rest = pages(portal.client, "contacts", params={"after": found.after})
    assert [*found.so_far()["id"], *rest.frame()["id"]] == portal.ids()


def test_of_the_first_page_nothing_is_said_to_have_come_before(tmp_path: Path) -> None:
    with (
        listening(lambda _: Answer(body=b"[]")) as server,
        lone_client(tmp_path, url=server.url) as client,
    ):
        with pytest.raises(UnusableAnswer) as raised:
            list(pages(client, "contacts"))
        assert raised.value.client_slug == "acme-corp"
        assert str(raised.value).startswith(
            "acme-corp (acme-corp, portal 12345678): HubSpot answered 200 "
        )
        assert f"This was page 1 of {DATED}. " in str(raised.value)
        with pytest.raises(UnusableAnswer, match=f"{NAMED} HubSpot"):
            batch_associated(client, "contacts", "companies", ["1"])


def test_an_answer_that_makes_no_sense_names_the_portal(tmp_path: Path) -> None:
    content = {
        "total": 2,
        "results": [{"id": "2"}, {"id": "1"}],
        "errors": [{"category": "INVALID_AUTHENTICATION"}],
    }
    with (
        listening(lambda _: Answer(body=json.dumps(content).encode())) as server,
        lone_client(tmp_path, url=server.url) as client,
    ):
        with pytest.raises(UnusableAnswer, match=f"{NAMED} .* another order"):
            list(search(client, "contacts"))
        with pytest.raises(UnusableAnswer, match=f"{NAMED} .* did not read the links"):
            batch_associated(client, "contacts", "companies", ["1"])


def test_an_answer_that_never_came_is_not_asked_for_anew(portal: Portal) -> None:
    """Whoever repeats calls did that already."""
    portal.sandbox.faults.add(Fault(kind="drop_after", path=DATED))
    with pytest.raises(httpx.RemoteProtocolError):
        list(pages(Once(portal.client), "contacts"))
    assert len(portal.calls()) == 1


@pytest.mark.parametrize("kind", BROKEN)
def test_a_creation_whose_answer_broke_off_is_not_sent_again(portal: Portal, kind: Any) -> None:
    portal.sandbox.faults.add(Fault(kind=kind, path=DATED))
    frame = batch_create(portal.client, "contacts", [{"email": "a@example.com"}])
    assert frame["outcome"].to_list() == ["unknown"]
    assert len(portal.calls()) == 1
