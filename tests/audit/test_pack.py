"""The evidence pack: what is in it, what is not, and that it checks itself."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import subprocess
import sys
import threading
import zipfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from hsagency.agency import Agency
from hsagency.audit.pack import Pack, export
from hsagency.audit.standalone.packs import open_pack
from hsagency.audit.standalone.verify import check_pack
from hsagency.audit.verifying import Log, verify
from hsagency.errors import AuditError, UnknownClient, UsageError
from hsagency.periods import Period
from tests.audit.killing import child, hear, tell
from tests.audit.logs import SLUG, Desk, call, rechained, sealed, three_days
from tests.audit.reading import ending, events, intent
from tests.support import connected, tokens_of

WHOLE = Period.of(month="2026-10")
THIRD_DAY = Period.of(first="2026-10-03", last="2026-10-03")


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return three_days(tmp_path)


def packed(desk: Desk, name: str = "pack.zip", period: Period = WHOLE) -> Pack:
    return export(desk.log(), desk.audit.parent / name, period=period, announce=lambda: None)


def contents(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as pack:
        assert pack.testzip() is None
        return {name: pack.read(name) for name in pack.namelist()}


def check(pack: Path, *args: str | Path) -> tuple[int, dict[str, Any]]:
    """Unpack nothing but the verifier, and run it as a client does."""
    script = pack.with_suffix(".py")
    if not script.exists():
        script.write_bytes(contents(pack)["verify.py"])
    command = [sys.executable, "-I", "-S", str(script), str(pack), *map(str, args), "--json"]
    done = subprocess.run(command, capture_output=True, check=False)
    return done.returncode, json.loads(done.stdout or b"{}")


def run(pack: Path, *args: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the verifier in a pack on it, for what a person sees."""
    script = pack.with_suffix(".py")
    script.write_bytes(contents(pack)["verify.py"])
    command = [sys.executable, "-I", "-S", str(script), str(pack), *map(str, args)]
    return subprocess.run(command, capture_output=True, check=False, text=True, timeout=60)


def rewritten(pack: Path, name: str, content: bytes | None, *, manifest: bool = True) -> Path:
    """Return a pack in which one file is another, and the manifest agrees, if asked."""
    files = contents(pack)
    listed = json.loads(files["MANIFEST.json"])
    if content is None:
        del files[name]
        listed["files"].pop(name, None)
    else:
        files[name] = content
        listed["files"][name] = hashlib.sha256(content).hexdigest()
    if manifest:
        files["MANIFEST.json"] = json.dumps(listed).encode()
    other = pack.with_name(f"other-{len(list(pack.parent.iterdir()))}.zip")
    with zipfile.ZipFile(other, "w") as made:
        for one, data in files.items():
            made.writestr(one, data)
    return other


def test_a_pack_holds_the_very_bytes_and_everything_to_check_them(desk: Desk) -> None:
    pack = packed(desk)
    files = contents(pack.path)
    log = desk.audit / SLUG
    records = {name for name in files if name.startswith(("journal/", "heads"))}
    assert records == {one.relative_to(log).as_posix() for one in log.rglob("*") if one.is_file()}
    for name in records:
        assert files[name] == (log / name).read_bytes()
    assert set(files) - records == {
        *("README.txt", "SPECIFICATION.md", "record.schema.json", "test-vectors.json"),
        *("HEAD.json", "MANIFEST.json", "keys.json", "verify.py"),
    }
    assert files["keys.json"] == (desk.audit / "keys.json").read_bytes()
    readme = files["README.txt"].decode()
    assert f"EVIDENCE PACK OF {SLUG}, 2026-10-01 TO 2026-10-31" in readme
    assert "WHAT NOBODY CAN SEE" in readme
    assert "@" not in readme
    manifest = json.loads(files["MANIFEST.json"])["files"]
    assert manifest == {
        name: hashlib.sha256(content).hexdigest()
        for name, content in files.items()
        if name != "MANIFEST.json"
    }
    assert pack.digest == hashlib.sha256(pack.path.read_bytes()).hexdigest()
    assert pack.head == files["HEAD.json"]
    assert stat.S_IMODE(pack.path.stat().st_mode) == 0o600


