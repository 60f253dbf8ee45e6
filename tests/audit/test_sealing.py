"""Sealing: what is read is the same before and after, whatever happened in between."""

from __future__ import annotations

import random
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson
import polars as pl
import pytest
from backports import zstd
from hypothesis import given, settings
from hypothesis import strategies as st

from hsagency.audit import chain, evidence, lake
from hsagency.audit.journal.writer import unsigned
from hsagency.audit.lake import catalog, parsing, sealing
from hsagency.audit.lake.rebuilding import rebuild
from hsagency.audit.record import encode, timestamp
from hsagency.durable import locked
from hsagency.errors import NewerSchema
from tests.audit.killing import ROOT
from tests.audit.logs import SLUG, Desk, call, three_days
from tests.audit.reading import digests, ending, intent

NOON = datetime(2026, 10, 1, 12, tzinfo=UTC)
ZONES = {SLUG: "US/Eastern"}
Fields = dict[str, Any]


def written(some: list[Fields], name: str, *, closed: bool, start: datetime = NOON) -> bytes:
    """Return a segment as the writer would leave it."""
    records = [*some, {"event": "audit.closed", "segment": name}] if closed else some
    lines, last = [], chain.genesis(f"{name}.jsonl")
    for number, fields in enumerate(records, start=1):
        stamp = {"schema": 1, "seq": number, "ts": timestamp(start + timedelta(seconds=number))}
        line, last = chain.link(last, encode({**stamp, "clientSlug": SLUG, **fields}))
        lines.append(line)
    return b"".join(lines)


def lay(audit: Path, segment: str, content: bytes) -> Path:
    """Put a segment where it belongs: the journal, or the evidence of a merged log."""
    lineage, _, name = segment.rpartition("/")
    folder = audit / SLUG / "merged" / lineage if lineage else audit / SLUG
    path = folder / (f"evidence/{name}.jsonl.zst" if lineage else f"journal/{name}.jsonl")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(zstd.compress(content) if lineage else content)
    return path


@dataclass(frozen=True)
class Seen:
    """What a reading shows."""

    calls: pl.DataFrame
    activity: pl.DataFrame
    damage: tuple[lake.Damage, ...]

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Seen)
            and self.calls.equals(other.calls)
            and self.activity.equals(other.activity)
            and self.damage == other.damage
        )


def seen(audit: Path, **more: Any) -> Seen:
    reading = lake.read(audit, [SLUG], zones=ZONES, **more)
    return Seen(reading.calls.collect(), reading.activity, reading.damage)


def seal(audit: Path, signer: sealing.Signing = unsigned) -> sealing.Sealed:
    return sealing.seal(audit, SLUG, zone=ZONES[SLUG], signer=signer)


def parts(audit: Path) -> list[Path]:
    return sorted(audit.glob("lake/*/month=*/*.parquet"))


def in_files(audit: Path) -> pl.DataFrame:
    """Return what an engine sees that knows nothing of us."""
    return pl.concat([pl.read_parquet(one) for one in parts(audit)] or [pl.DataFrame()])


@contextmanager
def folder() -> Iterator[Path]:
    with TemporaryDirectory() as name:
        yield Path(name)


SEGMENTS = (
    *("000-000001", "000-000002", "000-000003", "001-000001", "001-000002"),
    *("aa00/000-000001", "bb11/000-000001", "bb11/000-000002", "bb11/000-000003"),
)
GARBAGE = st.sampled_from(
    [b"", b"junk", b"{}", b"[1]", b'{"event":5}', b"\xff\xfe", b"\r", b'{"event":"x","ts":1}']
)


