"""Packs that were made to mislead the verifier: a finding or a sentence, never a crash or a wait."""

from __future__ import annotations

import contextlib
import io
import json
import os
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hsagency.audit.standalone import verify as verifier
from hsagency.audit.standalone.packs import open_pack
from tests.audit.logs import SLUG, three_days
from tests.audit.test_pack import contents, packed

SEGMENT = "journal/000-000001.jsonl"


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return packed(three_days(tmp_path_factory.mktemp("desk"))).path


@pytest.fixture
def folder(pack: Path, tmp_path: Path) -> Path:
    with zipfile.ZipFile(pack) as made:
        made.extractall(tmp_path / "unpacked")
    return tmp_path / "unpacked"


def run(what: Path, pack: Path, memory: int = 0) -> subprocess.CompletedProcess[str]:
    """Run the verifier of the good pack; it must not wait for anything, nor show where it is."""
    script = what.parent / "good-verify.py"
    script.write_bytes(contents(pack)["verify.py"])
    limit = f"ulimit -v {memory}; " if memory else ""
    command = f'{limit}exec "$0" -I -S "$1" "$2"'
    done = subprocess.run(
        ["/bin/sh", "-c", command, sys.executable, str(script), str(what)],
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )
    assert "Traceback" not in done.stderr, done.stderr
    assert done.stdout + done.stderr == "".join(filter(_plain, done.stdout + done.stderr))
    return done


def _plain(one: str) -> bool:
    return one.isprintable() or one == "\n"


def listing(folder: Path, *names: str, **more: Any) -> None:
    """Have the manifest list more files."""
    path = folder / "MANIFEST.json"
    said = json.loads(path.read_bytes())
    said["files"] |= dict.fromkeys(names, "0" * 64)
    path.write_text(json.dumps({**said, **more}))


@pytest.mark.parametrize("name", ["/dev/zero", "../../../etc/passwd", "../good-verify.py"])
def test_what_lies_elsewhere_is_not_opened(folder: Path, pack: Path, name: str) -> None:
    listing(folder, name)
    done = run(folder, pack)
    assert done.returncode == 4
    assert f"missing: {name}: MANIFEST.json lists it" in done.stdout


@pytest.mark.parametrize(
    "name", [SEGMENT, "journal/x", "heads/000.json", "keys.json", "heads.jsonl"]
)
@pytest.mark.parametrize("what", ["pipe", "folder", "link"])
def test_what_is_no_plain_file_is_found_and_not_waited_for(
    folder: Path, pack: Path, name: str, what: str
) -> None:
    path = folder / name
    path.unlink(missing_ok=True)
    make: dict[str, Callable[[], object]] = {
        "pipe": lambda: os.mkfifo(path),
        "folder": path.mkdir,
        "link": lambda: path.symlink_to("/etc/hostname"),
    }
    make[what]()
    done = run(folder, pack)
    assert done.returncode == 4
    assert f"altered: {name}: it is no plain file" in done.stdout


@pytest.mark.parametrize("name", ["journal", "heads", "merged"])
def test_a_linked_folder_is_found_and_not_entered(folder: Path, pack: Path, name: str) -> None:
    if (folder / name).is_dir():
        (folder / name).rename(folder.parent / "elsewhere")
    (folder / name).symlink_to(folder.parent / "elsewhere")
    done = run(folder, pack)
    assert done.returncode == 4
    assert f"altered: {name}: it is no plain file" in done.stdout


def test_nothing_in_a_pack_steers_the_terminal(folder: Path, pack: Path) -> None:
    name = "\x1b[2J\x1b[Hacme-corp: intact\x1b[8m\u202e"
    (folder / name).write_text("x")
    (folder / "journal" / name).write_text("x")
    listing(folder, f"{name} too", leftOut=[name])
    done = run(folder, pack)
    assert done.returncode == 4
    assert r"missing: \x1b[2J\x1b[Hacme-corp: intact\x1b[8m\u202e too" in done.stdout


@pytest.mark.parametrize(
    "more",
    [
        {"clientSlug": "\x1b[2Jx\ud800"},
        {"from": "\x1b[2J"},
        {"open": [{}]},
        {"leftOut": [5]},
        {"files": {SEGMENT: 5}},
        {"files": []},
    ],
)
def test_a_manifest_that_says_nonsense_is_none(
    folder: Path, pack: Path, more: dict[str, object]
) -> None:
    listing(folder, **more)
    done = run(folder, pack)
    assert done.returncode == 1
    assert "it is no evidence pack" in done.stderr


