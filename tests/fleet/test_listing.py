"""The table of portals: how each is doing, what it used, and what is not known of it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from hsagency.agency import Agency
from hsagency.errors import UnknownClient
from hsagency.fleet import PORTALS, slots
from hsagency.fleet.details import details
from hsagency.fleet.listing import listing
from hsagency.index import Snapshot
from hsagency.portals import (
    Cause,
    ClientSlug,
    Connection,
    ConnectionStatus,
    CredentialKind,
    Fact,
    Provenance,
    Tombstone,
)
from hsagency.progress import Step, silent
from hsagency.settings import Settings
from tests.support import Connected, authorised, connected, records

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Connected]:
    with connected(tmp_path / "agency", portals=2, contacts=1) as made:
        yield made


def change(agency: Agency, slug: str, **changes: Any) -> Connection:
    """Store a connection with other values, as an event of its life would."""

    def put(connections: dict[ClientSlug, Connection]) -> None:
        connections[ClientSlug(slug)] = replace(connections[ClientSlug(slug)], **changes)

    agency.index.write(put)
    return agency.connection(slug)


def bury(agency: Agency, slug: str, *, pending: bool) -> Tombstone:
    one = agency.connection(slug)
    tombstone = Tombstone(
        client_slug=one.client_slug,
        portal_id=one.portal_id,
        name=one.portal.name,
        connection_type=one.connection_type,
        kind=one.kind,
        generation=one.generation,
        fingerprint=one.fingerprint,
        api_base=one.api_base,
        added_at=one.added_at,
        removed_at=NOW,
        removed_by="ana",
        pending=one if pending else None,
    )
    agency.index.bury(tombstone, instead_of=one)
    return tombstone


def row(agency: Agency, slug: str) -> dict[str, Any]:
    return agency.portals().row(by_predicate=pl.col("client_slug") == slug, named=True)


def document(agency: Agency, slug: str) -> dict[str, Any]:
    return details(agency.workspace, agency.pacing, slug, now=NOW, activity=agency.activity)


def test_every_portal_is_a_row_of_documented_columns_sorted_by_slug(fleet: Connected) -> None:
    frame = fleet.agency.portals()
    assert frame.schema == PORTALS
    assert frame["client_slug"].to_list() == sorted(fleet.slugs)
    assert frame["status"].to_list() == ["connected"] * 2
    assert frame["next_step"].null_count() == 2


def test_a_workspace_without_portals_has_a_table_without_rows(tmp_path: Path) -> None:
    with Agency.create(tmp_path / "agency", store="age:credentials") as agency:
        assert agency.portals().schema == PORTALS
        assert agency.portals().height == 0


def test_what_nobody_told_is_null_and_never_zero(fleet: Connected) -> None:
    slug = fleet.slugs[0]
    change(fleet.agency, slug, facts={}, proof=None, verified_at=None)
    found = row(fleet.agency, slug)
    unknown = ("account_name", "tier", "tier_source", "daily_limit", "quota_left", "verified_at")
    assert {name: found[name] for name in unknown} == dict.fromkeys(unknown)


def test_the_quota_left_is_what_the_last_answer_told(fleet: Connected) -> None:
    agency, slug = fleet.agency, fleet.slugs[0]
    assert row(agency, slug)["quota_left"] is None
    agency.client(slug).get("/crm/objects/2026-09/contacts")
    told = agency.quota([slug]).row(0, named=True)
    assert row(agency, slug)["quota_left"] == told["remaining"] is not None


def test_the_calls_of_the_month_are_those_on_record(fleet: Connected) -> None:
    agency, slug = fleet.agency, fleet.slugs[0]
    before = row(agency, slug)["calls_this_month"]
    for _ in range(3):
        agency.client(slug).get("/crm/objects/2026-09/contacts")
    counted = row(agency, slug)["calls_this_month"]
    month = datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    assert counted == agency.calls(slug, since=month).collect().height > before


def test_a_portal_without_a_log_has_no_number_of_calls(fleet: Connected) -> None:
    agency, slug = fleet.agency, fleet.slugs[0]
    agency.close()
    shutil.rmtree(agency.workspace.audit / slug)
    with Agency.open(agency.workspace.root) as again:
        assert row(again, slug)["calls_this_month"] is None
        assert row(again, slug)["error"] is None


def test_a_log_that_cannot_be_read_is_null_and_said_and_hides_no_other(fleet: Connected) -> None:
    agency, (slug, other) = fleet.agency, fleet.slugs
    agency.client(other).get("/crm/objects/2026-09/contacts")
    (segment, *_) = (agency.workspace.audit / slug / "journal").glob("*.jsonl")
    newer = b'{"schema":9,"event":"call.started","callId":"1","ts":"2026-11-20T12:00:00.000000Z"'
    with segment.open("ab") as file:
        file.write(newer + b',"clientSlug":"%s","hash":"0"}\n' % slug.encode())
    found = row(agency, slug)
    assert found["calls_this_month"] is None
    assert "schema 9" in found["error"]
    assert row(agency, other)["calls_this_month"] >= 1


def test_limits_that_cannot_be_read_are_said_and_hide_no_other(fleet: Connected) -> None:
    agency, (slug, other) = fleet.agency, fleet.slugs
    agency.client(other).get("/crm/objects/2026-09/contacts")
    with Agency.open(agency.workspace.root) as again:
        one = again.connection(slug)
        for path in (again.workspace.state / "pacing").glob(f"{one.portal_id}-*.pace"):
            path.unlink()
            path.mkdir()
        found = row(again, slug)
        assert found["quota_left"] is None
        assert found["error"].startswith("Its quota is not known: ")
        assert row(again, other)["quota_left"] is not None


def test_a_portal_that_is_not_let_in_says_why_and_what_to_do(fleet: Connected) -> None:
    slug = fleet.slugs[0]
    needs = ConnectionStatus.NEEDS_RECONNECTION
    change(fleet.agency, slug, status=needs, cause=Cause.REVOKED, status_evidence="401 at noon")
    found = row(fleet.agency, slug)
    assert (found["status"], found["cause"]) == ("needs_reconnection", "revoked")
    assert "401 at noon" in found["status_evidence"]
    assert found["next_step"].startswith("hsagency ")
    assert found["next_step"].endswith(slug)


def test_a_halted_fleet_is_halted_in_every_row(fleet: Connected) -> None:
    fleet.agency.halt.set("a portal answered as another", at=NOW)
    assert fleet.agency.portals()["status"].to_list() == ["halted"] * 2


@pytest.mark.parametrize(
    ("fact", "source"),
    [
        (Fact("starter", Provenance.DECLARED, NOW), "declared"),
        (Fact("starter", Provenance.INFERRED, NOW, "limits", "low"), "inferred, low confidence"),
    ],
)
def test_a_tier_says_how_it_is_known(fleet: Connected, fact: Fact, source: str) -> None:
    slug = fleet.slugs[0]
    change(fleet.agency, slug, facts={"tier": fact})
    assert row(fleet.agency, slug)["tier_source"] == source


@pytest.mark.parametrize(
    ("kind", "days", "hinted"),
    [
        (CredentialKind.PRIVATE_APP, 180, False),
        (CredentialKind.PRIVATE_APP, 181, True),
        (CredentialKind.SERVICE_KEY, 400, True),
        (CredentialKind.OAUTH, 400, False),
    ],
)
def test_an_old_static_credential_comes_with_a_hint(
    fleet: Connected, kind: CredentialKind, days: int, *, hinted: bool
) -> None:
    slug = fleet.slugs[0]
    change(fleet.agency, slug, kind=kind, last_rotated_at=NOW - timedelta(days=days, hours=3))
    agency = fleet.agency
    one = next(
        found
        for found in listing(agency.workspace, agency.pacing, now=NOW).portals
        if found.connection.client_slug == slug
    )
    assert one.age_days == days
    assert (one.row()["credential_hint"] is not None) is hinted


def test_a_credential_of_a_clock_ahead_is_no_days_old(fleet: Connected) -> None:
    slug = fleet.slugs[0]
    change(fleet.agency, slug, last_rotated_at=datetime.now(UTC) + timedelta(days=3))
    assert row(fleet.agency, slug)["credential_age_days"] == 0


def test_refreshing_verifies_every_portal_and_asks_its_usage(fleet: Connected) -> None:
    before = fleet.agency.portals()["verified_at"].to_list()
    steps: list[int] = []

    @contextmanager
    def counting(_: str, total: int) -> Iterator[Step]:
        yield lambda done, note="": steps.append(done)
        assert total == sum(steps)

    frame = fleet.agency.portals(refresh=True, progress=counting)
    assert all(now > then for now, then in zip(frame["verified_at"], before, strict=True))
    assert frame["error"].null_count() == frame["quota_left"].is_not_null().sum() == 2


def test_a_portal_that_is_refused_keeps_the_time_of_its_last_good_proof(fleet: Connected) -> None:
    slug = fleet.slugs[0]
    before = row(fleet.agency, slug)["verified_at"]
    fleet.sandbox.revoke(slug)
    after = fleet.agency.portals(refresh=True, progress=silent)
    assert (
        after.row(by_predicate=pl.col("client_slug") == slug, named=True)["verified_at"] == before
    )
    assert fleet.agency.connection(slug).proof is None
    assert document(fleet.agency, slug)["portal"]["verifiedAt"] is not None


def test_a_portal_that_cannot_be_refreshed_is_a_row_that_says_so(fleet: Connected) -> None:
    dead, other = fleet.slugs
    fleet.sandbox.revoke(dead)
    frame = fleet.agency.portals(refresh=True, progress=silent)
    failed = dict(frame.select("client_slug", "error").iter_rows())
    assert failed[dead] is not None
    assert failed[other] is None


def test_the_table_needs_no_secret_and_writes_no_record(fleet: Connected) -> None:
    agency, slug = fleet.agency, fleet.slugs[0]
    agency.close()
    shutil.rmtree(agency.workspace.root / "credentials")
    before = records(agency.workspace.root, slug)
    with Agency.open(agency.workspace.root) as again:
        assert again.portals()["calls_this_month"].null_count() == 0
    assert records(agency.workspace.root, slug) == before


def test_an_oauth_connection_is_a_row_like_any_other(tmp_path: Path) -> None:
    with authorised(tmp_path / "agency", portals=1, contacts=1) as made:
        found = made.agency.portals(refresh=True, progress=silent).row(0, named=True)
    assert (found["kind"], found["status"], found["error"]) == ("oauth", "connected", None)
    assert found["credential_hint"] is None


def sized(size: object) -> Settings:
    said = {"schema": 1, "workspace": "w", "store": "age:x", "fleet": {"size": size}}
    return Settings.model_validate(said)


def test_slots_are_used_by_what_is_connected(fleet: Connected) -> None:
    snapshot = fleet.agency.index.read()
    found = slots(sized(3), snapshot)
    assert (found.used, found.size, found.free) == (2, 3, 1)
    assert slots(sized(1), snapshot).free == 0
    assert slots(sized("unlimited"), snapshot).free is None
    assert slots(sized(10), Snapshot(0, {}, {})).free == 10


@pytest.mark.parametrize("pending", [False, True])
def test_a_removal_gives_its_slot_back_at_once(fleet: Connected, *, pending: bool) -> None:
    bury(fleet.agency, fleet.slugs[0], pending=pending)
    assert slots(sized(2), fleet.agency.index.read()).free == 1
    assert fleet.agency.portals()["client_slug"].to_list() == fleet.slugs[1:]


def test_everything_known_of_a_portal_is_one_document(fleet: Connected) -> None:
    agency, slug = fleet.agency, fleet.slugs[0]
    made = agency.workspace.reports / slug / "2026-10" / "quota.html"
    made.parent.mkdir(parents=True)
    made.write_text("a report")
    found = document(agency, slug)
    assert found["portal"]["clientSlug"] == slug
    assert found["health"]["status"] == "connected"
    assert found["may"]["title"] == "Config + Audit"
    assert found["scopes"]["missing"] == []
    assert all(one["name"] for one in found["scopes"]["held"])
    assert [one["path"] for one in found["outputs"]] == [f"reports/{slug}/2026-10/quota.html"]
    assert found["activity"][-1]["event"] == "connection.added"
    assert found["auditLog"]["segments"] >= 1
    assert (found["removed"], found["errors"]) == (None, [])


def test_looking_at_the_activity_of_a_portal_is_on_record(fleet: Connected) -> None:
    agency, slug = fleet.agency, fleet.slugs[0]
    before = document(agency, slug)["activity"]
    assert document(agency, slug)["activity"] == before  # which shows what happened, not who looked
    agency.close()
    assert records(agency.workspace.root, slug)[-1]["event"] == "audit.read"


def test_scopes_are_shown_with_what_they_are_for(fleet: Connected) -> None:
    slug = fleet.slugs[0]
    held = Fact(("oauth", "crm.export"), Provenance.FETCHED, NOW)
    change(fleet.agency, slug, facts={"scopes": held})
    found = document(fleet.agency, slug)["scopes"]
    why = {one["name"]: one["why"] for one in found["held"]}
    assert why["oauth"]
    assert why["crm.export"] is None
    assert any(one["required"] and one["why"] for one in found["missing"])


def test_scopes_that_nobody_told_are_unknown_and_not_missing(fleet: Connected) -> None:
    change(fleet.agency, fleet.slugs[0], facts={})
    assert document(fleet.agency, fleet.slugs[0])["scopes"] is None


@pytest.mark.parametrize("pending", [False, True])
def test_a_removed_client_says_what_is_kept_and_since_when(
    fleet: Connected, *, pending: bool
) -> None:
    slug = fleet.slugs[0]
    bury(fleet.agency, slug, pending=pending)
    found = document(fleet.agency, slug)
    assert found["portal"] is None
    assert found["removed"]["removedAt"] == "2026-11-20T12:00:00.000000Z"
    assert found["removed"]["nextStep"] == (f"hsagency remove {slug}" if pending else None)
    assert found["auditLog"]["segments"] >= 1
    assert found["activity"]


def test_a_client_that_never_was_is_named_as_such(fleet: Connected) -> None:
    with pytest.raises(UnknownClient, match="never-was"):
        document(fleet.agency, "never-was")
