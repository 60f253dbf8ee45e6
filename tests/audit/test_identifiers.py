"""What records may not name is hashed under a key of each client, and the key can be destroyed."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import threading
import unicodedata
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsagency.agency import Agency
from hsagency.audit import evidence
from hsagency.audit.forwarding.destinations import SqliteTable
from hsagency.audit.journal.writer import AuditWriter
from hsagency.audit.privacy import erasing
from hsagency.audit.privacy.identifiers import Identifiers, Key, Listed, normalised, read_keys
from hsagency.credentials import CredentialStore, SecretName
from hsagency.errors import (
    AuditError,
    CallRefused,
    CorruptFile,
    CredentialMissing,
    NewerSchema,
    NothingToReport,
    StoreUnreadable,
    UsageError,
)
from hsagency.periods import Period
from hsagency.secret import Secret
from tests.support import Connected, connected, records

ROOT = Path(__file__).resolve().parents[2]
MAIL = "Zqx.Doe+news@Example.com"
PHONE = "15550001111"
SLUG = "acme-corp"


class Kept:
    """A store in memory that counts how often it is opened."""

    uri = "memory:"

    def __init__(self) -> None:
        self.secrets: dict[SecretName, Secret] = {}
        self.opened = 0

    def __call__(self) -> CredentialStore:
        self.opened += 1
        return self

    def get(self, name: SecretName) -> Secret:
        if name not in self.secrets:
            raise CredentialMissing("There is none.")
        return self.secrets[name]

    def put(self, name: SecretName, secret: Secret) -> None:
        self.secrets[name] = secret

    def delete(self, name: SecretName) -> None:
        self.secrets.pop(name, None)

    def describe(self) -> str:
        return "In memory."


def made(folder: Path, store: Callable[[], CredentialStore], writer: AuditWriter) -> Identifiers:
    return Identifiers(store=store, workspace="w-1", writer=writer, lock=folder / "lock")


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
def identifiers(tmp_path: Path, kept: Kept, writer: AuditWriter) -> Identifiers:
    writer.tell = lambda _: None
    return made(tmp_path, kept, writer)


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Connected]:
    with connected(tmp_path / "workspace", portals=2) as fleet:
        yield fleet


def hashes(said: str | None) -> list[str]:
    assert said is not None
    return said.split(" ")


def test_a_hash_is_what_the_specification_says(identifiers: Identifiers, kept: Kept) -> None:
    (said,) = hashes(identifiers.hashed(SLUG, [f" {MAIL}\n"]))
    (secret,) = kept.secrets.values()
    key = base64.b64decode(secret.reveal())
    assert len(key) == 32
    name = hashlib.sha256(b"hsagency identifiers\0" + key).hexdigest()[:8]
    digest = hmac.new(key, MAIL.casefold().encode(), hashlib.sha256).hexdigest()[:32]
    assert said == f"{name}:{digest}"
    assert [str(one) for one in kept.secrets] == [f"hsagency/w-1/{SLUG}/identifiers/1"]


def test_the_specification_names_every_step_of_it() -> None:
    text = (ROOT / "hsagency/audit/standalone/SPECIFICATION.md").read_text("utf-8")
    section = text.split("## Identifiers", 1)[1].split("\n## ", 1)[0]
    for word in ("HMAC-SHA256", "NFC", "case-folded", "hsagency identifiers", "32 digits", "+N"):
        assert word in section


@given(st.text("aäÄßİfiﬁ\u0301@. ", max_size=8), st.sampled_from(["NFC", "NFD"]))
def test_spelling_makes_no_difference(text: str, form: str) -> None:
    key = Key("0" * 8, Secret(base64.b64encode(bytes(32)).decode()))
    form_of_it: Any = form
    other = unicodedata.normalize(form_of_it, text)
    assert key.hash(text) == key.hash(f"  {other}\n")
    if text.upper().lower() == text and text.isascii():
        assert key.hash(text) == key.hash(text.upper())


@given(st.text("aAäÄß @+\u0301", max_size=6), st.text("aAäÄß @+\u0301", max_size=6))
def test_other_values_have_other_hashes(first: str, second: str) -> None:
    key = Key("0" * 8, Secret(base64.b64encode(bytes(32)).decode()))
    assert (key.hash(first) == key.hash(second)) == (normalised(first) == normalised(second))


def test_the_hash_of_one_client_says_nothing_about_another(identifiers: Identifiers) -> None:
    (mine,) = hashes(identifiers.hashed(SLUG, [MAIL]))
    (theirs,) = hashes(identifiers.hashed("beta-inc", [MAIL]))
    assert mine.partition(":")[0] != theirs.partition(":")[0]
    assert mine.partition(":")[2] != theirs.partition(":")[2]


def test_a_record_lists_eight_and_counts_the_rest(
    identifiers: Identifiers, schema: dict[str, Any]
) -> None:
    pattern = re.compile(schema["properties"]["identifiers"]["pattern"])
    for count in (1, 8, 9, 30):
        said = identifiers.hashed(SLUG, [f"{number}@example.com" for number in range(count)])
        listed = hashes(said)
        assert len(listed) == min(count, 8) + (count > 8)
        assert listed[8:] == ([f"+{count - 8}"] if count > 8 else [])
        assert pattern.fullmatch(said or "")
        assert len(said or "") <= schema["properties"]["identifiers"]["maxLength"]
    assert len(hashes(identifiers.hashed(SLUG, [MAIL, MAIL.upper()]))) == 1  # the same, twice


def test_nothing_to_hash_opens_no_store_and_makes_no_key(
    identifiers: Identifiers, kept: Kept, audit: Path
) -> None:
    assert identifiers.hashed(SLUG, []) is None
    assert kept.opened == 0
    assert not (audit / SLUG / "identifiers.json").exists()


def test_the_store_is_opened_once_and_not_for_every_call(
    identifiers: Identifiers, kept: Kept
) -> None:
    first = identifiers.hashed(SLUG, [MAIL])
    opened = kept.opened
    assert [identifiers.hashed(SLUG, [MAIL]) for _ in range(50)] == [first] * 50
    assert kept.opened == opened


def test_many_threads_get_one_key(identifiers: Identifiers) -> None:
    said: list[str | None] = []
    threads = [
        threading.Thread(target=lambda: said.append(identifiers.hashed(SLUG, [MAIL])))
        for _ in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(said)) == 1
    assert len(identifiers.keys(SLUG)) == 1


_CHILD = """
import sys
from pathlib import Path
from hsagency.agency import Agency
with Agency.open(sys.argv[1]) as agency:
    print("ready", flush=True)
    sys.stdin.readline()
    print(agency.audit._identifiers.hashed(sys.argv[2], ["a@example.com"]), flush=True)
