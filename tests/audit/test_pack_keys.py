"""Whose a pack is: the keys that signed it, the head that was kept, the verifier that judges it."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from hsagency.audit.pack import kept_head
from hsagency.audit.standalone.signers import fingerprint
from tests.audit.logs import SLUG, Desk, call, signer_of, three_days
from tests.audit.machines import machine, work
from tests.audit.test_pack import check, contents, packed, run

MINE, OTHERS = (fingerprint(signer_of(seed)[1]) for seed in (b"1", b"9"))


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return three_days(tmp_path / "mine")


@pytest.fixture
def forged(tmp_path: Path) -> Path:
    """A log of the same client, whole, chained and signed, by somebody with a key of their own."""
    return packed(work(machine(tmp_path / "forged", b"9"), range(9))).path


def test_export_and_verifier_show_the_key_that_signed(desk: Desk) -> None:
    pack = packed(desk)
    assert dict(pack.keys) == {desk.signer.key: MINE}
    assert [one["fingerprint"] for one in check(pack.path)[1]["signedBy"]] == [MINE]
    words = run(pack.path).stdout
    assert f"signed by the key {desk.signer.key}\n    SHA-256 {MINE}\n" in words
    assert "Anybody can sign with a key of their own" in words
    head = json.loads(pack.head)
    assert head["keys"] == [{"key": desk.signer.key, "fingerprint": MINE}]
    assert json.loads(kept_head(desk.log()))["keys"] == head["keys"]


@pytest.mark.parametrize("form", ["groups", "digits", "capitals", "id"])
def test_a_key_that_was_confirmed_is_named_however_it_was_noted(desk: Desk, form: str) -> None:
    digits = MINE.replace(" ", "")
    said = {"groups": MINE, "digits": digits, "capitals": digits.upper(), "id": desk.signer.key}
    pack = packed(desk).path
    assert check(pack, "--key", said[form])[0] == 0
    assert check(pack, "--key", OTHERS, "--key", said[form])[0] == 0
    assert "Anybody can sign" not in run(pack, "--key", said[form]).stdout


def test_any_other_key_than_the_one_named_is_a_finding(desk: Desk, forged: Path) -> None:
    assert check(forged)[0] == 0  # it agrees with itself, and that is all
    code, said = check(forged, "--key", MINE)
    assert (code, said["integrity"]) == (4, "altered")
    assert "which is none that you named" in said["findings"][0]["cause"]
    assert check(packed(desk).path, "--key", OTHERS)[0] == 4


def test_a_log_that_nobody_signed_is_none_of_the_key_named(tmp_path: Path) -> None:
    pack = packed(three_days(tmp_path, signed=False))
    assert not pack.keys
    assert "signed by nobody" in run(pack.path).stdout
    code, said = check(pack.path, "--key", MINE)
    assert (code, said["integrity"]) == (4, "altered")


def test_what_names_no_key_is_refused(desk: Desk) -> None:
    done = run(packed(desk).path, "--key", "0123")
    assert done.returncode == 2
    assert "a fingerprint has 64 digits" in done.stderr


def test_another_key_than_the_kept_head_names_is_said(desk: Desk, tmp_path: Path) -> None:
    kept = tmp_path / "kept.json"
    kept.write_bytes(packed(desk).head)
    private, public = signer_of(b"9")
    desk.list_keys(signer_of()[1], public)
    desk.signer = private
    with desk.writer() as writer:
        call(writer, 90)
    code, said = check(packed(desk, "later.zip").path, "--head", kept)
    (note,) = [one for one in said["notes"] if "which the head that was kept does not name" in one]
    assert private.key in note
    assert code == 0
    plain = json.loads(kept.read_bytes())
    del plain["keys"]  # of an earlier version
    kept.write_text(json.dumps(plain))
    assert not check(desk.audit.parent / "later.zip", "--head", kept)[1]["notes"]


def test_a_head_that_is_contained_is_confirmed_and_a_bad_one_is_named(
    desk: Desk, tmp_path: Path
) -> None:
    pack, kept = packed(desk), tmp_path / "kept.json"
    kept.write_bytes(pack.head)
    made = json.loads(pack.head)["made"]
    assert (
        f"the head kept at {made} is contained in this log" in run(pack.path, "--head", kept).stdout
    )
    for content in (b"{}", b"[", b"\xff"):
        kept.write_bytes(content)
        done = run(pack.path, "--head", kept)
        assert done.returncode == 1
        assert done.stderr.startswith(f"{kept} could not be checked: ")
    done = run(pack.path, "--head", tmp_path / "none.json")
    assert done.returncode == 1
    assert done.stderr.startswith(f"{tmp_path / 'none.json'} could not be checked: ")


def test_the_verifier_in_a_pack_is_known_by_its_digest(desk: Desk) -> None:
    pack = packed(desk)
    assert pack.verifier == hashlib.sha256(contents(pack.path)["verify.py"]).hexdigest()


MODULES = ("__future__", "argparse", "base64", "dataclasses", "json", "re", "typing", "zipfile")


@pytest.mark.parametrize("isolated", [True, False])
def test_no_module_in_a_pack_takes_the_place_of_one_of_pythons(
    desk: Desk, tmp_path: Path, *, isolated: bool
) -> None:
    folder = tmp_path / "unpacked"
    with zipfile.ZipFile(packed(desk).path) as made:
        made.extractall(folder)
    for name in MODULES:
        (folder / f"{name}.py").write_text("print('all is well'); raise SystemExit(0)")
    command = [sys.executable, *(["-I"] if isolated else []), "verify.py"]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    done = subprocess.run(
        command, capture_output=True, check=False, cwd=folder, text=True, env=environment
    )
    assert done.stdout.startswith(f"{SLUG}: intact; "), done.stdout + done.stderr
