"""Another machine's log: what comes in, what does not, and what is seen of it afterwards."""

from __future__ import annotations

import hashlib
import json
import os
import random
import stat
import subprocess
import sys
import zipfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from hsagency.audit.merging.planning import Plan
from hsagency.audit.merging.sources import open_source
from hsagency.audit.register import read_keys
from hsagency.audit.standalone.signers import fingerprint
from hsagency.audit.verifying import verify
from hsagency.errors import AuditError, EvidenceRefused, NewerSchema, UsageError
from hsagency.periods import Period
from tests.audit.logs import SLUG, Desk, call, listed, replaced, signer_of
from tests.audit.machines import (
    bytes_of,
    day,
    forge,
    here,
    lineage,
    machine,
    pack,
    take,
    trusted,
    unzipped,
    work,
    zipped,
)
from tests.audit.reading import digests, records


@pytest.fixture
def ours(tmp_path: Path) -> Desk:
    return here(tmp_path / "ours")


@pytest.fixture
def other(tmp_path: Path) -> Desk:
    return work(machine(tmp_path / "other"), range(3), range(10, 13), range(20, 23))


def assert_refused(ours: Desk, source: Path, words: str, **more: Any) -> None:
    """It is refused with these words, and nothing of it is taken."""
    before = digests(ours.audit)
    with pytest.raises(EvidenceRefused, match=words) as caught:
        take(ours, source, **more)
    assert caught.value.message.endswith("Nothing was merged.")
    assert caught.value.hint
    assert digests(ours.audit) == before


def judged(ours: Desk) -> tuple[str, dict[str, str]]:
    """Return the verdict on our own log, and on each lineage."""
    verdict = verify(ours.log())
    return verdict.integrity, {one.lineage: one.integrity for one in verdict.merged}


def assert_intact(ours: Desk, *others: Desk) -> None:
    assert judged(ours) == ("intact", {one.signer.key: "intact" for one in others})


# What comes in


def test_a_pack_is_kept_byte_for_byte(ours: Desk, other: Desk) -> None:
    plan = trusted(ours, other, pack(other))
    assert bytes_of(lineage(ours, other)) == bytes_of(other.log().folder)
    for name in ("heads.jsonl", "heads/000.json"):
        assert (lineage(ours, other) / name).read_bytes() == (
            other.log().folder / name
        ).read_bytes()
    assert (plan.calls, plan.known, plan.left_out) == (9, 0, ())
    assert plan.records == sum(one.count(b"\n") for one in bytes_of(other.log().folder).values())
    assert (plan.first[:10], plan.last[:10]) == ("2026-10-01", "2026-10-03")
    assert_intact(ours, other)


def test_a_merge_is_on_record(
    ours: Desk, other: Desk, validator: jsonschema.Draft202012Validator
) -> None:
    source = pack(other)
    plan = trusted(ours, other, source)
    (said,) = [one for one in records(ours.audit) if one["event"] == "audit.merged"]
    validator.validate(said)
    assert said["message"] == (
        f"Merged from another machine's log of this client: 9 calls ({plan.records} records in "
        "3 segments), 2026-10-01 to 2026-10-03. It is signed with the key "
        f"{other.signer.key}."
    )
    assert said["lineage"] == other.signer.key
    assert [one["segment"] for one in said["segments"]] == [f"000-00000{n}" for n in (1, 2, 3)]
    assert (said["records"], said["calls"]) == (plan.records, 9)
    assert said["rangeFrom"] == plan.first
    assert said["rangeUntil"] > plan.last
    with source.open("rb") as file:
        assert said["sourceDigest"] == hashlib.file_digest(file, "sha256").hexdigest()


def test_only_this_user_can_read_what_was_merged(ours: Desk, other: Desk) -> None:
    trusted(ours, other, pack(other))
    for path in (ours.log().folder / "merged").rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


@pytest.mark.parametrize("where", ["workspace", "audit", "client", "unpacked"])
def test_a_folder_is_as_good_as_a_pack(ours: Desk, other: Desk, tmp_path: Path, where: str) -> None:
    folder = {
        "workspace": other.audit.parent,
        "audit": other.audit,
        "client": other.log().folder,
        "unpacked": tmp_path / "unpacked",
    }[where]
    if where == "unpacked":
        with zipfile.ZipFile(pack(other)) as made:
            made.extractall(folder)
    assert trusted(ours, other, folder).calls == 9
    assert bytes_of(lineage(ours, other)) == bytes_of(other.log().folder)
    assert_intact(ours, other)


