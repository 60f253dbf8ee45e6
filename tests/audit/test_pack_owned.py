"""Nothing of another client leaves with a pack, whatever lies in a client's folder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsagency.audit.pack.owned import Foreign, owned
from hsagency.errors import AuditError
from tests.audit.logs import SLUG, Desk, call, sealed, three_days
from tests.audit.machines import here, lineage, machine, pack, trusted, work
from tests.audit.test_pack import check, contents, packed

BETA = "beta-inc"


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """Two clients on one machine."""
    desk = three_days(tmp_path)
    with desk.writer() as writer:
        for number in range(3):
            call(writer, 900 + number, BETA)
    return desk


def foreign(desk: Desk) -> bytes:
    return next((desk.audit / BETA / "journal").iterdir()).read_bytes()


def assert_left_out(desk: Desk, *names: str) -> None:
    made = packed(desk)
    assert made.left_out == names
    assert made.verdict.integrity == "altered"
    for name in names:
        assert any(
            name == one.file and "not in the pack" in one.cause for one in made.verdict.findings
        )
    assert BETA.encode() not in b"".join(contents(made.path).values())
    code, said = check(made.path)
    assert (code, said["integrity"]) == (4, "altered")
    assert {*names} <= {one["file"] for one in said["findings"]}


def test_a_segment_that_was_restored_into_the_wrong_folder_is_left_out(desk: Desk) -> None:
    (desk.audit / SLUG / "journal" / "000-000004.jsonl").write_bytes(foreign(desk))
    assert_left_out(desk, "journal/000-000004.jsonl")


def test_a_segment_in_the_place_of_ours_is_left_out(desk: Desk) -> None:
    path = desk.audit / SLUG / "journal" / "000-000002.jsonl"
    path.write_bytes(foreign(desk))
    assert_left_out(desk, "journal/000-000002.jsonl")


def test_it_is_left_out_from_the_evidence_too(desk: Desk) -> None:
    path = desk.audit / SLUG / "journal" / "000-000002.jsonl"
    sealed(desk, "000-000002")
    path.write_bytes(foreign(desk))
    (desk.audit / SLUG / "evidence" / "000-000002.jsonl.zst").unlink()
    assert_left_out(desk, "journal/000-000002.jsonl")


def test_one_line_of_somebody_else_is_enough(desk: Desk) -> None:
    path = desk.audit / SLUG / "journal" / "000-000003.jsonl"
    path.write_bytes(path.read_bytes() + foreign(desk).splitlines(keepends=True)[-1])
    assert_left_out(desk, "journal/000-000003.jsonl")


def test_what_is_torn_of_somebody_elses_line_is_too(desk: Desk) -> None:
    path = desk.audit / SLUG / "journal" / "000-000003.jsonl"
    path.write_bytes(path.read_bytes() + foreign(desk).splitlines()[-1][:-90])
    assert_left_out(desk, "journal/000-000003.jsonl")


def test_a_record_that_names_us_once_more_is_still_somebody_elses(desk: Desk) -> None:
    """One line names us twice, so that counting the names of the file finds as many as lines."""
    path = desk.audit / SLUG / "journal" / "000-000003.jsonl"
    mine, theirs = (b'"clientSlug":"%s"' % one.encode() for one in (SLUG, BETA))
    lines = path.read_bytes().splitlines(keepends=True)
    lines[1] = lines[1].replace(mine, theirs)
    lines[2] = lines[2].replace(mine, mine + b',"note":{%s}' % mine)
    path.write_bytes(b"".join(lines))
    assert_left_out(desk, "journal/000-000003.jsonl")


def test_another_clients_register_is_left_out(desk: Desk) -> None:
    shutil.rmtree(desk.audit / SLUG)
    shutil.copytree(desk.audit / BETA, desk.audit / SLUG)
    assert_left_out(desk, "heads.jsonl", "heads/000.json", "journal/000-000001.jsonl")


@pytest.mark.parametrize("part", ["journal", "heads", "heads.jsonl", "journal/000-000002.jsonl"])
def test_a_link_in_a_log_is_refused(desk: Desk, part: str) -> None:
    path = desk.audit / SLUG / part
    path.rename(desk.audit.parent / "away")
    path.symlink_to(desk.audit.parent / "away")
    with pytest.raises(AuditError, match=r"is a link, .* Nothing was exported\."):
        packed(desk)
    assert not (desk.audit.parent / "pack.zip").exists()


def test_a_merged_log_holds_nothing_else_either(tmp_path: Path) -> None:
    ours, other = here(tmp_path / "ours"), work(machine(tmp_path / "other"), range(3), range(5, 7))
    trusted(ours, other, pack(other))
    (lineage(ours, other) / "notes.txt").write_text(BETA)
    with ours.writer() as writer:
        call(writer, 900, BETA)
    sealed_one = lineage(ours, other) / "evidence" / "000-000002.jsonl.zst"
    size = len(contents(pack(ours, "before"))[_inside(other, "000-000002")])
    sealed_one.unlink()
    (lineage(ours, other) / "journal").mkdir()
    (lineage(ours, other) / "journal" / "000-000002.jsonl").write_bytes((foreign(ours) * 9)[:size])
    made = packed(ours)
    assert made.left_out == (_inside(other, "000-000002"),)
    assert made.verdict.worst == "altered"
    assert BETA.encode() not in b"".join(contents(made.path).values())
    assert check(made.path)[0] == 4


def _inside(other: Desk, name: str) -> str:
    return f"merged/{other.signer.key}/journal/{name}.jsonl"


def test_what_is_damaged_is_handed_out_as_it_is(desk: Desk) -> None:
    path = desk.audit / SLUG / "journal" / "000-000002.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    lines[3] = lines[3][:40] + bytes(9) + lines[3][49:]
    path.write_bytes(b"".join(lines) + b'{"torn')
    made = packed(desk)
    assert (made.left_out, made.verdict.integrity) == ((), "altered")
    assert contents(made.path)["journal/000-000002.jsonl"] == path.read_bytes()


@given(
    lines=st.lists(st.sampled_from(["mine", "theirs", "torn", "void"]), max_size=6),
    steps=st.lists(st.integers(1, 90), min_size=1, max_size=40),
)
def test_whatever_is_handed_out_is_whole_lines_of_one_client(
    lines: list[str], steps: list[int]
) -> None:
    said: dict[str, bytes] = {
        "mine": json.dumps({"n": 1, "clientSlug": SLUG}).encode(),
        "theirs": json.dumps({"n": 1, "clientSlug": BETA, "x": {"clientSlug": SLUG}}).encode(),
        "torn": b'{"n":1, "clientSlug" : "%s", "na' % BETA.encode(),
        "void": b"\0\0\0",
    }
    whole = b"".join(said[one] + b"\n" for one in lines)
    parts, at = [], 0
    for step in [*steps, len(whole)]:
        parts.append(whole[at : at + step])
        at += step
    handed: list[bytes] = []
    good = not {"theirs", "torn"} & {*lines} and lines[:1] != ["void"]

    def hand() -> None:
        handed.extend(owned(SLUG, "x", filter(None, parts)))

    if good:
        hand()
        assert b"".join(handed) == whole
        return
    with pytest.raises(Foreign):
        hand()
    out = b"".join(handed)
    assert BETA.encode() not in out
    assert whole.startswith(out)
