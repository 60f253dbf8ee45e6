"""`hsagency call` is an audited curl, and `hsagency audit` shows what it did."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from hsagency.sandbox import Fault
from tests.commands import command, environment, on_terminal, run_cli
from tests.fleets import Fleet, connected

CONTACTS = "/crm/objects/2026-09/contacts"


def test_a_call_prints_the_answer_alone_and_says_where_it_went(shared: Fleet) -> None:
    done = run_cli(
        ["call", "acme-corp", "get", CONTACTS, "--query", "limit=1", "--purpose", "a look"],
        cwd=shared.root,
    )
    assert done.returncode == 0
    assert len(json.loads(done.stdout)["results"]) == 1
    assert done.stderr.startswith("200 OK  Acme Corp (acme-corp, portal ")
    (*_, record) = run_cli(
        ["audit", "tail", "acme-corp", "--json"], cwd=shared.root
    ).stdout.splitlines()
    call = json.loads(record)
    assert (call["clientSlug"], call["path"], call["purpose"]) == ("acme-corp", CONTACTS, "a look")
    assert (call["statusCode"], call["outcome"]) == (200, "ok")


def test_a_body_comes_from_standard_input_or_a_file(full: Fleet, tmp_path: Path) -> None:
    body = json.dumps({"properties": {"email": "someone@example.com"}})
    piped = run_cli(
        ["call", "acme-corp", "POST", CONTACTS, "--body", "-"], stdin=body, cwd=full.root
    )
    assert piped.returncode == 0, piped.stderr
    (tmp_path / "body.json").write_text(body.replace("someone", "other"), "utf-8")
    args = ["call", "beta-inc", "POST", CONTACTS, "--body", f"@{tmp_path / 'body.json'}"]
    filed = run_cli(args, cwd=full.root)
    assert json.loads(filed.stdout)["properties"]["email"] == "other@example.com"
    assert "example.com" not in run_cli(["audit", "tail", "--json"], cwd=full.root).stdout


def test_an_answer_that_is_no_success_is_printed_and_has_1(shared: Fleet) -> None:
    done = run_cli(["call", "acme-corp", "GET", f"{CONTACTS}/999999999"], cwd=shared.root)
    assert done.returncode == 1
    assert done.stderr.startswith("404 ")
    assert json.loads(done.stdout)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (
            Fault("status", status=401),
            "Calls to it are stopped until it is connected again. Ask the sandbox "
            "(POST /_sandbox/tokens/rotate) for a new service key, then: hsagency reconnect acme-corp",
        ),
        (
            Fault("status", status=403, category="PORTAL_SUSPENDED"),
            "says that the portal is suspended. Calls to it are stopped until a person resumes "
            "them. Ask whether it works again: hsagency verify acme-corp; once it does: ",
        ),
        (Fault("status", status=403), "Have the scope added"),
        (Fault("daily"), "Find out which app spent it"),
    ],
    ids=["401", "suspended", "403", "429"],
)
def test_a_refusal_comes_with_the_next_step(full: Fleet, fault: Fault, words: str) -> None:
    full.sandbox.faults.add(replace(fault, path="/crm/"))
    done = run_cli(["call", "acme-corp", "GET", CONTACTS], cwd=full.root)
    said = done.stderr.splitlines()
    while not said[0].startswith(("401", "403", "429")):
        assert "calls are left today" in said.pop(0)  # that little is left of it is told as well
    _, step = said
    assert done.returncode == 1
    assert step.startswith("The sandbox ")
    assert words in step


def test_a_sandbox_that_is_gone_is_said_without_contradiction(tmp_path: Path) -> None:
    with connected(tmp_path / "workspace", portals=1) as gone:
        root = gone.root
    done = run_cli(["call", "acme-corp", "GET", CONTACTS], cwd=root)
    assert done.returncode == 1
    assert "Acme Corp (acme-corp, portal " in done.stderr
    assert "the sandbox could not be reached" in done.stderr
    assert "nothing was sent" in done.stderr
    assert "as it does every call without an answer" in done.stderr


def test_an_answer_that_broke_off_is_not_called_none(full: Fleet) -> None:
    full.sandbox.faults.add(Fault("truncated", path="/crm/"))
    posting = ["call", "acme-corp", "POST", CONTACTS, "--body", '{"properties": {}}']
    done = run_cli(posting, cwd=full.root)
    assert (done.returncode, done.stdout) == (1, "")
    assert "the answer broke off" in done.stderr
    assert "did not answer" not in done.stderr
    assert "It is recorded as ok." in done.stderr


def test_what_may_not_leave_is_refused_with_what_would_allow_it(shared: Fleet) -> None:
    elsewhere = run_cli(["call", "acme-corp", "GET", "https://example.com/x"], cwd=shared.root)
    assert (elsewhere.returncode, elsewhere.stdout) == (1, "")
    assert "another host" in elsewhere.stderr
    assert "Nothing was sent" in elsewhere.stderr
    garbled = run_cli(["call", "acme-corp", "GET", "/x\x01y"], cwd=shared.root)
    assert garbled.returncode == 2
    assert "Nothing was sent" in garbled.stderr
    unknown = ["call", "acme-corp", "GET", "/nowhere/at/all"]
    for more in ([], ["--allow-unclassified"]):
        refused = run_cli([*unknown, *more], cwd=shared.root)
        assert refused.returncode == 1
        assert "--purpose NAME --allow-unclassified" in refused.stderr
    meant = run_cli([*unknown, "--allow-unclassified", "--purpose", "a test"], cwd=shared.root)
    assert meant.stderr.startswith("404 ")


def test_tail_and_activity_show_calls_and_changes(full: Fleet) -> None:
    tail = run_cli(["audit", "tail", "-n", "2"], cwd=full.root)
    assert len(tail.stdout.splitlines()) == 4
    assert tail.stdout.splitlines()[0].startswith("ts ")
    lines = run_cli(["audit", "tail", "--json"], cwd=full.root).stdout.splitlines()
    assert len(lines) == 9
    assert {json.loads(line)["clientSlug"] for line in lines} == {"_agency"}
    shown = run_cli(["audit", "activity", "acme-corp"], cwd=full.root)
    assert "connection.added" in shown.stdout
    answer = json.loads(run_cli(["audit", "activity", "--json"], cwd=full.root).stdout)
    assert answer["schema"] == 1
    assert {"ts", "clientSlug", "event", "message", "runId"} <= set(answer["activity"][0])
    assert answer["errors"] == []


def test_an_empty_log_is_said(empty: Fleet) -> None:
    done = run_cli(["audit", "tail"], cwd=empty.root)
    assert (done.returncode, done.stderr) == (0, "No calls are recorded.\n")


def test_an_import_names_malformed_lines_and_adds_nothing_twice(
    empty: Fleet, tmp_path: Path
) -> None:
    record = {
        "ts": "2026-05-01T10:00:00.000Z",
        "portalId": 1,
        "clientSlug": "gone-ltd",
        "method": "GET",
        "path": "/crm/v3/objects/contacts/17",
        "statusCode": 200,
        "durationMs": 12,
    }
    path = tmp_path / "old.jsonl"
    path.write_text(f"{json.dumps(record)}\n\nnot json\n", "utf-8")
    first, again = (run_cli(["audit", "import", path], cwd=empty.root) for _ in range(2))
    assert first.returncode == 1
    assert "gone-ltd: 1 record added" in first.stdout
    assert first.stderr.startswith("line 3 was left out: ")
    assert "Nothing was added; 1 record was there already." in again.stdout
    answer = json.loads(run_cli(["audit", "import", path, "--json"], cwd=empty.root).stdout)
    assert (answer["schema"], answer["alreadyKnown"]) == (1, 1)


def test_a_call_with_a_dead_key_names_the_client_and_what_mends_it(full: Fleet) -> None:
    connection = full.agency.connection("acme-corp")
    full.agency.index.update(connection.client_slug, generation=1, proof=None)
    full.sandbox.revoke(connection.portal_id)
    done = run_cli(["call", "acme-corp", "GET", CONTACTS], cwd=full.root)
    assert (done.returncode, done.stdout) == (4, "")
    assert f"Calls to {connection.portal} are stopped until it is connected" in done.stderr
    assert "hsagency reconnect acme-corp" in done.stderr


def test_a_status_without_a_name_leaves_no_gap_and_the_body_has_a_line_of_its_own(
    full: Fleet, tmp_path: Path
) -> None:
    full.sandbox.faults.add(Fault("status", status=477, path="/crm/"))
    with (tmp_path / "both").open("wb") as both:
        subprocess.run(
            command(["call", "acme-corp", "GET", CONTACTS]),
            stdout=both,
            stderr=both,
            cwd=full.root,
            env=environment(),
            check=False,
            timeout=60,
        )
    said = (tmp_path / "both").read_text().splitlines()
    assert said[-3].startswith("477  Acme Corp (")
    assert json.loads(said[-2])
    assert said[-1].startswith("The sandbox ")


def test_a_call_that_takes_long_shows_that_it_waits(full: Fleet) -> None:
    full.sandbox.faults.add(Fault("latency", seconds=4.0, path="/crm/"))
    code, screen = on_terminal(["call", "acme-corp", "GET", CONTACTS], cwd=full.root)
    assert code == 0
    assert "waiting for acme-corp" in screen