def test_of_several_clients_one_is_named(ours: Desk, other: Desk) -> None:
    with other.writer() as writer:
        call(writer, 7, "beta-inc")
    with pytest.raises(UsageError, match="several clients: acme-corp, beta-inc"):
        trusted(ours, other, other.audit.parent)
    with pytest.raises(UsageError, match="no log of gamma"):
        trusted(ours, other, other.audit.parent, client="gamma")
    assert trusted(ours, other, other.audit.parent, client=SLUG).calls == 9
    with pytest.raises(UsageError, match="a log of acme-corp, not of beta-inc"):
        trusted(ours, other, pack(other), client="beta-inc")


def test_the_same_pack_adds_not_a_byte_the_second_time(ours: Desk, other: Desk) -> None:
    trusted(ours, other, pack(other))
    before = digests(ours.audit)
    again = take(ours, pack(other, "again"))
    assert (again.parts, again.records, again.known) == ((), 0, 3)
    assert digests(ours.audit) == before


def test_packs_of_other_days_come_one_after_the_other_in_any_order(ours: Desk, other: Desk) -> None:
    added = []
    for number in (3, 1, 2):  # a segment is closed when the next day begins
        source = pack(other, str(number), period=day(number))
        added.append([one.head.segment[-1] for one in trusted(ours, other, source).parts])
        assert_intact(ours, other)
    assert added == [["2", "3"], ["1"], []]
    assert bytes_of(lineage(ours, other)) == bytes_of(other.log().folder)


def test_segments_that_were_not_exported_are_not_missed(ours: Desk, other: Desk) -> None:
    trusted(ours, other, pack(other, period=day(1)))
    (verdict,) = verify(ours.log()).merged
    assert (verdict.integrity, len(verdict.segments)) == ("intact", 1)
    assert "Segments that were not brought here: 2." in verdict.notes


def test_a_segment_that_was_open_goes_on_where_it_was(ours: Desk, tmp_path: Path) -> None:
    other = machine(tmp_path / "growing")
    with other.writer() as writer:
        call(writer, 1)
        writer.settle()
        assert trusted(ours, other, other.log().folder).calls == 1
        assert_intact(ours, other)
        call(writer, 2)
        writer.settle()
        grown = take(ours, other.log().folder)
        assert (grown.calls, grown.parts[0].start > 0) == (1, True)
        assert_intact(ours, other)
    work(other, [3], [4])
    assert take(ours, pack(other)).calls == 2
    assert bytes_of(lineage(ours, other)) == bytes_of(other.log().folder)
    assert_intact(ours, other)


def test_what_was_open_is_not_called_cut_when_a_later_pack_is_of_other_days(
    ours: Desk, tmp_path: Path
) -> None:
    other = machine(tmp_path / "growing")
    with other.writer() as writer:
        call(writer, 1)
        writer.settle()
        trusted(ours, other, other.log().folder)
        call(writer, 2)
    other.clock.next_day()
    work(other, [3], [4])
    take(ours, pack(other, period=day(3)))
    assert_intact(ours, other)


def test_a_pack_of_an_earlier_day_does_not_take_back_what_is_here(
    ours: Desk, tmp_path: Path
) -> None:
    other = machine(tmp_path / "growing")
    with other.writer() as writer:
        call(writer, 1)
        writer.settle()
        early = pack(other, "early")
        call(writer, 2)
    work(other, [3])
    trusted(ours, other, pack(other))
    before = digests(ours.audit)
    assert take(ours, early).parts == ()
    assert digests(ours.audit) == before


def test_a_state_that_is_known_to_have_gone_on_is_left_out_by_name(
    ours: Desk, tmp_path: Path
) -> None:
    other = machine(tmp_path / "growing")
    with other.writer() as writer:
        call(writer, 1)
        writer.settle()
        early = pack(other, "early")
        call(writer, 2)
    other.clock.next_day()
    work(other, [3], [4])
    trusted(ours, other, pack(other, period=day(3)))
    plan = take(ours, early)
    assert plan.parts == ()
    assert plan.left_out == ("000-000001: here it is known to have gone on; export it again",)
    assert_intact(ours, other)


def test_what_no_signed_head_covers_is_left_out_by_number(ours: Desk, other: Desk) -> None:
    other.signed = False
    work(other, [30, 31])
    plan = trusted(ours, other, other.log().folder)
    assert plan.calls == 6  # the checkpoint of the third day has made room for an unsigned one
    assert any("that no signed head covers yet" in one for one in plan.left_out)
    register = (lineage(ours, other) / "heads.jsonl").read_bytes().splitlines()
    assert b'"signature":' in register[-1]  # an unsigned end could be rewritten by anybody
    assert_intact(ours, other)
    other.signed = True
    work(other, [40])
    assert take(ours, other.log().folder).calls == 6  # a later signature vouches for them all
    assert_intact(ours, other)


