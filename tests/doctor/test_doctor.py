"""An examination finds what is wrong, says what to do, and repairs nothing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsagency import doctor, removal
from hsagency.agency import Agency
from hsagency.credentials import SecretName
from hsagency.data import table
from hsagency.doctor import Finding, Level
from hsagency.doctor.sunset import end_of
from hsagency.portals import CredentialKind, Fact, Provenance
from hsagency.sandbox import Sandbox
from hsagency.sandbox.clock import Clock
from hsagency.secret import Secret
from tests.commands import run_cli
from tests.support import TOKEN, Authorised, Connected, authorised, connected


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Connected]:
    with connected(tmp_path / "workspace", portals=2, contacts=2) as one:
        yield one


@pytest.fixture
def over_oauth(tmp_path: Path) -> Iterator[Authorised]:
    with authorised(tmp_path / "workspace", portals=2, contacts=2) as one:
        yield one


def about(agency: Agency, subject: str, *, offline: bool = True) -> list[Finding]:
    found = doctor.examine(agency, offline=offline)
    return [one for one in found if one.subject == subject]


def seen(fleet: Connected) -> int:
    whose = (None, *(one.portal_id for one in fleet.sandbox.portals))
    return sum(len(fleet.sandbox.ledger(one)) for one in whose)


def levels(findings: list[Finding]) -> set[Level]:
    return {one.level for one in findings}


def changed(agency: Agency, slug: str, **changes: object) -> None:
    connection = agency.connection(slug)
    agency.index.update(connection.client_slug, generation=connection.generation, **changes)


def test_a_workspace_as_it_should_be_has_no_problem(fleet: Connected) -> None:
    found = doctor.examine(fleet.agency)
    assert Level.PROBLEM not in levels(found), found
    assert {one.subject for one in found} >= {
        "disk", "permissions", "plain tokens", "audit log", "time zones", "store", "connections",
        "API versions", "credentials", "network", "clock", "OAuth app",
    }  # fmt: skip


def test_every_problem_and_warning_says_what_to_do(fleet: Connected) -> None:
    agency, slug = fleet.agency, fleet.slugs[0]
    changed(agency, slug, kind=CredentialKind.PRIVATE_APP)
    agency.store.delete(SecretName(agency.workspace.settings.workspace, slug, 1))
    (fleet.agency.workspace.root / "clients.csv").write_text(f"a,{TOKEN},1\n")
    found = doctor.examine(fleet.agency)
    assert {Level.WARNING, Level.PROBLEM} <= levels(found)
    assert [one for one in found if one.level in ("warning", "problem") and not one.advice] == []


def test_what_others_may_read_or_write_is_named(fleet: Connected) -> None:
    root = fleet.agency.workspace.root
    (root / "connections.json").chmod(0o640)
    (one,) = about(fleet.agency, "permissions")
    assert (one.level, "connections.json" in one.said) == (Level.WARNING, True)
    (root / "state").chmod(0o770)
    (one,) = about(fleet.agency, "permissions")
    assert (one.level, "state" in one.said) == (Level.PROBLEM, True)
    assert one.advice.startswith("Close the workspace: chmod")


@pytest.mark.parametrize("where", ["from-the-client.csv", "clients.csv.bak", "in/clients.json"])
def test_a_file_with_tokens_that_lies_about_is_found_and_no_token_is_told(
    fleet: Connected, where: str
) -> None:
    (fleet.agency.workspace.root / where).parent.mkdir(exist_ok=True)
    (fleet.agency.workspace.root / where).write_text(f"acme,{TOKEN},1\n")
    (one,) = about(fleet.agency, "plain tokens")
    assert (one.level, where in one.said) == (Level.WARNING, True)
    assert "pat-" not in f"{one}"


def test_the_example_list_of_a_new_workspace_is_no_finding(fleet: Connected) -> None:
    assert (fleet.agency.workspace.root / "clients.example.csv").exists()
    assert levels(about(fleet.agency, "plain tokens")) == {Level.OK}


def test_a_secret_that_is_gone_or_another_is_found(fleet: Connected) -> None:
    agency, (first, second) = fleet.agency, fleet.slugs
    name = agency.workspace.settings.workspace
    agency.store.delete(SecretName(name, first, 1))
    agency.store.put(SecretName(name, second, 1), Secret(TOKEN))
    said = [one.said for one in about(agency, "store") if one.level is Level.PROBLEM]
    assert any("no secret" in one and first in one for one in said)
    assert any("another secret" in one and second in one for one in said)
    assert all("pat-" not in one for one in said)


def test_a_store_that_cannot_be_read_is_a_problem_and_the_rest_is_examined(
    fleet: Connected,
) -> None:
    credentials = fleet.agency.workspace.root / "credentials"
    (credentials / "store.json").write_text("{")
    found = doctor.examine(fleet.agency)
    assert Level.PROBLEM in {one.level for one in found if one.subject == "store"}
    assert {one.subject for one in found} >= {"disk", "network", "credentials"}


def test_a_portal_that_needs_another_credential_is_told_with_the_next_step(
    fleet: Connected,
) -> None:
    agency, slug = fleet.agency, fleet.slugs[0]
    agency.stops.stop(agency.connection(slug), "The sandbox does not accept it.", status_code=401)
    (one,) = [one for one in about(agency, "connections") if one.level is Level.PROBLEM]
    assert slug in one.said
    assert one.advice == f"hsagency reconnect {slug}"


def test_a_time_zone_that_is_unknown_or_untold_is_named(fleet: Connected) -> None:
    agency, (first, second) = fleet.agency, fleet.slugs
    zone = Fact("Nowhere/Atlantis", Provenance.FETCHED, datetime.now(UTC))
    changed(agency, first, facts={**agency.connection(first).facts, "time_zone": zone})
    told = {**agency.connection(second).facts}
    del told["time_zone"]
    changed(agency, second, facts=told)
    said = " ".join(one.said for one in about(agency, "time zones"))
    assert f"Nowhere/Atlantis ({first})" in said
    assert second in said


def test_a_clock_that_is_wrong_is_found(tmp_path: Path) -> None:
    clock = Clock()
    with connected(tmp_path / "w", sandbox=Sandbox(portals=1, contacts=1, clock=clock)) as fleet:
        clock.advance(600)
        (one,) = about(fleet.agency, "clock", offline=False)
    assert one.level is Level.PROBLEM
    assert "seconds behind" in one.said


def test_a_host_that_does_not_answer_is_told_and_nothing_of_a_token_leaves(
    fleet: Connected,
) -> None:
    fleet.server.close()
    (one,) = about(fleet.agency, "network", offline=False)
    assert one.level is Level.PROBLEM
    assert "did not answer" in one.said


def test_the_question_of_the_way_carries_no_credential_and_is_on_record(fleet: Connected) -> None:
    doctor.examine(fleet.agency)
    (asked,) = [one for one in fleet.sandbox.ledger(None) if one.status == 401]
    assert asked.path == "/account-info/2026-09/details"
    calls = fleet.agency.calls("_agency").collect()
    (row,) = calls.filter(calls["purpose"] == "doctor").iter_rows(named=True)
    assert (row["path"], row["status_code"]) == ("/account-info/2026-09/details", 401)


def test_offline_asks_nothing(fleet: Connected) -> None:
    before = seen(fleet)
    assert not {"network", "clock", "OAuth app"} & {
        one.subject for one in doctor.examine(fleet.agency, offline=True)
    }
    assert seen(fleet) == before


def test_an_app_that_hubspot_knows_otherwise_is_a_problem_of_the_app(
    over_oauth: Authorised,
) -> None:
    agency = over_oauth.agency
    assert levels(about(agency, "OAuth app", offline=False)) == {Level.OK}
    app = agency.apps.read(over_oauth.server.url)
    agency.apps.keep(replace(app, client_secret=Secret("another")))
    (one,) = about(agency, "OAuth app", offline=False)
    assert one.level is Level.PROBLEM
    assert "connect --setup" in one.advice
    assert {row["status"] for row in agency.portals().iter_rows(named=True)} == {"connected"}


def test_versions_that_were_called_are_told_with_the_day_they_end(fleet: Connected) -> None:
    client = fleet.agency.client(fleet.slugs[0])
    client.get("/crm/v3/objects/contacts")
    found = about(fleet.agency, "API versions")
    (one,) = [one for one in found if "v3" in one.said]
    assert "from September 2027 on" in one.said
    assert fleet.slugs[0] in one.said
    assert any("2026-09" in one.said for one in found)


def test_a_private_app_is_told_with_the_day_of_its_end(fleet: Connected) -> None:
    changed(fleet.agency, fleet.slugs[0], kind=CredentialKind.PRIVATE_APP)
    (one,) = [one for one in about(fleet.agency, "credentials") if "private app" in one.said
              and "September 2027" in one.said and "Nobody said" not in one.said]  # fmt: skip
    assert one.level is Level.WARNING
    assert "service key" in one.advice


def test_an_old_credential_is_to_be_rotated(fleet: Connected) -> None:
    old = datetime.now(UTC) - timedelta(days=181)
    changed(fleet.agency, fleet.slugs[0], last_rotated_at=old)
    (one,) = [one for one in about(fleet.agency, "credentials") if "older than 180" in one.said]
    assert fleet.slugs[0] in one.said
    assert fleet.slugs[1] not in one.said


@pytest.mark.parametrize(
    ("path", "day"),
    [
        ("/crm/v3/objects/contacts", date(2027, 9, 1)),
        ("/crm/v4/associations/contacts/deals/labels", date(2027, 3, 30)),
        ("/oauth/v1/access-tokens/{token}", date(2027, 2, 16)),
        ("/crm/objects/2026-09/contacts", date(2028, 3, 1)),
        ("/crm/objects/2026-03/contacts", date(2027, 9, 1)),
        ("/automation/actions/2026-09/definitions", date(2028, 3, 1)),
    ],
)
def test_each_version_ends_on_its_day(path: str, day: date) -> None:
    found = end_of(path)
    assert found is not None
    assert found.day == day


@given(st.text(max_size=60))
def test_no_path_makes_the_list_of_ends_raise(path: str) -> None:
    end_of(path)


def test_each_row_of_the_list_of_ends_has_its_source() -> None:
    rules = table("end_of_life")
    assert all(row["source"] for row in (*rules["version"], *rules["kind"], rules["dated"]))
    assert {row["name"] for row in rules["kind"]} <= {one.value for one in CredentialKind}


def test_the_command_names_problems_and_fails(fleet: Connected) -> None:
    agency, slug = fleet.agency, fleet.slugs[0]
    agency.store.delete(SecretName(agency.workspace.settings.workspace, slug, 1))
    done = run_cli(["doctor", "--offline", "--workspace", agency.workspace.root])
    assert done.returncode == 1
    lines = [" ".join(one.split()) for one in done.stdout.splitlines()]
    assert f"problem store The store holds no secret of: {slug}." in lines
    assert f"-> Give the client a credential anew: hsagency reconnect {slug}" in done.stdout
    shown = run_cli(["doctor", "--offline", "--json", "--workspace", agency.workspace.root])
    document = json.loads(shown.stdout)
    assert document["problems"] == 1
    assert {"subject", "level", "finding", "advice"} == set(document["findings"][0])


def test_a_new_workspace_passes(tmp_path: Path) -> None:
    Agency.create(tmp_path / "w", store="age:credentials").close()
    done = run_cli(["doctor", "--offline", "--workspace", tmp_path / "w"])
    assert done.returncode == 0, done.stdout + done.stderr
    assert "problem  " not in done.stdout


def test_a_log_that_is_gone_is_a_problem_and_none_takes_its_place(fleet: Connected) -> None:
    agency, slug = fleet.agency, fleet.slugs[0]
    shutil.rmtree(agency.workspace.audit / slug)
    (one,) = about(agency, "audit log")
    assert (one.level, slug in one.said) == (Level.PROBLEM, True)
    assert not (agency.workspace.audit / slug).exists()


def test_the_log_of_a_removed_client_is_not_written_to(fleet: Connected) -> None:
    agency, slug = fleet.agency, fleet.slugs[0]
    plan = removal.plan(agency, slug)
    removal.apply(agency, plan, digest=plan.digest)
    before = sorted((agency.workspace.audit / slug).rglob("*"))
    doctor.examine(agency)
    assert sorted((agency.workspace.audit / slug).rglob("*")) == before


def test_a_removed_clients_secret_that_is_back_is_a_problem(fleet: Connected) -> None:
    agency, slug = fleet.agency, fleet.slugs[0]
    plan = removal.plan(agency, slug)
    removal.apply(agency, plan, digest=plan.digest)
    assert Level.PROBLEM not in levels(about(agency, "store"))
    agency.store.put(SecretName(agency.workspace.settings.workspace, slug, 1), Secret(TOKEN))
    (one,) = [one for one in about(agency, "store") if one.level is Level.PROBLEM]
    assert f"/{slug}/main/1" in one.said
    assert "pat-" not in one.said


def test_several_may_examine_at_once(fleet: Connected) -> None:
    with ThreadPoolExecutor(6) as pool:
        found = [*pool.map(lambda _: about(fleet.agency, "store"), range(6))]
    assert [one for one in found if Level.PROBLEM in levels(one)] == []


def test_a_call_of_our_own_that_has_no_successor_is_no_warning(fleet: Connected) -> None:
    agency = fleet.agency
    agency.verify(fleet.slugs[0])  # asks for the scopes of its key
    found = [one for one in about(agency, "API versions") if "access-token-info" in one.said]
    assert levels(found) == {Level.OK}


def test_settings_that_cannot_be_read_are_a_problem_that_is_told_as_one(tmp_path: Path) -> None:
    with Agency.create(tmp_path / "agency", store="age:credentials") as agency:
        root = agency.workspace.root
    settings = root / "hsagency.toml"
    settings.write_text(f'{settings.read_text()}\n[fleet]\nsize = "lots"\n')
    done = run_cli(["doctor", "--offline", "--json", "--workspace", root])
    document = json.loads(done.stdout)
    assert (done.returncode, document["problems"]) == (1, 1)
    (one,) = document["findings"]
    assert (one["subject"], one["level"]) == ("workspace", "problem")
    assert "size" in one["finding"]
    assert "was not examined" in one["advice"]
    elsewhere = run_cli(["doctor", "--workspace", tmp_path])
    assert (elsewhere.returncode, elsewhere.stdout) == (1, "")
