"""`hsagency audit verify` and `audit export`: words, JSON and exit codes."""

from __future__ import annotations

import json
import shutil
import zipfile
from base64 import b64encode
from pathlib import Path

import pytest

from hsagency.audit import chain
from hsagency.audit.record import encode
from tests.audit.logs import rechained
from tests.commands import run_cli
from tests.fleets import Fleet, tree


def journal(fleet: Fleet, slug: str = "acme-corp") -> Path:
    (path,) = (fleet.root / "audit" / slug / "journal").glob("*.jsonl")
    return path


def tamper(path: Path) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([lines[0].replace(b'"seq":1', b'"seq":7'), *lines[1:]]))


def test_intact_logs_have_0_and_every_one_is_named(full: Fleet) -> None:
    full.agency.close()
    done = run_cli(["audit", "verify"], cwd=full.root)
    assert done.returncode == 0, done.stdout + done.stderr
    heads = [line for line in done.stdout.splitlines() if not line.startswith(" ")]
    slugs = full.agency.slugs()
    assert heads == [
        "_agency: intact; completeness: not comparable",
        *(f"{slug}: intact; completeness: complete" for slug in slugs),
    ]
    assert done.stdout.count("  HubSpot   1 day complete\n") == len(slugs)
    one = run_cli(["audit", "verify", "acme-corp", "--quiet"], cwd=full.root)
    assert (one.returncode, one.stderr) == (0, "")
    assert one.stdout.startswith("acme-corp: intact")


def test_verifying_needs_no_secret_and_changes_nothing(full: Fleet) -> None:
    full.agency.close()
    (full.root / "credentials").rename(full.root / "gone")
    before = tree(full.root)
    assert run_cli(["audit", "verify"], cwd=full.root).returncode == 0
    assert tree(full.root) == before


def test_a_log_that_is_not_intact_has_4_and_the_place(full: Fleet) -> None:
    full.agency.close()
    tamper(journal(full))
    done = run_cli(["audit", "verify"], cwd=full.root)
    assert done.returncode == 4
    assert "acme-corp: altered; completeness: incomplete" in done.stdout
    name = journal(full).name
    assert f"altered: journal/{name}, line 1, byte 0: it does not follow" in done.stdout
    assert "beta-inc: intact" in done.stdout


def test_a_connected_client_whose_log_is_gone_without_a_trace_is_missing_one(full: Fleet) -> None:
    full.agency.close()
    shutil.rmtree(full.root / "audit" / "beta-inc")
    for path in [*(full.root / "state" / "heads").glob("beta-inc*")]:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    shutil.rmtree(full.root / "audit" / "lake" / "client_slug=beta-inc", ignore_errors=True)
    done = run_cli(["audit", "verify"], cwd=full.root)
    assert done.returncode == 4
    assert "missing: heads.jsonl: there is no log, though the client is connected" in done.stdout
    assert run_cli(["audit", "verify", "beta-inc"], cwd=full.root).returncode == 4


def test_the_keys_that_signed_are_shown_and_the_stores_own(full: Fleet) -> None:
    full.agency.close()
    listed = json.loads((full.root / "audit" / "keys.json").read_text())
    (own,) = [one["key"] for one in listed]
    added = {**listed[0], "publicKey": b64encode(b"9" * 32).decode()}
    (full.root / "audit" / "keys.json").write_text(json.dumps([*listed, added]))
    done = run_cli(["audit", "verify", "acme-corp"], cwd=full.root)
    assert f"  signed by the key {own}, " in done.stdout
    assert f"This workspace signs with the key {own}." in done.stderr
    report = json.loads(run_cli(["audit", "verify", "acme-corp", "--json"], cwd=full.root).stdout)
    assert [one["key"] for one in report["clients"][0]["signedBy"]] == [own]


def test_records_that_nothing_signed_have_4_if_all_have_to_be_signed(full: Fleet) -> None:
    full.agency.close()
    assert run_cli(["audit", "verify", "--require-signed"], cwd=full.root).returncode == 0
    last = chain.genesis("005-000001.jsonl")
    fields = {"event": "audit.opened", "ts": "2026-01-01T00:00:00.000000Z", "seq": 1}
    line, last = chain.link(last, encode({"schema": 1, "clientSlug": "acme-corp", **fields}))
    fields |= {"ts": "2026-01-01T00:01:00.000000Z", "event": "audit.idle", "seq": 2}
    more, _ = chain.link(last, encode({"schema": 1, "clientSlug": "acme-corp", **fields}))
    newest = sorted((full.root / "audit" / "acme-corp" / "journal").iterdir())[-1].name
    name = f"{int(newest[:3]) + 1:03}-000001.jsonl"
    body = rechained([line, more], name)
    (full.root / "audit" / "acme-corp" / "journal" / name).write_bytes(body)
    done = run_cli(["audit", "verify", "acme-corp"], cwd=full.root)
    assert done.returncode == 0, done.stdout
    assert "  UNSIGNED: 2 of " in done.stdout
    assert (
        run_cli(["audit", "verify", "acme-corp", "--require-signed"], cwd=full.root).returncode == 4
    )