def test_many_segments_take_more_than_one_record(ours: Desk, other: Desk) -> None:
    assert trusted(ours, other, pack(other), most=1).calls == 9
    merges = [one for one in records(ours.audit) if one["event"] == "audit.merged"]
    assert [len(one["segments"]) for one in merges] == [1, 1, 1]
    assert bytes_of(lineage(ours, other)) == bytes_of(other.log().folder)
    assert_intact(ours, other)


def test_two_other_machines_stand_side_by_side(ours: Desk, other: Desk, tmp_path: Path) -> None:
    third = work(machine(tmp_path / "third", b"3"), [50])
    trusted(ours, other, pack(other))
    trusted(ours, third, pack(third))
    assert_intact(ours, other, third)


# Whose key


def test_a_key_that_nobody_confirmed_is_refused_and_named(ours: Desk, other: Desk) -> None:
    before = digests(ours.audit)
    with pytest.raises(AuditError) as caught:
        take(ours, pack(other))
    (public,) = read_keys(other.audit / "keys.json").values()
    assert fingerprint(public) in caught.value.message
    assert "Nothing was merged" in caught.value.message
    assert caught.value.hint.endswith(f"--key {other.signer.key}")
    assert digests(ours.audit) == before


def test_the_question_shows_the_plan_and_no_means_no(ours: Desk, other: Desk) -> None:
    asked: list[Plan] = []

    def answer(plan: Plan) -> bool:
        asked.append(plan)
        return len(asked) > 1

    with pytest.raises(AuditError):
        take(ours, pack(other), confirm=answer)
    assert take(ours, pack(other, "again"), confirm=answer).calls == 9
    assert [[one.id for one in plan.unconfirmed] for plan in asked] == [[other.signer.key]] * 2
    assert asked[0].portals == (12345678,)


def test_a_confirmed_key_is_not_asked_for_again(ours: Desk, other: Desk) -> None:
    trusted(ours, other, pack(other, period=day(1)))
    assert take(ours, pack(other, "more")).calls == 6


@pytest.mark.parametrize("form", ["id", "capitals", "fingerprint", "groups"])
def test_a_key_may_be_typed_as_it_is_shown(ours: Desk, other: Desk, form: str) -> None:
    (public,) = read_keys(other.audit / "keys.json").values()
    shown = fingerprint(public)
    given = {
        "id": other.signer.key,
        "capitals": other.signer.key.upper(),
        "fingerprint": shown.replace(" ", ""),
        "groups": shown,
    }[form]
    assert take(ours, pack(other), keys=[given]).calls == 9


def test_a_pack_signed_anew_with_another_key_is_refused(
    ours: Desk, other: Desk, tmp_path: Path
) -> None:
    impostor = work(machine(tmp_path / "impostor", b"9"), range(3))
    forged = pack(impostor)
    with pytest.raises(AuditError, match="nobody has confirmed"):
        take(ours, forged)
    words = f"signed with the key {impostor.signer.key}, not with {other.signer.key}"
    assert_refused(ours, forged, words, keys=[other.signer.key])
    trusted(ours, other, pack(other))
    with pytest.raises(AuditError, match="nobody has confirmed"):
        take(ours, forged)


def test_half_a_key_confirms_nothing(ours: Desk, other: Desk) -> None:
    for given in ("", other.signer.key[:15], "0" * 16):
        assert_refused(ours, pack(other, f"p{len(given)}"), "is signed with", keys=[given])


def test_a_key_that_takes_over_is_confirmed_too(ours: Desk, other: Desk) -> None:
    trusted(ours, other, pack(other))
    first, (second, public) = other.signer, signer_of(b"7")
    old = read_keys(other.audit / "keys.json")[first.key]
    (other.audit / "keys.json").write_bytes(listed(old, public))
    other.signer = second
    work(other, [60])
    with pytest.raises(AuditError, match=second.key):
        take(ours, pack(other, "second"))
    take(ours, pack(other, "third"), keys=[second.key])
    assert judged(ours) == ("intact", {first.key: "intact"})  # it is the same log


