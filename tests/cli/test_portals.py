"""`hsagency portals`: the table, and everything known of one."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from hsagency.portals import Cause, ClientSlug, Connection, ConnectionStatus, Tombstone
from tests.cli.test_startup import loaded
from tests.commands import on_terminal, run_cli
from tests.fleets import Fleet
from tests.support import assert_no_tokens, authorised, tokens_of


def portals(fleet: Fleet, *args: str | Path) -> subprocess.CompletedProcess[str]:
    return run_cli(["portals", *args, "--workspace", fleet.root])


def said(fleet: Fleet, *args: str) -> dict[str, Any]:
    done = portals(fleet, *args, "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def slugs(fleet: Fleet, *args: str) -> list[str]:
    return [one["clientSlug"] for one in said(fleet, *args)["portals"]]


def change(fleet: Fleet, slug: str, **changes: Any) -> None:
    def put(connections: dict[ClientSlug, Connection]) -> None:
        connections[ClientSlug(slug)] = replace(connections[ClientSlug(slug)], **changes)

    fleet.agency.index.write(put)


def needs_reconnection(fleet: Fleet, slug: str) -> None:
    change(
        fleet,
        slug,
        status=ConnectionStatus.NEEDS_RECONNECTION,
        cause=Cause.REVOKED,
        status_evidence="401 at noon",
        proof=None,
    )


def test_the_table_is_one_document_with_the_slots(shared: Fleet) -> None:
    found = said(shared)
    assert [one["clientSlug"] for one in found["portals"]] == shared.agency.slugs()
    assert found["slots"] == {"used": 3, "size": None, "free": None}
    first = found["portals"][0]
    assert first["status"] == "connected"
    assert first["quotaLeft"] is None
    assert first["callsThisMonth"] == 0  # those of onboarding are in the log of the agency


def test_the_table_fits_a_terminal_of_a_hundred_columns(shared: Fleet) -> None:
    code, screen = on_terminal(["portals", "--workspace", shared.root])
    assert code == 0
    assert max(map(len, screen.splitlines())) <= 100
    heads = screen.splitlines()[0]
    for name in ("client slug", "account name", "portal id", "status", "quota", "calls"):
        assert name in heads
    assert "verified" in heads
    assert "Slots: 3 used; the fleet size is unlimited." in screen


def test_slots_are_told_against_the_size_of_the_fleet(full: Fleet) -> None:
    settings = full.root / "hsagency.toml"
    text = settings.read_text()
    section = "\n[fleet]\nsize = 3\n"
    assert "\n[fleet]" not in text
    settings.write_text(text + section)
    assert said(full)["slots"] == {"used": 3, "size": 3, "free": 0}
    assert "Slots: 3 of 3 used, 0 free." in portals(full).stderr


def test_a_portal_that_needs_something_says_what_below_the_table(full: Fleet) -> None:
    slug = full.agency.slugs()[0]
    needs_reconnection(full, slug)
    done = portals(full)
    assert "needs reconnection" in done.stdout
    assert "401 at noon" in done.stdout
    assert "  next: hsagency " in done.stdout
    assert done.returncode == 0


def test_the_table_can_be_filtered(full: Fleet) -> None:
    first, second, third = full.agency.slugs()
    needs_reconnection(full, second)
    assert slugs(full, "--status", "needs_reconnection") == [second]
    assert slugs(full, "--status", "connected") == [first, third]
    assert slugs(full, "--status", "connected", "--status", "needs_reconnection") == [
        first,
        second,
        third,
    ]
    assert slugs(full, "--type", "audit_only") == []
    kinds = {one["clientSlug"]: one["kind"] for one in said(full)["portals"]}
    of_first = [slug for slug, kind in kinds.items() if kind == kinds[first]]
    assert slugs(full, "--kind", kinds[first]) == of_first


def test_a_filter_that_nothing_passes_says_so(shared: Fleet) -> None:
    done = portals(shared, "--status", "suspended")
    assert (done.returncode, done.stdout) == (0, "")
    assert "None of 3 portals shown." in done.stderr


def test_the_table_can_be_sorted_by_any_column(shared: Fleet) -> None:
    ids = [one["portalId"] for one in said(shared, "--sort", "portal_id")["portals"]]
    assert ids == sorted(ids)
    falling = [one["portalId"] for one in said(shared, "--sort", "-portal_id")["portals"]]
    assert falling == ids[::-1]


def test_columns_can_be_chosen(shared: Fleet) -> None:
    done = portals(shared, "--columns", "client_slug,hublet")
    assert done.stdout.splitlines()[0].split("  ")[0] == "client slug"
    assert len(done.stdout.splitlines()[0].split()) == 3
    assert "status_evidence".replace("_", " ") in portals(shared, "--columns", "all").stdout


def test_a_narrow_terminal_keeps_what_people_look_for(shared: Fleet) -> None:
    code, screen = on_terminal(["portals", "--workspace", shared.root], columns=80)
    assert code == 0
    assert screen.split()[:7] == ["client", "slug", "portal", "id", "status", "quota", "calls"]
    assert "verified" in screen.splitlines()[0]
    assert max(map(len, screen.splitlines()[:-2])) <= 80


def test_columns_go_by_the_headings_of_the_table_and_the_names_of_json(shared: Fleet) -> None:
    done = portals(shared, "--columns", "slug,key age,calls,verifiedAt,Portal-ID")
    heads = done.stdout.splitlines()[0]
    assert re.split(" {2,}", heads) == [
        *("client slug", "credential age days", "calls this month", "verified at", "portal id"),
    ]
    assert slugs(shared, "--sort", "-calls")


def test_a_slip_in_a_column_is_answered_with_the_one_that_is_near(shared: Fleet) -> None:
    done = portals(shared, "--sort", "-verifid")
    assert done.returncode == 2
    assert "Did you mean verified" in done.stderr


def test_all_columns_are_a_block_for_each_portal_where_they_do_not_fit(shared: Fleet) -> None:
    args = ["portals", "--columns", "all", "--workspace", shared.root]
    code, screen = on_terminal(args, columns=100)
    assert code == 0
    blocks = screen.split("\r\n\r\n" if "\r\n\r\n" in screen else "\n\n")
    assert len(blocks) == 3
    for slug, block in zip(shared.agency.slugs(), blocks, strict=True):
        assert block.split()[:3] == ["client", "slug", slug]
        assert "config_and_audit" in block
        assert "…" not in block


@pytest.mark.parametrize("option", ["--sort", "--columns"])
def test_a_column_that_there_is_not_is_named_with_those_there_are(
    shared: Fleet, option: str
) -> None:
    done = portals(shared, option, "colour")
    assert done.returncode == 2
    assert "There is no column 'colour'." in done.stderr
    assert "client_slug" in done.stderr


def test_an_empty_workspace_says_how_to_connect_a_portal(empty: Fleet) -> None:
    done = portals(empty)
    assert (done.returncode, done.stdout) == (0, "")
    assert "hsagency connect" in done.stderr
    assert "hsagency onboard clients.csv" in done.stderr
    assert said(empty) == {
        "schema": 1,
        "portals": [],
        "removing": [],
        "slots": {"used": 0, "size": None, "free": None},
    }


def test_refreshing_asks_every_portal_and_names_those_that_failed(full: Fleet) -> None:
    dead, *others = full.agency.slugs()
    full.sandbox.revoke(dead)
    done = portals(full, "--refresh", "--json")
    assert done.returncode == 1
    rows = {one["clientSlug"]: one for one in json.loads(done.stdout)["portals"]}
    assert rows[dead]["error"]
    assert rows[dead]["status"] != "connected"
    assert [rows[slug]["error"] for slug in others] == [None, None]
    assert all(rows[slug]["quotaLeft"] is not None for slug in others)


def test_everything_known_of_one_portal_is_shown(shared: Fleet) -> None:
    slug = shared.agency.slugs()[0]
    done = portals(shared, slug)
    assert done.returncode == 0
    for words in (slug, "Config + Audit", "fetched", "held", "audit log", "activity", "verified"):
        assert words in done.stdout
    assert_no_tokens([], tokens_of(shared.sandbox), texts={"said": done.stdout + done.stderr})


def test_everything_known_of_one_portal_is_a_document(shared: Fleet) -> None:
    slug = shared.agency.slugs()[0]
    found = said(shared, slug)
    assert found["portal"]["clientSlug"] == slug
    assert found["portal"]["facts"]["name"]["provenance"] == "fetched"
    assert found["credential"]["generation"] == 1
    assert found["removed"] is None


def test_options_of_the_table_do_not_go_with_one_client(shared: Fleet) -> None:
    slug = shared.agency.slugs()[0]
    assert portals(shared, slug, "--refresh").returncode == 2


def test_a_client_that_is_nobody_is_an_error_with_a_near_match(shared: Fleet) -> None:
    slug = shared.agency.slugs()[0]
    done = portals(shared, f"{slug}x")
    assert done.returncode == 1
    assert slug in done.stderr
    assert "Nothing was shown." in done.stderr


def bury(fleet: Fleet, slug: str, *, pending: bool) -> None:
    one = fleet.agency.connection(slug)
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
        removed_at=one.added_at + timedelta(days=1),
        removed_by="ana",
        pending=one if pending else None,
    )
    fleet.agency.index.bury(tombstone, instead_of=one)


def test_a_removal_that_is_not_finished_stands_below_the_table(full: Fleet) -> None:
    gone, *left = full.agency.slugs()
    bury(full, gone, pending=True)
    found = said(full)
    assert [one["clientSlug"] for one in found["portals"]] == left
    (row,) = found["removing"]
    assert (row["clientSlug"], row["nextStep"]) == (gone, f"hsagency remove {gone}")
    shown = portals(full, "--status", "halted").stdout
    assert "its removal was begun by ana and is not finished" in shown
    assert f"  next: hsagency remove {gone}" in shown
    for slug in left:
        bury(full, slug, pending=False)
    assert f"hsagency remove {gone}" in portals(full).stdout


def test_a_removed_client_is_still_told_of(full: Fleet) -> None:
    slug = full.agency.slugs()[0]
    bury(full, slug, pending=False)
    done = portals(full, slug)
    assert done.returncode == 0
    assert "removed at" in done.stdout
    assert "by ana" in done.stdout
    assert slug not in slugs(full)


def test_an_oauth_connection_is_shown_like_any_other(tmp_path: Path) -> None:
    with authorised(tmp_path / "agency", portals=1, contacts=1) as made:
        fleet = Fleet(made.sandbox, made.server.url, made.agency)
        slug = made.slugs[0]
        (row,) = said(fleet, "--kind", "oauth")["portals"]
        assert (row["clientSlug"], row["status"]) == (slug, "connected")
        assert "OAuth, generation 1" in portals(fleet, slug).stdout


def test_the_table_needs_no_store_and_loads_neither_agency_nor_notebooks(full: Fleet) -> None:
    full.agency.close()
    shutil.rmtree(full.root / "credentials")
    modules = loaded("-m", "hsagency.cli", "portals", "--workspace", str(full.root), "--quiet")
    heavy = {"altair", "papermill", "jupyter", "IPython", "pyrage", "keyring", "httpx"}
    assert modules & heavy == set()
