"""The same as methods of a portal client, on the whole path of a call."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hsagency import objects
from hsagency.client import PortalClient
from hsagency.errors import CallRefused
from hsagency.hubspot_errors import InvalidRequest
from hsagency.objects.calling import ObjectCalls
from hsagency.sandbox import Fault
from tests.support import Connected, connected, records

METHODS = [name for name in vars(ObjectCalls) if not name.startswith("_")]
# How a function is driven, which the client knows by itself.
DRIVEN = {"sender", "progress", "waits"}


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Connected]:
    with connected(tmp_path / "agency", contacts=230) as made:
        yield made


@pytest.fixture
def client(here: Connected) -> PortalClient:
    return here.agency.client(here.slugs[0], purpose="spring clean")


def test_every_function_is_a_method() -> None:
    functions = [name for name in objects.__all__ if name.islower()]
    assert sorted(METHODS) == sorted(functions)


@pytest.mark.parametrize("name", METHODS)
def test_a_method_takes_what_its_function_takes(name: str) -> None:
    given = inspect.signature(getattr(PortalClient, name)).parameters
    taken = inspect.signature(getattr(objects, name)).parameters
    assert set(given) - {"self"} == set(taken) - DRIVEN
    for one in set(given) - {"self"}:
        assert given[one].default == taken[one].default
        assert given[one].kind == taken[one].kind


def test_records_go_round(client: PortalClient) -> None:
    every = client.pages("contacts", properties=["email"]).frame()
    assert every.height == 230
    found = client.search("contacts", filters=[("email", "HAS_PROPERTY")], properties=["email"])
    assert found.frame().equals(every)
    read = client.batch_read("contacts", every["id"], properties=["email"])
    assert read["email"].equals(every["email"])
    made = client.create_once("contacts", {"email": "new@example.com"})
    assert made.how == "created"
    assert client.create_once("contacts", {"email": "new@example.com"}).id == made.id
    rows = [{"email": "new@example.com", "city": "Ulm"}, {"email": "b@example.com"}]
    assert client.batch_upsert("contacts", rows, unique="email")["new"].to_list() == [False, True]
    changed = client.batch_update("contacts", [{"id": made.id, "city": "Bonn"}])
    assert changed["outcome"].to_list() == ["done"]
    firm = client.batch_create("companies", [{"name": "Firm"}])["id"][0]
    assert (
        client.batch_associate("contacts", "companies", [(made.id, firm)])["outcome"][0] == "done"
    )
    links = client.batch_associated("contacts", "companies", [made.id])
    assert firm in links["to_id"].to_list()
    assert client.batch_archive("contacts", [made.id])["outcome"].to_list() == ["done"]


def test_each_call_is_on_record_and_no_value_is(here: Connected, client: PortalClient) -> None:
    client.create_once("contacts", {"email": "ada.secret@example.com"})
    list(client.search("contacts", query="ada.secret"))
    said = records(here.agency.workspace.root, here.slugs[0])
    assert "ada.secret" not in str(said)
    routes = [one.get("path") for one in said if one.get("purpose") == "spring clean"]
    assert "/crm/objects/2026-09/contacts/batch/read" in routes
    assert "/crm/objects/2026-09/contacts/search" in routes


def test_a_client_that_raises_reads_and_fails_alike(here: Connected) -> None:
    fault = Fault(kind="status", status=400, path="/crm/objects/2026-09/contacts", after=1)
    here.sandbox.faults.add(fault)
    with here.agency.router.client(here.slugs[0], purpose="x", raising=True) as client:
        with pytest.raises(InvalidRequest, match="100 came before that"):
            list(client.pages("contacts"))
        frame = client.batch_create("contacts", [{"email": "x@example.com"}])
        assert frame["outcome"].to_list() == ["failed"]


def test_a_halt_ends_a_read_with_what_came(here: Connected, client: PortalClient) -> None:
    found = client.pages("contacts")
    came = iter(found)
    next(came)
    here.agency.halt.set("a drill.", at=datetime(2026, 11, 20, tzinfo=UTC))
    with pytest.raises(CallRefused, match="100 came before that"):
        list(came)


def test_a_client_needs_no_polars_until_it_reads_many() -> None:
    code = "import sys, hsagency.client; print('polars' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "False\n"
