"""The register: what is signed when, by which key, and what becomes of the second copy."""

from __future__ import annotations

import base64
import contextlib
import os
import re
import shutil
import stat
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from hsagency.agency import Agency
from hsagency.audit.journal.writer import AuditWriter
from hsagency.audit.register import (
    Head,
    Kind,
    Signed,
    Signer,
    check_signature,
    encode_line,
    first_break,
    genesis,
    key_id,
    parse_line,
    read_keys,
    read_lines,
)
from hsagency.audit.register.signing import key_name
from hsagency.credentials import SecretName
from hsagency.errors import UsageError
from tests.audit.conftest import Disk
from tests.audit.reading import AUTHOR, all_records, intent, journals, lines, register_lines
from tests.support import assert_no_tokens, connected

PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = PRIVATE.public_key().public_bytes_raw()
KEYS = {key_id(PUBLIC): PUBLIC}
SIGNER = Signer(key_id(PUBLIC), PRIVATE.sign)
HEAD = Head("000-000001", 7, 4321, "a" * 64)


def line(number: int = 1, previous: str = "", **more: Any) -> bytes:
    given = {"kind": Kind.OPENED, "slug": "acme-corp", "ts": "2026-10-14T12:00:00.000000Z"}
    given |= {"signer": SIGNER, "seq": number, "previous": previous or genesis("acme-corp")}
    return encode_line(HEAD, **{**given, **more})


def test_a_line_says_what_it_is_made_of_and_who_signed_it() -> None:
    said = orjson.loads(line())
    assert list(said) == [
        *("schema", "seq", "ts", "clientSlug", "kind", "segment", "records", "bytes", "head"),
        *("previous", "key", "signature"),
    ]
    assert parse_line(line()).head == HEAD
    assert check_signature(line(), KEYS) is Signed.GOOD
    assert check_signature(line(), {}) is Signed.UNKNOWN_KEY
    assert check_signature(line(signer=None), KEYS) is Signed.UNSIGNED
    assert orjson.loads(line(signer=None))["key"] is None


@given(st.data())
def test_no_byte_of_a_line_can_change_unseen(data: st.DataObject) -> None:
    whole = line()
    at = data.draw(st.integers(0, len(whole) - 2))
    byte = data.draw(st.integers(0, 255).filter(lambda one: one != whole[at]))
    changed = whole[:at] + bytes([byte]) + whole[at + 1 :]
    with contextlib.suppress(ValueError):  # no line of ours any more
        assert check_signature(changed, KEYS) is not Signed.GOOD


def test_a_signature_that_is_taken_off_is_not_an_unsigned_line() -> None:
    bare = re.sub(rb',"signature":"[^"]+"', b"", line())
    assert check_signature(bare, KEYS) is Signed.BAD