def test_a_pack_checks_itself_without_anything_of_ours(desk: Desk, tmp_path: Path) -> None:
    pack = packed(desk)
    code, said = check(pack.path)
    assert (code, said["integrity"], said["findings"], said["notes"]) == (0, "intact", [], [])
    assert (said["records"], said["calls"], said["unsignedHeads"]) == (29, 11, 0)
    assert said["requested"] == {"from": "2026-10-01", "to": "2026-10-31"}
    folder = tmp_path / "unpacked"
    with zipfile.ZipFile(pack.path) as files:
        files.extractall(folder)
    command = [sys.executable, "-I", "-S", "verify.py"]
    done = subprocess.run(command, capture_output=True, check=False, cwd=folder, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{SLUG}: intact; completeness: not comparable\n")
    assert "requested 2026-10-01 to 2026-10-31" in done.stdout


def test_the_same_log_gives_the_same_bytes(desk: Desk) -> None:
    one, other = packed(desk, "one.zip"), packed(desk, "other.zip")
    assert one.path.read_bytes() == other.path.read_bytes()


def test_a_file_that_is_there_is_not_replaced(desk: Desk) -> None:
    path = desk.audit.parent / "pack.zip"
    path.write_bytes(b"mine")
    with pytest.raises(UsageError) as caught:
        packed(desk)
    assert "is there already. Nothing was exported." in caught.value.message
    path.unlink()
    path.symlink_to("nowhere")
    with pytest.raises(UsageError):
        packed(desk)
    assert sorted(one.name for one in desk.audit.parent.iterdir()) == [
        "audit",
        "copies",
        "pack.zip",
    ]


def test_a_pack_that_cannot_be_written_leaves_nothing(desk: Desk) -> None:
    said = []
    with pytest.raises(AuditError) as caught:
        export(
            desk.log(),
            desk.audit / "no" / "pack.zip",
            period=WHOLE,
            announce=lambda: said.append(1),
        )
    assert "cannot be written" in caught.value.message
    assert said == [1]


def test_nothing_to_export_is_said_and_not_announced(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    with pytest.raises(UsageError) as caught:
        export(desk.log(), tmp_path / "pack.zip", period=WHOLE, announce=lambda: 1 / 0)  # type: ignore[arg-type,return-value]
    assert "Nothing was exported" in caught.value.message


def test_the_log_of_the_agency_itself_is_no_clients(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    with desk.writer() as writer:
        call(writer, 1, "_agency")
    with pytest.raises(UsageError) as caught:
        export(desk.log("_agency"), tmp_path / "x.zip", period=WHOLE, announce=lambda: None)
    assert "names every client" in caught.value.message


def test_a_segment_that_has_only_just_begun_is_left_for_the_next_pack(desk: Desk) -> None:
    """A crash came before it was registered: with no word of it, it would look inserted."""
    lines = (desk.audit / SLUG / "journal" / "000-000001.jsonl").read_bytes().splitlines(True)
    for name, count in (("000-000004", 1), ("001-000002", 0)):
        path = desk.audit / SLUG / "journal" / f"{name}.jsonl"
        path.write_bytes(rechained(lines[:count], path.name))
    verdict = verify(desk.log())
    assert (verdict.integrity, verdict.unregistered) == ("intact", ["000-000004"])
    pack = packed(desk)
    assert {name[8:18] for name in contents(pack.path) if name.startswith("journal/")} == {
        *("000-000001", "000-000002", "000-000003", "001-000001")
    }
    assert check(pack.path)[0] == 0


def test_only_segments_of_the_period_are_in_it_and_none_of_them_can_be_left_out(
    desk: Desk,
) -> None:
    pack = packed(desk, period=THIRD_DAY)
    names = {name for name in contents(pack.path) if name.startswith("journal/")}
    # The second was closed on the third day.
    assert names == {f"journal/{one}.jsonl" for one in ("000-000002", "000-000003")}
    code, said = check(pack.path)
    assert (code, said["segmentsOutsidePeriod"]) == (0, 2)
    for name in sorted(names):
        code, said = check(rewritten(pack.path, name, None))
        assert (code, said["integrity"]) == (4, "missing")


def test_imported_calls_of_the_period_are_in_it_whenever_they_were_imported(
    tmp_path: Path,
) -> None:
    desk = Desk(tmp_path)
    fields = {**ending(1), "origin": "imported", "ts": "2026-05-02T00:00:00.000000Z"}
    with desk.writer() as writer:
        writer.append(SLUG, fields)
        desk.clock.next_day()
        call(writer, 2)
    may = packed(desk, "may.zip", Period.of(month="2026-05"))
    names = {name for name in contents(may.path) if name.startswith("journal/")}
    assert names == {"journal/000-000001.jsonl"}
    assert check(may.path)[0] == 0
    assert may.segments == 1
    june = packed(desk, "june.zip", Period.of(month="2026-06"))
    assert not [name for name in contents(june.path) if name.startswith("journal/")]
    assert june.segments == 0


def test_simulated_calls_of_the_period_are_in_it_too(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    with desk.writer() as writer:
        told = {"origin": "simulated", "ts": "2026-05-02T00:00:00.000000Z"}
        writer.append(SLUG, {**ending(1), **told})
        desk.clock.next_day()
        call(writer, 2)
    may = packed(desk, "may.zip", Period.of(month="2026-05"))
    assert may.segments == 1
    assert check(may.path)[1]["segments"] == 1


def test_a_pack_in_which_nothing_of_the_period_is_says_so(desk: Desk) -> None:
    """It is made all the same: its register shows that there was nothing."""
    pack = packed(desk, period=Period.of(month="2026-06"))
    assert (pack.segments, pack.verdict.integrity) == (0, "intact")
    code, said = check(pack.path)
    assert (code, said["records"], said["segmentsOutsidePeriod"]) == (3, 0, 4)
    words = run(pack.path).stdout
    assert "Nothing of these days is recorded in it." in words


@pytest.mark.parametrize("manifest", [True, False])
@pytest.mark.parametrize(
    "name", ["journal/000-000001.jsonl", "heads.jsonl", "heads/000.json", "keys.json"]
)
def test_a_pack_that_was_tampered_with_is_found_out(
    desk: Desk, name: str, *, manifest: bool
) -> None:
    pack = packed(desk)
    content = contents(pack.path)[name]
    changed = content.replace(b"tester", b"nobody").replace(b'"records":', b'"records":1')
    changed = changed.replace(b'publicKey": "', b'publicKey": "A')
    assert changed != content
    code, said = check(rewritten(pack.path, name, changed, manifest=manifest))
    assert (code, said["integrity"]) == (4, "altered")
    assert said["findings"]


def test_what_the_manifest_does_not_list_or_lists_in_vain_is_said(desk: Desk) -> None:
    pack = packed(desk)
    code, said = check(rewritten(pack.path, "extra.txt", b"x", manifest=False))
    assert (code, said["notes"]) == (0, ["Not listed in MANIFEST.json: 'extra.txt'."])
    code, said = check(rewritten(pack.path, "README.txt", None, manifest=False))
    assert (code, said["findings"][0]["verdict"]) == (4, "missing")


@pytest.mark.parametrize("manifest", [b"", b"[]", b'{"clientSlug":1}', b"\xff", b"{" * 10_000])
def test_what_is_no_pack_is_refused_in_words(desk: Desk, manifest: bytes) -> None:
    pack = packed(desk)
    broken = rewritten(pack.path, "MANIFEST.json", manifest, manifest=False)
    command = [sys.executable, "-I", "-S", str(pack.path.with_suffix(".py")), str(broken)]
    check(pack.path)
    done = subprocess.run(command, capture_output=True, check=False, text=True)
    assert done.returncode == 1
    assert "it is no evidence pack" in done.stderr
    assert "Traceback" not in done.stderr
    broken.write_bytes(b"PK")
    done = subprocess.run(command, capture_output=True, check=False, text=True)
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)


def test_a_later_pack_is_checked_against_a_kept_head(desk: Desk, tmp_path: Path) -> None:
    kept = tmp_path / "kept.json"
    kept.write_bytes(packed(desk).head)
    with desk.writer() as writer:
        call(writer, 80)
    later = packed(desk, "later.zip")
    code, said = check(later.path, "--head", kept)
    assert (code, said["findings"], said["notes"]) == (0, [], [])
    # A pack of one day says which part of the head it cannot be compared with.
    part = packed(desk, "part.zip", THIRD_DAY)
    code, said = check(part.path, "--head", kept)
    assert code == 0
    assert said["keptHead"]["contained"]
    assert said["keptHead"]["segmentsNotCompared"] == 2
    # A log that was written anew, with the same key, checks itself and fails against the head.
    anew = Desk(tmp_path / "anew")
    with anew.writer() as writer:
        for number in range(40):
            call(writer, number)
    pack = packed(anew)
    assert check(pack.path)[0] == 0
    assert check(pack.path, "--head", kept)[0] == 4
    kept.write_text("{}")
    assert check(pack.path, "--head", kept)[0] == 1


def test_a_pack_of_a_log_that_is_being_written_is_intact(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    with ExitStack() as stack:
        writer = stack.enter_context(desk.writer())
        for number in range(5):
            call(writer, number)
            writer.append(SLUG, intent(100 + number))
            (path,) = (desk.audit / SLUG / "journal").glob("*.jsonl")
            with path.open("ab") as file:  # as a reader may catch it
                file.write(b'{"schema":1,')
            pack = packed(desk, f"{number}.zip")
            os.truncate(path, path.stat().st_size - 12)
            content = contents(pack.path)["journal/000-000001.jsonl"]
            assert content == path.read_bytes()
            code, said = check(pack.path)
            assert (code, said["integrity"]) == (0, "intact")


def test_packs_that_are_made_while_others_write_are_intact(tmp_path: Path) -> None:
    audit, seen = tmp_path / "audit", 0
    log = Log(folder=audit / SLUG, copy=None)
    period = Period.of(first="2020-01-01", last="2099-12-31")
    with ExitStack() as stack:
        order = {"audit": str(audit), "count": 400}
        children = [
            stack.enter_context(child("append", {**order, "first": 10_000 * number}))
            for number in range(2)
        ]
        for one in children:
            hear(one)
        for one in children:
            tell(one, "go")
        for number in range(1000):
            path = tmp_path / f"{number}.zip"
            pack = export(log, path, period=period, announce=lambda: None)
            verdict = check_pack(open_pack(path), pack.head)
            assert verdict.findings == []
            seen = verdict.report()["calls"]
            if seen == 2 * 400:
                break
    assert seen == 2 * 400


def test_a_pack_is_the_same_however_much_of_the_log_is_sealed(desk: Desk) -> None:
    digests = [packed(desk, "none.zip").digest]
    for name in ("000-000001", "000-000002"):
        sealed(desk, name)
        digests.append(packed(desk, f"{name}.zip").digest)
    assert len(set(digests)) == 1
    names = set(contents(desk.audit.parent / "000-000002.zip"))
    assert {f"journal/000-00000{number}.jsonl" for number in (1, 2, 3)} < names
    assert not [one for one in names if "evidence" in one or "zst" in one]
    status, report = check(desk.audit.parent / "000-000002.zip")
    assert (status, report["integrity"], report["segments"]) == (0, "intact", 4)


def test_of_sealed_segments_those_of_the_period_are_in_it(desk: Desk) -> None:
    sealed(desk, "000-000001", "000-000002")
    second = Period.of(first="2026-10-02", last="2026-10-02")
    found = {name for name in contents(packed(desk, period=second).path) if "journal" in name}
    unsealed = three_days(desk.audit.parent / "other")
    assert found == {
        name for name in contents(packed(unsealed, period=second).path) if "jo" in name
    }
    assert "journal/000-000002.jsonl" in found


def test_evidence_that_is_damaged_is_exported_as_far_as_it_can_be_read(desk: Desk) -> None:
    sealed(desk, "000-000001", "000-000002")
    path = desk.audit / SLUG / "evidence" / "000-000001.jsonl.zst"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    pack = packed(desk)
    assert [one[:2] for one in pack.verdict.findings] == [
        ("truncated", "evidence/000-000001.jsonl.zst")
    ]
    path.write_bytes(b"nothing of it")
    status, report = check(packed(desk, "other.zip").path)
    assert (status, report["integrity"]) == (4, "truncated")
    path.unlink()
    status, report = check(packed(desk, "third.zip").path)
    assert (status, report["integrity"]) == (4, "missing")


def test_packs_that_are_made_while_the_log_is_sealed_are_intact(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    with desk.writer(limit=3000) as writer:
        for number in range(60):
            call(writer, number)
    digest = packed(desk, "before.zip").digest
    names = sorted(one.stem for one in (desk.audit / SLUG / "journal").iterdir())[:-1]
    sealing = threading.Thread(target=sealed, args=(desk, *names))
    sealing.start()
    count = 0
    while sealing.is_alive() or not count:
        count += 1
        assert packed(desk, f"{count}.zip").digest == digest
    sealing.join()
    assert len(list((desk.audit / SLUG / "evidence").iterdir())) == len(names)


def test_an_altered_log_is_exported_as_it_is(desk: Desk) -> None:
    path = desk.audit / SLUG / "journal" / "000-000001.jsonl"
    path.write_bytes(path.read_bytes().replace(b"tester", b"nobody"))
    pack = packed(desk)
    assert pack.verdict.integrity == "altered"
    assert check(pack.path)[1]["findings"] == [one._asdict() for one in pack.verdict.findings]


def test_an_agency_exports_one_client_alone_and_records_that(tmp_path: Path) -> None:
    """No byte of another client is in it, compressed or not: no slug, no name, no portal."""
    with connected(tmp_path / "workspace", portals=3) as fleet:
        for slug in fleet.slugs:
            fleet.agency.client(slug).get("/crm/v3/objects/contacts", params={"limit": 1})
        own, *others = fleet.sandbox.portals
        today = Period.of(first="2020-01-01", last="2099-12-31")
        path = tmp_path / "pack.zip"
        pack = fleet.agency.audit.export(own.client_slug, path, period=today)
        assert pack.verdict.integrity == "intact"
        with pytest.raises(UsageError):
            fleet.agency.audit.export(own.client_slug, path, period=today)
        audit = fleet.agency.workspace.audit
        assert events(audit, own.client_slug).count("audit.exported") == 1
        for other in others:
            assert "audit.exported" not in events(audit, other.client_slug)
        with pytest.raises(UnknownClient):
            fleet.agency.audit.export("no-such-client", tmp_path / "x.zip", period=today)
        tokens = tokens_of(fleet.sandbox)
    everything = b"\n".join([path.read_bytes(), *contents(path).values()])
    assert own.client_slug.encode() in everything
    for other in others:
        for word in (other.client_slug, other.name, str(other.portal_id)):
            assert word.encode() not in everything
    for token in tokens:
        assert token.encode() not in everything
    code, said = check(path)
    assert (code, said["integrity"], said["calls"] > 0) == (0, "intact", True)
    assert said["recordsUnderSignedHeads"] == said["records"]  # up to the export itself
    records = b"".join(v for name, v in contents(path).items() if name.startswith("journal/"))
    assert b'"event":"audit.exported"' in records  # it was recorded before it was made


def test_the_agency_judges_its_own_logs(tmp_path: Path) -> None:
    with connected(tmp_path / "workspace") as fleet:
        slug = fleet.slugs[0]
        assert fleet.agency.audit.slugs() == ["_agency", slug]
        assert fleet.agency.audit.verify(slug).integrity == "intact"
        assert fleet.agency.audit.verify("_agency").integrity == "intact"
        with pytest.raises(UnknownClient):
            fleet.agency.audit.verify("no-such-client")
        root = fleet.agency.workspace.root
    (root / "audit" / slug).rename(root / "audit" / "taken")
    with Agency.open(root) as agency:
        assert agency.audit.verify(slug).integrity == "missing"
