"""What was merged from other machines, in a pack: as our own signed records say, and no other."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from hsagency.audit.verifying import verify
from tests.audit.logs import SLUG, Desk, call, rechained
from tests.audit.machines import day, here, lineage, machine, pack, trusted, unzipped, work, zipped
from tests.audit.reading import intent
from tests.audit.test_pack import check, packed


@pytest.fixture
def ours(tmp_path: Path) -> Desk:
    return here(tmp_path / "ours")


@pytest.fixture
def other(tmp_path: Path) -> Desk:
    return work(machine(tmp_path / "other"), range(3), range(10, 13))


def retold(ours: Desk, files: dict[str, bytes]) -> Path:
    """Return a pack of these files, with a manifest that agrees."""
    said = json.loads(files["MANIFEST.json"])
    said["files"] = {
        name: hashlib.sha256(one).hexdigest()
        for name, one in files.items()
        if name != "MANIFEST.json"
    }
    files["MANIFEST.json"] = json.dumps(said).encode()
    return zipped(ours.audit.parent / "retold.zip", files)


def without_merged(files: dict[str, bytes]) -> dict[str, bytes]:
    return {name: one for name, one in files.items() if not name.startswith("merged/")}


def test_a_merged_log_that_was_taken_out_of_a_pack_is_missed(ours: Desk, other: Desk) -> None:
    trusted(ours, other, pack(other))
    code, said = check(retold(ours, without_merged(unzipped(pack(ours)))))
    assert code == 4
    (found,) = said["merged"]
    assert (found["key"], found["integrity"]) == (other.signer.key, "missing")


def test_a_merged_log_that_was_replaced_by_anothers_is_found(
    ours: Desk, other: Desk, tmp_path: Path
) -> None:
    trusted(ours, other, pack(other))
    forger, theirs = work(machine(tmp_path / "forger", b"9"), range(5)), here(tmp_path / "theirs")
    trusted(theirs, forger, pack(forger))
    forged = unzipped(pack(theirs))
    files = without_merged(unzipped(pack(ours)))
    files |= {name: one for name, one in forged.items() if name.startswith("merged/")}
    code, said = check(retold(ours, files))
    assert code == 4
    found = {one["key"]: one for one in said["merged"]}
    assert found[other.signer.key]["integrity"] == "missing"
    planted = found[forger.signer.key]
    assert planted["integrity"] == "altered"
    assert "no merge on record brought it here" in planted["findings"][0]["cause"]


def test_a_merged_logs_own_word_on_itself_does_not_count(
    ours: Desk, other: Desk, tmp_path: Path
) -> None:
    """Another log under the very same name, with a head and keys that fit it."""
    trusted(ours, other, pack(other))
    forger, theirs = work(machine(tmp_path / "forger", b"9"), range(5)), here(tmp_path / "theirs")
    trusted(theirs, forger, pack(forger))
    files = without_merged(unzipped(pack(ours)))
    for name, one in unzipped(pack(theirs)).items():
        if name.startswith("merged/"):
            files[name.replace(forger.signer.key, other.signer.key)] = one
    code, said = check(retold(ours, files))
    assert (code, [one["integrity"] for one in said["merged"]]) == (4, ["altered"])


def test_the_record_of_a_merge_is_in_every_pack_whatever_its_days(ours: Desk, other: Desk) -> None:
    """It was merged on the second day; what it brought is of the first."""
    trusted(ours, other, pack(other))
    ours.clock.next_day()
    work(ours, [1002], [1003])
    first = pack(ours, period=day(1))
    names = {name for name in unzipped(first) if name.startswith("journal/")}
    assert b"audit.merged" in b"".join(unzipped(first)[name] for name in names)
    code, said = check(first)
    assert (code, [one["integrity"] for one in said["merged"]]) == (0, ["intact"])
    last = pack(ours, "last", period=day(4, 9))
    assert "journal/000-000002.jsonl" in unzipped(last)  # of the merge, and of no such day
    assert check(last)[0] == 0
    altered = unzipped(last)
    altered["journal/000-000002.jsonl"] = altered["journal/000-000002.jsonl"].replace(
        b"2026", b"2025"
    )
    assert check(retold(ours, altered))[0] == 4  # what is there is judged


def test_a_merge_that_no_register_vouches_for_brings_nothing(
    ours: Desk, other: Desk, tmp_path: Path
) -> None:
    """A segment of one line, which a crash may leave unregistered, says that something was merged."""
    theirs = here(tmp_path / "theirs")
    trusted(theirs, other, pack(other))
    segments = (theirs.log().folder / "journal").glob("*.jsonl")
    (said,) = [
        one
        for path in segments
        for one in path.read_bytes().splitlines(True)
        if b"audit.merged" in one
    ]
    path = ours.log().folder / "journal" / "001-000001.jsonl"
    path.write_bytes(rechained([said], path.name))
    shutil.copytree(theirs.log().folder / "merged", ours.log().folder / "merged")
    verdict = verify(ours.log())
    assert [one.integrity for one in verdict.merged] == ["altered"]
    files = unzipped(pack(ours))
    assert not [name for name in files if name.startswith("merged/")]


def test_more_was_merged_while_a_pack_was_made(ours: Desk, other: Desk) -> None:
    """What a pack holds of a merge is what the records in that pack say."""
    trusted(ours, other, pack(other, period=day(1)))
    before = unzipped(pack(ours))
    trusted(ours, other, pack(other, "all"))
    shutil.rmtree(lineage(ours, other) / "journal", ignore_errors=True)
    after = unzipped(pack(ours, "after"))
    key = f"merged/{other.signer.key}/journal/"
    assert sum(key in name for name in before) == 1
    assert sum(key in name for name in after) == 2
    mixed = {**after, **{name: one for name, one in before.items() if name.startswith("journal/")}}
    code, said = check(retold(ours, mixed))
    assert (code, [one["integrity"] for one in said["merged"]]) == (4, ["altered"])


def test_calls_on_their_way_at_export_are_not_called_lost(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    with desk.writer() as writer:
        call(writer, 1)
        writer.append(SLUG, intent(2))
        made = packed(desk).path
        code, said = check(made)
        assert (code, said["lost"]) == (0, [])
        assert said["notes"] == [
            "000-000001 was being written when this was exported; calls on their way: 1."
        ]
        assert json.loads(unzipped(made)["MANIFEST.json"])["open"] == ["000-000001"]
    after = packed(desk, "after.zip").path
    assert json.loads(unzipped(after)["MANIFEST.json"])["open"] == []
    assert check(after)[1]["lost"] == ["000-000001: calls whose outcome is not recorded: 1."]