@pytest.mark.parametrize(("place", "value"), [(8, 1), (10, 99), (10, 12)])
def test_a_member_that_is_encrypted_or_packed_in_another_way_is_found(
    pack: Path, tmp_path: Path, place: int, value: int
) -> None:
    """Of one file, and of all."""
    whole = pack.read_bytes()
    entries = [at for at in range(len(whole)) if whole[at : at + 4] == b"PK\x01\x02"]
    for some in (entries, [at for at in entries if whole[at + 46 :].startswith(SEGMENT.encode())]):
        changed = bytearray(whole)
        for at in some:
            struct.pack_into("<H", changed, at + place, value)
        path = tmp_path / f"{len(some)}.zip"
        path.write_bytes(changed)
        done = run(path, pack)
        assert done.returncode == 4, done.stderr
        assert "encrypted" in done.stdout + done.stderr or "packed" in done.stdout + done.stderr


@pytest.mark.parametrize("name", ["keys.json", "heads/000.json", "HEAD.json", "README.txt"])
def test_a_file_that_is_too_large_is_not_read(pack: Path, tmp_path: Path, name: str) -> None:
    """Three gigabytes in three megabytes."""
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for one, content in contents(pack).items():
            if one == name:
                with made.open(one, "w", force_zip64=True) as member:
                    for _ in range(400):
                        member.write(bytes(1 << 20))
            else:
                made.writestr(one, content)
    done = run(path, pack, memory=600_000)
    assert done.returncode == 4
    assert f"altered: {name}: it is too large: {400 << 20} bytes" in done.stdout


def test_a_segment_without_end_is_read_in_parts(pack: Path, tmp_path: Path) -> None:
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for one, content in contents(pack).items():
            made.writestr(one, content + bytes(300 << 20) if one == SEGMENT else content)
    done = run(path, pack, memory=600_000)
    assert done.returncode == 4
    assert f"altered: {SEGMENT}" in done.stdout


def test_two_files_of_one_name_are_found(pack: Path, tmp_path: Path) -> None:
    path = tmp_path / "twice.zip"
    path.write_bytes(pack.read_bytes())
    with zipfile.ZipFile(path, "a") as made, pytest.warns(UserWarning, match="Duplicate"):
        made.writestr(SEGMENT, b"something else")
    done = run(path, pack)
    assert done.returncode == 4
    assert f"altered: {SEGMENT}: there are two files of this name" in done.stdout


def test_the_word_on_a_file_is_not_hidden_behind_its_digest(folder: Path, pack: Path) -> None:
    """A segment that was cut is truncated, though its SHA-256 is another too."""
    path = folder / "journal" / "000-000003.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-2]))
    done = run(folder, pack)
    assert done.stdout.startswith(f"{SLUG}: truncated;")
    assert "SHA-256 is not the one" not in done.stdout


@settings(deadline=None, max_examples=150, suppress_health_check=[*HealthCheck])
@given(data=st.data())
def test_a_mutated_pack_is_judged_and_intact_only_if_it_says_the_same(
    pack: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    whole = bytearray(pack.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(whole) - 1))
        kind = data.draw(st.sampled_from(["flip", "cut", "add", "swap"]))
        if kind == "flip":
            whole[at] ^= 1 << data.draw(st.integers(0, 7))
        elif kind == "swap":
            whole[at : at + 4] = data.draw(st.binary(min_size=4, max_size=4))
        elif kind == "add":
            whole[at:at] = data.draw(st.binary(max_size=40))
        else:
            del whole[at : at + data.draw(st.integers(1, 400))]
    path = tmp_path_factory.mktemp("mutated") / "pack.zip"
    path.write_bytes(whole)
    code, out = judged(path)
    assert code in (0, 1, 3, 4)
    assert all(map(_plain, out))
    if code == 0:
        assert {name: one for name, one in readable(path).items() if name in contents(pack)} == (
            contents(pack)
        )


def judged(path: Path) -> tuple[int, str]:
    """Run the verifier here, where an exception is one."""
    out = io.StringIO()
    before = sys.argv
    sys.argv = ["verify.py", str(path)]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            return verifier.main(), out.getvalue()
    finally:
        sys.argv = before


def readable(path: Path) -> dict[str, bytes]:
    evidence = open_pack(path).evidence
    return {name: evidence.read(name) or b"" for name in evidence.names}
