"""`hsagency resume` lets calls go on, of some clients or of the fleet, for a reason."""

from __future__ import annotations

import json
from collections.abc import Iterable

import pytest

from hsagency.audit.journal.writer import utc_now
from tests.commands import run_cli
from tests.fleets import Fleet

CONTACTS = "/crm/objects/2026-09/contacts"
REASON = ["--reason", "the client says it works again"]


def stop(fleet: Fleet, slugs: Iterable[str], *, status_code: int = 401) -> None:
    for slug in slugs:
        connection = fleet.agency.connection(slug)
        said = "HubSpot does not accept the token."
        fleet.agency.stops.stop(connection, said, status_code=status_code, correlation_id="c-1")


def stopped(fleet: Fleet) -> list[str | None]:
    return fleet.agency.stopped()["client_slug"].to_list()


def call(fleet: Fleet, slug: str) -> int:
    return run_cli(["call", slug, "GET", CONTACTS], cwd=fleet.root).returncode


def test_one_client_goes_on_and_the_others_stay_stopped(full: Fleet) -> None:
    one, other, _ = full.agency.slugs()
    stop(full, [one, other])
    refused = run_cli(["call", one, "GET", CONTACTS], cwd=full.root)
    assert refused.returncode == 1
    assert f"hsagency reconnect {one}\n" in refused.stderr
    done = run_cli(["resume", one, *REASON], cwd=full.root)
    assert done.returncode == 0, done.stderr
    portal = full.agency.connection(one).portal
    assert done.stdout.startswith(f"Resumed. {portal} was stopped since 20")
    assert done.stdout.endswith(" UTC: HubSpot does not accept the token.\n")
    assert done.stderr == "The next call proves the credential anew.\n"
    assert (call(full, one), call(full, other)) == (0, 1)
    assert stopped(full) == [other]


def test_several_clients_at_once_as_json(full: Fleet) -> None:
    one, other, _ = full.agency.slugs()
    stop(full, [one, other])
    done = run_cli(["resume", one, other, one, *REASON, "--json"], cwd=full.root)
    assert (done.returncode, done.stderr) == (0, "")
    answer = json.loads(done.stdout)
    assert answer["schema"] == 1
    assert [row["clientSlug"] for row in answer["resumed"]] == [one, other]
    assert {row["reason"] for row in answer["resumed"]} == {"HubSpot does not accept the token."}
    assert all(row["since"].endswith("Z") for row in answer["resumed"])
    assert stopped(full) == []


@pytest.mark.parametrize(
    ("more", "code", "words"),
    [
        ([], 2, "Name clients, or --fleet. Nothing was changed."),
        (["acme-corp", "--fleet"], 2, "Name clients, or --fleet. Nothing was changed."),
        (["--fleet"], 1, "The fleet is not halted; nothing was changed."),
        (["nobody"], 1, "There is no client 'nobody'"),
        (["acme-corp", "nobody"], 1, "There is no client 'nobody'"),
    ],
)
def test_what_cannot_be_resumed_changes_nothing(
    full: Fleet, more: list[str], code: int, words: str
) -> None:
    stop(full, ["acme-corp"])
    done = run_cli(["resume", *more, *REASON], cwd=full.root)
    assert (done.returncode, done.stdout) == (code, "")
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert stopped(full) == ["acme-corp"]


def test_who_is_not_stopped_is_named_and_nobody_goes_on(full: Fleet) -> None:
    one, other, third = full.agency.slugs()
    stop(full, [one])
    done = run_cli(["resume", one, other, third, *REASON], cwd=full.root)
    assert done.returncode == 1
    assert f"Not stopped: {other}, {third}. Nothing was changed." in done.stderr
    assert "hsagency status" in done.stderr
    assert stopped(full) == [one]


@pytest.mark.parametrize("more", [[], ["--reason", ""], ["--reason", "  "]])
@pytest.mark.parametrize("what", ["acme-corp", "--fleet"])
def test_it_needs_a_reason(full: Fleet, what: str, more: list[str]) -> None:
    stop(full, ["acme-corp"])
    full.agency.halt.set("two were mixed up.", at=utc_now())
    done = run_cli(["resume", what, *more], cwd=full.root)
    assert (done.returncode, done.stdout) == (2, "")
    assert "reason" in done.stderr
    assert stopped(full) == [None, "acme-corp"]


def test_the_fleet_goes_on_although_what_halted_it_cannot_be_read(full: Fleet) -> None:
    (full.agency.workspace.state / "halt.json").write_bytes(b'{"reason"')
    shown = run_cli(["status"], cwd=full.root)
    assert "HALTED: the reason could not be read." in shown.stdout
    assert call(full, "acme-corp") == 1
    done = run_cli(["resume", "--fleet", *REASON, "--json"], cwd=full.root)
    assert done.returncode == 0
    (row,) = json.loads(done.stdout)["resumed"]
    assert row == {
        "clientSlug": None,
        "portal": None,
        "reason": "the reason could not be read.",
        "since": None,
    }
    assert call(full, "acme-corp") == 0


def test_the_fleet_goes_on_and_says_since_when_it_did_not(full: Fleet) -> None:
    full.agency.halt.set("two were mixed up.", at=utc_now())
    done = run_cli(["resume", "--fleet", *REASON], cwd=full.root)
    assert done.returncode == 0
    assert done.stdout.startswith("Resumed. The fleet was halted since 20")
    assert done.stdout.endswith(" UTC: two were mixed up.\n")
    assert stopped(full) == []


def test_who_resumed_what_and_why_is_on_record(full: Fleet) -> None:
    stop(full, ["acme-corp"])
    run_cli(["resume", "acme-corp", *REASON], cwd=full.root)
    shown = run_cli(["audit", "activity", "acme-corp", "--json"], cwd=full.root).stdout
    (note,) = [one for one in json.loads(shown)["activity"] if one["event"] == "stop.cleared"]
    assert REASON[1] in note["message"]
    assert note["user"]
