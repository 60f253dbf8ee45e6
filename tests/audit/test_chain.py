"""What the chain shows, and what it does not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from hsagency.audit import chain
from hsagency.audit.journal.writer import AuditWriter
from hsagency.audit.record import encode
from tests.audit.reading import intent, journals, lines

SEGMENT = "000-000001.jsonl"
_values = st.one_of(st.integers(0, 10**9), st.text('ab"\\{}\u2028é, :', max_size=12))
_records = st.dictionaries(st.sampled_from(["ts", "path", "reason", "seq"]), _values, max_size=4)
bodies = st.lists(_records.map(lambda one: encode({"event": "x", **one})), max_size=6)


def chained(some: list[bytes], segment: str = SEGMENT) -> list[bytes]:
    written, last = [], chain.genesis(segment)
    for body in some:
        line, last = chain.link(last, body)
        written.append(line)
    return written


def split(content: bytes) -> list[bytes]:
    """Cut a file into lines as readers do: at line ends, and nowhere else."""
    return [part + b"\n" for part in content.split(b"\n")[:-1]] + (
        [content[content.rfind(b"\n") + 1 :]] if not content.endswith(b"\n") and content else []
    )


@given(bodies)
def test_what_was_written_holds(some: list[bytes]) -> None:
    assert chain.first_break(SEGMENT, split(b"".join(chained(some)))) is None


@given(bodies.filter(bool), st.data())
def test_any_changed_byte_is_seen_at_its_line(some: list[bytes], data: st.DataObject) -> None:
    content = b"".join(chained(some))
    at = data.draw(st.integers(0, len(content) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda one: one != content[at]))
    changed = content[:at] + bytes([byte]) + content[at + 1 :]
    line = content[:at].count(b"\n") + 1
    assert chain.first_break(SEGMENT, split(changed)) == line


def dropped(file: list[bytes], draw: Callable[..., Any]) -> list[bytes]:
    at = draw(st.integers(0, len(file) - 2))  # the last one is the tail
    return file[:at] + file[at + 1 :]


def swapped(file: list[bytes], draw: Callable[..., Any]) -> list[bytes]:
    one, other = draw(st.lists(st.integers(0, len(file) - 1), min_size=2, max_size=2, unique=True))
    file = list(file)
    file[one], file[other] = file[other], file[one]
    return file


def duplicated(file: list[bytes], draw: Callable[..., Any]) -> list[bytes]:
    what, at = draw(st.integers(0, len(file) - 1)), draw(st.integers(0, len(file)))
    return [*file[:at], file[what], *file[at:]]


def inserted(file: list[bytes], draw: Callable[..., Any]) -> list[bytes]:
    at = draw(st.integers(0, len(file)))
    before = chain.hash_of(file[at - 1]) if at else chain.genesis("another segment")
    line, _ = chain.link(before if at < len(file) else "0" * 64, encode({"event": "forged"}))
    return [*file[:at], line, *file[at:]]


@pytest.mark.parametrize("meddle", [dropped, swapped, duplicated, inserted])
@given(some=bodies.filter(lambda some: len(some) > 1), data=st.data())
def test_a_line_out_of_its_place_is_seen(
    meddle: Callable[..., list[bytes]], some: list[bytes], data: st.DataObject
) -> None:
    file = chained(some)
    changed = meddle(file, data.draw)
    assume(changed != file)
    assert chain.first_break(SEGMENT, changed) is not None


@given(bodies.filter(bool), st.data())
def test_a_cut_tail_is_not_seen(some: list[bytes], data: st.DataObject) -> None:
    """The documented limit: a shorter segment is a segment. An anchor elsewhere must tell."""
    file = chained(some)
    assert chain.first_break(SEGMENT, file[: data.draw(st.integers(0, len(file)))]) is None


def test_a_segment_under_another_name_is_seen(writer: AuditWriter, audit: Path) -> None:
    writer.append("acme-corp", intent())
    (path,) = journals(audit)
    assert chain.first_break(path.name, lines(path)) is None
    assert chain.first_break("001-000001.jsonl", lines(path)) == 1


def test_a_line_without_a_hash_is_a_break() -> None:
    assert chain.first_break(SEGMENT, [b'{"event":"x"}\n']) == 1
    assert chain.hash_of(b'{"event":"x"}\n') is None
    assert chain.hash_of(b"") is None
