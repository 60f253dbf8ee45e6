"""`hsagency audit export`: words, JSON and exit codes."""

from __future__ import annotations

import hashlib
import json
import zipfile
from datetime import UTC, datetime
from pathlib import Path

from tests.commands import run_cli
from tests.fleets import Fleet

CONTACTS = "/crm/v3/objects/contacts"
SLUG = "acme-corp"


def days() -> list[str]:
    today = datetime.now(UTC).date()
    return ["--from", str(today.replace(day=1)), "--to", "2099-12-31"]


def worked(full: Fleet) -> dict[str, str]:
    """Make a call; return the key that signs."""
    full.agency.client(SLUG).get(CONTACTS)
    key = full.agency.audit.keys()[-1]
    full.agency.close()
    return key


def test_what_the_client_is_given_on_another_way_is_shown(full: Fleet) -> None:
    key = worked(full)
    done = run_cli(["audit", "export", SLUG, *days(), "-o", "pack.zip"], cwd=full.root)
    assert done.returncode == 0, done.stderr
    assert f"Signed with the key {key['key']}\n  SHA-256 {key['fingerprint']}\n" in done.stdout
    with zipfile.ZipFile(full.root / "pack.zip") as pack:
        digest = hashlib.sha256(pack.read("verify.py")).hexdigest()
    assert f"SHA-256 of the verify.py in it: {digest}\n" in done.stdout


def test_the_export_as_json(full: Fleet) -> None:
    key = worked(full)
    done = run_cli(["audit", "export", SLUG, *days(), "-o", "pack.zip", "--json"], cwd=full.root)
    said = json.loads(done.stdout)
    shown = {name: key[name] for name in ("key", "fingerprint")}
    assert (done.returncode, said["keys"], said["leftOut"]) == (0, [shown], [])
    assert said["head"]["keys"] == [shown]
    assert said["verifier"]["file"] == "verify.py"
    assert len(said["verifier"]["sha256"]) == 64


def test_a_period_of_which_nothing_is_recorded_has_3(full: Fleet) -> None:
    worked(full)
    period = ["--from", "2020-01-01", "--to", "2020-01-31"]
    done = run_cli(["audit", "export", SLUG, *period, "-o", "pack.zip"], cwd=full.root)
    assert done.returncode == 3
    assert "0 segments\nNothing is recorded of this period; the register" in done.stdout


def test_what_is_not_this_clients_is_left_out_named_and_has_4(full: Fleet) -> None:
    slugs = sorted(full.agency.connections())[:2]
    for slug in slugs:
        for _ in range(3):
            full.agency.client(slug).get(CONTACTS)
    full.agency.close()
    own, other = (full.root / "audit" / slug / "journal" for slug in slugs)
    (path,) = other.iterdir()
    (own / "000-000002.jsonl").write_bytes(path.read_bytes())
    done = run_cli(["audit", "export", slugs[0], *days(), "-o", "pack.zip"], cwd=full.root)
    assert done.returncode == 4, done.stderr
    words = "Left out, since it does not show that it is this client's: journal/000-000002.jsonl"
    assert words in done.stdout
    with zipfile.ZipFile(full.root / "pack.zip") as pack:
        everything = b"".join(map(pack.read, pack.namelist()))
    assert slugs[1].encode() not in everything


def test_a_linked_journal_is_refused(full: Fleet, tmp_path: Path) -> None:
    worked(full)
    journal = full.root / "audit" / SLUG / "journal"
    journal.rename(tmp_path / "journal")
    journal.symlink_to(tmp_path / "journal")
    done = run_cli(["audit", "export", SLUG, *days(), "-o", "pack.zip"], cwd=full.root)
    assert done.returncode == 1
    assert "is a link" in done.stderr
    assert not (full.root / "pack.zip").exists()