@dataclass
class History:
    """Segments, the step at which each is laid down, and bytes that spoil some of them."""

    records: dict[str, list[Fields]] = field(default_factory=dict)
    step: dict[str, int] = field(default_factory=dict)
    closed_at: dict[str, int] = field(default_factory=dict)
    spoiled: dict[str, tuple[int, bytes]] = field(default_factory=dict)

    def content(self, segment: str, step: int) -> bytes | None:
        """Return a segment's bytes at a step, or nothing if there is none yet."""
        if self.step[segment] > step:
            return None
        closed = "/" in segment or self.closed_at[segment] <= step
        name = segment.rpartition("/")[2]
        start = NOON + timedelta(days=20 * SEGMENTS.index(segment))
        lines = written(self.records[segment], name, closed=closed, start=start).splitlines(True)
        if segment in self.spoiled:
            at, junk = self.spoiled[segment]
            lines.insert(min(at, len(lines) - 1), junk + b"\n")
        return b"".join(lines)


@st.composite
def histories(draw: st.DrawFn) -> History:
    """Draw calls whose records are anywhere, in any order, once or more often."""
    names = draw(st.lists(st.sampled_from(SEGMENTS), min_size=1, max_size=5, unique=True))
    history = History()
    for name in names:
        history.records[name] = []
        history.step[name] = draw(st.integers(0, 2))
        history.closed_at[name] = draw(st.integers(history.step[name], 3))
        if draw(st.integers(0, 4)) == 0:
            history.spoiled[name] = (draw(st.integers(0, 6)), draw(GARBAGE))
    kinds = {
        "start": lambda n: intent(n, objectId=None if n % 2 else str(n)),
        "end": lambda n: ending(n, statusCode=200 + n, origin="witnessed"),
        "no end": lambda n: ending(n, statusCode=None, outcome="unknown"),
        "silent end": lambda n: {"event": "call.finished", "callId": f"{n:032x}"},
        "detail": lambda n: {
            "event": "call.detail", "callId": f"{n:032x}", "policyName": "DAILY", "objectId": "77",
        },
        "refused": lambda n: intent(n, event="call.refused", outcome="refused", reason="no"),
        "imported": lambda n: intent(n, **ending(n, statusCode=404, origin="imported")),
        "event": lambda n: {"event": "connection.verified", "message": f"number {n}"},
    }  # fmt: skip
    for _ in range(draw(st.integers(0, 14))):
        kind, number = draw(st.sampled_from(list(kinds))), draw(st.integers(0, 4))
        record = kinds[kind](number)
        for _ in range(draw(st.sampled_from([1, 1, 1, 2]))):
            history.records[draw(st.sampled_from(names))].append(record)
    return history


@settings(max_examples=60)
@given(histories())
def test_whatever_is_sealed_and_when_the_same_is_read(history: History) -> None:
    with folder() as sealed, folder() as plain:
        for step in range(4):
            for segment in history.records:
                content = history.content(segment, step)
                if content is None:
                    continue
                lay(plain, segment, content)
                packed = sealed / SLUG / "evidence" / f"{segment}.jsonl.zst"
                if not packed.exists():
                    lay(sealed, segment, content)
            expected = seen(plain)
            assert seen(sealed) == expected
            seal(sealed)
            assert seen(sealed) == expected
            assert not seal(sealed).segments
            ids = in_files(sealed)["call_id"] if parts(sealed) else pl.Series([], dtype=pl.String)
            assert ids.is_unique().all()
        assert not rebuild(sealed, SLUG, compare=True).differences
        assert rebuild(sealed, SLUG).differences == ()
        assert seen(sealed) == expected


def lay_history(audit: Path) -> None:
    """Lay down a log whose calls span segments, slots and months, with what is not a call."""
    start = {number: intent(number) for number in range(40)}
    some = [record for n in range(30) for record in (start[n], ending(n))]
    lay(audit, "000-000001", written([*some, start[30], start[31]], "000-000001", closed=True))
    later = NOON + timedelta(days=40)
    rest = [ending(30), start[32], {"event": "connection.added", "message": "hello"}]
    lay(audit, "000-000002", written(rest, "000-000002", closed=True, start=later))
    other = [ending(31), start[33], ending(33)]
    lay(audit, "001-000001", written(other, "001-000001", closed=True, start=later))
    lay(audit, "000-000003", written([ending(32)], "000-000003", closed=False, start=later))