"""


def test_processes_that_need_a_key_at_once_get_the_same(tmp_path: Path) -> None:
    root = tmp_path / "workspace"
    Agency.create(root, store="age:credentials").close()
    children = [
        subprocess.Popen(
            [sys.executable, "-c", _CHILD, str(root), SLUG],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            text=True,
        )
        for _ in range(4)
    ]
    try:
        for child in children:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
        for child in children:
            assert child.stdin is not None
            child.stdin.write("go\n")
            child.stdin.flush()
        said = {child.communicate(timeout=60)[0] for child in children}
    finally:
        for child in children:
            child.kill()
            child.wait()
    assert len(said) == 1
    assert said != {"None\n"}
    assert len(read_keys(root / "audit" / SLUG / "identifiers.json")) == 1


def test_calls_have_the_hashes_of_what_their_addresses_name(one: Connected) -> None:
    slug, client = one.slugs[0], one.agency.client(one.slugs[0])
    client.get(f"/crm/v3/objects/contacts/{quote(MAIL)}", params={"idProperty": "email"})
    client.get("/crm/owners/2026-09", params={"email": MAIL.lower()})
    client.get("/crm/objects/2026-09/contacts", params={"limit": "1"})
    calls = one.agency.calls(slug).collect()
    by_path, by_query, page = calls.tail(3)["identifiers"]
    assert by_path == by_query
    assert by_path is not None
    assert page is None
    started = [one for one in records(one.agency.workspace.root, slug) if "identifiers" in one]
    assert [(one["event"], one["identifiers"]) for one in started] == [
        ("call.started", by_path)
    ] * 2


def test_a_sqlite_table_of_an_earlier_version_gets_the_column(tmp_path: Path) -> None:
    path = tmp_path / "calls.sqlite"
    table = SqliteTable(path)
    table.take({"callId": "1"})
    table.settle()
    table.close()
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("ALTER TABLE calls DROP COLUMN identifiers")
        database.commit()
    later = SqliteTable(path)
    later.take({"callId": "2", "identifiers": "00000000:1"})
    later.settle()
    later.close()
    with contextlib.closing(sqlite3.connect(path)) as database:
        rows = database.execute("SELECT call_id, identifiers FROM calls ORDER BY call_id")
        assert rows.fetchall() == [("1", None), ("2", "00000000:1")]


def test_a_refused_call_has_them_too_unless_it_was_for_another_host(one: Connected) -> None:
    slug, client = one.slugs[0], one.agency.client(one.slugs[0])
    for address in (f"/unknown/{quote(MAIL)}", f"https://example.com/unknown/{quote(MAIL)}"):
        with pytest.raises(CallRefused):
            client.get(address)
    here, elsewhere = records(one.agency.workspace.root, slug)[-2:]
    assert (here["path"], here["identifiers"][8]) == ("/{}/{}", ":")
    assert elsewhere["path"] == "{elsewhere}"
    assert "identifiers" not in elsewhere


def test_without_a_store_the_value_is_left_out_and_the_call_goes_on(one: Connected) -> None:
    root, slug = one.agency.workspace.root, one.slugs[0]
    told: list[str] = []
    one.agency.writer.tell = told.append
    client = one.agency.client(slug)
    client.get("/crm/objects/2026-09/contacts")  # its own credential is in memory now
    (root / "credentials").rename(root / "gone")
    for _ in range(3):
        assert client.get("/crm/owners/2026-09", params={"email": MAIL}).status_code == 200
    said = records(root, slug)
    assert not [record for record in said if "identifiers" in record]
    (warning,) = [record for record in said if record["event"] == "audit.warning"]
    assert "StoreUnreadable" in warning["message"]
    assert told == [f"{slug}: {warning['message']}"]
    with pytest.raises(StoreUnreadable):  # which is no answer, rather than an empty one
        one.agency.audit.find(slug, MAIL)


def test_what_the_store_holds_instead_of_a_key_is_not_used(
    identifiers: Identifiers, kept: Kept, audit: Path
) -> None:
    name = SecretName("w-1", SLUG, 1, "identifiers")
    kept.secrets[name] = Secret("not a key")
    assert identifiers.hashed(SLUG, [MAIL]) is None
    assert kept.secrets[name] == Secret("not a key")  # it is left as it is
    with pytest.raises(AuditError, match="is none"):
        identifiers.key(SLUG)


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"schema":1,"keys":[7]}', b'{"schema":'])
def test_a_broken_list_of_keys_is_no_reason_to_make_another_key(
    identifiers: Identifiers, kept: Kept, audit: Path, content: bytes
) -> None:
    (audit / SLUG).mkdir(parents=True)
    (audit / SLUG / "identifiers.json").write_bytes(content)
    assert identifiers.hashed(SLUG, [MAIL]) is None
    assert kept.secrets == {}
    with pytest.raises(CorruptFile):
        identifiers.keys(SLUG)
    assert (audit / SLUG / "identifiers.json").read_bytes() == content


def test_a_list_of_a_later_version_is_refused(identifiers: Identifiers, audit: Path) -> None:
    (audit / SLUG).mkdir(parents=True)
    (audit / SLUG / "identifiers.json").write_bytes(b'{"schema":2,"keys":[]}')
    with pytest.raises(NewerSchema):
        identifiers.keys(SLUG)


def test_a_key_that_the_store_lost_is_replaced_and_both_are_listed(
    identifiers: Identifiers, kept: Kept
) -> None:
    (first,) = hashes(identifiers.hashed(SLUG, [MAIL]))
    kept.secrets.clear()
    later = made(Path(identifiers._lock_file).parent, kept, identifiers._writer)
    (second,) = hashes(later.hashed(SLUG, [MAIL]))
    assert first != second
    assert [one.name for one in later.keys(SLUG)] == [first[:8], second[:8]]


# Destroying the key.


def erase(agency: Agency, slug: str) -> erasing.Erasure:
    erasure = agency.audit.erasure(slug)
    agency.audit.erase(erasure, digest=erasure.digest)
    return erasure


def test_after_the_key_is_destroyed_the_log_is_intact_and_names_nobody(one: Connected) -> None:
    slug, agency = one.slugs[0], one.agency
    client = agency.client(slug)
    client.get("/crm/owners/2026-09", params={"email": MAIL})
    assert agency.audit.find(slug, MAIL).calls.height == 1
    (key,) = erase(agency, slug).keys
    assert agency.audit.verify(slug).integrity == "intact"
    found = agency.audit.find(slug, MAIL)
    assert found.calls.is_empty()
    (listed,) = read_keys(agency.workspace.audit / slug / "identifiers.json")
    assert any(f"{key.name}, which was destroyed at {listed.erased}" in one for one in found.limits)
    with pytest.raises(CredentialMissing):
        agency.store.get(SecretName(agency.workspace.settings.workspace, slug, 1, "identifiers"))
    told = agency.activity(slug).filter(pl.col("event") == "audit.erased")["message"].to_list()
    assert len(told) == 2
    assert all(key.name in one for one in told)
    with pytest.raises(NothingToReport):
        agency.audit.erasure(slug)


def test_a_later_call_makes_another_key(one: Connected) -> None:
    slug, agency = one.slugs[0], one.agency
    client = agency.client(slug)
    client.get("/crm/owners/2026-09", params={"email": MAIL})
    (old,) = erase(agency, slug).keys
    client.get("/crm/owners/2026-09", params={"email": MAIL})
    found = agency.audit.find(slug, MAIL)
    assert found.calls.height == 1
    assert not found.calls["identifiers"][0].startswith(old.name)


def test_other_clients_keep_their_keys(one: Connected) -> None:
    for slug in one.slugs:
        one.agency.client(slug).get("/crm/owners/2026-09", params={"email": MAIL})
    erase(one.agency, one.slugs[0])
    assert one.agency.audit.find(one.slugs[1], MAIL).calls.height == 1


def test_a_program_that_is_running_drops_the_key_when_another_destroys_it(one: Connected) -> None:
    slug = one.slugs[0]
    client = one.agency.client(slug)
    client.get("/crm/owners/2026-09", params={"email": MAIL})
    with Agency.open(one.agency.workspace.root) as other:
        (old,) = erase(other, slug).keys
    client.get("/crm/owners/2026-09", params={"email": MAIL})
    last = one.agency.calls(slug).collect()["identifiers"][-1]
    assert not last.startswith(old.name)


def test_a_key_that_an_old_copy_of_the_store_brings_back_is_not_used(one: Connected) -> None:
    slug, agency, root = one.slugs[0], one.agency, one.agency.workspace.root
    agency.client(slug).get("/crm/owners/2026-09", params={"email": MAIL})
    shutil.copytree(root / "credentials", root / "backup")
    (old,) = erase(agency, slug).keys
    shutil.rmtree(root / "credentials")
    (root / "backup").rename(root / "credentials")
    assert agency.audit.find(slug, MAIL).calls.is_empty()
    agency.client(slug).get("/crm/owners/2026-09", params={"email": MAIL})
    assert not agency.calls(slug).collect()["identifiers"][-1].startswith(old.name)


@pytest.mark.parametrize("list_of_before", [True, False])
def test_a_key_that_was_destroyed_stays_so_where_the_list_is_lost(
    one: Connected, *, list_of_before: bool
) -> None:
    """The chain says so: an old copy of the store and no list, or one from before the key."""
    slug, agency, root = one.slugs[0], one.agency, one.agency.workspace.root
    agency.client(slug).get("/crm/owners/2026-09", params={"email": MAIL})
    shutil.copytree(root / "credentials", root / "backup")
    (old,) = erase(agency, slug).keys
    shutil.rmtree(root / "credentials")
    (root / "backup").rename(root / "credentials")
    listed = root / "audit" / slug / "identifiers.json"
    listed.unlink()
    if list_of_before:
        listed.write_text('{"schema": 1, "keys": []}')
    found = agency.audit.find(slug, MAIL)
    assert found.calls.is_empty()
    assert any(old.name in one and "was destroyed" in one for one in found.limits)
    agency.client(slug).get("/crm/owners/2026-09", params={"email": MAIL})
    assert not agency.calls(slug).collect()["identifiers"][-1].startswith(old.name)
    assert [one.name for one in read_keys(listed) if one.erased] == [old.name]


def test_a_search_uses_no_key_that_the_log_says_was_destroyed(one: Connected) -> None:
    """Also where list and store are both put back from before."""
    slug, agency, root = one.slugs[0], one.agency, one.agency.workspace.root
    agency.client(slug).get("/crm/owners/2026-09", params={"email": MAIL})
    listed = root / "audit" / slug / "identifiers.json"
    before = listed.read_bytes()
    shutil.copytree(root / "credentials", root / "backup")
    erase(agency, slug)
    shutil.rmtree(root / "credentials")
    (root / "backup").rename(root / "credentials")
    listed.write_bytes(before)
    assert agency.audit.find(slug, MAIL).calls.is_empty()


def test_a_plan_that_no_longer_fits_destroys_nothing(one: Connected) -> None:
    slug, agency = one.slugs[0], one.agency
    agency.client(slug).get("/crm/owners/2026-09", params={"email": MAIL})
    stale = agency.audit.erasure(slug)
    erase(agency, slug)
    agency.client(slug).get("/crm/owners/2026-09", params={"email": MAIL})
    for plan, digest in ((stale, stale.digest), (agency.audit.erasure(slug), "0" * 16)):
        with pytest.raises(UsageError, match="Nothing was destroyed"):
            agency.audit.erase(plan, digest=digest)
    assert agency.audit.find(slug, MAIL).calls.height == 1


_DYING = """
import os, sys
from pathlib import Path
from hsagency.audit.privacy import erasing
from hsagency.audit.privacy.identifiers import Identifiers
from hsagency.agency import Agency

