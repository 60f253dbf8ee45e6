"""`hsagency audit find` and `audit erase`: words, JSON, exit codes, and what is never shown."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest

from hsagency.agency import Agency
from hsagency.audit.privacy.identifiers import Identifiers
from tests.commands import on_terminal, run_cli
from tests.fleets import Fleet, tree

MAIL = "zqx.doe@example.com"
SLUG = "acme-corp"


@pytest.fixture
def named(full: Fleet) -> Fleet:
    """A fleet whose first client's log names somebody twice."""
    client = full.agency.client(SLUG, purpose="support case")
    client.get(f"/crm/v3/objects/contacts/{quote(MAIL)}", params={"idProperty": "email"})
    client.get("/crm/owners/2026-09", params={"email": MAIL})
    full.agency.close()
    return full


def test_what_names_somebody_is_shown_with_what_cannot_be(named: Fleet) -> None:
    done = run_cli(["audit", "find", SLUG, "--identifier", "-"], stdin=f"{MAIL}\n", cwd=named.root)
    assert (done.returncode, done.stderr) == (0, "")
    heading, rule, first, second, count, *rest = done.stdout.splitlines()
    for column in ("ts", "method", "path", "outcome", "status code", "origin", "purpose", "actor"):
        assert column in heading
    assert set(rule) <= {"-", " "}
    assert "/crm/v3/objects/contacts/{id}" in first
    assert "client_error" in first
    assert "/crm/owners/2026-09" in second
    assert "support case" in second
    assert count == "2 calls in the log of acme-corp."
    assert rest[0] == "What a log cannot show:"
    assert any("Of what was sent and answered, only the ids" in line for line in rest)
    assert MAIL not in done.stdout


def test_simulated_calls_are_marked(full: Fleet) -> None:
    call = {"event": "call.finished", "callId": "0" * 32, "origin": "simulated", "portalId": 1}
    call |= {"method": "GET", "path": "/crm/v3/objects/contacts/4711", "objectId": "4711"}
    full.agency.writer.append(SLUG, {**call, "objectType": "contacts", "outcome": "ok"})
    full.agency.client(SLUG).get("/crm/v3/objects/contacts/4711")
    full.agency.close()
    done = run_cli(["audit", "find", SLUG], stdin="contacts/4711", cwd=full.root)
    assert "2 calls in the log of acme-corp, 1 simulated." in done.stdout
    assert done.stdout.count(" simulated ") + done.stdout.count(" witnessed ") == 2


def test_of_two_lines_none_is_dropped(named: Fleet) -> None:
    args = ["audit", "find", SLUG]
    done = run_cli(args, stdin=f"zqx.other@example.com\n{MAIL}\n", cwd=named.root)
    assert (done.returncode, done.stdout) == (2, "")
    assert "More than one line" in done.stderr
    assert MAIL not in done.stderr


def test_a_search_is_told_apart_from_other_readings(named: Fleet) -> None:
    run_cli(["audit", "find", SLUG], stdin=MAIL, cwd=named.root)
    run_cli(["audit", "tail", SLUG], cwd=named.root)
    with Agency.open(named.root) as agency:
        agency.calls(SLUG)
        activity = agency.audit.activity(SLUG)
    said = activity.filter(activity["event"] == "audit.read")["message"].to_list()
    assert said == [
        "The log was searched for an identifier by hsagency audit find.",
        "The log was read by hsagency audit tail.",
        "The log was read by a program.",
    ]


def test_standard_input_is_what_is_read_unless_a_value_is_given(named: Fleet) -> None:
    asked = run_cli(["audit", "find", SLUG], stdin=MAIL.upper(), cwd=named.root)
    given = run_cli(["audit", "find", SLUG, "--identifier", MAIL], cwd=named.root)
    assert (asked.returncode, given.returncode) == (0, 0)
    assert asked.stdout == given.stdout