def die(audit: Path, line: int) -> tuple[int, str]:
    command = [sys.executable, "-m", "tests.audit.dying", str(audit), SLUG, str(line)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    return done.returncode, done.stdout


def test_a_sealing_that_is_killed_anywhere_is_completed_by_the_next(tmp_path: Path) -> None:
    whole, plain = tmp_path / "whole", tmp_path / "plain"
    lay_history(plain)
    expected = seen(plain)
    lay_history(whole)
    _, said = die(whole, 0)
    assert seen(whole) == expected
    chance, killed = random.Random(4), 0
    for number in [*chance.sample(range(1, int(said)), 24), int(said) - 2]:
        audit = tmp_path / str(number)
        lay_history(audit)
        code, _ = die(audit, number)
        killed += code == -signal.SIGKILL  # threads make the count of lines differ a little
        assert seen(audit) == expected
        seal(audit)
        assert seen(audit) == expected
        assert in_files(audit).sort("call_id").equals(in_files(whole).sort("call_id"))
        named = {audit / "lake" / f"client_slug={SLUG}" / one.path for one in files_of(audit)}
        assert named == set(audit.glob("lake/**/*.parquet"))
        assert [path.stem for path in (audit / SLUG / "journal").iterdir()] == ["000-000003"]
        assert not list(audit.rglob("*.tmp"))
    assert killed > 20


def files_of(audit: Path) -> tuple[catalog.File, ...]:
    known = catalog.load(catalog.home(audit, SLUG))
    assert known is not None
    return known.files


def test_two_processes_that_seal_at_once_seal_once(tmp_path: Path) -> None:
    lay_history(tmp_path)
    expected = seen(tmp_path)
    command = [sys.executable, "-m", "tests.audit.dying", str(tmp_path), SLUG, "0"]
    both = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) for _ in range(2)]
    assert [one.wait() for one in both] == [0, 0]
    for one in both:
        one.communicate()
    assert seen(tmp_path) == expected
    assert in_files(tmp_path)["call_id"].is_unique().all()
    assert not seal(tmp_path).segments


def test_whoever_does_not_wait_is_told_that_another_process_seals(tmp_path: Path) -> None:
    lay_history(tmp_path)
    expected = seen(tmp_path)
    (tmp_path / "lake").mkdir()
    with locked(tmp_path / "lake" / f".{SLUG}.lock"):
        with pytest.raises(sealing.SealingBusy, match="another program"):
            sealing.seal(tmp_path, SLUG, wait=False)
        (word,) = sealing.refresh(tmp_path, SLUG)
        assert word.endswith("read from the journal.")
        assert seen(tmp_path) == expected
    assert sealing.refresh(tmp_path, SLUG, zone=ZONES[SLUG]) == []
    assert not any(one.stem == "000-000001" for one in (tmp_path / SLUG / "journal").iterdir())