def test_an_unsigned_log_is_refused(ours: Desk, tmp_path: Path) -> None:
    other = work(machine(tmp_path / "unsigned", signed=False), range(3))
    assert_refused(ours, pack(other), "is not signed, so it proves nothing")


# Our own, and copies of it


def test_of_our_own_log_nothing_is_to_be_merged(ours: Desk) -> None:
    for source in (pack(ours), ours.log().folder):
        before = digests(ours.audit)
        plan = take(ours, source)
        assert (plan.own, plan.parts, plan.known) == (True, (), 1)
        assert digests(ours.audit) == before


def copy_of(desk: Desk, root: Path) -> Desk:
    copy = machine(root, b"1")
    for path in sorted(desk.audit.rglob("*")):
        there = copy.audit / path.relative_to(desk.audit)
        there.mkdir(exist_ok=True) if path.is_dir() else there.write_bytes(path.read_bytes())
    copy.clock.at = desk.clock.at
    return copy


def test_a_copy_of_this_workspace_is_told_by_where_the_two_part(ours: Desk, tmp_path: Path) -> None:
    copy = copy_of(ours, tmp_path / "copy")
    shared = ours.log().folder.joinpath("heads.jsonl").read_bytes().count(b"\n")
    assert take(ours, pack(copy, "same")).own
    copy.clock.at -= timedelta(hours=23)  # on the day of the copy
    work(copy, [2000])
    words = f"share their first {shared} lines, and part in 000-000001"
    assert_refused(ours, pack(copy, "grown"), words)
    work(copy, [2001])
    words = f"share their first {shared} lines, after which ours has no more"
    assert_refused(ours, pack(copy, "longer"), words)
    work(ours, [3000], [3001])
    assert_refused(ours, pack(copy, "apart"), "after which they differ")


def test_another_log_signed_with_our_key_is_refused(ours: Desk, tmp_path: Path) -> None:
    twin = machine(tmp_path / "twin", b"1")
    twin.clock.next_day(5)
    work(twin, [5], [6])
    assert_refused(ours, pack(twin), "signed with this workspace's own key, and is another log")


# What does not come in


def test_whatever_byte_of_a_pack_is_changed_nothing_else_comes_in(
    ours: Desk, other: Desk, tmp_path: Path
) -> None:
    content = bytearray(pack(other).read_bytes())
    whole, before = bytes_of(other.log().folder), digests(ours.audit)
    places = random.Random(4).sample(range(len(content)), 60)
    forged, refused = tmp_path / "forged.zip", 0
    for place in places:
        content[place] ^= 0x11
        forged.write_bytes(content)
        content[place] ^= 0x11
        try:
            trusted(ours, other, forged)
        except (EvidenceRefused, UsageError):
            refused += 1
            assert digests(ours.audit) == before
        else:  # a byte that says nothing, such as the hour of a file
            assert bytes_of(lineage(ours, other)) == whole
            before = digests(ours.audit)
    assert refused > 50


@pytest.mark.parametrize("name", ["journal/000-000002.jsonl", "heads.jsonl", "HEAD.json"])
def test_a_file_that_was_changed_is_named(ours: Desk, other: Desk, name: str) -> None:
    files = unzipped(pack(other))
    files[name] = files[name].replace(b"2026", b"2025", 1)
    forged = zipped(other.audit.parent / "forged.zip", files)
    assert_refused(ours, forged, f"not intact: altered: {name}", keys=[other.signer.key])


def test_records_of_another_client_are_refused(ours: Desk, other: Desk) -> None:
    def rename(record: dict[str, Any]) -> None:
        if record.get("objectId") == "11":
            record["clientSlug"] = "beta-inc"

    forge(other, rename)
    words = "not intact: .* it is not a record of this client"
    assert_refused(ours, other.log().folder, words, keys=[other.signer.key])


def test_a_record_that_names_two_clients_is_refused(ours: Desk, other: Desk) -> None:
    """The verifier counts names; whoever holds the key could write one twice elsewhere."""
    folder = forge(other, lambda _: None).log().folder
    path = folder / "journal" / "000-000001.jsonl"
    mine, theirs = b'"clientSlug":"acme-corp"', b'"clientSlug":"beta-inc"'
    lines = path.read_bytes().splitlines(keepends=True)
    lines[1] = lines[1].replace(mine, theirs, 1)
    lines[2] = lines[2].replace(mine, mine + b"," + mine, 1)
    resigned(other, path, lines)
    assert_refused(ours, folder, "it is not a record of this client", keys=[other.signer.key])


