"""Retention: what goes, in which order, and that nobody else can make it look like that."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hsagency.audit import evidence
from hsagency.audit.forwarding.following import Cursor, read
from hsagency.audit.forwarding.tape import Position, slots
from hsagency.audit.pack import export, kept_head
from hsagency.audit.privacy.retention import Retention, months_before, plan, retain
from hsagency.audit.register import Head, Kind, Signer, digest, encode_line, genesis, parse_line
from hsagency.audit.standalone.verdict import Verdict
from hsagency.audit.standalone.verify import described
from hsagency.audit.verifying import verify
from hsagency.errors import AuditError, Conflict
from hsagency.periods import Period
from tests.audit.logs import SLUG, Desk, call, replaced, signer_of, three_days
from tests.audit.reading import records, register_lines

FIRST, SECOND, THIRD = (f"000-{number:06}" for number in (1, 2, 3))
SIDE = "001-000001"
OLD = [FIRST, SECOND, SIDE]
OPEN = "000-000004"  # after a removal
LATER = datetime(2026, 11, 3, tzinfo=UTC)  # a month after 3 October: what is of 1 and 2 is older


class Stopped(BaseException):
    """The process dies here."""


def sealed(desk: Desk) -> None:
    """Archive every closed segment."""
    folder = desk.audit / SLUG
    for name, path in evidence.segments(folder).items():
        if path.suffix == ".jsonl" and b'"event":"audit.closed"' in path.read_bytes():
            evidence.archive(folder, name)
            evidence.drop_journal(folder, name)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    desk = three_days(tmp_path)
    desk.clock.at = LATER
    return desk


def planned(desk: Desk, months: int | None = 1) -> Retention:
    return plan(desk.log(), months=months, now=LATER)


def remove(desk: Desk, shown: Retention | None = None, **more: Any) -> tuple[Retention, list[str]]:
    """Remove what is due; return that, and what was taken out of the lake."""
    forgotten: list[str] = []

    def forget(slug: str, names: Collection[str]) -> None:
        assert slug == SLUG
        forgotten.extend(one for one in names if one not in forgotten)

    given = {"seal": lambda _: sealed(desk), "forget": forget, **more}
    lock = desk.audit.parent / "retention.lock"
    with desk.writer() as writer:
        done = retain(shown or planned(desk), desk.log(), writer=writer, lock=lock, **given)
    return done, forgotten


def files(desk: Desk) -> set[str]:
    return {*evidence.segments(desk.audit / SLUG)}


def found(verdict: Verdict) -> list[tuple[str, str]]:
    """Return what is wrong, and with which segment, wherever that is."""
    names = (re.search(r"\d{3}-\d{6}", one.file) for one in verdict.findings)
    return [
        (one.verdict, name[0] if name else one.file)
        for one, name in zip(verdict.findings, names, strict=True)
    ]


# --- the plan ---


@pytest.mark.parametrize(
    ("day", "months", "before"),
    [
        (date(2026, 10, 14), 24, date(2024, 10, 14)),
        (date(2026, 3, 31), 1, date(2026, 2, 28)),
        (date(2024, 3, 31), 1, date(2024, 2, 29)),
        (date(2026, 1, 15), 1, date(2025, 12, 15)),
        (date(2026, 1, 15), 1200, date(1926, 1, 15)),
        (date(50, 1, 1), 1200, date.min),
    ],
)
def test_months_are_those_of_the_calendar(day: date, months: int, before: date) -> None:
    assert months_before(day, months) == before


def test_whole_closed_segments_that_are_older_are_planned_and_nothing_is_touched(
    desk: Desk,
) -> None:
    before = {one: one.read_bytes() for one in desk.audit.rglob("*") if one.is_file()}
    shown = planned(desk)
    assert shown.before == date(2026, 10, 3)
    assert [one.segment for one in shown.due] == OLD
    assert (shown.calls, shown.days) == (8, ("2026-10-01", "2026-10-02"))
    assert str(shown) == "3 segments with 8 calls of 2026-10-01 to 2026-10-02"
    assert shown.kept == ()
    assert before == {one: one.read_bytes() for one in desk.audit.rglob("*") if one.is_file()}


def test_without_months_nothing_is_old(desk: Desk) -> None:
    shown = planned(desk, None)
    assert (shown.due, shown.kept, shown.before, str(shown)) == ((), (), None, "nothing")


def test_the_last_day_of_a_segment_counts_and_not_its_first(tmp_path: Path) -> None:
    desk = three_days(tmp_path)
    due = plan(desk.log(), months=1, now=LATER.replace(day=2)).due
    assert [one.segment for one in due] == [FIRST, SIDE]
    assert plan(desk.log(), months=1, now=LATER.replace(day=1)).due == ()


def test_the_plan_has_the_same_name_until_another_segment_is_old_enough(desk: Desk) -> None:
    shown = planned(desk)
    sealed(desk)
    assert planned(desk).digest == shown.digest
    assert plan(desk.log(), months=1, now=LATER.replace(hour=23)).digest == shown.digest
    assert plan(desk.log(), months=1, now=LATER.replace(day=2)).digest != shown.digest


def test_what_was_altered_stays_as_the_proof_of_that(desk: Desk) -> None:
    path = evidence.journal_file(desk.audit / SLUG, FIRST)
    path.write_bytes(path.read_bytes().replace(b"tester", b"nobody", 1))
    shown = planned(desk)
    assert [one.segment for one in shown.due] == [SECOND, SIDE]
    assert any(one.startswith(f"{FIRST} is not as it was written (altered)") for one in shown.kept)


def test_with_a_register_that_is_not_as_it_was_written_nothing_goes(desk: Desk) -> None:
    path = desk.audit / SLUG / "heads.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"records":', b'"records":1', 1))
    shown = planned(desk)
    assert shown.due == ()
    assert any("register is not as it was written" in one for one in shown.kept)


# --- removing ---


def test_what_was_shown_is_removed_and_the_log_is_intact_and_says_so(desk: Desk) -> None:
    done, forgotten = remove(desk)
    assert (str(done), forgotten) == (
        "3 segments with 8 calls of 2026-10-01 to 2026-10-02",
        OLD,
    )
    assert not files(desk) & {*OLD}
    verdict = verify(desk.log())
    assert (verdict.integrity, verdict.completeness) == ("intact", "not comparable")
    assert [one.segment for one in verdict.retired] == OLD
    report = verdict.report()
    assert report["segmentsRetired"] == 3
    assert report["retired"][0] == {
        "segment": FIRST,
        "records": 8,
        "removedOn": "2026-11-03",
        "from": "2026-10-01",
        "to": "2026-10-01",  # not when it was closed
    }
    said = "removed under retention on 2026-11-03: 3 segments, from 2026-10-01 to 2026-10-02"
    assert f"  {said}" in described(verdict)
    assert planned(desk).due == ()


def test_who_removed_what_and_why_is_on_record_in_the_same_chain(desk: Desk) -> None:
    remove(desk)
    (record,) = [one for one in records(desk.audit) if one["event"] == "audit.retired"]
    assert record["message"] == (
        "Removed under retention (kept for 1 month): 3 segments with 8 calls of 2026-10-01 to "
        f"2026-10-02, {FIRST} to {SECOND}, {SIDE}."
    )
    assert (record["user"], record["rangeFrom"][:10]) == ("tester", "2026-10-01")


def test_every_line_is_signed_and_in_both_copies(desk: Desk) -> None:
    remove(desk)
    lines = [one for one in register_lines(desk.audit) if one["kind"] == "retired"]
    assert [one["segment"] for one in lines] == OLD
    assert all("signature" in one for one in lines)
    assert desk.log().copy is not None
    assert (desk.audit / SLUG / "heads.jsonl").read_bytes() == desk.log().copy.read_bytes()


def test_what_was_torn_off_a_segment_goes_with_it(desk: Desk) -> None:
    beside = desk.audit / SLUG / "journal" / f"{FIRST}.jsonl.torn-at-99"
    beside.write_bytes(b'{"schema":1')
    remove(desk)
    assert not beside.exists()
    assert verify(desk.log()).lost == []


def test_a_plan_that_is_another_by_now_is_refused_and_nothing_is_removed(desk: Desk) -> None:
    shown = planned(desk)
    stale = replace(shown, due=shown.due[:1])
    with pytest.raises(
        Conflict, match=r"it is 3 segments with 8 calls .* now. Nothing was removed"
    ):
        remove(desk, stale)
    assert {*OLD} <= files(desk)
    assert verify(desk.log()).retired == []


def test_without_a_key_nothing_is_removed(desk: Desk) -> None:
    desk.signed = False
    with pytest.raises(AuditError, match=r"no key to sign with.*Nothing was removed"):
        remove(desk)
    assert {*OLD} <= files(desk)
    assert verify(desk.log()).integrity == "intact"


def test_without_the_second_copy_nothing_is_removed_and_later_it_is(desk: Desk) -> None:
    copy = desk.log().copy
    assert copy is not None
    copy.rename(desk.copies / "gone")
    copy.symlink_to(desk.copies / "nowhere")
    with pytest.raises(AuditError, match=r"second copy of the register.*Nothing was removed"):
        remove(desk)
    assert {*OLD} <= files(desk)
    copy.unlink()
    (desk.copies / "gone").rename(copy)
    assert all(one.begun for one in planned(desk).due)
    remove(desk)
    assert verify(desk.log()).integrity == "intact"
    assert [one["kind"] for one in register_lines(desk.audit)].count("retired") == 3


def test_what_could_not_be_sealed_is_not_removed(desk: Desk) -> None:
    with pytest.raises(AuditError, match=f"{FIRST} of {SLUG} is not sealed. Nothing was removed"):
        remove(desk, seal=lambda _: None)
    assert {*OLD} <= files(desk)
    assert verify(desk.log()).retired == []


def test_a_name_that_was_removed_is_never_given_again(desk: Desk) -> None:
    remove(desk)
    with desk.writer() as writer:
        call(writer, 500)
    assert min(one for one in files(desk) if one.startswith("000")) == THIRD
    assert verify(desk.log()).integrity == "intact"


def test_the_word_on_what_was_merged_stays_as_long_as_that(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    with desk.writer() as writer:
        call(writer, 1)
        writer.append(SLUG, {"event": "audit.merged", "message": "As a merge leaves it."})
        desk.clock.next_day()
        call(writer, 2)
        desk.clock.next_day()
        call(writer, 3)
    desk.clock.at = LATER
    assert [one.segment for one in planned(desk).due] == [FIRST, SECOND]
    (desk.audit / SLUG / "merged" / ("0" * 16)).mkdir(parents=True)
    shown = planned(desk)
    assert [one.segment for one in shown.due] == [SECOND]
    assert f"merged/{'0' * 16}: 0 segments from another machine" in shown.kept[0]
    assert f"{FIRST} says what was merged from other machines" in shown.kept[1]


def test_what_forwards_the_log_goes_on_behind_what_was_removed(desk: Desk) -> None:
    remove(desk)
    folder = desk.audit / SLUG
    for at in (Position(), Position(1, 99), Position(2), Position(3)):
        window = read(slots(folder)["000"], Cursor(at), slug=SLUG, now=LATER, most=1000)
        assert "10" not in {one.record.get("objectId") for one in window.items}
        assert "20" in {one.record.get("objectId") for one in window.items}
    evidence.segments(folder)[THIRD].unlink()  # which no line says
    with pytest.raises(AuditError, match="000003 of acme-corp is gone before it was forwarded"):
        read(slots(folder)["000"], Cursor(Position(2)), slug=SLUG, now=LATER, most=1000)


# --- a crash at any point ---


def stop(*_: object) -> None:
    raise Stopped


@pytest.mark.parametrize("at", ["seal", "forget"])
def test_after_a_crash_it_is_completed(desk: Desk, at: str) -> None:
    with pytest.raises(Stopped):
        remove(desk, **{at: stop})
    between = verify(desk.log())
    assert between.integrity == "intact"
    assert {*OLD} <= files(desk)
    assert between.retired == []
    if at == "forget":
        assert any("it is still there, and was checked" in one for one in between.notes)
    remove(desk)
    assert not files(desk) & {*OLD}
    assert verify(desk.log()).integrity == "intact"
    assert [one["kind"] for one in register_lines(desk.audit)].count("retired") == 3


def test_what_was_half_removed_is_completed_also_where_the_period_is_another(desk: Desk) -> None:
    with pytest.raises(Stopped):
        remove(desk, forget=stop)
    evidence.evidence_file(desk.audit / SLUG, FIRST).unlink()
    shown = planned(desk, None)
    assert [one.segment for one in shown.due] == [SECOND, SIDE]
    remove(desk, shown)
    verdict = verify(desk.log())
    assert (verdict.integrity, len(verdict.retired)) == ("intact", 3)


def test_what_is_there_though_it_was_removed_is_still_checked(desk: Desk) -> None:
    with pytest.raises(Stopped):
        remove(desk, forget=stop)
    folder = desk.audit / SLUG
    with evidence.open_segment(evidence.evidence_file(folder, FIRST)) as file:
        content = file.read()
    evidence.evidence_file(folder, FIRST).unlink()
    evidence.journal_file(folder, FIRST).write_bytes(content.replace(b"tester", b"nobody", 1))
    assert found(verify(desk.log())) == [("altered", FIRST)]


# --- what is not excused ---


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """A log of which the first day was removed and the rest, but for what is open, is sealed."""
    desk = three_days(tmp_path_factory.mktemp("log"))
    desk.clock.at = LATER.replace(day=2)
    shown = plan(desk.log(), months=1, now=desk.clock.at)
    assert [one.segment for one in shown.due] == [FIRST, SIDE]
    lock = desk.audit.parent / "lock"
    with desk.writer() as writer:
        retain(
            shown,
            desk.log(),
            writer=writer,
            lock=lock,
            seal=lambda _: sealed(desk),
            forget=lambda *_: None,
        )
    sealed(desk)
    assert verify(desk.log()).integrity == "intact"
    return desk


def end_of(desk: Desk, name: str) -> Head:
    said = [parse_line(one) for one in register(desk).read_bytes().splitlines(keepends=True)]
    return next(one.head for one in said if one.head.segment == name and one.kind == Kind.CLOSED)


def register(desk: Desk) -> Path:
    return desk.audit / SLUG / "heads.jsonl"


def appended(desk: Desk, head: Head, signer: Signer | None, kind: Kind = Kind.RETIRED) -> bytes:
    before = register(desk).read_bytes()
    lines = before.splitlines()
    more = encode_line(
        head,
        kind=kind,
        slug=SLUG,
        ts="2026-11-05T00:00:00.000000Z",
        signer=signer,
        seq=len(lines) + 1,
        previous=digest(lines[-1]),
    )
    return before + more


def test_a_segment_that_was_removed_without_a_line_is_missing(standing: Desk) -> None:
    path = evidence.evidence_file(standing.audit / SLUG, SECOND)
    with replaced(path, None):
        assert found(verify(standing.log())) == [("missing", SECOND)]


def other_key() -> Signer:
    return signer_of(b"2")[0]


def named_as_ours() -> Signer:
    """Another key under the name of ours."""
    return Signer(signer_of()[0].key, other_key().sign)


FORGERS: dict[str, Callable[[], Signer | None]] = {
    "nobody": lambda: None,
    "an unknown key": other_key,
    "another key under our name": named_as_ours,
}


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    who=st.sampled_from(sorted(FORGERS)),
    name=st.sampled_from([SECOND, THIRD, OPEN]),
    true_end=st.booleans(),
    there=st.booleans(),
    in_copy=st.booleans(),
    place=st.integers(0, 12),
)
def test_a_line_that_somebody_without_the_key_puts_in_is_found_and_excuses_nothing(
    standing: Desk, *, who: str, name: str, true_end: bool, there: bool, in_copy: bool, place: int
) -> None:
    head = Head(name, 3, 99, "a" * 64)
    if true_end and name != OPEN:
        head = end_of(standing, name)
    content = appended(standing, head, FORGERS[who]())
    *lines, forged = content.splitlines(keepends=True)
    content = b"".join([*lines[: len(lines) - place], forged, *lines[len(lines) - place :]])
    folder = standing.audit / SLUG
    path = evidence.segments(folder)[name]
    copy = standing.log().copy
    assert copy is not None
    kept = copy.read_bytes()
    with (
        replaced(register(standing), content),
        replaced(copy, content if in_copy else kept),
        replaced(path, path.read_bytes() if there else None),
    ):
        verdict = verify(standing.log())
        assert "altered" in {one.verdict for one in verdict.findings}
        assert name not in [one.segment for one in verdict.retired]
        if not there:
            assert ("missing", name) in found(verdict)


def test_a_signed_line_about_what_was_never_closed_excuses_nothing(standing: Desk) -> None:
    """As a program with a mistake would write it; and none with another end than it had."""
    for name, head in {
        OPEN: Head(OPEN, 3, 99, "a" * 64),
        SECOND: end_of(standing, SECOND)._replace(hash="b" * 64),
    }.items():
        content = appended(standing, head, standing.signer)
        path = evidence.segments(standing.audit / SLUG)[name]
        with replaced(register(standing), content), replaced(path, None):
            verdict = verify(standing.log())
            assert {("altered", "heads.jsonl"), ("missing", name)} <= {*found(verdict)}


def test_a_removed_line_put_where_a_checkpoint_is_excuses_nothing(standing: Desk) -> None:
    content = appended(standing, end_of(standing, SECOND), standing.signer).splitlines()[-1]
    path = evidence.evidence_file(standing.audit / SLUG, SECOND)
    with replaced(standing.audit / SLUG / "heads" / "000.json", content), replaced(path, None):
        assert {("missing", SECOND), ("altered", "heads/000.json")} <= {
            *found(verify(standing.log()))
        }


def test_the_segment_that_follows_must_name_the_end_of_the_one_that_was_removed(
    standing: Desk,
) -> None:
    """What its key-holder removed cannot have been another segment of that name."""
    lines = register(standing).read_bytes().splitlines(keepends=True)
    wanted = end_of(standing, FIRST)._replace(hash="d" * 64)
    forged = []
    for one in lines:  # with the key: the register is written anew
        said = parse_line(one)
        head = wanted if said.head == end_of(standing, FIRST) else said.head
        previous = digest(forged[-1]) if forged else genesis(SLUG)
        place = {"kind": said.kind, "slug": SLUG, "ts": said.ts, "signer": standing.signer}
        forged.append(encode_line(head, seq=len(forged) + 1, previous=previous, **place))
    copy = standing.log().copy
    assert copy is not None
    with replaced(register(standing), b"".join(forged)), replaced(copy, b"".join(forged)):
        assert found(verify(standing.log())) == [("truncated", FIRST)]


# --- a head that was kept ---


def test_a_kept_head_that_names_what_was_removed_is_still_comparable(desk: Desk) -> None:
    kept = kept_head(desk.log())
    assert FIRST in kept.decode()
    remove(desk)
    verdict = verify(desk.log(), head=kept)
    assert (verdict.integrity, len(verdict.retired)) == ("intact", 3)


@pytest.mark.parametrize("what", ["head", "records"])
def test_a_kept_head_shows_that_what_was_removed_was_another(desk: Desk, what: str) -> None:
    kept = json.loads(kept_head(desk.log()))
    (one,) = [one for one in kept["segments"] if one["segment"] == FIRST]
    one[what] = "c" * 64 if what == "head" else one["records"] + 1
    remove(desk)
    verdict = verify(desk.log(), head=json.dumps(kept).encode())
    assert found(verdict) == [("altered", FIRST)]
    assert "another end than the kept head" in verdict.findings[0].cause


# --- what a client sees ---


def test_a_period_that_holds_nothing_says_that_it_was_removed(desk: Desk) -> None:
    remove(desk)
    day = date(2026, 10, 1)
    verdict = verify(desk.log(), first=day, last=day)
    assert [one.segment for one in verdict.retired] == [FIRST, SIDE]
    assert any("removed under retention" in one for one in described(verdict))
    later = date(2026, 10, 20)
    assert verify(desk.log(), first=later, last=later).retired == []


def test_a_pack_names_what_was_removed_and_its_verifier_agrees(desk: Desk, tmp_path: Path) -> None:
    remove(desk)
    path = tmp_path / "pack.zip"
    period = Period(date(2026, 10, 1), date(2026, 10, 2))
    export(desk.log(), path, period=period, announce=lambda: None)
    with zipfile.ZipFile(path) as pack:
        readme = pack.read("README.txt").decode()
        pack.extractall(tmp_path / "pack")
    assert "removed under retention on 2026-11-03: 3 segments, from 2026-10-01" in readme
    assert "@" not in readme
    command = [sys.executable, "-I", "-S", str(tmp_path / "pack" / "verify.py")]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 3, done.stdout.decode()  # nothing is wrong, and nothing is there
    assert "removed under retention on 2026-11-03: 3 segments" in done.stdout.decode()
    with (tmp_path / "pack" / "heads.jsonl").open("rb") as file:
        lines = file.read().splitlines(keepends=True)
    unsigned = [one for one in lines if b'"kind":"retired"' not in one]
    (tmp_path / "pack" / "heads.jsonl").write_bytes(b"".join(unsigned))
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 4
    assert "missing" in done.stdout.decode()


def test_a_pack_of_another_period_does_not_speak_of_it(desk: Desk, tmp_path: Path) -> None:
    remove(desk)
    period = Period(date(2026, 11, 1), date(2026, 11, 30))
    export(desk.log(), tmp_path / "pack.zip", period=period, announce=lambda: None)
    with zipfile.ZipFile(tmp_path / "pack.zip") as pack:
        readme = pack.read("README.txt").decode()
    assert "2026-11-03" not in readme
    assert "\n\nFiles of records are included whole" in readme


def test_the_records_that_stay_are_as_they_were(desk: Desk) -> None:
    before = evidence.journal_file(desk.audit / SLUG, THIRD).read_bytes()
    remove(desk)
    assert evidence.journal_file(desk.audit / SLUG, THIRD).read_bytes().startswith(before)
    assert os.listdir(desk.audit / SLUG / "evidence") == []  # noqa: PTH208  (names alone)


def test_the_record_of_a_removal_is_what_the_schema_says(
    desk: Desk, validator: jsonschema.Draft202012Validator
) -> None:
    remove(desk)
    for one in records(desk.audit):
        validator.validate(one)
    (record,) = [one for one in records(desk.audit) if one["event"] == "audit.retired"]
    assert record["calls"] == 8


def test_a_clock_that_was_set_back_makes_nothing_old(tmp_path: Path) -> None:
    """The register knows that a segment was opened after another one was."""
    desk = Desk(tmp_path)
    for at in (LATER.replace(day=2), datetime(1999, 1, 1, tzinfo=UTC), LATER):
        desk.clock.at = at
        with desk.writer() as writer:
            call(writer, at.year)
    shown = planned(desk)
    assert shown.due == ()
    assert b'"ts":"1999-' in (desk.log().folder / "journal" / f"{SECOND}.jsonl").read_bytes()
