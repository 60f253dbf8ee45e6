"""`hsagency quota`: what every portal has left of its day, for people and as JSON."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from hsagency.pacing.budgets import DAY_SHARE
from hsagency.settings import FILE
from tests.commands import on_terminal, run_cli
from tests.fleets import Fleet
from tests.support import tokens_of

CONTACTS = "/crm/objects/2026-09/contacts"
NEVER_TOLD = {"used", "remaining", "usedShare", "source", "asOf", "ageSeconds", "low", "others"}


def call(fleet: Fleet, slug: str) -> None:
    fleet.agency.client(slug).get(CONTACTS, params={"limit": 1})


def configure(fleet: Fleet, text: str) -> None:
    with (fleet.root / FILE).open("a") as file:
        file.write(f"\n{text}\n")


def document(fleet: Fleet, *args: str, code: int = 0) -> dict[str, Any]:
    done = run_cli(["quota", *args, "--json"], cwd=fleet.root)
    assert done.returncode == code, done.stdout + done.stderr
    said: dict[str, Any] = json.loads(done.stdout)
    assert said["schema"] == 1
    return said


def clients(fleet: Fleet, *args: str, code: int = 0) -> dict[str, dict[str, Any]]:
    return {one["clientSlug"]: one for one in document(fleet, *args, code=code)["clients"]}


def asked(fleet: Fleet, slug: str) -> list[str | None]:
    return [one.route for one in fleet.sandbox.ledger(slug)]


def without_store(fleet: Fleet) -> None:
    """Put the secrets out of reach: what needs one fails from now on."""
    (fleet.root / "credentials").rename(fleet.root / "gone")


def test_the_most_used_comes_first_with_name_id_and_both_times(full: Fleet) -> None:
    full.sandbox.spend("beta-inc", 5_000)
    for slug in ("acme-corp", "beta-inc"):
        call(full, slug)
    done = run_cli(["quota"], cwd=full.root)
    assert (done.returncode, done.stderr) == (0, "")
    heads, _, first, second, *_ = done.stdout.splitlines()
    assert heads.startswith("client slug  account name")
    names = ("portal id", "state", "limit", "used", "remaining", "starts anew", "known from")
    assert all(name in heads for name in names)
    (beta,) = [one for one in full.sandbox.portals if one.client_slug == "beta-inc"]
    assert first.startswith("beta-inc")
    assert str(beta.portal_id) in first
    assert "  header, " in first
    assert " UTC" in first
    assert second.startswith("acme-corp")


def test_json_has_the_columns_of_the_frame_and_what_applies(full: Fleet) -> None:
    configure(
        full,
        '[quota]\nwarn_below = "20%"\n[quota.clients.beta-inc]\nwarn_below = 7\nreserve = 3\n'
        '[purposes]\n"data fix" = "high"',
    )
    call(full, "acme-corp")
    said = document(full)
    assert said["purposes"] == {"data fix": "high"}
    assert said["notes"] == []
    found = {one["clientSlug"]: one for one in said["clients"]}
    assert (found["beta-inc"]["warnBelow"], found["beta-inc"]["reserve"]) == (7, 3)
    acme = found["acme-corp"]
    assert acme["warnBelow"] == acme["limit"] // 5
    assert acme["used"] + acme["remaining"] == acme["limit"]
    assert (acme["source"], acme["limitSource"], acme["low"]) == ("header", "header", False)
    assert acme["asOf"].endswith("Z")
    assert acme["resetsAt"].endswith("Z")
    assert acme["ageSeconds"] >= 0


def test_looking_asks_nobody_and_reads_no_secret(full: Fleet) -> None:
    call(full, "acme-corp")
    full.agency.close()
    without_store(full)
    before = [len(asked(full, one.client_slug)) for one in full.sandbox.portals]
    assert clients(full)["acme-corp"]["remaining"] is not None
    assert [len(asked(full, one.client_slug)) for one in full.sandbox.portals] == before


def test_a_portal_nobody_told_of_is_not_known_and_not_zero(full: Fleet) -> None:
    full.agency.close()
    for file in (full.root / "state" / "pacing").glob("*"):
        file.unlink()
    found = clients(full)["gamma-labs"]
    assert {name: found[name] for name in NEVER_TOLD} == dict.fromkeys(NEVER_TOLD)
    assert found["limit"] > 0
    done = run_cli(["quota", "gamma-labs"], cwd=full.root)
    assert done.returncode == 0
    assert "  not known  " in done.stdout
    assert "1 portal: 0 low, 1 not known." in done.stdout
    assert done.stdout.endswith("To ask HubSpot what is left: hsagency quota --refresh\n")


def test_refreshing_asks_each_portal_once_and_keeps_what_it_learnt(full: Fleet) -> None:
    full.agency.close()
    before = {one.client_slug: len(asked(full, one.client_slug)) for one in full.sandbox.portals}
    said = clients(full, "--refresh")
    for slug, count in before.items():
        assert asked(full, slug)[count:] == ["/account-info/api-usage/daily/private-apps"]
        assert said[slug]["remaining"] is not None
        assert said[slug]["ownChecks"] >= 1
        assert said[slug]["error"] is None
    assert {slug: one["remaining"] for slug, one in clients(full).items()} == {
        slug: one["remaining"] for slug, one in said.items()
    }


def test_a_portal_that_cannot_be_asked_is_a_row_with_the_reason_and_exit_1(full: Fleet) -> None:
    full.sandbox.suspend("beta-inc")
    full.agency.close()
    found = clients(full, "--refresh", code=1)
    assert [one["clientSlug"] for one in found.values() if one["error"]] == ["beta-inc"]
    assert {*found} == {"acme-corp", "beta-inc", "gamma-labs"}


def test_a_stopped_portal_is_a_row_with_the_next_step_and_no_failure(full: Fleet) -> None:
    connection = full.agency.connection("beta-inc")
    full.agency.stops.stop(connection, "HubSpot does not accept the token.", status_code=401)
    done = run_cli(["quota", "--refresh"], cwd=full.root)
    assert (done.returncode, done.stderr) == (0, "")
    (line,) = [one for one in done.stdout.splitlines() if one.startswith("beta-inc: ")]
    assert line.startswith("beta-inc: stopped since 20")
    assert "hsagency reconnect beta-inc" in line
    assert "hsagency resume" not in line
    assert " 1 stopped" in done.stdout


def test_calls_that_are_refused_already_are_named_by_priority(full: Fleet) -> None:
    limit = clients(full)["acme-corp"]["limit"]
    full.sandbox.spend("acme-corp", limit * 92 // 100)
    call(full, "acme-corp")
    assert clients(full)["acme-corp"]["refused"] == "normal, low"
    shown = run_cli(["quota"], cwd=full.root).stdout
    assert "acme-corp: refused: calls of normal and low priority wait until " in shown
    assert " 1 refused" in shown
    told = " ".join(run_cli(["quota", "--help"]).stdout.split())
    assert all(f"{share} %" in told for share in DAY_SHARE.values())


def test_a_closed_portal_says_what_is_still_sent(full: Fleet) -> None:
    pacer = full.agency.pacing.of(full.agency.connection("acme-corp"))
    pacer.close(None, "HubSpot says that the portal's limit of the day is spent")
    shown = run_cli(["quota"], cwd=full.root).stdout
    assert "acme-corp: closed until " in shown
    assert "is spent. Proofs of whose key it is are still sent." in shown


def test_a_halt_is_said_before_all_else(full: Fleet) -> None:
    full.agency.halt.set("two were mixed up.", at=datetime.now(UTC), slug="acme-corp")
    done = run_cli(["quota"], cwd=full.root)
    assert done.returncode == 0
    assert done.stderr.startswith("The fleet is halted, so no call is sent: two were mixed up. ")
    assert "hsagency audit tail acme-corp" in document(full)["notes"][0]


def test_a_low_portal_is_marked_and_is_no_failure(full: Fleet) -> None:
    configure(full, "[quota.clients.acme-corp]\nwarn_below = 2000000")
    full.agency.close()
    with full.agency.open(full.root) as agency:
        agency.client("acme-corp").get(CONTACTS, params={"limit": 1})
    done = run_cli(["quota"], cwd=full.root)
    assert done.returncode == 0, done.stderr
    (line,) = [one for one in done.stdout.splitlines() if one.startswith("acme-corp  ")]
    assert "  low  " in line
    assert "acme-corp: low: " in done.stdout
    assert " calls left; the warning is below 625,000" in done.stdout
    assert "3 portals: 1 low" in done.stdout


def test_a_call_below_the_threshold_is_told_once_in_one_plain_line(full: Fleet) -> None:
    configure(full, "[quota.clients.acme-corp]\nwarn_below = 2000000")
    full.agency.close()
    for file in (full.root / "state" / "pacing").glob("*"):
        file.unlink()
    asking = ["call", "acme-corp", "GET", CONTACTS, "--query", "limit=1", "--quiet"]
    first = run_cli(asking, cwd=full.root)
    assert first.returncode == 0
    (line,) = first.stderr.splitlines()
    assert line.startswith("Acme Corp (acme-corp, portal ")
    assert "threshold of 625,000" in line
    assert run_cli(asking, cwd=full.root).stderr == ""


def test_slips_in_the_settings_are_named(full: Fleet) -> None:
    configure(full, '[quota.clients.acme]\nreserve = 5\n[purposes]\n"data_fix?" = "high"')
    done = run_cli(["quota"], cwd=full.root)
    assert done.returncode == 0
    assert "[quota.clients] in hsagency.toml names 'acme', no client here." in done.stderr
    assert "[purposes] in hsagency.toml names 'data_fix?', which no call can have" in done.stderr
    assert len(document(full)["notes"]) == 2


def test_an_unknown_client_is_1_no_portals_3_and_a_slip_2(empty: Fleet, shared: Fleet) -> None:
    done = run_cli(["quota", "acme-corp", "acme-crop"], cwd=shared.root)
    assert (done.returncode, done.stdout) == (1, "")
    assert "Did you mean acme-corp?" in done.stderr
    done = run_cli(["quota"], cwd=empty.root)
    assert (done.returncode, done.stdout) == (3, "")
    assert "No portals are connected yet." in done.stderr
    assert document(empty, code=3)["clients"] == []
    done = run_cli(["quota", "--month", "May"], cwd=shared.root)
    assert (done.returncode, done.stdout) == (2, "")


def test_on_a_terminal_the_table_fits_and_says_what_it_leaves_out(shared: Fleet) -> None:
    code, screen = on_terminal(["quota"], columns=110, cwd=shared.root)
    assert code == 0
    table = screen.split("3 portals: ")[0]
    assert max(map(len, table.splitlines())) <= 110
    assert "Too narrow to show: " in screen


def test_nothing_that_is_shown_holds_a_token(full: Fleet) -> None:
    done = run_cli(["quota", "--refresh"], cwd=full.root)
    said = run_cli(["quota", "--json"], cwd=full.root).stdout + done.stdout + done.stderr
    assert not [one for one in tokens_of(full.sandbox) if one[-12:] in said]
