"""The halt holds for every process until a person lifts it, and counts as set when in doubt."""

from __future__ import annotations

import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hsagency.errors import Conflict, Halted, NotStopped, UsageError
from hsagency.halt import Halt
from tests.core.conftest import Child

AT = datetime(2026, 10, 14, 12, tzinfo=UTC)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "state").mkdir()
    return tmp_path / "state" / "halt.json"


def test_without_a_halt_nothing_stops(path: Path) -> None:
    Halt(path).check()
    assert Halt(path).reason() is None


def test_a_halt_stops_every_process(path: Path, child: Child) -> None:
    Halt(path).set("one reached another.", at=AT)
    done = child(
        "import sys; from pathlib import Path; from hsagency.halt import Halt;"
        "Halt(Path(sys.argv[1])).check()",
        path,
    )
    assert done.returncode == 1
    assert "hsagency.errors.Halted: The fleet is halted: one reached another." in done.stderr
    assert path.stat().st_mode & 0o777 == 0o600
    assert json.loads(path.read_bytes())["since"] == "2026-10-14T12:00:00+00:00"


def test_it_says_since_when_and_by_which_answer(path: Path) -> None:
    halt = Halt(path)
    assert (halt.since(), halt.correlation_id()) == (None, None)
    halt.set("one reached another.", at=AT, correlation_id="c-1")
    assert (halt.since(), halt.correlation_id()) == (AT, "c-1")
    halt.set("another.", at=datetime(2026, 10, 15, tzinfo=UTC), correlation_id="c-2")
    assert (halt.since(), halt.correlation_id()) == (AT, "c-1")


@pytest.mark.parametrize("since", ["", "yesterday", "2026-10-14T12:00:00", 5, None, [1]])
def test_a_time_that_cannot_be_read_is_none(path: Path, since: object) -> None:
    path.write_text(json.dumps({"reason": "x", "since": since, "correlationId": since}))
    assert Halt(path).since() is None
    assert Halt(path).reason() == "x"


def test_every_alarm_stays_and_the_same_one_counts_once(path: Path) -> None:
    for reason in ("first.", "second.", "first.", "second.", "third."):
        Halt(path).set(reason, at=AT)
    assert Halt(path).reason() == "first. And then: second. And then: third."


def test_an_alarm_that_comes_while_the_halt_is_lifted_is_not_lifted_with_it(path: Path) -> None:
    Halt(path).set("first.", at=AT)
    seen = Halt(path).content()
    Halt(path).set("second.", at=AT)
    with pytest.raises(Conflict, match="another alarm meanwhile; the fleet stays halted: first"):
        Halt(path).clear(reason="the first is mended", expect=seen)
    with pytest.raises(Halted, match="second"):
        Halt(path).check()
    assert Halt(path).clear(reason="so is the second", expect=Halt(path).content())
    Halt(path).check()


def test_alarms_of_several_threads_at_once_are_all_kept(path: Path) -> None:
    reasons = [f"reason {number}." for number in range(24)]
    with ThreadPoolExecutor(12) as pool:
        for reason in reasons:
            pool.submit(Halt(path).set, reason, at=AT, slug=f"client-{reasons.index(reason)}")
    assert sorted(str(Halt(path).reason()).split(" And then: ")) == sorted(reasons)
    assert len(Halt(path).logs()) == len(reasons)


def test_it_halts_although_no_lock_is_to_be_had(path: Path) -> None:
    path.with_suffix(".lock").mkdir()
    Halt(path).set("first.", at=AT)
    assert Halt(path).reason() == "first."


def test_what_is_no_file_counts_as_set_and_keeps_nobody_waiting(path: Path) -> None:
    os.mkfifo(path)
    with pytest.raises(Halted, match="could not be read"):
        Halt(path).check()
    Halt(path).set("another.", at=AT)
    assert (Halt(path).since(), Halt(path).logs()) == (None, [])
    assert Halt(path).clear(reason="looked at it", expect=b"") == "the reason could not be read."
    Halt(path).check()


def test_it_says_where_the_cause_is_to_be_found(path: Path) -> None:
    Halt(path).set("first.", at=AT, slug="acme-corp")
    with pytest.raises(Halted) as caught:
        Halt(path).check()
    for command in ("audit tail acme-corp", "audit activity", "portals", "resume --fleet --reason"):
        assert f"hsagency {command}" in caught.value.hint


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"5", b"null", b"{}", b"\xff", b'{"reason"', b'"x"']
)
def test_an_unreadable_halt_counts_as_set(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(Halted, match="could not be read"):
        Halt(path).check()
    Halt(path).set("another.", at=AT)
    assert path.read_bytes() == content
    assert Halt(path).clear(reason="looked at it") == "the reason could not be read."
    Halt(path).check()


def test_a_dangling_link_counts_as_set(path: Path) -> None:
    path.symlink_to(path.parent / "gone")
    with pytest.raises(Halted):
        Halt(path).check()


def test_where_nobody_can_look_the_halt_counts_as_set(path: Path) -> None:
    path.parent.rmdir()
    path.parent.write_text("a file where the folder was")
    with pytest.raises(Halted):
        Halt(path).check()
    path.parent.unlink()
    path.parent.symlink_to(path.parent)  # a loop
    with pytest.raises(Halted):
        Halt(path).check()


def test_a_folder_that_is_gone_counts_as_a_halt_until_a_person_resumes(path: Path) -> None:
    Halt(path).set("first.", at=AT)
    shutil.rmtree(path.parent)
    with pytest.raises(Halted, match="its folder is gone"):
        Halt(path).check()
    assert "its folder is gone" in Halt(path).clear(reason="looked at it")
    Halt(path).check()
    assert Halt(path).reason() is None


def test_a_halt_is_set_although_its_folder_is_gone(path: Path) -> None:
    path.parent.rmdir()
    Halt(path).set("first.", at=AT)
    assert Halt(path).reason() == "first."


def test_it_knows_whose_logs_have_it(path: Path) -> None:
    for slug in ("acme-corp", "", "beta-inc", "acme-corp"):
        Halt(path).set(f"the reason of {slug}.", at=AT, slug=slug)
    assert Halt(path).logs() == ["acme-corp", "beta-inc"]
    reasons = [f"the reason of {slug}." for slug in ("acme-corp", "", "beta-inc")]
    assert Halt(path).reason() == " And then: ".join(reasons)
    path.write_bytes(b'{"reason": "put there", "logs": "acme-corp"}')
    assert Halt(path).logs() == []
    Halt(path).clear(reason="looked at it")
    assert Halt(path).logs() == []


@pytest.mark.parametrize("reason", ["", "   ", "\n"])
def test_lifting_it_needs_a_reason(path: Path, reason: str) -> None:
    Halt(path).set("first.", at=AT)
    with pytest.raises(UsageError, match="needs a reason"):
        Halt(path).clear(reason=reason)
    with pytest.raises(Halted):
        Halt(path).check()


def test_lifting_what_is_not_halted_is_a_mistake(path: Path) -> None:
    with pytest.raises(NotStopped, match="not halted"):
        Halt(path).clear(reason="because")