class Dying:
    def __init__(self, store):
        self.store = store
    def get(self, name):
        return self.store.get(name)
    def delete(self, name):
        if sys.argv[3] == "after":
            self.store.delete(name)
        os._exit(9)

agency = Agency.open(sys.argv[1])
identifiers = Identifiers(
    store=lambda: Dying(agency.store),
    workspace=agency.workspace.settings.workspace,
    writer=agency.writer,
    lock=agency.workspace.state / "identifiers.lock",
)
plan = erasing.plan(identifiers, sys.argv[2])
erasing.apply(identifiers, agency.writer, plan, digest=plan.digest)
"""


@pytest.mark.parametrize("when", ["before", "after"])
def test_what_a_crash_interrupted_is_completed_by_doing_it_again(one: Connected, when: str) -> None:
    slug, agency, root = one.slugs[0], one.agency, one.agency.workspace.root
    client = agency.client(slug)
    client.get("/crm/owners/2026-09", params={"email": MAIL})
    agency.writer.tell = lambda _: None
    command = [sys.executable, "-c", _DYING, str(root), slug, when]
    died = subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, check=False)
    assert died.returncode == 9, died.stderr
    # Until it is completed nothing is hashed: a new key must not hide what is pending.
    client.get("/crm/owners/2026-09", params={"email": MAIL})
    assert agency.calls(slug).collect()["identifiers"][-1] is None
    found = agency.audit.find(slug, MAIL)
    assert found.calls.is_empty()
    assert any("begun at" in one and "not completed" in one for one in found.limits)
    assert agency.audit.erasure(slug).begun
    erase(agency, slug)
    told = agency.activity(slug).filter(pl.col("event") == "audit.erased")["message"].to_list()
    assert len(told) == 3  # begun, begun again, done
    assert "is gone" in told[-1]
    assert agency.audit.verify(slug).integrity == "intact"
    client.get("/crm/owners/2026-09", params={"email": MAIL})
    assert agency.audit.find(slug, MAIL).calls.height == 1


def test_a_store_that_does_not_answer_is_not_one_without_a_key(one: Connected) -> None:
    slug, agency, root = one.slugs[0], one.agency, one.agency.workspace.root
    agency.client(slug).get("/crm/owners/2026-09", params={"email": MAIL})
    (root / "credentials").rename(root / "gone")
    with pytest.raises(StoreUnreadable):
        agency.audit.erasure(slug)
    (root / "gone").rename(root / "credentials")
    assert len(erase(agency, slug).keys) == 1


def test_a_key_that_a_crash_left_unlisted_is_used_and_can_be_destroyed(
    tmp_path: Path, identifiers: Identifiers, kept: Kept, writer: AuditWriter, audit: Path
) -> None:
    (said,) = hashes(identifiers.hashed(SLUG, [MAIL]))
    (audit / SLUG / "identifiers.json").unlink()
    plan = erasing.plan(identifiers, SLUG)
    assert plan.keys == (Listed(name=said[:8], since=""),)
    assert hashes(made(tmp_path, kept, writer).hashed(SLUG, [MAIL])) == [said]
    (audit / SLUG / "identifiers.json").unlink()
    erasing.apply(identifiers, writer, plan, digest=plan.digest)
    assert kept.secrets == {}
    (listed,) = identifiers.keys(SLUG)
    assert (listed.name, bool(listed.erased), bool(listed.since)) == (said[:8], True, True)


def test_a_store_that_keeps_what_it_was_to_delete_is_told(
    tmp_path: Path, writer: AuditWriter
) -> None:
    class Stubborn(Kept):
        def delete(self, name: SecretName) -> None:
            """Keep it."""

    identifiers = made(tmp_path, Stubborn(), writer)
    identifiers.hashed(SLUG, [MAIL])
    plan = erasing.plan(identifiers, SLUG)
    with pytest.raises(AuditError, match="still holds"):
        erasing.apply(identifiers, writer, plan, digest=plan.digest)
    assert erasing.plan(identifiers, SLUG).begun


def test_a_key_prints_nothing(identifiers: Identifiers, kept: Kept) -> None:
    identifiers.hashed(SLUG, [MAIL])
    (secret,) = kept.secrets.values()
    assert secret.reveal() not in repr(identifiers.key(SLUG))
    assert secret.reveal() not in repr(vars(identifiers))


def test_the_raw_value_is_nowhere_in_the_workspace_or_the_pack(one: Connected) -> None:
    slug, agency, root = one.slugs[0], one.agency, one.agency.workspace.root
    client = agency.client(slug, purpose="data subject")
    client.get(f"/crm/v3/objects/contacts/{quote(MAIL)}", params={"idProperty": "email"})
    client.get("/crm/owners/2026-09", params={"email": MAIL})
    client.get(f"/crm/objects/2026-09/contacts/{PHONE}", params={"idProperty": "phone"})
    client.get(f"/communication-preferences/v4/statuses/{quote(MAIL)}", params={"channel": "EMAIL"})
    assert agency.audit.find(slug, MAIL).calls.height == 3
    assert agency.audit.find(slug, PHONE).calls.height == 1
    today = agency.writer.now().date().isoformat()
    agency.audit.export(slug, root / "pack.zip", period=Period.of(first=today, last=today))
    erase(agency, slug)
    agency.close()
    contents = list(everything(root))
    assert len(contents) > 20
    for value in (MAIL, PHONE):
        for needle in traces(value):
            assert [name for name, content in contents if needle in content] == []


def traces(value: str) -> Iterator[bytes]:
    """Yield a value as it may stand somewhere, and its hash without a key."""
    for text in {value, value.lower(), value.casefold(), value.upper()}:
        yield from (text.encode(), quote(text, safe="").encode(), quote(text).encode())
        digest = hashlib.sha256(text.encode())
        yield from (digest.hexdigest()[:32].encode(), digest.digest()[:16])
        yield base64.b64encode(text.encode())[:-3]


def everything(root: Path) -> Iterator[tuple[str, bytes]]:
    """Yield every file below a folder by name, unpacked where it is packed."""
    for path in sorted(one for one in root.rglob("*") if one.is_file()):
        yield str(path), str(path).encode() + path.read_bytes()
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as pack:
                yield from ((f"{path}:{name}", pack.read(name)) for name in pack.namelist())
        elif path.suffix == ".zst":
            with evidence.open_segment(path) as file:
                yield f"{path} (unpacked)", file.read()
        elif path.suffix == ".parquet":
            yield f"{path} (rows)", pl.read_parquet(path).write_ndjson().encode()


def test_what_looks_for_raw_values_would_find_one(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "pack.zip", "w", zipfile.ZIP_DEFLATED) as pack:
        pack.writestr("inside", "x" * 99 + quote(MAIL, safe=""))
    found = [
        name for name, content in everything(tmp_path) for one in traces(MAIL) if one in content
    ]
    assert found == [f"{tmp_path}/pack.zip:inside"] * len(found)
    assert found