def resigned(desk: Desk, path: Path, lines: list[bytes]) -> None:
    """Put lines into a segment and sign a register about it as it then is."""
    from hsagency.audit.register import Head, Kind, encode_line, genesis
    from tests.audit.logs import rechained

    content = rechained(lines, path.name)
    for one in path.parent.iterdir():
        one.unlink()
    path.write_bytes(content)
    last = json.loads(content.splitlines()[-1])
    head = Head(path.stem, len(lines), len(content), last["hash"])
    line = encode_line(
        head,
        kind=Kind.IDLE,
        slug=SLUG,
        ts=last["ts"],
        signer=desk.signer,
        seq=1,
        previous=genesis(SLUG),
    )
    (path.parents[1] / "heads.jsonl").write_bytes(line)


def test_another_portal_is_refused_with_both_names(ours: Desk, other: Desk) -> None:
    words = "has calls to portal 12345678, and acme-corp is portal 777 here"
    assert_refused(ours, pack(other), words, keys=[other.signer.key], portal=777)


def test_without_a_connection_our_own_log_says_which_portal_it_was(
    ours: Desk, other: Desk, tmp_path: Path
) -> None:
    forge(other, lambda one: one.update(portalId=4321) if "portalId" in one else None)
    words = "calls to portal 4321, and acme-corp is portal 12345678 here"
    assert_refused(ours, other.log().folder, words, keys=[other.signer.key], portal=None)
    nobody = machine(tmp_path / "nobody", b"1")
    with nobody.writer() as writer:
        writer.append(SLUG, {"event": "connection.changed", "message": "Removed."})
    assert trusted(nobody, other, other.log().folder, portal=None).calls == 9


def test_records_of_a_later_version_are_refused(ours: Desk, other: Desk) -> None:
    forge(other, lambda one: one.update(schema=2) if one.get("objectId") == "1" else None)
    before = digests(ours.audit)
    with pytest.raises(NewerSchema, match="schema 2"):
        trusted(ours, other, other.log().folder)
    assert digests(ours.audit) == before


def test_a_register_that_was_rewritten_does_not_continue_what_is_here(
    ours: Desk, other: Desk, tmp_path: Path
) -> None:
    trusted(ours, other, pack(other))
    rewritten = machine(tmp_path / "rewritten")
    rewritten.clock.at = rewritten.clock.at.replace(minute=30)
    work(rewritten, range(3), range(10, 13), range(20, 23), range(30, 33))
    words = "line 1 of its register is another than the one that was merged"
    assert_refused(ours, pack(rewritten), words)


def test_a_log_that_was_cut_and_goes_on_does_not_continue_what_is_here(
    ours: Desk, tmp_path: Path
) -> None:
    other, twin = machine(tmp_path / "other"), machine(tmp_path / "twin")
    work(other, range(3), range(10, 13))
    trusted(ours, other, pack(other))
    work(twin, range(3))  # the same first day, and then another second one
    work(twin, range(40, 43), range(50, 53))
    assert_refused(ours, pack(twin), "another segment 000-000002 than was merged from that machine")
    assert_intact(ours, other)


def test_a_period_without_records_is_refused(ours: Desk, other: Desk) -> None:
    source = pack(other, period=Period.of(month="2026-09"))
    assert_refused(ours, source, "holds no records", keys=[other.signer.key])


def evil(name: str, **more: Any) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    for field, value in more.items():
        setattr(info, field, value)
    return info


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("member", "words"),
    [
        (evil("../../evil.jsonl"), "leads elsewhere"),
        (evil("/etc/evil"), "leads elsewhere"),
        (evil("journal/../../evil"), "leads elsewhere"),
        (evil("journal//000-000001.jsonl"), "leads elsewhere"),
        (evil("journal\\000-000009.jsonl"), "leads elsewhere"),
        (evil("heads.jsonl"), "two files of the same name"),
        (evil("Heads.jsonl"), "two files of the same name"),
        (evil("journal/link", external_attr=(stat.S_IFLNK | 0o777) << 16), "a link instead"),
        (evil("big.jsonl", compress_type=zipfile.ZIP_BZIP2), "packed in another way"),
    ],
    ids=lambda one: one.filename if isinstance(one, zipfile.ZipInfo) else "",
)
def test_a_zip_that_means_ill_is_refused(
    ours: Desk, other: Desk, member: zipfile.ZipInfo, words: str
) -> None:
    path = pack(other)
    with zipfile.ZipFile(path, "a") as made:
        made.writestr(member, b"x")
    assert_refused(ours, path, words, keys=[other.signer.key])
    assert not list(ours.audit.parents[1].rglob("*evil*"))