def test_the_verdict_as_json(full: Fleet) -> None:
    full.agency.close()
    journal(full, "beta-inc").unlink()
    args = ["audit", "verify", "beta-inc", "--json", "--from", "2026-01-01", "--to", "2099-12-31"]
    done = run_cli(args, cwd=full.root)
    assert done.returncode == 4
    said = json.loads(done.stdout)
    (client,) = said["clients"]
    assert (said["schema"], said["errors"]) == (1, [])
    assert (client["integrity"], client["completeness"]) == ("missing", "incomplete")
    assert client["requested"] == {"from": "2026-01-01", "to": "2099-12-31"}
    assert client["findings"][0]["file"].startswith("journal/000-")


def test_what_is_lost_fails_only_where_completeness_is_required(full: Fleet) -> None:
    full.agency.close()
    with journal(full).open("ab") as file:
        file.write(b'{"schema":1')
    done = run_cli(["audit", "verify", "acme-corp"], cwd=full.root)
    assert done.returncode == 0
    assert "acme-corp: intact; completeness: incomplete" in done.stdout
    assert "lost: " in done.stdout
    required = ["audit", "verify", "acme-corp", "--require-complete"]
    assert run_cli(required, cwd=full.root).returncode == 4
    assert run_cli([*required[:2], "beta-inc", required[3]], cwd=full.root).returncode == 0


def test_nothing_to_verify_is_3_and_an_unknown_client_1(empty: Fleet) -> None:
    done = run_cli(["audit", "verify"], cwd=empty.root)
    assert (done.returncode, done.stdout, done.stderr) == (3, "", "There is no audit log yet.\n")
    done = run_cli(["audit", "verify", "no-such-client"], cwd=empty.root)
    assert (done.returncode, done.stdout) == (1, "")


def test_one_log_that_cannot_be_read_does_not_hide_the_others(full: Fleet) -> None:
    full.agency.close()
    register = full.root / "audit" / "acme-corp" / "heads.jsonl"
    register.unlink()
    register.symlink_to("heads.jsonl")
    done = run_cli(["audit", "verify"], cwd=full.root)
    assert done.returncode == 1
    assert "acme-corp: The audit log" in done.stderr
    assert "beta-inc: intact" in done.stdout
    said = json.loads(run_cli(["audit", "verify", "--json"], cwd=full.root).stdout)
    assert [one["clientSlug"] for one in said["errors"]] == ["acme-corp"]


@pytest.mark.parametrize(
    ("args", "hint"),
    [
        (["verify", "--from", "yesterday"], "2026-05-01"),
        (["verify", "--head", "hsagency.toml"], "Name the client"),
        (["verify", "acme-corp", "--head", "hsagency.toml"], "Name the HEAD.json"),
        (
            ["export", "acme-corp", "--from", "2026-10-02", "--to", "2026-10-01", "-o", "x"],
            "before it begins",
        ),
        (["verify", "--from", "2026-10-02", "--to", "2026-10-01"], "before it begins"),
    ],
)
def test_what_is_asked_wrongly_is_2_with_a_hint(shared: Fleet, args: list[str], hint: str) -> None:
    done = run_cli(["audit", *args], cwd=shared.root)
    assert (done.returncode, done.stdout) == (2, "")
    assert hint in done.stderr


def test_a_pack_is_exported_once_and_its_head_is_printed_and_compared(full: Fleet) -> None:
    full.agency.close()
    args = ["audit", "export", "acme-corp", "--from", "2020-01-01", "--to", "2099-12-31", "-o"]
    done = run_cli([*args, "pack.zip"], cwd=full.root)
    assert done.returncode == 0, done.stderr
    portal = full.sandbox.portal("acme-corp")
    assert f"{portal.portal_id}" in done.stderr
    assert done.stdout.startswith("pack.zip: acme-corp, 2020-01-01 to 2099-12-31 (UTC days), ")
    assert "the log is intact." in done.stdout
    with zipfile.ZipFile(full.root / "pack.zip") as pack:
        head = pack.read("HEAD.json")
    assert head.decode() in done.stdout
    again = run_cli([*args, "pack.zip"], cwd=full.root)
    assert (again.returncode, again.stdout) == (2, "")
    assert "is there already" in again.stderr
    (full.root / "HEAD.json").write_bytes(head)
    compared = ["audit", "verify", "acme-corp", "--head", "HEAD.json"]
    assert run_cli(compared, cwd=full.root).returncode == 0
    wrong = run_cli(["audit", "verify", "beta-inc", "--head", "HEAD.json"], cwd=full.root)
    assert (wrong.returncode, "not a kept head of this client" in wrong.stderr) == (2, True)
    told = run_cli(["audit", "activity", "acme-corp"], cwd=full.root)
    assert told.stdout.count("audit.exported") == 1


def test_the_export_of_an_altered_log_is_made_and_has_4(full: Fleet) -> None:
    full.agency.close()
    tamper(journal(full))
    args = ["audit", "export", "acme-corp", "--from", "2020-01-01", "--to", "2099-12-31"]
    done = run_cli([*args, "-o", "pack.zip", "--json"], cwd=full.root)
    assert done.returncode == 4
    said = json.loads(done.stdout)
    assert (said["log"]["integrity"], said["head"]["clientSlug"]) == ("altered", "acme-corp")
    assert (full.root / "pack.zip").is_file()
