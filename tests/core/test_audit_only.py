"""An audit_only portal sees no write, whatever is tried; its calls on record prove it."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

import httpx
import polars as pl
import pytest

from hsagency.agency import Agency
from hsagency.client import PortalClient
from hsagency.errors import CallRefused, HsAgencyError
from hsagency.portals import ClientSlug, ConnectionType
from hsagency.routes import OperationClass, rows, touched
from hsagency.sandbox import Fault, Sandbox
from tests.core.conftest import Child
from tests.support import Connected

CONTACTS = "/crm/objects/2026-09/contacts"
SEARCH = f"{CONTACTS}/search"
VALUES: Final = {
    "{type}": "contacts",
    "{other}": "deals",
    "{label}": "7",
    "{id}": "1",
    "{email}": "jane@example.com",
}
MEANT = {"purpose": "data fix", "allow_unclassified": True}
# Reads that HubSpot takes by POST, by the words of their paths: written down a second time.
READS_BY_POST = ("search", "read", "validate", "introspect", "access-token-info", "query")


def path_of(segments: tuple[str, ...]) -> str:
    return "/" + "/".join(VALUES.get(one, "x" if one.startswith("{") else one) for one in segments)


PATHS = sorted({path_of(segments) for _, segments in rows()})


@pytest.fixture
def slug(fleet: Connected) -> ClientSlug:
    slug = ClientSlug(fleet.slugs[0])
    become(fleet.agency, slug, ConnectionType.AUDIT_ONLY)
    return slug


def become(agency: Agency, slug: ClientSlug, connection_type: ConnectionType) -> None:
    generation = agency.connection(slug).generation
    agency.index.update(slug, generation=generation, connection_type=connection_type)


def writes(agency: Agency, slug: str) -> pl.DataFrame:
    """Return the calls that may have changed something: each that is no read and left."""
    sent = pl.col("outcome") != "refused"
    return agency.calls(slug).filter(pl.col("operation_class") != "read", sent).collect()


def refused(agency: Agency, slug: str) -> pl.DataFrame:
    return agency.calls(slug).filter(pl.col("outcome") == "refused").collect()


def assert_only_reads_arrived(sandbox: Sandbox, slug: str) -> None:
    """Look at what the portal itself received, which knows nothing of the route table."""
    entries = sandbox.ledger(slug)
    assert entries, "nothing arrived, so nothing is shown"
    posts = [one.path for one in entries if one.method not in ("GET", "HEAD")]
    assert not [one for one in posts if not set(READS_BY_POST) & set(one.split("/"))]


def state(sandbox: Sandbox, slug: str) -> object:
    """Return what a portal holds, as it tells it to somebody who may read."""
    with httpx.Client(transport=sandbox.transport(), base_url="https://api.hubapi.com") as other:
        other.headers["Authorization"] = f"Bearer {sandbox.portal(slug).token}"
        told = [
            other.get(path, params={"limit": 100, "archived": archived}).json()
            for path in (CONTACTS, "/crm/objects/2026-09/deals", "/crm/properties/2026-09/contacts")
            for archived in ("false", "true")
        ]
    return [one.get("results") for one in told]


def attempt(client: PortalClient, method: str, path: str, **more: object) -> bool:
    """Try a call; say whether it was refused here."""
    try:
        client.request(method, path, **more)  # type: ignore[arg-type]
    except CallRefused:
        return True
    return False


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_no_row_of_the_table_lets_a_write_through(
    fleet: Connected, slug: ClientSlug, method: str
) -> None:
    client = fleet.agency.client(slug)
    before = state(fleet.sandbox, slug)
    does = {path: touched(method, path).operation_class for path in PATHS}
    for path in PATHS:
        if does[path] is OperationClass.READ:
            continue
        assert attempt(client, method, path, json={"inputs": [{"id": "1"}]}), path
    tried = sum(one is not OperationClass.READ for one in does.values())
    assert refused(fleet.agency, slug).height == tried > 400
    assert writes(fleet.agency, slug).is_empty()
    assert state(fleet.sandbox, slug) == before
    assert_only_reads_arrived(fleet.sandbox, slug)


def test_every_row_that_is_no_read_is_tried() -> None:
    kinds = {does for does, _ in rows().values()}
    assert kinds == set(OperationClass) - {OperationClass.UNCLASSIFIED}
    for (method, segments), (does, _) in rows().items():
        if method != "GET":
            assert touched(method, path_of(segments)).operation_class is does, segments


def test_what_is_exported_by_a_get_is_refused_too(fleet: Connected, slug: ClientSlug) -> None:
    client = fleet.agency.client(slug)
    gets = [path for path in PATHS if touched("GET", path).operation_class is OperationClass.EXPORT]
    assert gets
    assert all(attempt(client, "GET", path) for path in gets)
    assert writes(fleet.agency, slug).is_empty()


def test_reads_by_post_are_reads(fleet: Connected, slug: ClientSlug) -> None:
    client = fleet.agency.client(slug)
    found = client.post(SEARCH, json={"limit": 1})
    assert found.status_code == 200
    ids = [{"id": one["id"]} for one in found.json()["results"]]
    assert client.post(f"{CONTACTS}/batch/read", json={"inputs": ids}).status_code == 200
    assert refused(fleet.agency, slug).is_empty()
    assert writes(fleet.agency, slug).is_empty()
    assert_only_reads_arrived(fleet.sandbox, slug)


@pytest.mark.parametrize(
    "name",
    ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "x-http-method-OVERRIDE"],
)
def test_a_read_that_asks_to_be_taken_for_a_write_is_refused(
    fleet: Connected, slug: ClientSlug, name: str
) -> None:
    client = fleet.agency.client(slug)
    for method, path in (("GET", f"{CONTACTS}/1"), ("POST", SEARCH)):
        assert attempt(client, method, path, headers={name: "DELETE"})
    assert refused(fleet.agency, slug).height == 2
    assert writes(fleet.agency, slug).is_empty()


@pytest.mark.parametrize(
    "path",
    [
        f"{CONTACTS}/batch/archive",
        f"{CONTACTS}/batch/upsert",
        f"{CONTACTS}/merge",
        f"{CONTACTS}/gdpr-delete",
        f"{CONTACTS}/batch/read/../archive",
        f"{CONTACTS}/batch%2Farchive",
        f"{CONTACTS}/search/",
        f"{CONTACTS}//search",
        f"{CONTACTS}/search;x",
        f"{CONTACTS.upper()}/SEARCH",
    ],
)
def test_a_delete_by_post_is_no_read_however_it_is_spelt(
    fleet: Connected, slug: ClientSlug, path: str
) -> None:
    client = fleet.agency.client(slug)
    before = state(fleet.sandbox, slug)
    with suppress(HsAgencyError):
        client.post(path, json={"inputs": [{"id": "1"}], "objectId": "1"}, extensions=MEANT)
    assert writes(fleet.agency, slug).is_empty()
    assert state(fleet.sandbox, slug) == before
    assert_only_reads_arrived(fleet.sandbox, slug)


@pytest.mark.parametrize("extensions", [{}, MEANT, {"allow_unclassified": True}])
def test_what_the_table_does_not_know_is_refused_even_where_it_is_meant(
    fleet: Connected, slug: ClientSlug, extensions: dict[str, object]
) -> None:
    client = fleet.agency.client(slug)
    for method in ("GET", "POST", "OPTIONS", "DELETE"):
        assert attempt(client, method, "/new/2026-09/thing", extensions=extensions)
    assert refused(fleet.agency, slug)["operation_class"].to_list() == ["unclassified"] * 4
    assert writes(fleet.agency, slug).is_empty()


def test_the_retries_of_a_read_are_reads(fleet: Connected, slug: ClientSlug) -> None:
    client = fleet.agency.client(slug)
    fleet.sandbox.faults.add(Fault("status", status=503, path=CONTACTS, times=1))
    assert client.post(SEARCH, json={"limit": 1}).status_code == 200
    calls = fleet.agency.calls(slug).filter(pl.col("path") == SEARCH).sort("attempt").collect()
    assert calls["attempt"].to_list() == [1, 2]
    assert calls["operation_class"].to_list() == ["read", "read"]
    assert writes(fleet.agency, slug).is_empty()


def test_a_write_that_left_would_show(fleet: Connected, slug: ClientSlug) -> None:
    become(fleet.agency, slug, ConnectionType.CONFIG_AND_AUDIT)
    client = fleet.agency.client(slug)
    client.post(CONTACTS, json={"properties": {"email": "a@example.com"}})
    fleet.sandbox.faults.add(Fault("drop_after", path=CONTACTS, method="PATCH"))
    with suppress(httpx.HTTPError, HsAgencyError):
        client.patch(f"{CONTACTS}/1", json={"properties": {}})
    shown = writes(fleet.agency, slug).select("method", "outcome").unique().sort("method").rows()
    assert shown == [("PATCH", "unknown"), ("POST", "ok")]


NARROW = """
import sys
from hsagency.agency import Agency
from hsagency.portals import ConnectionType
with Agency.open(sys.argv[1]) as agency:
    agency.index.update(sys.argv[2], generation=1, connection_type=ConnectionType.AUDIT_ONLY)