def test_a_file_that_unpacks_without_end_is_refused(ours: Desk, other: Desk) -> None:
    path = pack(other)
    with (
        zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as made,
        made.open("heads/007.json", "w", force_zip64=True) as bomb,
    ):
        for _ in range(65):
            bomb.write(bytes(1 << 20))
    assert path.stat().st_size < 1 << 20
    assert_refused(ours, path, "too large: 'heads/007.json'", keys=[other.signer.key])


def test_more_than_the_disk_has_room_for_is_refused(ours: Desk, other: Desk) -> None:
    path = pack(other)
    assert_refused(ours, path, "the disk has room for 100", keys=[other.signer.key], room=100)


@pytest.mark.parametrize(
    "ts",
    [
        5,
        None,
        "",
        "9999-12-31T23:59:59.999999Z",
        "2026-13-41T09:00:00.000000Z",
        "\x1b[8m" + "x" * 23,
    ],
)
def test_a_record_of_no_time_is_refused_before_anything_is_shown(
    ours: Desk, other: Desk, ts: object
) -> None:
    """Whoever holds a key can write and sign whatever it is; nobody is asked about it."""
    forge(other, lambda line: line.update(ts=ts) if line["seq"] == 2 else None)
    folder = other.log().folder
    asked: list[Plan] = []
    words = "has a record in 000-000001 that is none"
    assert_refused(ours, folder, words, confirm=lambda one: bool(asked.append(one)))
    assert not asked


def test_what_goes_wrong_while_a_source_is_open_is_not_its_fault(other: Desk) -> None:
    class Asked(RuntimeError):
        """As the abort of a question is one."""

    with pytest.raises(Asked), open_source(pack(other), client=None):
        raise Asked


