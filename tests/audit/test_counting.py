"""Counting calls without reading them: the number is that of the rows which a reading gives."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hsagency.audit import chain, lake
from hsagency.audit.lake import catalog, sealing
from hsagency.audit.lake.counting import calls_since
from hsagency.audit.record import encode, timestamp
from hsagency.errors import HsAgencyError, NewerSchema
from tests.audit.reading import digests, ending, intent

MONTH = datetime(2026, 11, 1, tzinfo=UTC)
SLUGS = ("acme-corp", "globex")
Fields = dict[str, Any]


def lay_down(
    audit: Path, slug: str, name: str, some: Sequence[Fields], *, closed: bool = False
) -> Path:
    """Write a segment of records, each with its own time; "KEY/000-000001" is a merged one."""
    log, _, own = name.rpartition("/")
    folder = audit / slug / (f"merged/{log}" if log else "") / "journal"
    folder.mkdir(parents=True, exist_ok=True)
    written, last = b"", chain.genesis(own)
    end = [{"event": "audit.closed", "ts": timestamp(MONTH)}] if closed else []
    for number, fields in enumerate([*some, *end], start=1):
        body = encode({"schema": 1, "seq": number, "clientSlug": slug, **fields})
        line, last = chain.link(last, body)
        written += line
    path = folder / f"{own}.jsonl"
    path.write_bytes(written)
    return path


def started(number: int, *, minute: int, **more: Any) -> Fields:
    return intent(number, ts=timestamp(MONTH + timedelta(minutes=minute)), **more)


def ended(number: int, *, minute: int, **more: Any) -> Fields:
    return ending(number, ts=timestamp(MONTH + timedelta(minutes=minute)), **more)


def read(audit: Path, slug: str) -> int:
    """Count the rows that a reading gives."""
    return lake.read(audit, [slug], since=MONTH).calls.collect().height


NAMES = ("000-000001", "001-000001", "000-000002", "0a1b2c3d4e5f6071/000-000001")


# Whatever is told again of a call has the time that it had: a copy, an import done twice.
RECORDS = st.one_of(
    st.integers(0, 5).map(lambda number: started(number, minute=number - 3)),
    st.integers(0, 5).map(lambda number: ended(number, minute=number - 2)),
    st.integers(0, 5).map(lambda number: ended(number, minute=number - 2, event="call.detail")),
    st.integers(6, 7).map(
        lambda number: ended(
            number, minute=number - 7, event="call.refused", outcome="refused", reason="no"
        )
    ),
    st.integers(8, 9).map(lambda number: ended(number, minute=number - 9, origin="imported")),
)
SEGMENTS = st.lists(RECORDS, max_size=6)
TAILS = st.sampled_from([b"", b"", b"", b'{"schema":1,"event":"call.st', b"damaged\n", b"\n"])


@settings(max_examples=30)  # each seals, and reads all of it
@given(st.lists(SEGMENTS, min_size=8, max_size=8), st.integers(0, 4), TAILS)
def test_the_number_is_that_of_the_rows_of_a_reading(
    segments: list[list[Fields]], sealed: int, tail: bytes
) -> None:
    with TemporaryDirectory() as name:
        audit = Path(name)
        for place, some in enumerate(segments):
            slug, number = SLUGS[place % 2], place // 2
            path = lay_down(audit, slug, NAMES[number], some, closed=number < sealed)
            if number == sealed:
                path.write_bytes(path.read_bytes() + tail)
            if number == sealed - 1:
                sealing.seal(audit, slug)
        counted = calls_since(audit, SLUGS, MONTH.date())
        assert counted == {slug: read(audit, slug) for slug in SLUGS}


def test_what_is_sealed_is_counted_without_touching_a_row(tmp_path: Path) -> None:
    some = [started(number, minute=number - 2) for number in range(5)]
    lay_down(tmp_path, "acme-corp", "000-000001", some, closed=True)
    sealing.seal(tmp_path, "acme-corp")
    known = catalog.load(catalog.home(tmp_path, "acme-corp"))
    assert known is not None
    assert {one.month for one in known.parts} == {"2026-10", "2026-11"}
    assert calls_since(tmp_path, ["acme-corp"], MONTH.date()) == {"acme-corp": 3}


def test_a_call_that_begins_in_the_lake_and_ends_outside_is_one(tmp_path: Path) -> None:
    lay_down(tmp_path, "acme-corp", "000-000001", [started(1, minute=5)], closed=True)
    sealing.seal(tmp_path, "acme-corp")
    lay_down(tmp_path, "acme-corp", "000-000002", [ended(1, minute=6), started(2, minute=7)])
    assert calls_since(tmp_path, ["acme-corp"], MONTH.date()) == {"acme-corp": 2}


def test_a_call_of_a_segment_of_last_month_counts_by_its_own_time(tmp_path: Path) -> None:
    some = [started(1, minute=-1), started(2, minute=0), ended(1, minute=1)]
    lay_down(tmp_path, "acme-corp", "000-000001", some)
    assert calls_since(tmp_path, ["acme-corp"], date(2026, 11, 20)) == {"acme-corp": 1}


def test_a_call_told_again_by_another_machine_is_one(tmp_path: Path) -> None:
    some = [started(1, minute=1), ended(1, minute=2)]
    lay_down(tmp_path, "acme-corp", "000-000001", some, closed=True)
    sealing.seal(tmp_path, "acme-corp")
    lay_down(tmp_path, "acme-corp", NAMES[3], some)
    assert calls_since(tmp_path, ["acme-corp"], MONTH.date()) == {"acme-corp": 1}


def test_no_log_is_no_number_and_an_empty_one_is_zero(tmp_path: Path) -> None:
    lay_down(tmp_path, "acme-corp", "000-000001", [])
    assert calls_since(tmp_path, SLUGS, MONTH.date()) == {"acme-corp": 0, "globex": None}


def test_a_log_of_a_later_version_is_an_error_and_hides_no_other(tmp_path: Path) -> None:
    lay_down(tmp_path, "acme-corp", "000-000001", [started(1, minute=1, schema=9)])
    lay_down(tmp_path, "globex", "000-000001", [started(1, minute=1)])
    found = calls_since(tmp_path, SLUGS, MONTH.date())
    assert isinstance(found["acme-corp"], NewerSchema)
    assert found["globex"] == 1


def test_a_damaged_lake_is_not_counted_by_what_it_claims(tmp_path: Path) -> None:
    some = [started(number, minute=number) for number in range(4)]
    lay_down(tmp_path, "acme-corp", "000-000001", some, closed=True)
    sealing.seal(tmp_path, "acme-corp")
    (manifest,) = (tmp_path / "lake").glob("*/manifest.json")
    manifest.write_text(manifest.read_text().replace('"rows": 4', '"rows": 9'))
    (part,) = (tmp_path / "lake").glob("*/month=*/*.parquet")
    part.write_bytes(part.read_bytes()[:-1])
    assert calls_since(tmp_path, ["acme-corp"], MONTH.date()) == {"acme-corp": 4}


@pytest.mark.parametrize("lines", [100, 20_000])
def test_a_log_of_more_than_a_block_is_counted_too(tmp_path: Path, lines: int) -> None:
    some = [started(number, minute=1) for number in range(lines)]
    lay_down(tmp_path, "acme-corp", "000-000001", some)
    lay_down(tmp_path, "globex", "000-000001", some)
    assert calls_since(tmp_path, SLUGS, MONTH.date()) == dict.fromkeys(SLUGS, lines)


def test_counting_changes_no_file(tmp_path: Path) -> None:
    lay_down(tmp_path, "acme-corp", "000-000001", [started(1, minute=1)], closed=True)
    lay_down(tmp_path, "acme-corp", "001-000001", [started(2, minute=1)])
    before = digests(tmp_path)
    assert calls_since(tmp_path, ["acme-corp"], MONTH.date()) == {"acme-corp": 2}
    assert digests(tmp_path) == before


def test_evidence_that_is_damaged_is_counted_as_far_as_it_is_read(tmp_path: Path) -> None:
    some = [started(number, minute=number) for number in range(4)]
    lay_down(tmp_path, "acme-corp", "000-000001", some, closed=True)
    sealing.seal(tmp_path, "acme-corp")
    catalog.remove(catalog.home(tmp_path, "acme-corp"))
    (packed,) = tmp_path.glob("*/evidence/*.zst")
    packed.write_bytes(packed.read_bytes()[:-9])
    found = calls_since(tmp_path, ["acme-corp"], MONTH.date())["acme-corp"]
    assert not isinstance(found, HsAgencyError)
    assert found == read(tmp_path, "acme-corp")
