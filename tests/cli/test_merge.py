"""`hsagency audit merge`: words, JSON, the question and exit codes."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hsagency import onboarding
from hsagency.agency import Agency
from hsagency.periods import Period
from hsagency.portals import ClientSlug
from tests.audit.reading import intent
from tests.commands import on_terminal, run_cli
from tests.fleets import Fleet, client_list

CONTACTS = "/crm/v3/objects/contacts"
SLUG = "acme-corp"


@pytest.fixture
def other(full: Fleet, tmp_path: Path) -> Iterator[Agency]:
    """Another machine that is connected to the same portals, and made three calls."""
    store = f"age:credentials?identity={tmp_path / 'identity'}"
    with Agency.create(tmp_path / "other", store=store) as agency:
        plan = onboarding.plan_file(agency, client_list(full.sandbox), api=full.url)
        assert onboarding.apply(agency, plan, digest=plan.digest).complete
        for _ in range(3):
            agency.client(SLUG).get(CONTACTS)
        yield agency


def packed(agency: Agency, name: str = "pack.zip", slug: str = SLUG) -> Path:
    today = datetime.now(UTC).date()
    period = Period(today.replace(day=1), today)
    return agency.audit.export(slug, agency.workspace.root.parent / name, period=period).path


def key_of(agency: Agency) -> str:
    return agency.audit.keys()[-1]["key"]


def test_every_call_of_both_machines_shows_once(full: Fleet, other: Agency) -> None:
    mine = full.agency
    mine.client(SLUG).get(CONTACTS)
    apart = [one.calls(SLUG).collect() for one in (mine, other)]
    path, key = packed(other), key_of(other)
    for turn in range(2):
        plan = mine.audit.merge(path, key=key)
        assert plan.calls == (0 if turn else 3)
        calls = mine.calls(SLUG).collect()
        assert sorted(calls["call_id"]) == sorted(i for one in apart for i in one["call_id"])
        assert calls["call_id"].is_unique().all()
    assert set(calls["segment"]) == {"000-000001", f"{key}/000-000001"}
    other.client(SLUG).get(CONTACTS)
    assert mine.audit.merge(packed(other, "later.zip")).calls == 1
    assert mine.calls(SLUG).collect()["call_id"].n_unique() == sum(map(len, apart)) + 1
    assert "audit.merged" in set(mine.activity(SLUG)["event"])
    verdict = mine.audit.verify(SLUG)
    assert [one.integrity for one in (verdict, *verdict.merged)] == ["intact", "intact"]


def test_a_log_that_both_merge_from_each_other_is_not_doubled(full: Fleet, other: Agency) -> None:
    mine = full.agency
    mine.client(SLUG).get(CONTACTS)
    mine.audit.merge(packed(other, "theirs.zip"), key=key_of(other))
    other.audit.merge(packed(mine, "ours.zip"), key=key_of(mine))
    mine.audit.merge(packed(other, "back.zip"))
    assert sorted(mine.calls(SLUG).collect()["call_id"]) == sorted(
        other.calls(SLUG).collect()["call_id"]
    )


def test_a_pack_is_merged_with_the_key_that_the_other_machine_shows(
    full: Fleet, other: Agency
) -> None:
    path = packed(other)
    other.close()
    full.agency.close()
    shown = run_cli(["audit", "verify", SLUG, "--json"], cwd=other.workspace.root)
    key = json.loads(shown.stdout)["keys"][-1]
    words = run_cli(["audit", "verify", SLUG], cwd=other.workspace.root).stderr
    assert f"This workspace signs with the key {key['key']}." in words
    assert key["fingerprint"] in words

    refused = run_cli(["audit", "merge", path], cwd=full.root)
    assert refused.returncode == 1
    assert key["fingerprint"] in refused.stderr
    assert f"--key {key['key']}" in refused.stderr
    wrong = run_cli(["audit", "merge", path, "--key", "0" * 16], cwd=full.root)
    assert wrong.returncode == 4

    done = run_cli(["audit", "merge", path, "--key", key["key"]], cwd=full.root)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{SLUG}: 3 calls in ")
    assert done.stdout.endswith(f" merged from key {key['key']}.\n")
    again = run_cli(["audit", "merge", path], cwd=full.root)
    assert (again.returncode, again.stdout) == (
        0,
        f"{SLUG}: nothing new. Here already: 1 segment.\n",
    )

    judged = run_cli(["audit", "verify", SLUG], cwd=full.root)
    assert judged.returncode == 0
    assert f"\n  merged from key {key['key']}: intact" in judged.stdout
    told = run_cli(["audit", "activity", SLUG], cwd=full.root)
    assert "Merged from another machine's log of this client: 3 calls" in told.stdout


def test_the_merge_as_json(full: Fleet, other: Agency) -> None:
    path, key = packed(other), key_of(other)
    full.agency.close()
    done = run_cli(["audit", "merge", path, "--key", key, "--json"], cwd=full.root)
    said = json.loads(done.stdout)
    assert (said["schema"], said["clientSlug"], said["lineage"]) == (1, SLUG, key)
    assert (said["added"]["calls"], said["added"]["segments"]) == (3, ["000-000001"])
    assert (said["restored"], said["alreadyKnown"], said["leftOut"]) == ([], 0, [])
    assert [one["key"] for one in said["keys"]] == [key]


def test_a_merged_log_that_was_altered_or_taken_away_has_4(full: Fleet, other: Agency) -> None:
    key = key_of(other)
    full.agency.audit.merge(packed(other), key=key)
    full.agency.close()
    lineage = full.root / "audit" / SLUG / "merged" / key
    lineage.rename(full.root / "away")
    done = run_cli(["audit", "verify", SLUG, "--json"], cwd=full.root)
    (said,) = json.loads(done.stdout)["clients"]
    assert (done.returncode, said["integrity"]) == (4, "intact")
    assert [(one["key"], one["integrity"]) for one in said["merged"]] == [(key, "missing")]


def test_a_pack_with_an_altered_merged_log_has_4_everywhere(full: Fleet, other: Agency) -> None:
    """Whoever hands it out hears it before whoever gets it."""
    key = key_of(other)
    full.agency.audit.merge(packed(other), key=key)
    full.agency.close()
    register = full.root / "audit" / SLUG / "merged" / key / "heads.jsonl"
    register.write_bytes(register.read_bytes().replace(b'"records":', b'"records":1', 1))
    made = full.root / "pack.zip"
    export = ["audit", "export", SLUG, "--from", "2020-01-01", "--to", "2099-12-31", "-o", made]
    done = run_cli(export, cwd=full.root)
    assert (done.returncode, "the log is altered." in done.stdout) == (4, True)
    shutil.unpack_archive(made, full.root / "unpacked")
    script = full.root / "unpacked" / "verify.py"
    assert subprocess.run([sys.executable, script], check=False).returncode == 4


def test_what_a_merged_log_is_known_to_lack_is_lacking_here(full: Fleet, other: Agency) -> None:
    portal = int(full.agency.connections()[ClientSlug(SLUG)].portal_id)
    other.writer.append(SLUG, intent(portalId=portal))
    other.writer.settle()
    other.close()  # without an outcome of that call
    with Agency.open(other.workspace.root) as again:
        again.client(SLUG).get(CONTACTS)
        full.agency.audit.merge(packed(again, "later.zip"), key=key_of(again))
    full.agency.client(SLUG).get(CONTACTS)
    verdict = full.agency.audit.verify(SLUG)
    assert [one.completeness for one in verdict.merged] == ["incomplete"]
    assert (verdict.integrity, verdict.completeness) == ("intact", "incomplete")
    compared = full.agency.compare(SLUG)
    assert compared.verdict == "incomplete"
    assert "calls whose outcome is not recorded: 1" in compared.days["reason"][0]
    full.agency.close()
    done = run_cli(["audit", "verify", SLUG, "--require-complete"], cwd=full.root)
    assert done.returncode == 4


def test_a_client_that_nobody_knows_here_is_refused_with_what_to_do(
    full: Fleet, other: Agency, tmp_path: Path
) -> None:
    path, key = packed(other), key_of(other)
    store = f"age:credentials?identity={tmp_path / 'third'}"
    with Agency.create(tmp_path / "third-machine", store=store) as third:
        root = third.workspace.root
    done = run_cli(["audit", "merge", path, "--key", key], cwd=root)
    assert done.returncode == 1
    assert "neither connected nor on record here. Nothing was merged." in done.stderr
    assert f"onboard --client {SLUG}" in done.stderr
    assert not (root / "audit" / SLUG).exists()


def test_a_pack_of_another_portal_has_4_and_both_names(full: Fleet, tmp_path: Path) -> None:
    store = f"age:credentials?identity={tmp_path / 'identity'}"
    acme, beta, *_ = full.sandbox.portals
    rows = f"clientSlug,portalToken,expectedPortalId\n{SLUG},{beta.token},{beta.portal_id}\n"
    with Agency.create(tmp_path / "other", store=store) as agency:
        plan = onboarding.plan_file(agency, rows.encode(), api=full.url)
        assert onboarding.apply(agency, plan, digest=plan.digest).complete
        agency.client(SLUG).get(CONTACTS)
        path, key = packed(agency), key_of(agency)
    full.agency.close()
    done = run_cli(["audit", "merge", path, "--key", key], cwd=full.root)
    assert done.returncode == 4
    assert f"portal {beta.portal_id}, and {SLUG} is portal {acme.portal_id} here" in done.stderr


def test_what_is_no_pack_is_wrong_usage(full: Fleet, tmp_path: Path) -> None:
    full.agency.close()
    done = run_cli(["audit", "merge", tmp_path / "none.zip"], cwd=full.root)
    assert done.returncode == 2
    assert "Nothing was merged" in done.stderr


def test_of_our_own_pack_nothing_is_to_do(full: Fleet) -> None:
    full.agency.client(SLUG).get(CONTACTS)
    path = packed(full.agency)
    full.agency.close()
    done = run_cli(["audit", "merge", path], cwd=full.root)
    assert (done.returncode, done.stdout) == (
        0,
        f"{SLUG}: nothing is to do. This is the workspace's own log.\n",
    )
    path.write_text("no zip")
    done = run_cli(["audit", "merge", path], cwd=full.root)
    assert done.returncode == 2
    assert "is no zip file" in done.stderr


@pytest.mark.parametrize("keys", ["\x03", "\x04"])
def test_at_the_question_one_can_leave(full: Fleet, other: Agency, keys: str) -> None:
    """With Ctrl-C, and with Ctrl-D."""
    path = packed(other)
    full.agency.close()
    asked = {"[y/N]: ": keys}  # its last letter comes from whoever listens
    status, seen = on_terminal(["audit", "merge", path], typed=asked, cwd=full.root)
    assert (status, "Interrupted." in seen, "not a pack" in seen) == (130, True, False)
    assert not (full.root / "audit" / SLUG / "merged").exists()


@pytest.mark.parametrize(("answer", "code"), [("y", 0), ("n", 1)])
def test_at_a_terminal_the_key_is_asked_for(
    full: Fleet, other: Agency, answer: str, code: int
) -> None:
    path, key = packed(other), key_of(other)
    full.agency.close()
    asked = {"what the other machine shows?": answer + "\n"}
    status, seen = on_terminal(["audit", "merge", path], typed=asked, cwd=full.root)
    assert status == code
    assert f"Signed with a key that is new here: {key}" in seen
    assert ("merged from key" in seen) == (code == 0)