@pytest.mark.parametrize("content", [b"", b"no zip"])
def test_a_file_that_is_no_zip_is_wrong_usage(ours: Desk, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "pack.zip"
    path.write_bytes(content)
    with pytest.raises(
        UsageError, match=r"is no zip file, or not a whole one\. Nothing was merged\."
    ):
        take(ours, path)


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x05\x06" + bytes(18), b"PK\x03\x04" * 9])
def test_what_is_no_pack_is_refused(ours: Desk, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "pack.zip"
    path.write_bytes(content)
    before = digests(ours.audit)
    with pytest.raises((UsageError, EvidenceRefused), match="Nothing was merged"):
        take(ours, path)
    assert digests(ours.audit) == before


def test_what_is_not_there_or_empty_is_wrong_usage(ours: Desk, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "none.zip", tmp_path / "empty"):
        with pytest.raises(UsageError, match="Nothing was merged"):
            take(ours, path)


def test_the_log_of_an_agency_is_not_a_clients(ours: Desk, other: Desk) -> None:
    with other.writer() as writer:
        call(writer, 1, "_agency")
    with pytest.raises(UsageError, match="an agency's own log"):
        take(ours, other.audit / "_agency")


@pytest.mark.parametrize("place", ["journal/000-000002.jsonl", "heads.jsonl", "heads", "journal"])
def test_a_folder_with_links_is_refused(
    ours: Desk, other: Desk, tmp_path: Path, place: str
) -> None:
    path = other.log().folder / place
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert_refused(ours, other.log().folder, "holds a link", keys=[other.signer.key])


def test_a_folder_with_a_pipe_is_refused_and_not_waited_for(ours: Desk, other: Desk) -> None:
    path = other.log().folder / "journal" / "000-000002.jsonl"
    path.unlink()
    os.mkfifo(path)
    assert_refused(ours, other.log().folder, "what is no file", keys=[other.signer.key])


def test_a_source_that_changes_while_it_is_read_is_not_taken(ours: Desk, other: Desk) -> None:
    before = digests(ours.audit)
    path = other.log().folder / "journal" / "000-000001.jsonl"

    def swap(_: Plan) -> bool:
        path.write_bytes(path.read_bytes().replace(b'"ok"', b'"no"', 1))
        return True

    with pytest.raises(AuditError, match="What was written is not what was read"):
        take(ours, other.log().folder, confirm=swap)
    assert digests(ours.audit) == before


# What is seen afterwards


def test_whatever_is_done_to_a_lineage_is_found(ours: Desk, other: Desk) -> None:
    trusted(ours, other, pack(other))
    folder, key = lineage(ours, other), other.signer.key
    sealed = folder / "evidence" / "000-000002.jsonl.zst"
    content = sealed.read_bytes()
    register = (folder / "heads.jsonl").read_bytes()
    half = bytearray(content)
    half[len(half) // 2] ^= 1
    for path, other_content, verdict in (
        (sealed, bytes(half), "altered"),
        (sealed, content[:-9], "truncated"),
        (sealed, None, "missing"),
        (folder / "heads.jsonl", register.replace(b"2026", b"2025", 1), "altered"),
        (folder / "heads.jsonl", register[: register.rfind(b"\n", 0, -1) + 1], "truncated"),
        (folder / "heads.jsonl", None, "truncated"),
        (folder / "evidence" / "000-000004.jsonl.zst", content, "altered"),
    ):
        with replaced(path, other_content):
            assert judged(ours) == ("intact", {key: verdict}), path
    assert_intact(ours, other)


def test_a_lineage_that_is_gone_is_missing(ours: Desk, other: Desk) -> None:
    trusted(ours, other, pack(other))
    (ours.log().folder / "merged").rename(ours.audit.parent / "taken")
    verdict = verify(ours.log())
    (gone,) = verdict.merged
    assert (verdict.integrity, gone.integrity) == ("intact", "missing")
    assert str(gone.findings[-1]).startswith(
        f"missing: merged/{other.signer.key}/journal/000-000003.jsonl"
    )


def test_a_lineage_that_no_merge_brought_is_found(ours: Desk, other: Desk) -> None:
    planted = lineage(ours, other)
    planted.parent.mkdir()
    (other.log().folder).rename(planted)
    (found,) = verify(ours.log()).merged
    assert found.integrity == "altered"
    assert "no merge on record brought it here" in str(found.findings[0])


def test_a_lineage_written_anew_with_its_own_keys_is_found(
    ours: Desk, other: Desk, tmp_path: Path
) -> None:
    """Its own files are not what it is judged by."""
    trusted(ours, other, pack(other))
    impostor = work(machine(tmp_path / "impostor", b"9"), range(3))
    forged = here(tmp_path / "theirs")
    trusted(forged, impostor, pack(impostor))
    folder = lineage(ours, other)
    folder.rename(tmp_path / "away")
    lineage(forged, impostor).rename(folder)
    assert judged(ours) == ("intact", {other.signer.key: "altered"})


def test_records_added_to_a_segment_that_was_open_are_found(ours: Desk, tmp_path: Path) -> None:
    from hsagency.audit import chain

    other = machine(tmp_path / "open")
    with other.writer() as writer:
        call(writer, 1)
        writer.settle()
        trusted(ours, other, other.log().folder)
    path = lineage(ours, other) / "evidence" / "000-000001.jsonl.zst"
    content = bytes_of(lineage(ours, other))["000-000001"]
    last = json.loads(content.splitlines()[-1])["hash"]
    line, _ = chain.link(last, b'{"schema":1,"seq":9,"event":"x","clientSlug":"acme-corp"}')
    path.unlink()
    (lineage(ours, other) / "journal").mkdir()
    (lineage(ours, other) / "journal" / "000-000001.jsonl").write_bytes(content + line)
    assert judged(ours) == ("intact", {other.signer.key: "altered"})


def test_merging_the_pack_again_heals_what_was_damaged(ours: Desk, other: Desk) -> None:
    source = pack(other)
    trusted(ours, other, source)
    sealed = lineage(ours, other) / "evidence" / "000-000002.jsonl.zst"
    for damage in (sealed.read_bytes()[:-9], b"", None):
        sealed.unlink() if damage is None else sealed.write_bytes(damage)
        healed = take(ours, source)
        assert [(one.head.segment, one.restored) for one in healed.parts] == [("000-000002", True)]
        assert_intact(ours, other)
    (ours.log().folder / "merged").rename(ours.audit.parent / "taken")
    assert len(take(ours, source).parts) == 3
    assert_intact(ours, other)


def test_days_choose_among_the_segments_of_a_lineage_too(ours: Desk, other: Desk) -> None:
    trusted(ours, other, pack(other))
    sealed = lineage(ours, other) / "evidence" / "000-000003.jsonl.zst"
    with replaced(sealed, None):
        (found,) = verify(ours.log(), first=day(1).first, last=day(1).last).merged
        assert found.integrity == "intact"
        (found,) = verify(ours.log(), first=day(3).first, last=day(3).last).merged
        assert found.integrity == "missing"


def test_a_source_is_opened_for_its_client_only(other: Desk) -> None:
    with open_source(pack(other), client=None) as source:
        assert (source.slug, source.first, source.last) == (SLUG, "2026-10-01", "2026-10-31")


# What is handed on


def check(path: Path) -> tuple[int, dict[str, Any]]:
    """Check a pack with nothing but the verifier in it."""
    script = path.with_suffix(".py")
    script.write_bytes(unzipped(path)["verify.py"])
    command = [sys.executable, "-I", "-S", str(script), str(path), "--json"]
    done = subprocess.run(command, capture_output=True, check=False)
    return done.returncode, json.loads(done.stdout)


def test_a_pack_has_the_merged_logs_too_and_checks_them(ours: Desk, other: Desk) -> None:
    trusted(ours, other, pack(other, period=day(1)))
    code, said = check(pack(ours))
    assert (code, said["integrity"]) == (0, "intact")
    ((key, integrity, calls),) = [
        (one["key"], one["integrity"], one["calls"]) for one in said["merged"]
    ]
    assert (key, integrity, calls) == (other.signer.key, "intact", 3)
    trusted(ours, other, pack(other, "whole"))
    files = unzipped(pack(ours, "again"))
    prefix = f"merged/{other.signer.key}/journal/"
    handed = {name[len(prefix) : -6]: one for name, one in files.items() if prefix in name}
    assert handed == bytes_of(other.log().folder)
    early = unzipped(pack(ours, "early", period=day(1)))
    assert [name for name in early if prefix in name] == [f"{prefix}000-000001.jsonl"]
    assert check(ours.audit.parent / "early.zip")[0] == 0


@pytest.mark.parametrize("change", ["altered", "missing"])
def test_a_merged_log_that_was_changed_in_a_pack_is_found(
    ours: Desk, other: Desk, change: str
) -> None:
    trusted(ours, other, pack(other))
    files = unzipped(pack(ours))
    name = f"merged/{other.signer.key}/journal/000-000002.jsonl"
    manifest = json.loads(files["MANIFEST.json"])
    if change == "missing":
        del files[name], manifest["files"][name]
    else:
        files[name] = files[name].replace(b'"ok"', b'"no"', 1)
        manifest["files"][name] = hashlib.sha256(files[name]).hexdigest()
    files["MANIFEST.json"] = json.dumps(manifest).encode()
    code, said = check(zipped(ours.audit.parent / "forged.zip", files))
    assert (code, said["integrity"]) == (4, "intact")
    assert [one["integrity"] for one in said["merged"]] == [change]


def test_an_unpacked_pack_is_checked_with_its_merged_logs(
    ours: Desk, other: Desk, tmp_path: Path
) -> None:
    trusted(ours, other, pack(other))
    with zipfile.ZipFile(pack(ours)) as made:
        made.extractall(tmp_path / "unpacked")
    command = [sys.executable, "-I", "-S", str(tmp_path / "unpacked" / "verify.py")]
    done = subprocess.run(command, capture_output=True, check=False, text=True)
    assert done.returncode == 0, done.stdout
    assert f"  merged from key {other.signer.key}: intact" in done.stdout


def test_a_log_that_is_damaged_is_exported_as_it_is(ours: Desk, other: Desk) -> None:
    trusted(ours, other, pack(other))
    sealed = lineage(ours, other) / "evidence" / "000-000002.jsonl.zst"
    sealed.write_bytes(sealed.read_bytes()[:-9])
    code, said = check(pack(ours))
    assert (code, [one["integrity"] for one in said["merged"]]) == (4, ["truncated"])


def test_logs_that_were_merged_elsewhere_are_left_out_by_number(
    ours: Desk, other: Desk, tmp_path: Path
) -> None:
    third = work(machine(tmp_path / "third", b"3"), [50])
    trusted(other, third, pack(third))
    for source in (pack(other, period=day(1)), other.log().folder):
        plan = trusted(ours, other, source)
        assert "1 log merged there; merge each from its origin" in plan.left_out
    assert_intact(ours, other)


def test_a_manifest_that_lists_files_elsewhere_opens_none_of_them(
    ours: Desk, other: Desk, tmp_path: Path
) -> None:
    folder = tmp_path / "unpacked"
    with zipfile.ZipFile(pack(other)) as made:
        made.extractall(folder)
    os.mkfifo(tmp_path / "pipe")  # whoever opens it waits for ever
    manifest = json.loads((folder / "MANIFEST.json").read_bytes())
    manifest["files"]["../pipe"] = "0" * 64
    (folder / "MANIFEST.json").write_text(json.dumps(manifest))
    assert_refused(ours, folder, r"missing: \.\./pipe", keys=[other.signer.key])