def test_a_live_segment_and_one_that_is_not_closed_stay_in_the_journal(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    with desk.writer() as writer:
        call(writer, 1)
        desk.clock.next_day()
        call(writer, 2)
        assert seal(desk.audit, desk.signing).segments == 1
        held = desk.audit / SLUG / "journal" / "000-000002.jsonl"
        assert held.exists()
        call(writer, 3)
    assert seal(desk.audit, desk.signing).segments == 0
    assert seen(desk.audit).calls["object_id"].to_list() == ["1", "2", "3"]


def test_what_the_writer_wrote_is_the_same_before_and_after(tmp_path: Path) -> None:
    desk = three_days(tmp_path)
    expected = seen(desk.audit)
    done = seal(desk.audit, desk.signing)
    assert (done.segments, done.calls) == (3, 8)
    assert done.journal > 0 < done.evidence < done.lake
    assert seen(desk.audit) == expected
    assert expected.calls.height == 11


def test_sealing_twice_changes_nothing(tmp_path: Path) -> None:
    lay_history(tmp_path)
    seal(tmp_path)
    before = digests(tmp_path)
    assert seal(tmp_path) == sealing.Sealed(client_slug=SLUG)
    assert digests(tmp_path) == before


def test_a_call_that_ends_after_its_start_was_sealed_is_one_row(tmp_path: Path) -> None:
    lay(tmp_path, "000-000001", written([intent(1), intent(2)], "000-000001", closed=True))
    seal(tmp_path)
    assert in_files(tmp_path)["outcome"].to_list() == ["unknown", "unknown"]
    open_one = written([ending(1)], "001-000001", closed=False)
    lay(tmp_path, "001-000001", open_one)
    assert seen(tmp_path).calls["outcome"].to_list() == ["ok", "unknown"]
    assert in_files(tmp_path)["outcome"].to_list() == ["unknown", "unknown"]
    lay(tmp_path, "001-000001", written([ending(1)], "001-000001", closed=True))
    seal(tmp_path)
    rows = in_files(tmp_path).sort("call_id")
    assert rows["outcome"].to_list() == ["ok", "unknown"]
    places = rows.row(0, named=True)
    assert (places["segment"], places["seq"]) == ("000-000001", 1)
    assert (places["end_segment"], places["end_seq"]) == ("001-000001", 1)


def test_a_row_leads_back_to_its_record(tmp_path: Path) -> None:
    lay_history(tmp_path)
    lay(tmp_path, "bb11/000-000001", written([intent(90)], "000-000001", closed=True))
    expected = {
        (path.stem, number): orjson.loads(line)
        for path in (tmp_path / SLUG / "journal").iterdir()
        for number, line in enumerate(path.read_bytes().splitlines(), start=1)
    }
    seal(tmp_path)
    for row in seen(tmp_path).calls.iter_rows(named=True):
        if row["segment"] == "bb11/000-000001":
            assert (row["seq"], row["object_id"]) == (1, "90")
            continue
        record = expected[row["segment"], row["seq"]]
        assert (record["callId"], record["seq"]) == (row["call_id"], row["seq"])


@pytest.mark.parametrize(
    ("zone", "at", "day"),
    [
        ("US/Eastern", datetime(2026, 11, 1, 3, 59, tzinfo=UTC), date(2026, 10, 31)),
        ("US/Eastern", datetime(2026, 11, 1, 5, 30, tzinfo=UTC), date(2026, 11, 1)),  # 01:30 EDT
        ("US/Eastern", datetime(2026, 11, 2, 4, 30, tzinfo=UTC), date(2026, 11, 1)),  # 23:30 EST
        ("US/Eastern", datetime(2026, 11, 2, 5, 0, tzinfo=UTC), date(2026, 11, 2)),
        ("America/Los_Angeles", datetime(2026, 3, 9, 6, 59, tzinfo=UTC), date(2026, 3, 8)),
        ("America/Los_Angeles", datetime(2026, 3, 9, 7, 0, tzinfo=UTC), date(2026, 3, 9)),
        ("Asia/Kolkata", datetime(2026, 10, 1, 18, 30, tzinfo=UTC), date(2026, 10, 2)),
        ("Pacific/Kiritimati", datetime(2026, 10, 1, 10, 0, tzinfo=UTC), date(2026, 10, 2)),
        ("Mars/Olympus", datetime(2026, 10, 1, 10, 0, tzinfo=UTC), None),
        ("", datetime(2026, 10, 1, 10, 0, tzinfo=UTC), None),
        (None, datetime(2026, 10, 1, 10, 0, tzinfo=UTC), None),
    ],
)
def test_the_local_day_is_that_of_the_portals_clock(
    tmp_path: Path, zone: str | None, at: datetime, day: date | None
) -> None:
    record = intent(1, ts=timestamp(at))
    lay(tmp_path, "000-000001", written([record], "000-000001", closed=True))
    sealing.seal(tmp_path, SLUG, zone=zone)
    assert in_files(tmp_path).select("day_utc", "day_local").row(0) == (at.date(), day)
    zones = {SLUG: zone} if zone else {}
    lay(tmp_path, "000-000002", written([intent(2, ts=timestamp(at))], "000-000002", closed=False))
    calls = lake.read(tmp_path, [SLUG], zones=zones).calls.collect()
    assert calls["day_local"].to_list() == [day, day]
    known = catalog.load(catalog.home(tmp_path, SLUG))
    assert known is not None
    assert known.zone == (zone if day else None)


def test_a_zone_that_is_learned_later_holds_for_every_day(tmp_path: Path) -> None:
    late = intent(1, ts="2026-10-01T23:30:00.000000Z")
    lay(tmp_path, "000-000001", written([late], "000-000001", closed=True))
    sealing.seal(tmp_path, SLUG)
    assert in_files(tmp_path)["day_local"].to_list() == [None]
    sealing.seal(tmp_path, SLUG, zone="Asia/Kolkata")
    assert in_files(tmp_path)["day_local"].to_list() == [date(2026, 10, 2)]
    sealing.seal(tmp_path, SLUG)  # no longer connected: what was known is still so
    assert in_files(tmp_path)["day_local"].to_list() == [date(2026, 10, 2)]


def test_files_are_private_and_lie_where_other_engines_look(tmp_path: Path) -> None:
    lay_history(tmp_path)
    seal(tmp_path)
    home = tmp_path / "lake" / f"client_slug={SLUG}"
    assert {one.parent.name for one in parts(tmp_path)} == {"month=2026-10", "month=2026-11"}
    for path in [home / "manifest.json", *home.rglob("*.parquet")]:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for part in parts(tmp_path):
        months = pl.read_parquet(part)["ts"].dt.strftime("%Y-%m").unique()
        assert part.parent.name == f"month={months.item()}"


def test_many_small_parts_of_a_month_become_one(tmp_path: Path) -> None:
    for number in range(1, 15):
        name = f"000-{number:06}"
        lay(tmp_path, name, written([intent(number), ending(number)], name, closed=True))
        seal(tmp_path)
        assert len(parts(tmp_path)) <= 13
    assert len(parts(tmp_path)) == 2
    assert in_files(tmp_path)["call_id"].sort().to_list() == [f"{n:032x}" for n in range(1, 15)]


def test_calls_over_many_blocks_are_one_row_each(tmp_path: Path) -> None:
    """More than one block of lines holds; a detail comes in another one than its call."""
    path = tmp_path / SLUG / "journal" / "000-000001.jsonl"
    some: list[Fields] = [intent(0)]
    for number in range(1, 40_000):
        some += [intent(number), ending(number)]
    some += [ending(0), {"event": "call.detail", "callId": f"{0:032x}", "policyName": "DAILY"}]
    some += [{"event": "call.detail", "callId": f"{9:032x}", "policyName": "TEN"}]
    lay(tmp_path, path.stem, written(some, path.stem, closed=True))
    assert path.stat().st_size > 2 * parsing.BLOCK
    expected = seen(tmp_path)
    assert seal(tmp_path).calls == 40_000
    assert seen(tmp_path) == expected
    by_id = {row["call_id"]: row for row in in_files(tmp_path).iter_rows(named=True)}
    assert by_id[f"{0:032x}"]["outcome"] == "ok"
    assert [by_id[f"{n:032x}"]["policy_name"] for n in (0, 9)] == ["DAILY", "TEN"]
    assert by_id[f"{9:032x}"]["detail_seq"] == len(some)


def test_a_line_longer_than_any_record_is_damage_and_memory_does_not_grow(tmp_path: Path) -> None:
    before = written([intent(1)], "000-000001", closed=False)
    after = written([intent(1), ending(1)], "000-000001", closed=True)[len(before) :]
    long = b"x" * (5 * parsing.BLOCK) + b"\n"
    lay(tmp_path, "000-000001", before + long + after)
    expected = seen(tmp_path)
    assert [(one.line, one.cause) for one in expected.damage] == [(2, "not a record")]
    assert expected.calls["outcome"].to_list() == ["ok"]
    seal(tmp_path)
    assert seen(tmp_path) == expected


def test_a_copied_journal_file_counts_nothing_twice(tmp_path: Path) -> None:
    lay_history(tmp_path)
    content = (tmp_path / SLUG / "journal" / "000-000001.jsonl").read_bytes()
    expected = seen(tmp_path).calls
    lay(tmp_path, "005-000001", content)
    assert seen(tmp_path).calls.equals(expected)
    seal(tmp_path)
    lay(tmp_path, "006-000001", content)  # and after it was sealed
    lay(tmp_path, "000-000000", content[: content.rfind(b"\n", 0, -1) + 1])  # before it, and open
    assert seen(tmp_path).calls.drop("segment", "seq").equals(expected.drop("segment", "seq"))
    seal(tmp_path)
    assert in_files(tmp_path)["call_id"].is_unique().all()


def first_part(audit: Path) -> Path:
    return parts(audit)[0]


def edited(audit: Path) -> None:
    part = first_part(audit)
    frame = pl.read_parquet(part).with_columns(outcome=pl.lit("ok"), status_code=pl.lit(200))
    frame.write_parquet(part, compression="zstd")


def flip(audit: Path) -> None:
    part = first_part(audit)
    content = bytearray(part.read_bytes())
    content[len(content) // 3] ^= 255
    part.write_bytes(content)


BREAKS = {
    "removed": (lambda audit: first_part(audit).unlink(), "is missing"),
    "cut": (lambda audit: first_part(audit).write_bytes(b"PAR1"), "was changed"),
    "edited": (edited, "was changed"),
    "flipped": (flip, "was changed"),
}


@pytest.mark.parametrize("what", BREAKS)
def test_a_part_changed_by_hand_is_named_and_made_anew(tmp_path: Path, what: str) -> None:
    lay_history(tmp_path)
    expected = seen(tmp_path)
    seal(tmp_path)
    part = first_part(tmp_path)
    place = f"{part.parent.name}/{part.name}"
    change, cause = BREAKS[what]
    change(tmp_path)
    found = rebuild(tmp_path, SLUG, compare=True)
    assert not found.rebuilt
    assert place in [one.place for one in found.differences if one.cause.startswith(cause)]
    assert rebuild(tmp_path, SLUG).rebuilt
    assert rebuild(tmp_path, SLUG, compare=True).differences == ()
    assert seen(tmp_path) == expected


def test_rows_that_were_changed_added_and_removed_are_counted(tmp_path: Path) -> None:
    lay_history(tmp_path)
    seal(tmp_path)
    frame = pl.read_parquet(first_part(tmp_path))
    other = frame.tail(1).with_columns(call_id=pl.lit("f" * 32))
    changed = frame.head(2).with_columns(duration_ms=pl.lit(0, pl.Int64))
    pl.concat([changed, frame[3:], other]).write_parquet(first_part(tmp_path))
    causes = [one.cause for one in rebuild(tmp_path, SLUG, compare=True).differences]
    assert causes[0] == "was changed after it was written"
    assert causes[1].startswith("lacks rows: 1, the first 000-000001 line 5")
    assert causes[2].startswith("has rows that the evidence does not have: 1,")
    assert causes[3].startswith("has rows that the evidence tells otherwise: 2,")
    assert len(causes) == 4


def test_comparing_changes_nothing(tmp_path: Path) -> None:
    lay_history(tmp_path)
    seal(tmp_path)
    edited(tmp_path)
    before = digests(tmp_path)
    rebuild(tmp_path, SLUG, compare=True)
    assert digests(tmp_path) == before


@pytest.mark.parametrize("what", ["removed", "cut", "manifest", "all", "activity"])
def test_a_lake_that_is_not_there_is_made_anew_with_a_word(tmp_path: Path, what: str) -> None:
    lay_history(tmp_path)
    expected = seen(tmp_path)
    seal(tmp_path)
    home = catalog.home(tmp_path, SLUG)
    {
        "removed": lambda: first_part(tmp_path).unlink(),
        "cut": lambda: first_part(tmp_path).write_bytes(b""),
        "manifest": lambda: (home / "manifest.json").write_bytes(b"{"),
        "all": lambda: shutil.rmtree(tmp_path / "lake"),
        "activity": lambda: next(home.glob("activity-*")).unlink(),
    }[what]()
    assert seen(tmp_path) == expected  # from the evidence, while nobody may write
    (word,) = sealing.refresh(tmp_path, SLUG, zone=ZONES[SLUG])
    assert word.startswith(f"The lake of {SLUG} was made anew from the evidence (")
    assert sealing.refresh(tmp_path, SLUG, zone=ZONES[SLUG]) == []
    assert seen(tmp_path) == expected
    assert in_files(tmp_path).height == 34


def test_a_part_that_cannot_be_read_keeps_nobody_from_reading_on(tmp_path: Path) -> None:
    lay_history(tmp_path)
    expected = seen(tmp_path)
    seal(tmp_path)
    lay(tmp_path, "000-000003", written([ending(32)], "000-000003", closed=False))
    for part in parts(tmp_path):
        part.write_bytes(b"PAR1" + b"\0" * (part.stat().st_size - 8) + b"PAR1")
    assert seen(tmp_path).calls.drop("day_utc").equals(expected.calls.drop("day_utc"))
    lay(tmp_path, "000-000003", written([ending(32)], "000-000003", closed=True))
    assert seal(tmp_path).rebuilt.startswith("missing or changed: month=")
    assert not rebuild(tmp_path, SLUG, compare=True).differences


def test_a_manifest_of_a_later_version_is_refused(tmp_path: Path) -> None:
    lay_history(tmp_path)
    seal(tmp_path)
    path = catalog.home(tmp_path, SLUG) / "manifest.json"
    path.write_bytes(orjson.dumps({**orjson.loads(path.read_bytes()), "schema": 2}))
    for act in (seal, seen, lambda audit: rebuild(audit, SLUG)):
        with pytest.raises(NewerSchema, match="has schema 2; this hsagency reads up to 1"):
            act(tmp_path)


def test_records_of_a_later_version_stay_where_they_are(tmp_path: Path) -> None:
    path = lay(tmp_path, "000-000001", written([intent(1, schema=2)], "000-000001", closed=True))
    with pytest.raises(NewerSchema, match="records of schema 2"):
        seal(tmp_path)
    assert path.exists()
    assert not parts(tmp_path)


def test_a_segment_whose_evidence_is_another_is_left_and_the_rest_is_sealed(tmp_path: Path) -> None:
    lay_history(tmp_path)
    other = tmp_path / SLUG / "evidence" / "000-000001.jsonl.zst"
    other.parent.mkdir()
    other.write_bytes(zstd.compress(b"something else\n"))
    expected = seen(tmp_path)
    done = seal(tmp_path)
    assert (done.segments, len(done.left)) == (2, 1)
    assert "not what the journal holds" in done.left[0]
    assert seen(tmp_path) == expected


def test_forgotten_segments_leave_no_row(tmp_path: Path) -> None:
    lay_history(tmp_path)
    seal(tmp_path)
    assert sealing.forget(tmp_path, SLUG, ["000-000001"]) == 30
    evidence.evidence_file(tmp_path / SLUG, "000-000001").unlink()
    rows = seen(tmp_path).calls
    # The ends of two calls are in other segments, and are all that is known of these.
    assert sorted(int(one, 16) for one in rows["call_id"]) == [30, 31, 32, 33]
    assert rows.filter(pl.col("path").is_null()).height == 2
    assert not seal(tmp_path).segments
    assert not rebuild(tmp_path, SLUG, compare=True).differences
    assert sealing.forget(tmp_path, SLUG, ["000-000001"]) == 0
    for name in ("000-000002", "001-000001"):
        evidence.evidence_file(tmp_path / SLUG, name).unlink()
    assert sealing.forget(tmp_path, SLUG, ["000-000002", "001-000001"]) == 4
    assert seen(tmp_path).activity.height == 0
    assert not parts(tmp_path)


def test_the_same_call_in_two_machines_logs_is_one_row(tmp_path: Path) -> None:
    lay_history(tmp_path)
    content = (tmp_path / SLUG / "journal" / "000-000001.jsonl").read_bytes()
    expected = seen(tmp_path).calls
    seal(tmp_path)
    more = written([intent(70), ending(70)], "000-000002", closed=True)
    lay(tmp_path, "bb11/000-000001", content)
    lay(tmp_path, "bb11/000-000002", more)
    both = seen(tmp_path).calls
    assert both.filter(pl.col("segment") != "bb11/000-000002").equals(expected)
    seal(tmp_path)
    assert seen(tmp_path).calls.equals(both)
    assert in_files(tmp_path).filter(pl.col("segment").str.contains("/")).height == 1


def test_a_call_that_another_log_tells_again_and_details_late_is_one_row(tmp_path: Path) -> None:
    again = [intent(1), ending(1)]
    lay(tmp_path, "000-000001", written(again, "000-000001", closed=True))
    seal(tmp_path)
    expected = seen(tmp_path).calls.drop("policy_name")
    detail = {"event": "call.detail", "callId": intent(1)["callId"], "policyName": "DAILY"}
    told = {"000-000001": again, "000-000002": [intent(2)], "000-000003": [detail]}
    for name, some in told.items():
        content = written(some, name, closed=True, start=NOON + timedelta(days=40))
        lay(tmp_path, f"bb11/{name}", content)
    seal(tmp_path)
    rows = in_files(tmp_path).filter(pl.col("call_id") == intent(1)["callId"])
    assert (rows.height, rows["policy_name"].to_list()) == (1, ["DAILY"])
    calls = seen(tmp_path).calls.drop("policy_name")
    assert calls.filter(pl.col("call_id") == intent(1)["callId"]).equals(expected)


def test_damaged_evidence_is_named_and_what_comes_before_is_read(tmp_path: Path) -> None:
    some = [record for n in range(3000) for record in (intent(n), ending(n))]
    lay(tmp_path, "000-000001", written(some, "000-000001", closed=True))
    seal(tmp_path)
    path = evidence.evidence_file(tmp_path / SLUG, "000-000001")
    path.write_bytes(path.read_bytes()[:-6])
    assert seen(tmp_path).damage == ()  # the lake has what was there
    shutil.rmtree(tmp_path / "lake")
    (damage,) = seen(tmp_path).damage
    assert damage.file == "000-000001.jsonl"
    assert damage.cause.startswith("the evidence is damaged here")
    assert 1000 < damage.line < len(some)
    assert seen(tmp_path).calls.height == damage.line // 2
    seal(tmp_path)
    assert seen(tmp_path).damage == (damage,)


def test_a_column_that_older_parts_do_not_have_is_null_there(tmp_path: Path) -> None:
    lay_history(tmp_path)
    seal(tmp_path)
    home = catalog.home(tmp_path, SLUG)
    known = catalog.load(home)
    assert known is not None
    older = [
        catalog.write(home, one.path, pl.read_parquet(home / one.path).drop("purpose"))
        for one in known.parts
    ]
    catalog.save(home, replace(known, parts=tuple(older)), signer=None)
    calls = seen(tmp_path).calls
    assert calls.filter(pl.col("purpose").is_null()).height == in_files(tmp_path).height
    lay(tmp_path, "000-000004", written([ending(33)], "000-000004", closed=True))
    assert seal(tmp_path).segments == 1