"""


def test_another_type_counts_at_the_next_call_of_a_running_client(
    fleet: Connected, slug: ClientSlug, child: Child
) -> None:
    become(fleet.agency, slug, ConnectionType.CONFIG_AND_AUDIT)
    client = fleet.agency.client(slug)
    new = {"properties": {"email": "a@example.com"}}
    assert client.post(CONTACTS, json=new).status_code == 201
    assert child(NARROW, fleet.agency.workspace.root, slug).returncode == 0
    with pytest.raises(CallRefused, match="an audit_only connection reads"):
        client.post(CONTACTS, json=new)
    assert client.get(CONTACTS).status_code == 200
    assert writes(fleet.agency, slug).height == 1
    become(fleet.agency, slug, ConnectionType.CONFIG_AND_AUDIT)
    assert client.post(CONTACTS, json={"properties": {}}).status_code == 201


def test_a_config_only_portal_shows_no_record_and_no_activity(
    fleet: Connected, slug: ClientSlug
) -> None:
    become(fleet.agency, slug, ConnectionType.CONFIG_ONLY)
    client = fleet.agency.client(slug)
    families = {path: touched("GET", path).family for path in PATHS}
    closed = [path for path, family in families.items() if family in ("records", "activity")]
    assert len(closed) > 50
    for path in closed:
        assert attempt(client, "GET", path), path
    for method in ("GET", "POST", "PATCH", "DELETE"):
        assert attempt(client, method, f"{CONTACTS}/1")
    assert attempt(client, "POST", SEARCH)
    assert client.get("/crm/properties/2026-09/contacts").status_code == 200
    arrived = {one.path for one in fleet.sandbox.ledger(slug)}
    assert not [one for one in arrived if one.startswith("/crm/objects") or "activity" in one]
    assert writes(fleet.agency, slug).is_empty()
