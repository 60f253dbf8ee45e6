"""`hsagency status` shows what stops calls and what is behind; `audit forward` catches up."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from hsagency.audit.journal.writer import utc_now
from hsagency.audit.record import timestamp
from hsagency.portals import Cause, Connection, Tombstone
from hsagency.sandbox import Fault
from tests.commands import on_terminal, run_cli, running_cli
from tests.fleets import Fleet

CONTACTS = "/crm/objects/2026-09/contacts"


def configure(fleet: Fleet, *tables: str) -> None:
    path = fleet.root / "hsagency.toml"
    path.write_text(path.read_text("utf-8") + "\n".join(tables), "utf-8")


SQLITE = '[[forward]]\nname = "archive"\nto = "sqlite"\npath = "state/calls.sqlite"\n'
STDOUT = '[[forward]]\nname = "lines"\nto = "stdout"\n'
LOGGING = '[[forward]]\nname = "logs"\nto = "logging"\n'


def call(fleet: Fleet, slug: str = "acme-corp") -> None:
    with fleet.agency.client(slug) as client:
        client.get(CONTACTS)


def status(fleet: Fleet) -> dict[str, object]:
    document: dict[str, object] = json.loads(run_cli(["status", "--json"], cwd=fleet.root).stdout)
    return document


def test_status_shows_the_halt_the_disk_and_the_clients(full: Fleet) -> None:
    done = run_cli(["status"], cwd=full.root)
    assert done.returncode == 0, done.stderr
    assert "halt        no: calls may be made\n" in done.stdout
    assert "clients     3 connected;" in done.stdout
    assert "torn tails  none" in done.stdout
    assert "stopped     no portal\n" in done.stdout
    full.agency.halt.set(
        "two portals were mixed up", at=utc_now(), slug="acme-corp", correlation_id="c-7"
    )
    shown = run_cli(["status"], cwd=full.root).stdout
    assert "HALTED: two portals were mixed up" in shown
    assert " s ago), correlation id c-7\n" in shown
    looks = ("audit tail acme-corp", "audit activity", "portals", "resume --fleet --reason TEXT")
    assert all(f" hsagency {one}\n" in shown for one in looks)
    found = status(full)
    assert (found["schema"], found["halted"]) == (1, "two portals were mixed up")
    assert (found["connections"], found["forwarders"]) == ({"connected": 3}, [])
    assert isinstance(found["freeBytes"], int)


def test_a_stopped_portal_is_shown_with_why_since_when_and_the_next_steps(full: Fleet) -> None:
    portal = full.sandbox.portal("acme-corp")
    with full.agency.client("acme-corp") as client:
        full.sandbox.revoke(portal.portal_id)
        trace = client.get(CONTACTS).headers["x-hubspot-correlation-id"]
    shown = run_cli(["status"], cwd=full.root).stdout
    title, cause, evidence, *steps = shown[shown.index("stopped ") :].splitlines()[:6]
    assert title.startswith(f"stopped     {portal.name} (acme-corp, portal {portal.portal_id}): ")
    revoked = "The token was revoked, rotated or deleted in HubSpot."
    assert cause.strip() == f"needs reconnection: {revoked}"
    assert evidence.strip().startswith("since 20")
    assert f" s ago), status 401, correlation id {trace}" in evidence
    commands = [one.partition(": ")[2].strip() for one in steps]
    assert commands == [
        "hsagency reconnect acme-corp",
        "hsagency verify acme-corp",
        "hsagency resume acme-corp --reason TEXT",
    ]
    found = status(full)
    (row,) = found["stopped"]  # type: ignore[misc]
    assert (row["clientSlug"], row["statusCode"], row["correlationId"], row["cause"]) == (
        "acme-corp",
        401,
        trace,
        "revoked",
    )
    assert row["nextStep"] == commands[0]
    assert found["connections"] == {"connected": 2, "needs_reconnection": 1}
    fresh = full.sandbox.rotate(portal.portal_id).token
    done = run_cli(commands[0].split()[1:], stdin=f"{fresh}\n", cwd=full.root)
    assert done.returncode == 0, done.stderr
    assert "stopped     no portal\n" in run_cli(["status"], cwd=full.root).stdout


def test_what_needs_reconnection_and_is_called_all_the_same_is_shown(full: Fleet) -> None:
    portal = full.sandbox.portal("acme-corp")
    gone = Fault(
        "status", status=403, category="USER_DOES_NOT_HAVE_PERMISSIONS", portal="acme-corp"
    )
    full.sandbox.faults.add(replace(gone, path="/crm"))
    with full.agency.client("acme-corp") as client:
        trace = client.get(CONTACTS).headers["x-hubspot-correlation-id"]
    shown = run_cli(["status"], cwd=full.root).stdout
    assert "stopped     no portal\n" in shown
    title, evidence, step = shown[shown.index("attention ") :].splitlines()[:3]
    named = f"{portal.name} (acme-corp, portal {portal.portal_id})"
    assert title.startswith(f"attention   {named}: needs reconnection. Who made the token was ")
    assert title.endswith(f", correlation id {trace}.")
    assert f"status 403, correlation id {trace}" in evidence
    assert step.strip() == "calls to it go on; next: hsagency reconnect acme-corp"
    (row,) = status(full)["unwell"]  # type: ignore[misc]
    assert (row["clientSlug"], row["status"], row["cause"]) == (
        "acme-corp",
        "needs_reconnection",
        "user",
    )
    assert (row["statusCode"], row["correlationId"]) == (403, trace)
    assert row["nextStep"] == "hsagency reconnect acme-corp"


def test_a_removal_that_is_not_finished_is_shown_with_what_finishes_it(full: Fleet) -> None:
    assert status(full)["removing"] == []
    one = full.agency.connection("acme-corp")
    full.agency.index.bury(buried(one), instead_of=one)
    shown = run_cli(["status"], cwd=full.root).stdout
    begun = f"removing    {one.portal}: its removal was begun by jo and is not finished\n"
    assert begun in shown
    assert "finish it: hsagency remove acme-corp\n" in shown
    (row,) = status(full)["removing"]  # type: ignore[misc]
    assert (row["clientSlug"], row["nextStep"]) == ("acme-corp", "hsagency remove acme-corp")
    full.agency.index.settle(replace(buried(one), pending=None))
    assert "removing " not in run_cli(["status"], cwd=full.root).stdout


def buried(one: Connection) -> Tombstone:
    return Tombstone(
        client_slug=one.client_slug,
        portal_id=one.portal_id,
        name=one.portal.name,
        connection_type=one.connection_type,
        kind=one.kind,
        generation=one.generation,
        fingerprint=one.fingerprint,
        api_base=one.api_base,
        added_at=one.added_at,
        removed_at=utc_now(),
        removed_by="jo",
        pending=one,
    )


def test_a_terminal_gets_colours_beside_the_words_unless_it_wants_none(full: Fleet) -> None:
    green, yellow, red = "\x1b[32m", "\x1b[33m", "\x1b[31m"
    stop, one = full.agency.stops.stop, full.agency.connection
    stop(one("acme-corp"), "It is over.", status_code=401, cause=Cause.REVOKED)
    stop(one("beta-inc"), "It is closed.", status_code=403)
    code, shown = on_terminal(["status"], cwd=full.root)
    assert code == 0
    assert f"{green}halt " in shown
    assert f"{yellow}stopped    \x1b[0m Acme" in shown
    assert f"{red}stopped    \x1b[0m {one('beta-inc').portal}" in shown
    assert f"{green}1 connected\x1b[0m, {red}1 disconnected\x1b[0m, {yellow}1 needs" in shown
    for quiet in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        _, shown = on_terminal(["status"], cwd=full.root, more=quiet)
        assert "\x1b" not in shown
        assert "needs reconnection: " in shown
    assert "\x1b" not in run_cli(["status"], cwd=full.root).stdout


def test_a_portal_that_takes_no_calls_is_shown_with_until_when_and_why(full: Fleet) -> None:
    connection = full.agency.connection("acme-corp")
    until = utc_now() + timedelta(hours=3)
    full.agency.pacing.of(connection).close(until, "HubSpot is moving this portal")
    shown = run_cli(["status"], cwd=full.root).stdout
    assert f"closed      {connection.portal}: until {until:%Y-%m-%d %H:%M} UTC, because " in shown
    assert "hsagency quota acme-corp\n" in shown
    (row,) = status(full)["closed"]  # type: ignore[misc]
    assert (row["clientSlug"], row["closedBecause"]) == (
        "acme-corp",
        "HubSpot is moving this portal",
    )
    assert row["closedUntil"].endswith("Z")


def test_verify_says_that_a_portal_that_works_again_is_still_stopped(full: Fleet) -> None:
    stop = "The sandbox does not accept the token (401)."
    full.agency.stops.stop(full.agency.connection("acme-corp"), stop, status_code=401)
    done = run_cli(["verify", "acme-corp"], cwd=full.root)
    assert done.returncode == 0
    assert done.stdout.endswith(
        ". Calls to it are still stopped. It works again; to let calls go on: "
        "hsagency resume acme-corp --reason TEXT\n"
    )
    shown = run_cli(["portals", "acme-corp"], cwd=full.root).stdout
    assert "calls wait for a person" in shown


def test_a_sqlite_table_is_filled_and_the_lag_is_shown(full: Fleet) -> None:
    configure(full, SQLITE)
    call(full)
    (before,) = status(full)["forwarders"]  # type: ignore[misc]
    assert before["behindRecords"] >= 2
    assert before["behindSeconds"] > 0
    assert (before["name"], before["to"], before["durable"]) == ("archive", "sqlite", True)
    assert "records behind, the first for" in run_cli(["status"], cwd=full.root).stdout
    done = run_cli(["audit", "forward", "archive"], cwd=full.root)
    assert done.returncode == 0, done.stderr
    assert done.stderr.endswith(" records forwarded.\n")
    with sqlite3.connect(full.root / "state" / "calls.sqlite") as database:
        (count,) = database.execute(
            "SELECT count(*) FROM calls WHERE client_slug = 'acme-corp' AND path = ?", [CONTACTS]
        ).fetchone()
    database.close()
    assert count == 1
    assert "archive (sqlite): up to date" in run_cli(["status"], cwd=full.root).stdout


def test_standard_output_gets_one_line_a_call_with_the_names_of_exports(full: Fleet) -> None:
    configure(full, STDOUT)
    call(full)
    done = run_cli(["audit", "forward", "--quiet"], cwd=full.root)
    assert (done.returncode, done.stderr) == (0, "")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    tail = run_cli(["audit", "tail", "acme-corp", "--json"], cwd=full.root).stdout
    shown = [json.loads(line) for line in tail.splitlines()]
    for one in shown:
        del one["segment"], one["seq"]  # where it is here is nothing to whoever takes it
    assert [one for one in lines if one["clientSlug"] == "acme-corp"] == shown
    assert not [one for one in lines if "event" in one]  # so what counts lines counts calls
    again = run_cli(["audit", "forward", "lines"], cwd=full.root)
    assert (again.stdout, again.stderr) == ("", "lines: 0 records forwarded.\n")
    assert "lines (stdout): up to date" in run_cli(["status"], cwd=full.root).stdout


def test_standard_output_gets_what_is_not_a_call_where_the_settings_say_so(full: Fleet) -> None:
    configure(full, STDOUT + "events = true\n")
    call(full)
    lines = run_cli(["audit", "forward", "--quiet"], cwd=full.root).stdout.splitlines()
    events = {json.loads(line).get("event") for line in lines}
    assert {None, "audit.opened"} <= events


def test_it_follows_until_interrupted(full: Fleet) -> None:
    configure(full, STDOUT)
    with running_cli(["audit", "forward", "lines", "--follow"], cwd=full.root) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())
        since = timestamp(utc_now())
        call(full)
        while True:
            record = json.loads(process.stdout.readline())
            if record.get("path") == CONTACTS:
                break
        assert record["ts"] > since
        busy = run_cli(["audit", "forward", "lines"], cwd=full.root)
        assert busy.returncode == 2
        assert "forwards as lines already" in busy.stderr
        process.stdout.close()  # whoever read it is gone
        call(full)
        assert process.wait(60) == 1


def test_what_is_not_configured_is_said(full: Fleet) -> None:
    none = run_cli(["audit", "forward"], cwd=full.root)
    assert none.returncode == 2
    assert "no [[forward]] table" in none.stderr
    configure(full, SQLITE, STDOUT)
    other = run_cli(["audit", "forward", "other"], cwd=full.root)
    assert other.returncode == 2
    assert "(there: archive, lines)" in other.stderr
    both = run_cli(["audit", "forward", "--follow"], cwd=full.root)
    assert both.returncode == 2
    assert "One is followed at a time" in both.stderr


def test_a_destination_that_fails_has_1_and_stands_in_the_status(full: Fleet) -> None:
    configure(full, SQLITE.replace("archive", "broken").replace("calls.sqlite", "folder"), SQLITE)
    (full.root / "state" / "folder").mkdir()
    done = run_cli(["audit", "forward", "--json"], cwd=full.root)
    assert done.returncode == 1
    broken, archive = json.loads(done.stdout)["forwarders"]
    assert (broken["name"], broken["forwarded"], archive["error"]) == ("broken", 0, None)
    assert archive["forwarded"] > 0  # the other one had its turn
    assert "Is a directory" in broken["error"]
    assert "This user must own the folder" in broken["error"]
    shown = run_cli(["status"], cwd=full.root).stdout
    assert "Is a directory" in shown
    assert "(since 20" in shown
    errors = {one["name"]: one["error"] for one in status(full)["forwarders"]}  # type: ignore[attr-defined]
    assert errors["archive"] is None
    assert "Is a directory" in errors["broken"]


def test_logging_that_nobody_set_up_goes_to_standard_error(full: Fleet) -> None:
    configure(full, LOGGING)
    call(full)
    done = run_cli(["audit", "forward"], cwd=full.root)
    assert (done.returncode, done.stdout) == (0, "")
    *lines, said = done.stderr.splitlines()
    assert said == f"logs: {len(lines)} records forwarded."
    assert [json.loads(line)["callId"] for line in lines]
    assert status(full)["forwarders"][0]["error"] is None  # type: ignore[index]


def test_one_document_and_lines_are_not_mixed(full: Fleet) -> None:
    configure(full, STDOUT)
    for more in ([], ["--follow"]):
        done = run_cli(["audit", "forward", "lines", "--json", *more], cwd=full.root)
        assert (done.returncode, done.stdout) == (2, "")


def test_settings_that_make_no_sense_are_refused(empty: Fleet, tmp_path: Path) -> None:
    for table, words in (
        ('[[forward]]\nname = "a"\nto = "sqlite"\n', "sqlite needs a path"),
        ('[[forward]]\nname = "A b"\nto = "stdout"\n', "'name' in table 1 of [[forward]]"),
        ('[[forward]]\nname = "a"\nto = "kafka"\n', "'to' in table 1 of [[forward]]"),
        (STDOUT + STDOUT, "same name"),
    ):
        path = empty.root / "hsagency.toml"
        before = path.read_text("utf-8")
        configure(empty, table)
        done = run_cli(["status"], cwd=empty.root)
        path.write_text(before, "utf-8")
        assert done.returncode == 1
        assert words in done.stderr


def test_torn_tails_are_counted_and_those_that_were_set_aside(full: Fleet) -> None:
    call(full)
    full.agency.close()
    journal = full.root / "audit" / "acme-corp" / "journal"
    (journal / "000-000001.jsonl.torn-at-17").write_bytes(b"half")
    with (journal / "000-000001.jsonl").open("ab") as file:
        file.write(b'{"schema":1')
    found = status(full)
    assert (found["tornTails"], found["tornTailsSetAside"]) == (1, 1)
    shown = run_cli(["status"], cwd=full.root).stdout
    assert "torn tails  1, to be mended: hsagency audit repair; 1 set aside\n" in shown


def test_a_connected_client_without_a_log_is_named(full: Fleet) -> None:
    full.agency.close()
    (full.root / "audit" / "acme-corp").rename(full.root / "aside")
    assert status(full)["withoutLog"] == ["acme-corp"]
    shown = run_cli(["status"], cwd=full.root).stdout
    assert "no log      acme-corp: connected, and nothing is recorded of it\n" in shown


def test_a_suspended_portal_is_called_so_everywhere_and_offers_no_reconnection(full: Fleet) -> None:
    stop, one = full.agency.stops.stop, full.agency.connection
    stop(one("acme-corp"), "It is shut.", status_code=401, cause=Cause.SUSPENDED)
    stop(one("beta-inc"), "It is over.", status_code=401, cause=Cause.REVOKED)
    shown = run_cli(["status"], cwd=full.root).stdout
    assert "clients     1 connected, 1 needs reconnection, 1 suspended;" in shown
    assert status(full)["connections"] == {"connected": 1, "needs_reconnection": 1, "suspended": 1}
    assert "hsagency reconnect acme-corp" not in shown
    assert "ask again:" in shown
    assert "hsagency reconnect beta-inc" in shown