@pytest.mark.parametrize(
    "given",
    [b"", b"{", b"[]", b"7", b"{}", b'{"schema":2}', b'{"schema":1}', b"\xff", b"\x00"]
    + [line().replace(b'"records":7', b'"records":%s' % one) for one in (b"-1", b"true", b"1.5")]
    + [line().replace(b'"opened"', one) for one in (b'"sealed"', b"null", b"[]")],
)
def test_what_is_no_line_is_named_as_such(given: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_line(given)
    assert first_break("acme-corp", [given]) == 1


def test_a_checkpoint_is_no_part_of_the_chain() -> None:
    point = line(kind=Kind.CHECKPOINT, seq=None, previous=None)
    assert parse_line(point).seq is None
    assert first_break("acme-corp", [point]) == 1


@pytest.fixture
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder outside the workspace, as on another disk."""
    return tmp_path_factory.mktemp("elsewhere")


def write(audit: Path, *numbers: int, **more: Any) -> list[str]:
    told: list[str] = []
    given = {"author": AUTHOR, "signer": lambda: SIGNER, "tell": told.append}
    with AuditWriter(audit, **{**given, **more}) as writer:
        for number in numbers:
            writer.append("acme-corp", intent(number))
    return told


def register(audit: Path) -> Path:
    return audit / "acme-corp" / "heads.jsonl"


def test_every_line_and_checkpoint_is_chained_and_signed(audit: Path, copy: Path) -> None:
    assert not write(audit, *range(20), limit=2000, copy=copy)
    whole, torn = read_lines(register(audit))
    assert len(whole) > 10
    assert not torn
    assert first_break("acme-corp", whole) is None
    points = [one.read_bytes() for one in (audit / "acme-corp" / "heads").iterdir()]
    for one in (*whole, *points):
        assert check_signature(one, KEYS) is Signed.GOOD
    assert (copy / "acme-corp.jsonl").read_bytes() == register(audit).read_bytes()
    assert [one.read_bytes() for one in sorted((copy / "acme-corp").iterdir())] == points
    assert stat.S_IMODE((copy / "acme-corp").stat().st_mode) == 0o700
    for path in (register(audit), *(audit / "acme-corp").glob("heads/*"), *copy.rglob("*.json*")):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_checkpoint_follows_the_last_record_within_moments(audit: Path) -> None:
    point = audit / "acme-corp" / "heads" / "000.json"
    with AuditWriter(audit, author=AUTHOR, signer=lambda: SIGNER) as writer:
        for number in range(5):
            writer.append("acme-corp", intent(number))
        waited = threading.Event()
        while not point.exists() or orjson.loads(point.read_bytes())["records"] < 6:
            waited.wait(0.01)
        said = point.read_bytes()
        writer.append("acme-corp", intent(9), durable=False)
        while point.read_bytes() == said:
            waited.wait(0.01)
    for one in (said, point.read_bytes()):
        assert check_signature(one, KEYS) is Signed.GOOD


def test_a_checkpoint_never_says_more_than_is_on_the_disk(audit: Path) -> None:
    """What is only written could still be taken by a power cut, and would then look cut off."""
    point = audit / "acme-corp" / "heads" / "000.json"
    safe: dict[int, int] = {}
    ahead = []

    def sync(descriptor: int) -> None:
        if point.exists():
            (size,) = safe.values()
            ahead.append(orjson.loads(point.read_bytes())["bytes"] > size)
        there = os.fstat(descriptor)
        os.fsync(descriptor)
        safe[there.st_ino] = there.st_size

    with AuditWriter(audit, author=AUTHOR, sync=sync) as writer:
        for number in range(200):
            writer.append("acme-corp", intent(number), durable=number % 5 == 0)
            if number % 50 == 0:
                writer.settle()
    assert len(ahead) > 20
    assert not any(ahead)


def safe_when_signed(audit: Path, number: int) -> list[dict[int, int]]:
    """Write a record; return what of each file was on the disk when each line was signed."""
    disk, states = Disk(), list[dict[int, int]]()

    def signer() -> Signer:
        states.append(dict(disk.safe))
        return SIGNER

    write(audit, number, signer=signer, sync=disk.sync, limit=1000)
    return states


@pytest.mark.parametrize("next_one", [Path.unlink, lambda path: path.write_bytes(b"")])
def test_what_a_dead_process_left_is_flushed_before_it_is_registered(
    audit: Path, next_one: Callable[[Path], object]
) -> None:
    """Killed after it had opened a segment, and after it had ended one, but before the line."""
    write(audit, 1)
    register(audit).unlink()
    (first, *_) = safe_when_signed(audit, 2)
    (path,) = journals(audit)
    opened, *_ = register_lines(audit)
    assert (opened["kind"], opened["records"]) == ("opened", 2)
    assert first[path.stat().st_ino] >= opened["bytes"]

    write(audit, 3, limit=1000)
    next_one(journals(audit)[1])
    register(audit).unlink()
    (audit / "acme-corp" / "heads" / "000.json").unlink()
    first, *_ = safe_when_signed(audit, 4)
    closed, *_ = register_lines(audit)
    assert (closed["kind"], closed["segment"]) == ("closed", "000-000001")
    assert first[path.stat().st_ino] == closed["bytes"] == path.stat().st_size


def test_without_a_key_lines_go_unsigned_and_calls_go_on(audit: Path) -> None:
    assert not write(audit, 1, signer=lambda: None)
    (one,) = read_lines(register(audit))[0]
    assert check_signature(one, KEYS) is Signed.UNSIGNED
    assert len(all_records(audit)) == 2


def test_many_writers_of_one_client_keep_one_register(audit: Path, copy: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        for one in [
            pool.submit(write, audit, *range(100 * n, 100 * n + 20), limit=2000, copy=copy)
            for n in range(8)
        ]:
            assert not one.result()
    whole, _ = read_lines(register(audit))
    assert len(whole) > 80
    assert first_break("acme-corp", whole) is None
    assert (copy / "acme-corp.jsonl").read_bytes() == b"".join(whole)


def test_a_torn_line_of_the_register_is_set_aside(audit: Path, copy: Path) -> None:
    write(audit, 1, copy=copy)
    for path in (register(audit), copy / "acme-corp.jsonl"):
        with path.open("ab") as file:
            file.write(b'{"schema":1,"seq":2')
    assert not write(audit, 2, 3, 4, limit=1000, copy=copy)
    whole, torn = read_lines(register(audit))
    assert first_break("acme-corp", whole) is None
    assert not torn
    assert (copy / "acme-corp.jsonl").read_bytes() == register(audit).read_bytes()
    assert [one.name[:20] for one in register(audit).parent.glob("*.torn*")] == [
        "heads.jsonl.torn-at-"
    ]


def test_a_register_that_somebody_changed_is_left_and_gone_on_with(audit: Path, copy: Path) -> None:
    write(audit, 1, copy=copy)
    register(audit).write_bytes(b"garbage\n")
    (message,) = write(audit, 2, 3, 4, limit=1000, copy=copy)
    whole, _ = read_lines(register(audit))
    assert whole[0] == b"garbage\n"
    assert first_break("acme-corp", whole) == 1
    assert "is not a copy of the register" in message
    assert str(copy / "acme-corp.jsonl") in message


def gone(copy: Path) -> None:
    shutil.rmtree(copy)


def in_the_way(copy: Path) -> None:
    (copy / "acme-corp.jsonl").unlink()
    (copy / "acme-corp.jsonl").mkdir()


@pytest.mark.parametrize("lose", [gone, in_the_way])
def test_a_second_copy_that_cannot_be_written_is_told_and_calls_go_on(
    audit: Path, copy: Path, lose: Any
) -> None:
    write(audit, 1, copy=copy)
    lose(copy)
    (message,) = write(audit, *range(10), limit=1000, copy=copy)
    assert "The second copy of the register of acme-corp cannot be written" in message
    assert "[audit] copy" in message
    warnings = [one for one in all_records(audit) if one["event"] == "audit.warning"]
    assert [one["message"] for one in warnings] == [message]
    assert not (copy / "acme-corp.jsonl").is_file()  # a disk that is not there is not made up


def test_a_second_copy_of_checkpoints_that_cannot_be_written_is_told_and_calls_go_on(
    audit: Path, copy: Path
) -> None:
    (copy / "acme-corp").write_text("in the way")
    (message,) = write(audit, *range(10), limit=1000, copy=copy)
    assert "cannot be written (Not a directory)" in message
    assert (copy / "acme-corp.jsonl").read_bytes() == register(audit).read_bytes()
    assert (audit / "acme-corp" / "heads" / "000.json").exists()


def test_a_second_copy_in_the_workspace_that_is_gone_is_made_again_and_told(audit: Path) -> None:
    copy = audit.parent / "state" / "heads"
    copy.parent.mkdir()
    assert not write(audit, 1, copy=copy)
    gone(copy)
    (message,) = write(audit, 2, 3, 4, limit=1000, copy=copy)
    assert "lacked lines, which were written again" in message
    assert (copy / "acme-corp.jsonl").read_bytes() == register(audit).read_bytes()


def test_a_second_copy_that_is_back_is_brought_up_to_date(audit: Path, copy: Path) -> None:
    write(audit, *range(5), limit=1000, copy=copy)
    path = copy / "acme-corp.jsonl"
    path.write_bytes(b"".join(lines(path)[:3]))
    (message,) = write(audit, 6, 7, 8, limit=1000, copy=copy)
    assert "lacked lines, which were written again" in message
    assert path.read_bytes() == register(audit).read_bytes()


# In an agency: the key, the store, the readings.


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "agency"


@pytest.fixture
def agency(home: Path) -> Iterator[Agency]:
    with connected(home) as there:
        there.agency.client(there.slugs[0]).get("/crm/v3/objects/contacts")
        yield there.agency


def signed(agency: Agency) -> dict[str, list[Signed]]:
    audit = agency.workspace.audit
    keys = read_keys(audit / "keys.json")
    return {
        slug: [check_signature(one, keys) for one in read_lines(audit / slug / "heads.jsonl")[0]]
        for slug in (*agency.audit.recorded(), "_agency")
    }


def test_an_agency_signs_with_a_key_that_its_store_keeps(agency: Agency, home: Path) -> None:
    (slug,) = agency.slugs()
    agency.close()
    assert signed(agency) == {slug: [Signed.GOOD], "_agency": [Signed.GOOD]}
    secret = agency.store.get(key_name(agency.workspace.settings.workspace))
    private = Ed25519PrivateKey.from_private_bytes(base64.b64decode(secret.reveal()))
    (listed,) = orjson.loads((home / "audit" / "keys.json").read_bytes())
    assert base64.b64decode(listed["publicKey"]) == private.public_key().public_bytes_raw()
    assert (listed["algorithm"], len(listed["key"]), len(listed["since"])) == ("Ed25519", 16, 27)
    for one in (slug, "_agency"):
        copy = home / "state" / "heads" / f"{one}.jsonl"
        assert copy.read_bytes() == (home / "audit" / one / "heads.jsonl").read_bytes()
    for path in home.rglob("*"):
        if path.is_file():
            assert secret.reveal().encode() not in path.read_bytes()
    assert_no_tokens([home], [f"pat-na1-{secret.reveal()}"])


def test_the_key_is_made_once(agency: Agency, home: Path) -> None:
    agency.close()
    before = (home / "audit" / "keys.json").read_bytes()
    with Agency.open(home) as again:
        again.calls(again.slugs()[0])
    assert (home / "audit" / "keys.json").read_bytes() == before
    (point,) = (home / "audit" / again.slugs()[0] / "heads").iterdir()
    assert check_signature(point.read_bytes(), read_keys(home / "audit/keys.json")) is Signed.GOOD


def test_a_key_that_is_gone_is_followed_by_another_and_both_are_listed(
    agency: Agency, home: Path
) -> None:
    agency.close()
    agency.store.delete(key_name(agency.workspace.settings.workspace))
    with Agency.open(home) as again:
        again.writer.append("other", intent(1))
        assert set(signed(again)["other"]) == {Signed.GOOD}
        assert len(orjson.loads((home / "audit" / "keys.json").read_bytes())) == 2
        assert set(signed(again)[again.slugs()[0]]) == {Signed.GOOD}


def test_a_key_that_replaces_another_is_told_and_put_into_each_log_that_it_signs(
    agency: Agency, home: Path
) -> None:
    (slug,) = agency.slugs()
    agency.close()
    (old,) = read_keys(home / "audit" / "keys.json")
    agency.store.delete(key_name(agency.workspace.settings.workspace))
    told: list[str] = []
    for _ in range(2):
        with Agency.open(home) as again:
            again.writer.tell = told.append
            again.calls(slug)
            again.audit.note_export("_agency", "Exported.", since=None, until=None)
    (new,) = {*read_keys(home / "audit" / "keys.json")} - {old}
    for one in (slug, "_agency"):
        (message,) = [
            record["message"]
            for record in all_records(home / "audit", one)
            if record["event"] == "audit.warning"
        ]
        assert message in told
        assert f"with the key {new}; it was {old}" in message
    assert len(told) == 2


@pytest.fixture
def lists(agency: Agency, home: Path) -> tuple[Path, Path]:
    """The list of keys and its second copy, of a workspace that nobody has open."""
    agency.close()
    return home / "audit" / "keys.json", home / "state" / "heads" / "keys.json"


def reopened(home: Path) -> list[str]:
    """Sign something in a program of its own; return what a person was told."""
    told: list[str] = []
    with Agency.open(home) as again:
        again.writer.tell = told.append
        again.writer.append(again.slugs()[0], intent(7))
    return told


def test_the_list_of_keys_has_a_second_copy(lists: tuple[Path, Path], home: Path) -> None:
    keys, copy = lists
    assert copy.read_bytes() == keys.read_bytes()
    assert copy.stat().st_mode & 0o777 == 0o600
    assert reopened(home) == []


def test_a_second_copy_that_lacks_keys_is_told_and_brought_up_to_date(
    lists: tuple[Path, Path], home: Path
) -> None:
    keys, copy = lists
    for content in (None, b"[]"):
        copy.unlink() if content is None else copy.write_bytes(content)
        (message,) = reopened(home)
        assert "lacked keys, which were written again" in message
        assert copy.read_bytes() == keys.read_bytes()
        assert reopened(home) == []


@pytest.mark.parametrize("more", [1, 2])
def test_a_second_copy_that_lists_other_keys_is_told_and_left(
    lists: tuple[Path, Path], home: Path, more: int
) -> None:
    """Also where it lists more: the list beside the journals may have been cut."""
    keys, copy = lists
    (listed,) = orjson.loads(keys.read_bytes())
    others = orjson.dumps([{**listed, "since": f"2020-01-0{n}T"} for n in range(1, more + 1)])
    copy.write_bytes(others)
    (message,) = reopened(home)
    assert "lists other keys" in message
    assert copy.read_bytes() == others


def test_a_list_of_keys_that_was_lost_comes_back_from_its_second_copy(
    lists: tuple[Path, Path], home: Path
) -> None:
    keys, _ = lists
    before = keys.read_bytes()
    keys.unlink()
    assert reopened(home) == []
    assert keys.read_bytes() == before


def test_a_second_copy_that_cannot_be_written_is_told_and_work_goes_on(
    lists: tuple[Path, Path], home: Path
) -> None:
    _, copy = lists
    copy.unlink()
    copy.mkdir()
    (message,) = reopened(home)
    assert "cannot be written (keys.json is no regular file)" in message


def test_a_store_that_does_not_answer_leaves_lines_unsigned(agency: Agency, home: Path) -> None:
    """Calls cannot be made then; what is refused or read is recorded all the same."""
    agency.close()
    (home / "credentials" / "store.json").rename(home / "credentials" / "store.aside")
    with Agency.open(home) as again:
        again.writer.append("other", intent(1))
        assert signed(again)["other"] == [Signed.UNSIGNED]
        (slug,) = [one for one in again.slugs() if one != "other"]
        assert again.calls(slug).collect().height > 0
    assert len(orjson.loads((home / "audit" / "keys.json").read_bytes())) == 1


def test_the_agency_has_secrets_of_its_own_and_no_other_odd_name_does() -> None:
    assert str(SecretName("w1", "_agency", 1, "signing")) == "hsagency/w1/_agency/signing/1"
    assert SecretName.parse("hsagency/w1/_agency/signing/1").slug == "_agency"
    for workspace, slug, capability in (
        ("_agency", "acme", "main"),
        ("w1", "_other", "main"),
        ("w1", "acme", "_agency"),
    ):
        with pytest.raises(UsageError):
            SecretName(workspace, slug, 1, capability)


def test_the_second_copy_is_where_the_settings_say(agency: Agency, home: Path, copy: Path) -> None:
    agency.close()
    path = home / "hsagency.toml"
    assert path.read_text().count('copy = "state/heads"') == 1
    path.write_text(path.read_text().replace('"state/heads"', f'"{copy}"'))
    with Agency.open(home) as again:
        again.writer.append("other", intent(1))
    assert (copy / "other.jsonl").exists()
    assert not (home / "state" / "heads" / "other.jsonl").exists()


def test_a_copy_folder_does_not_bring_back_the_state_that_a_halt_went_with(
    agency: Agency, home: Path
) -> None:
    agency.close()
    (home / "state").rename(home / "gone")
    with Agency.open(home) as again:
        again.writer.tell = lambda _: None
        again.writer.append("other", intent(1))
        assert again.halt.reason() is not None
    assert not (home / "state").exists()


def readings(home: Path, slug: str) -> list[dict[str, Any]]:
    return [one for one in all_records(home / "audit", slug) if one["event"] == "audit.read"]


def test_reading_a_client_is_a_record_in_its_own_chain(agency: Agency, home: Path) -> None:
    (slug,) = agency.slugs()
    agency.audit.read(slug)
    agency.calls(slug, since="2026-05-01", until="2026-06-01")
    agency.activity(slug)
    assert len(readings(home, slug)) == 3
    first, second, _ = readings(home, slug)
    assert {"rangeFrom", "rangeUntil"}.isdisjoint(first)
    assert second["rangeFrom"] == "2026-05-01T00:00:00.000000Z"
    assert second["rangeUntil"] == "2026-06-01T00:00:00.000000Z"
    assert not readings(home, "_agency")


def test_reading_all_is_a_record_in_the_chain_of_every_log_that_was_read(
    agency: Agency, home: Path
) -> None:
    """So a client's evidence pack shows it, and names no other client."""
    (slug,) = agency.slugs()
    agency.writer.append("other", intent(1))
    agency.calls(since="2026-05-01")
    (one,) = readings(home, "_agency")
    assert one["message"] == "The log of every client was read by a program."
    for client in (slug, "other"):
        (one,) = readings(home, client)
        assert one["message"] == "The log was read by a program."
        assert one["rangeFrom"] == "2026-05-01T00:00:00.000000Z"


def test_of_logs_that_were_to_be_read_those_that_could_are_on_record(
    agency: Agency, home: Path
) -> None:
    (slug,) = agency.slugs()
    agency.writer.append("other", intent(1))
    (home / "audit" / "other" / "evidence").symlink_to("evidence")
    agency.writer.tell = lambda _: None
    assert [*agency.audit.read_each()[1]] == ["other"]
    assert (len(readings(home, slug)), readings(home, "other")) == (1, [])


def test_comparing_with_hubspot_is_a_reading_and_verifying_is_not(
    agency: Agency, home: Path
) -> None:
    (slug,) = agency.slugs()
    verdict = agency.audit.verify(slug)
    agency.compare(slug, verdict=verdict)
    assert not readings(home, slug)
    agency.completeness(slug, since="2026-05-02", until="2026-05-03")
    (one,) = readings(home, slug)
    assert one["rangeFrom"] == "2026-05-01T00:00:00.000000Z", "by UTC the day began before"
    assert one["rangeUntil"] == "2026-05-04T00:00:00.000000Z"


def test_reading_what_was_never_recorded_leaves_nothing_behind(tmp_path: Path) -> None:
    with Agency.create(tmp_path / "empty", store="age:credentials") as agency:
        assert agency.calls().collect().is_empty()
        assert agency.activity("_agency").is_empty()
    assert not list((tmp_path / "empty" / "audit").iterdir())


def test_a_log_that_cannot_be_written_is_still_read_and_that_is_told_once(
    agency: Agency, home: Path
) -> None:
    (slug,) = agency.slugs()
    agency.close()
    register = home / "audit" / slug / "heads.jsonl"
    register.rename(register.with_suffix(".aside"))
    register.mkdir()
    told: list[str] = []
    with Agency.open(home) as again:
        again.writer.tell = told.append
        for _ in range(2):
            assert again.calls(slug).collect().height > 0
    (message,) = told
    assert "not on record" in message


def test_an_export_is_a_record_before_it_is_handed_out(agency: Agency, home: Path) -> None:
    (slug,) = agency.slugs()
    agency.audit.note_export(slug, "Exported.", since=None, until=None)
    assert all_records(home / "audit", slug)[-1]["event"] == "audit.exported"
    assert register_lines(home / "audit", slug)
