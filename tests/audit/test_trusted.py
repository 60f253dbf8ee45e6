"""A lake counts while it is what was signed: whatever else lies there, the evidence is read."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import pytest

from hsagency.audit import lake
from hsagency.audit.evidence import evidence_file
from hsagency.audit.lake import catalog, sealing, trusted
from hsagency.audit.lake.rebuilding import rebuild
from hsagency.errors import AuditError
from tests.audit.logs import SLUG, Desk, call, signer_of, three_days

OTHER = "beta-inc"
Manifest = dict[str, Any]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """A sealed log of eight calls, and one call that is open."""
    desk = three_days(tmp_path)
    with desk.writer() as writer:
        writer.append(SLUG, {"event": "connection.verified", "message": "hello"})
        desk.clock.next_day()
        call(writer, 200)
    seal(desk)
    return desk


def seal(desk: Desk, slug: str = SLUG) -> sealing.Sealed:
    return sealing.seal(desk.audit, slug, signer=desk.signing)


def refresh(desk: Desk, *, thorough: bool = True) -> list[str]:
    return sealing.refresh(desk.audit, SLUG, signer=desk.signing, thorough=thorough)


def calls(desk: Desk) -> pl.DataFrame:
    """Return what a report counts, which is what a query sees."""
    reading = lake.read(desk.audit, [SLUG]).calls.collect()
    query = lake.calls_of(desk.audit, [SLUG]).collect().sort("ts", "call_id")
    assert query.equals(reading)
    return reading


def home(desk: Desk) -> Path:
    return catalog.home(desk.audit, SLUG)


def part(desk: Desk) -> Path:
    return min(home(desk).glob("month=*/*.parquet"))


def edit_manifest(desk: Desk, change: Callable[[Manifest], object]) -> None:
    path = home(desk) / "manifest.json"
    said = orjson.loads(path.read_bytes())
    change(said)
    path.write_bytes(orjson.dumps(said, option=orjson.OPT_INDENT_2) + b"\n")


def state_of(path: Path) -> Manifest:
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    changed = path.stat().st_ctime_ns
    return {"bytes": len(content), "sha256": digest, "changed": changed}


def drop_rows(desk: Desk) -> None:
    """Drop rows and let the manifest say so, as somebody would who knows the format."""
    frame = pl.read_parquet(part(desk)).head(2)
    frame.write_parquet(part(desk))
    edit_manifest(desk, lambda said: said["parts"][0].update(rows=2, **state_of(part(desk))))


def same_size(desk: Desk) -> None:
    """Replace a file by one of the same size and time of writing."""
    at = part(desk).stat()
    part(desk).write_bytes(b"x" * at.st_size)
    os.utime(part(desk), ns=(at.st_atime_ns, at.st_mtime_ns))


def same_size_activity(desk: Desk) -> None:
    (path,) = home(desk).glob("activity-*.parquet")
    path.write_bytes(b"x" * path.stat().st_size)


def hide_open_segment(desk: Desk) -> None:
    """Say of the segment that is still being written that it is in the lake."""
    journal = desk.audit / SLUG / "journal"
    (name,) = [one.stem for one in journal.iterdir()]
    edit_manifest(desk, lambda said: said["segments"].update({name: {"lines": 1, "damage": []}}))


def move_part(desk: Desk) -> None:
    """Rename a part into a month of which nobody asks."""
    target = "month=2020-01/part-000001.parquet"
    (home(desk) / target).parent.mkdir()
    part(desk).rename(home(desk) / target)
    edit_manifest(desk, lambda said: said["parts"][0].update(path=target))


def unsign(desk: Desk) -> None:
    def change(said: Manifest) -> None:
        said["key"] = None
        del said["signature"]

    edit_manifest(desk, change)


def sign_with_another_key(desk: Desk) -> None:
    known = catalog.load(home(desk))
    assert known is not None
    catalog.save(home(desk), known, signer=signer_of(b"2")[0])


def of_another_client(desk: Desk) -> None:
    """Put a lake there that was signed here, but for another client."""
    with desk.writer() as writer:
        call(writer, 1, OTHER)
        desk.clock.next_day()
        call(writer, 2, OTHER)
    seal(desk, OTHER)
    shutil.rmtree(home(desk))
    shutil.copytree(catalog.home(desk.audit, OTHER), home(desk))


def set_in_manifest(name: str, value: object) -> Callable[[Desk], None]:
    return lambda desk: edit_manifest(desk, lambda said: said.update({name: value}))


ATTACKS: dict[str, Callable[[Desk], None]] = {
    "rows dropped": drop_rows,
    "garbage of the same size": same_size,
    "garbage for what is no call": same_size_activity,
    "an open segment hidden": hide_open_segment,
    "a part in another month": move_part,
    "no signature": unsign,
    "another key": sign_with_another_key,
    "another client's": of_another_client,
    "no zone": set_in_manifest("timeZone", "Not/AZone"),
    "a zone that is a number": set_in_manifest("timeZone", 5),
    "loose that is a number": set_in_manifest("loose", 5),
    "no segments": set_in_manifest("segments", {}),
    "segments of another form": set_in_manifest("segments", {"x": {"lines": "a", "damage": [[1]]}}),
    "no parts": set_in_manifest("parts", []),
    "a schema that is a text": set_in_manifest("schema", "x"),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_altered_lake_is_not_counted_and_is_made_anew_with_a_word(
    desk: Desk, attack: str
) -> None:
    expected = calls(desk)
    assert expected.height == 12
    ATTACKS[attack](desk)
    assert calls(desk).equals(expected)
    state = trusted.state(desk.audit, SLUG)
    assert (state.state, bool(state.cause)) == ("changed", True)
    assert rebuild(desk.audit, SLUG, compare=True).differences
    (word,) = refresh(desk, thorough=False)
    assert word.startswith(f"The lake of {SLUG} was made anew from the evidence (")
    assert refresh(desk) == []
    assert trusted.state(desk.audit, SLUG) == trusted.State(state="as sealed", cause="")
    assert rebuild(desk.audit, SLUG, compare=True).differences == ()
    assert calls(desk).equals(expected)


@pytest.mark.parametrize("attack", ATTACKS)
def test_rebuilding_heals_an_altered_lake(desk: Desk, attack: str) -> None:
    expected = calls(desk)
    ATTACKS[attack](desk)
    assert rebuild(desk.audit, SLUG, signer=desk.signing).rebuilt
    assert refresh(desk) == []
    assert calls(desk).equals(expected)


def test_a_lake_that_is_planted_where_nothing_was_sealed_is_not_counted(tmp_path: Path) -> None:
    desk, forger = Desk(tmp_path / "desk"), three_days(tmp_path / "forger", signed=False)
    with desk.writer() as writer:
        call(writer, 1)
    (forger.audit / "keys.json").unlink()
    seal(forger)
    shutil.copytree(home(forger), home(desk))
    assert calls(desk).height == 1
    assert trusted.state(desk.audit, SLUG).state == "changed"
    assert rebuild(desk.audit, SLUG, compare=True).differences
    assert rebuild(desk.audit, SLUG, signer=desk.signing).rebuilt
    assert not home(desk).exists()
    assert calls(desk).height == 1


def test_files_that_were_added_are_named_though_no_reading_counts_them(desk: Desk) -> None:
    added = part(desk).with_name("part-999999.parquet")
    shutil.copy(part(desk), added)
    assert calls(desk).height == 12
    place = added.relative_to(home(desk)).as_posix()
    assert trusted.state(desk.audit, SLUG).cause == f"not in its manifest: {place}"
    (difference,) = rebuild(desk.audit, SLUG, compare=True).differences
    assert (difference.place, difference.cause) == (
        place,
        "is not in the manifest, so it was added",
    )
    assert rebuild(desk.audit, SLUG, signer=desk.signing).rebuilt
    assert not added.exists()


def test_a_zone_that_nobody_signed_is_not_believed(tmp_path: Path) -> None:
    desk = three_days(tmp_path, signed=False)
    (desk.audit / "keys.json").unlink()
    sealing.seal(desk.audit, SLUG, zone="Europe/Berlin")
    far = pl.col("ts").dt.convert_time_zone("Pacific/Kiritimati").dt.date()
    frame = pl.read_parquet(part(desk)).with_columns(day_local=far)
    frame.write_parquet(part(desk))
    edit_manifest(desk, lambda said: said.update(timeZone="Pacific/Kiritimati"))
    edit_manifest(desk, lambda said: said["parts"][0].update(state_of(part(desk))))
    found = rebuild(desk.audit, SLUG, zone="Europe/Berlin", compare=True)
    causes = [one.cause for one in found.differences]
    zones = "says that the portal's time zone is Pacific/Kiritimati, and it is Europe/Berlin"
    assert zones in causes
    edit_manifest(desk, lambda said: said.update(timeZone="Europe/Berlin", loose=["f" * 32]))
    found = rebuild(desk.audit, SLUG, zone="Europe/Berlin", compare=True)
    assert "tells of other details without a call" in [one.cause for one in found.differences]


def test_an_older_lake_that_is_put_back_hides_nothing(desk: Desk, tmp_path: Path) -> None:
    shutil.copytree(home(desk), tmp_path / "older")
    desk.clock.next_day()
    with desk.writer() as writer:
        call(writer, 300)
    assert seal(desk).segments == 1
    shutil.rmtree(home(desk))
    shutil.copytree(tmp_path / "older", home(desk))
    assert calls(desk).height == 13


def test_without_the_key_nothing_is_sealed_and_everything_is_read(tmp_path: Path) -> None:
    desk = three_days(tmp_path)
    expected = calls(desk)
    desk.signed = False
    (left,) = seal(desk).left
    assert left.startswith("The credential store gives no key")
    assert not home(desk).exists()
    (word,) = refresh(desk)
    assert word.endswith("It is read where it is.")
    assert calls(desk).equals(expected)
    with pytest.raises(AuditError, match="gives no key"):
        rebuild(desk.audit, SLUG, signer=desk.signing)
    desk.signed = True
    assert seal(desk).segments == 3
    desk.signed = False
    assert sealing.forget(desk.audit, SLUG, ["000-000001"], signer=desk.signing) == 0
    assert not home(desk).exists()
    assert calls(desk).equals(expected)


def test_rows_whose_evidence_is_gone_do_not_go_without_a_word(desk: Desk) -> None:
    for name in ("000-000001", "000-000002"):
        evidence_file(desk.audit / SLUG, name).unlink()
    assert calls(desk).height == 12  # what was signed counts
    same_size(desk)
    made, gone = refresh(desk)
    assert made.startswith(f"The lake of {SLUG} was made anew")
    assert gone == (
        f"Of 2 segments (the first is 000-000001) of {SLUG} there is no evidence any more, "
        f"so queries lack its calls: hsagency audit verify {SLUG}"
    )
    assert calls(desk).height == 6


def test_a_copy_of_a_lake_elsewhere_counts_by_its_digests(desk: Desk, tmp_path: Path) -> None:
    """The time of a file's last change is not copied; what it holds is."""
    expected = calls(desk)
    shutil.copytree(desk.audit, tmp_path / "copy")
    copied = tmp_path / "copy"
    assert trusted.state(copied, SLUG).state == "as sealed"
    assert lake.calls_of(copied, [SLUG]).collect().height == expected.height
    assert sealing.refresh(copied, SLUG, signer=desk.signing, thorough=False) == []