def test_an_address_beyond_ascii_is_read_as_utf_8_in_any_locale(full: Fleet) -> None:
    name = "zqx.müller@example.com"
    full.agency.client(SLUG).get("/crm/owners/2026-09", params={"email": name})
    full.agency.close()
    for locale in ("C", "C.UTF-8"):
        environment = {"LC_ALL": locale, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
        args = ["audit", "find", SLUG, "--json"]
        done = run_cli(args, stdin=name.upper(), cwd=full.root, env=environment)
        assert done.returncode == 0, done.stderr


def test_the_answer_as_json_has_the_joined_records(named: Fleet) -> None:
    done = run_cli(["audit", "find", SLUG, "--json"], stdin=MAIL, cwd=named.root)
    said = json.loads(done.stdout)
    assert (said["schema"], said["clientSlug"]) == (1, SLUG)
    assert [one["path"] for one in said["calls"]] == [
        "/crm/v3/objects/contacts/{id}",
        "/crm/owners/2026-09",
    ]
    assert {one["purpose"] for one in said["calls"]} == {"support case"}
    assert said["limits"]


def test_a_person_is_asked_and_what_they_type_is_not_shown(named: Fleet) -> None:
    code, screen = on_terminal(
        ["audit", "find", SLUG],
        cwd=named.root,
        typed={"Identifier (not shown as you type it)": f"{MAIL}\n"},
    )
    assert code == 0, screen
    assert "2 calls in the log" in screen
    assert "zqx" not in screen


def test_nothing_found_has_3_and_still_says_what_cannot_be(named: Fleet) -> None:
    done = run_cli(["audit", "find", SLUG], stdin="nobody@example.com", cwd=named.root)
    assert done.returncode == 3
    assert done.stdout.startswith("Nothing was found in the log of acme-corp.\nWhat a log cannot")


@pytest.mark.parametrize(
    ("arguments", "given"),
    [([SLUG], b""), ([SLUG], b"\n"), ([SLUG, "--identifier", " "], b""), ([SLUG], b"\xff\xfezqx")],
)
def test_nothing_to_look_for_has_2(named: Fleet, arguments: list[str], given: bytes) -> None:
    done = run_cli(["audit", "find", *arguments], stdin=given, cwd=named.root)
    assert done.returncode == 2
    assert "Nothing was read" in done.stderr
    assert "zqx" not in done.stderr


def test_an_unknown_client_has_1_and_the_identifier_is_not_repeated(named: Fleet) -> None:
    done = run_cli(["audit", "find", "nobody", "--debug"], stdin=MAIL, cwd=named.root)
    assert done.returncode == 1
    assert MAIL not in done.stdout + done.stderr


def test_erasing_says_what_it_would_do_and_does_nothing(named: Fleet) -> None:
    before = tree(named.root)
    done = run_cli(["audit", "erase", SLUG], cwd=named.root)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Would be destroyed: the key ")
    assert "Not reached:" in done.stdout
    assert "backup of the credential store" in done.stdout
    assert "the store of another machine" in done.stdout
    assert done.stdout.rstrip().endswith(
        "Nothing was done. To do it: hsagency audit erase acme-corp --confirm acme-corp"
    )
    assert tree(named.root) == before


def test_erasing_names_the_client_twice(named: Fleet) -> None:
    before = tree(named.root)
    done = run_cli(["audit", "erase", SLUG, "--confirm", "beta-inc"], cwd=named.root)
    assert done.returncode == 2
    assert "Nothing was destroyed" in done.stderr
    assert tree(named.root) == before


def test_after_erasing_the_log_verifies_and_names_nobody(named: Fleet) -> None:
    erase = ["audit", "erase", SLUG, "--confirm", SLUG]
    done = run_cli([*erase, "--json"], cwd=named.root)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert (said["clientSlug"], said["destroyed"], len(said["keys"])) == (SLUG, True, 1)
    assert said["notReached"]
    assert run_cli(["audit", "verify", SLUG], cwd=named.root).returncode == 0
    found = run_cli(["audit", "find", SLUG], stdin=MAIL, cwd=named.root)
    assert found.returncode == 3
    assert (
        f"The hashes of 2 calls are under the key {said['keys'][0]['key']}, which was destroyed"
        in (found.stdout)
    )
    again = run_cli(erase, cwd=named.root)
    assert again.returncode == 3
    assert "nothing was destroyed" in again.stderr


def test_the_key_of_a_client_that_is_not_connected_can_be_destroyed(empty: Fleet) -> None:
    agency: Agency = empty.agency
    identifiers = Identifiers(
        store=lambda: agency.store,
        workspace=agency.workspace.settings.workspace,
        writer=agency.writer,
        lock=agency.workspace.state / "identifiers.lock",
    )
    assert identifiers.hashed("former-client", [MAIL])
    agency.writer.append("former-client", {"event": "audit.read", "message": "It was here."})
    agency.close()
    arguments = ["audit", "erase", "former-client", "--confirm", "former-client"]
    done = run_cli(arguments, cwd=empty.root)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Destroyed: the key ")
    assert run_cli(["audit", "verify", "former-client"], cwd=empty.root).returncode == 0


def test_erasing_for_nobody_has_1(empty: Fleet) -> None:
    empty.agency.close()
    done = run_cli(["audit", "erase", "nobody"], cwd=empty.root)
    assert done.returncode == 1
    assert "no client 'nobody'" in done.stderr
