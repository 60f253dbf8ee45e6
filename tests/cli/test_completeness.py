"""`hsagency audit completeness`, and what HubSpot's count adds to `audit verify`."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from hsagency.cli.completeness import _stretched
from hsagency.completeness import STRETCHES
from hsagency.settings import FILE
from tests.commands import on_terminal, run_cli
from tests.fleets import Fleet, tree

CONTACTS = "/crm/objects/2026-09/contacts"
FAR = ["--from", "2020-01-01", "--to", "2020-01-31"]


def call(fleet: Fleet, slug: str, *, times: int = 1) -> None:
    for _ in range(times):
        fleet.agency.client(slug).get(CONTACTS, params={"limit": 1})


def share(fleet: Fleet, slug: str, calls: int) -> None:
    """Let another app call the portal, between two calls of ours."""
    call(fleet, slug)
    fleet.sandbox.spend(slug, calls)
    call(fleet, slug)


def alone(root: Path, slug: str) -> None:
    with (root / FILE).open("a") as file:
        file.write(f'\n[completeness]\nonly_us = ["{slug}"]\n')


def document(fleet: Fleet, *args: str, code: int = 0) -> dict[str, Any]:
    done = run_cli(["audit", *args, "--json"], cwd=fleet.root)
    assert done.returncode == code, done.stdout + done.stderr
    said = json.loads(done.stdout)
    assert said["schema"] == 1
    return said


def test_every_client_is_shown_with_ours_theirs_and_why(full: Fleet) -> None:
    share(full, "beta-inc", 40)
    full.agency.close()
    done = run_cli(["audit", "completeness", "--all"], cwd=full.root)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    zone = full.sandbox.portal("acme-corp").time_zone
    assert f"acme-corp: complete (days and times of {zone})" in lines
    beta = next(line for line in lines if line.startswith("beta-inc: "))
    assert beta.startswith("beta-inc: not comparable")
    assert "other apps of the client share that count, or records are missing." in done.stdout
    assert "39 that this log does not have" in done.stdout  # of 40: introspection may be one
    assert next(line for line in lines if line.startswith("day ")).split() == [
        *("day", "source", "ours", "theirs", "verdict", "reason")
    ]


def test_the_frame_as_json_has_the_names_of_json(full: Fleet) -> None:
    share(full, "beta-inc", 40)
    full.agency.close()
    said = document(full, "completeness", "acme-corp", "beta-inc")
    acme, beta = said["clients"]
    assert (acme["completeness"], acme["stretches"]) == ("complete", [])
    (day,) = acme["days"]
    assert {"clientSlug", "dayOf", "oursLeast", "oursMost", "lackingBeforeFirst", "asOf"} <= {*day}
    assert day["asOf"].endswith("Z")
    assert day["oursLeast"] <= day["theirs"] <= day["oursMost"]
    assert beta["completeness"] == "not comparable"
    assert [one["lacking"] for one in beta["stretches"]] == [39]
    assert said["errors"] == []


def test_refreshing_asks_hubspot_once_and_stores_what_it_said(full: Fleet) -> None:
    (keyed, *_) = [one.client_slug for one in full.sandbox.portals if one.kind == "service_key"]
    full.agency.close()
    before = len(full.sandbox.ledger(keyed))
    said = document(full, "completeness", keyed, "--refresh")
    after = full.sandbox.ledger(keyed)[before:]
    assert [one.route for one in after] == ["/account-info/api-usage/daily/private-apps"]
    sources = {one["source"]: one for one in said["clients"][0]["days"]}
    assert sources["headers"]["verdict"] == "complete"
    assert sources["usage endpoint"]["verdict"] == "not comparable"
    again = document(full, "completeness", keyed)
    assert [one["source"] for one in again["clients"][0]["days"]] == ["headers", "usage endpoint"]
    assert len(full.sandbox.ledger(keyed)) == before + 1


def test_one_portal_that_cannot_be_asked_does_not_stop_the_others(full: Fleet) -> None:
    full.sandbox.suspend("beta-inc")
    full.agency.close()
    done = run_cli(["audit", "completeness", "--all", "--refresh"], cwd=full.root)
    assert done.returncode in (0, 1)
    assert "beta-inc: HubSpot" in done.stderr
    assert "acme-corp: " in done.stdout
    assert "gamma-labs: " in done.stdout


def test_no_calls_is_3_an_unknown_client_1_and_a_slip_2(full: Fleet) -> None:
    full.agency.close()
    done = run_cli(["audit", "completeness", "acme-corp", *FAR], cwd=full.root)
    assert (done.returncode, done.stdout) == (3, "")
    assert "nothing to compare" in done.stderr
    done = run_cli(["audit", "completeness", "acme-corp", "no-such-client"], cwd=full.root)
    assert done.returncode == 1
    assert "no-such-client: " in done.stderr
    assert "acme-corp: complete" in done.stdout


@pytest.mark.parametrize(
    "args", [[], ["acme-corp", "--all"], ["--all", "--month", "May"], ["--all", "--to", "x"]]
)
def test_what_is_asked_wrongly_is_2(shared: Fleet, args: list[str]) -> None:
    done = run_cli(["audit", "completeness", *args], cwd=shared.root)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Nothing was done" in done.stderr


def test_on_a_terminal_reasons_go_on_below(full: Fleet) -> None:
    full.agency.close()
    code, screen = on_terminal(["audit", "completeness", "acme-corp"], columns=100, cwd=full.root)
    assert code == 0
    assert "HubSpot had counted" in screen
    assert max(map(len, screen.splitlines())) <= 100


def test_verify_requires_completeness_only_when_asked_and_says_which_days(full: Fleet) -> None:
    share(full, "beta-inc", 40)
    full.agency.close()
    assert run_cli(["audit", "verify"], cwd=full.root).returncode == 0
    asked = ["audit", "verify", "--require-complete"]
    assert run_cli([*asked, "acme-corp"], cwd=full.root).returncode == 0
    done = run_cli(asked, cwd=full.root)
    assert done.returncode == 4
    assert "beta-inc: intact; completeness: not comparable" in done.stdout
    assert "HubSpot   1 day not comparable" in done.stdout
    assert ", by headers: not comparable. HubSpot had counted" in done.stdout
    assert "acme-corp: intact; completeness: complete" in done.stdout


def test_verify_finds_incomplete_what_nobody_else_can_have_called(full: Fleet) -> None:
    share(full, "beta-inc", 40)
    full.agency.close()
    alone(full.root, "beta-inc")
    said = document(full, "verify", "beta-inc", "--require-complete", code=4)
    (client,) = said["clients"]
    assert (client["integrity"], client["completeness"]) == ("intact", "incomplete")
    assert [one["verdict"] for one in client["days"]] == ["incomplete"]
    assert client["days"][0]["lacking"] == 39
    assert document(full, "verify", "beta-inc")["clients"][0]["completeness"] == "incomplete"


def test_days_without_calls_are_not_complete(full: Fleet) -> None:
    full.agency.close()
    done = run_cli(["audit", "verify", "acme-corp", *FAR], cwd=full.root)
    assert done.returncode == 0
    assert "completeness: not comparable" in done.stdout
    assert "nothing to compare: no calls of these days" in done.stdout
    done = run_cli(["audit", "verify", "acme-corp", *FAR, "--require-complete"], cwd=full.root)
    assert done.returncode == 4


def test_simulated_calls_are_said_to_be_there_and_not_to_be_compared(full: Fleet) -> None:
    made = {"event": "call.finished", "callId": "0" * 32, "origin": "simulated", "portalId": 1}
    made |= {"method": "GET", "path": "/crm/v3/objects/contacts", "outcome": "ok"}
    full.agency.writer.append("former-client", made)
    full.agency.close()
    done = run_cli(["audit", "completeness", "former-client"], cwd=full.root)
    assert done.returncode == 3
    assert "only 1 simulated call can be found" in done.stderr
    done = run_cli(["audit", "verify", "former-client"], cwd=full.root)
    assert "all calls of these days are simulated" in done.stdout


def test_stretches_of_one_second_are_told_together() -> None:
    noon = datetime(2026, 10, 14, 12, tzinfo=UTC)
    tick = timedelta(milliseconds=100)
    ends = [(None, noon), (noon, noon + tick), (noon + tick, noon + 2 * tick)]
    rows = [
        {"day": noon.date(), "since": since, "until": until, "theirs": 2, "lacking": 1}
        for since, until in ends
    ]
    assert list(_stretched(pl.DataFrame(rows, schema=STRETCHES), "UTC")) == [
        "2026-10-14: of those counted between midnight and 12:00:00, 1 that this log does not have",
        "2026-10-14: of those counted at 12:00:00, 2 that this log does not have",
    ]


def test_what_is_lost_is_incomplete_and_needs_no_count(full: Fleet) -> None:
    full.agency.close()
    (path,) = (full.root / "audit" / "acme-corp" / "journal").glob("*.jsonl")
    with path.open("ab") as file:
        file.write(b'{"schema":1')
    said = document(full, "verify", "acme-corp", "--require-complete", code=4)
    assert said["clients"][0]["completeness"] == "incomplete"
    assert "not compared" in said["clients"][0]["notCompared"]
    done = run_cli(["audit", "completeness", "acme-corp"], cwd=full.root)
    assert done.returncode == 0
    assert "Records are known to be lost: 000-000001 ends in a torn line" in done.stdout


def test_verify_does_not_read_for_long_what_is_not_sealed_unless_asked(full: Fleet) -> None:
    full.agency.close()
    with (full.root / "audit" / "acme-corp" / "journal" / "stray.jsonl").open("wb") as file:
        file.truncate(70 << 20)
    done = run_cli(["audit", "verify", "acme-corp"], cwd=full.root)
    assert done.returncode == 0
    assert "not compared: 70 MB are not sealed; hsagency audit seal" in done.stdout


def test_a_lost_index_hides_no_verdict(full: Fleet) -> None:
    full.agency.close()
    (full.root / "connections.json").unlink()
    done = run_cli(["audit", "verify", "acme-corp"], cwd=full.root)
    assert done.returncode == 0, done.stderr
    assert "acme-corp: intact; completeness: not comparable" in done.stdout
    assert "not compared: The index" in done.stdout


def test_a_slip_in_the_settings_is_named(full: Fleet) -> None:
    full.agency.close()
    alone(full.root, "acme-crop")
    done = run_cli(["audit", "completeness", "acme-corp"], cwd=full.root)
    assert done.returncode == 0
    assert "only_us in hsagency.toml names 'acme-crop', which is no client here." in done.stderr


def test_verifying_with_a_comparison_changes_nothing(full: Fleet) -> None:
    full.agency.close()
    before = tree(full.root)
    assert run_cli(["audit", "verify", "--require-complete"], cwd=full.root).returncode == 0
    assert tree(full.root) == before
