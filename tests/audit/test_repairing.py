"""Repair: what is mended, what is only named, and that nothing broken keeps the rest waiting."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hsagency.audit import chain, evidence
from hsagency.audit.record import encode
from hsagency.audit.register import copied_checkpoints, parse_line
from hsagency.audit.repairing import Repair, repair
from hsagency.audit.standalone.verdict import Verdict
from hsagency.audit.verifying import is_live, verify
from tests.audit.logs import SLUG, Desk, call, three_days
from tests.audit.outsider import CLOSED, HIDDEN
from tests.audit.reading import all_records, register_lines

ROOT = Path(__file__).parents[2]
OWN_MOUNTS = ("unshare", "--map-root-user", "--mount")
FIRST, SECOND, THIRD = (f"000-{number:06}" for number in (1, 2, 3))


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """Three days, and it is still the evening of the third."""
    desk = three_days(tmp_path)
    desk.clock.next_day(-1)
    return desk


def mend(desk: Desk) -> Repair:
    with desk.writer() as writer:
        return repair(desk.log(), writer=writer)


def folder(desk: Desk) -> Path:
    return desk.audit / SLUG


def journal(desk: Desk, name: str) -> Path:
    return evidence.journal_file(folder(desk), name)


def register(desk: Desk) -> Path:
    return folder(desk) / "heads.jsonl"


def copy_of(desk: Desk) -> Path:
    copy = desk.log().copy
    assert copy is not None
    return copy


def state(desk: Desk) -> dict[str, bytes]:
    return {
        str(one.relative_to(desk.audit)): one.read_bytes()
        for one in sorted(desk.audit.parent.rglob("*"))
        if one.is_file() and one.is_relative_to(desk.audit)
    }


def found(verdict: Verdict) -> list[tuple[str, str]]:
    return [(one.verdict, one.file) for one in verdict.findings]


def on_record(desk: Desk) -> str:
    """Return what the records of repairs say."""
    return " ".join(
        one["message"] for one in all_records(desk.audit) if one["event"] == "audit.repaired"
    )


def test_where_nothing_is_broken_nothing_is_changed(desk: Desk) -> None:
    before = state(desk)
    done = mend(desk)
    assert (done.state, done.mended, done.held, done.failed, done.broken) == (
        "well",
        (),
        (),
        (),
        (),
    )
    assert state(desk) == before


def test_where_there_is_no_log_nothing_is_made(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    assert mend(desk).state == "well"
    assert not folder(desk).exists()


# --- what is mended ---


def test_a_torn_last_line_is_set_aside_and_that_is_on_record(desk: Desk) -> None:
    path = journal(desk, THIRD)
    before = path.read_bytes()
    path.write_bytes(before + b'{"schema":1,"seq')
    done = mend(desk)
    assert done.state == "mended"
    assert done.mended == (f"A torn last line of 16 bytes of {THIRD} was set aside beside it.",)
    assert path.with_name(f"{path.name}.torn-at-{len(before)}").read_bytes() == b'{"schema":1,"seq'
    assert path.read_bytes().startswith(before)
    (record,) = [one for one in all_records(desk.audit) if one["event"] == "audit.repaired"]
    assert record["message"] == done.mended[0]
    assert verify(desk.log()).integrity == "intact"
    assert mend(desk).state == "well"


def test_what_was_left_open_on_an_earlier_day_is_closed_and_registered(desk: Desk) -> None:
    desk.clock.next_day(3)
    done = mend(desk)
    assert done.mended[0] == f"Segment {THIRD}, left open on 2026-10-03, was closed."
    assert done.state == "mended"
    closed = [one["segment"] for one in register_lines(desk.audit) if one["kind"] == "closed"]
    assert THIRD in closed
    assert orjson.loads(journal(desk, THIRD).read_bytes().splitlines()[-1])["event"] == (
        "audit.closed"
    )
    assert verify(desk.log()).integrity == "intact"
    assert mend(desk).state == "well"
    assert evidence.archive(folder(desk), THIRD).exists()


def test_what_is_open_today_stays_open(desk: Desk) -> None:
    before = journal(desk, THIRD).read_bytes()
    mend(desk)
    assert journal(desk, THIRD).read_bytes() == before


def test_a_segment_that_was_closed_and_not_registered_is(desk: Desk) -> None:
    """As a crash between the two leaves it."""
    path, before = journal(desk, THIRD), register(desk).read_bytes()
    with desk.writer() as writer:
        desk.clock.next_day(2)
        call(writer, 77)
    kept = [
        one
        for one in register(desk).read_bytes().splitlines(keepends=True)
        if parse_line(one).head.segment != "000-000004"
        and not (parse_line(one).head.segment == THIRD and parse_line(one).kind == "closed")
    ]
    assert b"".join(kept) == before
    register(desk).write_bytes(before)
    copy_of(desk).write_bytes(before)
    journal(desk, "000-000004").unlink()
    checkpoints = [folder(desk) / "heads" / "000.json"]
    checkpoints.append(copied_checkpoints(copy_of(desk)) / "000.json")
    for one in checkpoints:
        one.unlink(missing_ok=True)
    done = mend(desk)
    assert f"The register lacked that {THIRD} was closed; it says so now." in done.mended
    said = [parse_line(one) for one in register(desk).read_bytes().splitlines(keepends=True)]
    (end,) = [one.head for one in said if (one.kind, one.head.segment) == ("closed", THIRD)]
    assert end.bytes == path.stat().st_size
    assert verify(desk.log()).integrity == "intact"


def test_a_line_written_without_a_key_is_said_to_be_unsigned(desk: Desk) -> None:
    desk.signed = False
    desk.clock.next_day(3)
    done = mend(desk)
    assert any("is not signed, since no key was to be had" in one for one in done.mended)
    assert verify(desk.log()).integrity == "intact"


@pytest.mark.parametrize("left", [0, 3])
def test_a_register_that_was_lost_or_cut_comes_back_from_its_second_copy(
    desk: Desk, left: int
) -> None:
    whole = register(desk).read_bytes()
    lines = whole.splitlines(keepends=True)
    register(desk).write_bytes(b"".join(lines[:left]))
    if not left:
        register(desk).unlink()
    assert verify(desk.log()).integrity != "intact"
    done = mend(desk)
    what = "cut after line 3" if left else "lost"
    assert f"The register was {what}; {len(lines) - left} signed lines" in done.mended[0]
    assert register(desk).read_bytes().startswith(whole)
    assert verify(desk.log()).integrity == "intact"
    assert done.mended[0] in on_record(desk)
    assert mend(desk).state == "well"


def test_only_signed_lines_come_back(tmp_path: Path) -> None:
    desk = three_days(tmp_path, signed=False)
    desk.clock.next_day(-1)
    register(desk).unlink()
    done = mend(desk)
    assert done.state == "broken"
    assert not register(desk).exists() or not register(desk).read_bytes().startswith(
        copy_of(desk).read_bytes()
    )


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(garbage=st.binary(min_size=1, max_size=200))
def test_no_garbage_in_its_place_is_taken_for_a_register(desk: Desk, garbage: bytes) -> None:
    whole = register(desk).read_bytes()
    kept = state(desk)
    try:
        register(desk).write_bytes(garbage + b"\n")
        done = mend(desk)
        assert done.state == "broken"
        assert register(desk).read_bytes() == garbage + b"\n"
        (about,) = [one for one in done.broken if "second copy has another line" in one.what]
        assert f"{copy_of(desk)}, is whole and signed throughout" in about.cure
        register(desk).write_bytes(copy_of(desk).read_bytes())  # the cure
        assert mend(desk).state == "well"
    finally:
        register(desk).write_bytes(whole)
    assert kept == state(desk)


def test_a_torn_line_of_the_register_is_set_aside(desk: Desk) -> None:
    size = register(desk).stat().st_size
    with register(desk).open("ab") as file:
        file.write(b'{"schema":1')
    assert "torn last line of the register" in mend(desk).mended[0]
    assert register(desk).with_name(f"heads.jsonl.torn-at-{size}").read_bytes() == b'{"schema":1'
    assert verify(desk.log()).notes == []


def test_the_second_copy_catches_up(desk: Desk) -> None:
    lines = copy_of(desk).read_bytes().splitlines(keepends=True)
    copy_of(desk).write_bytes(b"".join(lines[:2]))
    done = mend(desk)
    assert "second copy of the register lacked" in done.mended[0]
    assert copy_of(desk).read_bytes() == register(desk).read_bytes()
    copy_of(desk).unlink()
    assert mend(desk).state == "mended"
    assert copy_of(desk).read_bytes() == register(desk).read_bytes()


@pytest.mark.parametrize("copied", [True, False])
def test_a_torn_checkpoint_is_set_aside_and_is_there_again(desk: Desk, *, copied: bool) -> None:
    path = folder(desk) / "heads" / "000.json"
    whole = path.read_bytes()
    path.write_bytes(whole[:40])
    second = copied_checkpoints(copy_of(desk)) / "000.json"
    if not copied:
        second.unlink(missing_ok=True)
    assert verify(desk.log()).integrity == "altered"
    done = mend(desk)
    assert done.state == "mended"
    (aside,) = path.parent.glob("000.json.torn-at-*")
    assert aside.read_bytes() == whole[:40]
    assert ("came back from its second copy" in done.mended[0]) is copied
    verdict = verify(desk.log())
    assert verdict.integrity == "intact"
    assert verdict.notes == [f"A torn checkpoint was set aside: 'heads/{aside.name}'."]


def test_a_cut_segment_does_not_become_right_by_tearing_its_checkpoint(desk: Desk) -> None:
    path = folder(desk) / "heads" / "000.json"
    path.write_bytes(path.read_bytes()[:40])
    lines = journal(desk, THIRD).read_bytes().splitlines(keepends=True)
    journal(desk, THIRD).write_bytes(b"".join(lines[:-2]))
    done = mend(desk)
    assert done.state == "broken"
    assert ("truncated", f"journal/{THIRD}.jsonl") in found(verify(desk.log()))


def test_what_a_crash_left_half_written_is_removed(desk: Desk) -> None:
    left = [
        folder(desk) / "heads" / ".000.json.new",
        folder(desk) / "evidence" / f"{FIRST}.jsonl.zst.new",
    ]
    for one in left:
        one.parent.mkdir(exist_ok=True)
        one.write_bytes(b"{")
    done = mend(desk)
    assert len(done.mended) == 2
    assert not any(one.exists() for one in left)


# --- what is left alone ---


def test_what_a_running_program_holds_is_left_alone(desk: Desk) -> None:
    desk.clock.next_day(2)
    with desk.writer() as writer:
        call(writer, 200)
        held = "000-000004"
        assert is_live(journal(desk, held))
        (folder(desk) / "heads" / ".000.json.new").write_bytes(b"{")
        before = journal(desk, held).read_bytes()
        desk.clock.next_day()
        with desk.writer() as other:
            done = repair(desk.log(), writer=other)
        assert held in done.held
        assert journal(desk, held).read_bytes() == before
        assert (folder(desk) / "heads" / ".000.json.new").exists()


# --- what cannot be mended ---


def altered(desk: Desk) -> None:
    path = journal(desk, FIRST)
    path.write_bytes(path.read_bytes().replace(b"tester", b"nobody", 1))


def missing(desk: Desk) -> None:
    journal(desk, FIRST).unlink()


def truncated(desk: Desk) -> None:
    path = journal(desk, FIRST)
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))


@pytest.mark.parametrize("harm", [altered, missing, truncated], ids=lambda one: one.__name__)
def test_what_cannot_be_mended_is_named_with_a_cause_and_a_cure(
    desk: Desk, harm: Callable[[Desk], None]
) -> None:
    harm(desk)
    before = state(desk)
    done = mend(desk)
    assert (done.state, done.mended) == ("broken", ())
    assert state(desk) == before
    trouble = done.broken[0]
    assert trouble.what.startswith(f"{harm.__name__}: journal/{FIRST}.jsonl")
    assert trouble.cause
    assert f"Restore {journal(desk, FIRST)} from a backup" in trouble.cure
    assert "tell the client" in trouble.cure


def test_a_forged_segment_is_not_entered_into_the_register(desk: Desk) -> None:
    """Only what a crash leaves: a segment that has hardly begun."""
    name, last, written = "002-000001", chain.genesis("002-000001.jsonl"), b""
    source = journal(desk, FIRST).read_bytes().splitlines()
    for number in range(5):
        body = {**orjson.loads(source[number]), "segment": name} if number == 0 else None
        body = body or orjson.loads(source[number])
        body.pop("hash")
        line, last = chain.link(last, encode(body))
        written += line
    journal(desk, name).write_bytes(written)
    done = mend(desk)
    assert done.state == "broken"
    with desk.writer() as writer:
        call(writer, 500)  # nor by whoever writes next
    assert all(one["segment"] != name for one in register_lines(desk.audit))
    assert ("altered", f"journal/{name}.jsonl") in found(verify(desk.log()))


# --- somebody else's permissions, and a full disk ---


def outsider(name: str, folder: Path, *before: str) -> list[Any]:
    """Run one of the functions in `tests.audit.outsider`."""
    order = json.dumps({"folder": str(folder)})
    command = [*before, sys.executable, "-m", "tests.audit.outsider", name, order]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture
def open_to_all() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o777)
        yield Path(name)


def test_what_is_closed_to_this_user_is_named_and_keeps_nothing_else_waiting(
    open_to_all: Path,
) -> None:
    said = outsider("closed", open_to_all)
    for while_closed, after in zip(said[::2], said[1::2], strict=True):
        assert while_closed["state"] == "failed", while_closed
        assert while_closed["other"] == "mended"
        for one in while_closed["failed"]:
            assert "Permission denied" in one["what"]
            assert "owner" in one["cure"] or "access" in one["cure"]
        assert after["state"] in ("mended", "well"), after
        assert after["integrity"] == "intact"
    assert [one["case"] for one in said[::2]] == list(CLOSED)


def test_whatever_part_of_a_log_is_closed_to_this_user_is_named(open_to_all: Path) -> None:
    """Sealed segments, checkpoints and merged logs as well: what is hidden is not there."""
    assert outsider("hidden", open_to_all) == [None, *HIDDEN]


def test_on_a_full_disk_it_says_so_and_later_it_is_mended(tmp_path: Path) -> None:
    mount = f'mount -t tmpfs -o size=256k none "{tmp_path}" && exec "$@"'
    full, after = outsider("full", tmp_path, *OWN_MOUNTS, "sh", "-c", mount, "sh")
    assert full["state"] == "broken", full  # the register is gone, for now
    assert any("free some space" in one["cure"] for one in full["failed"])
    assert (after["state"], after["integrity"]) == ("mended", "intact"), after
