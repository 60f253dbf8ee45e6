"""What age files promise beyond the contract, and how each kind of damage is told."""

import json
import os
import stat
import subprocess
import sys
import traceback

import pyrage
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsagency.credentials import SecretName, age_files, open_store
from hsagency.errors import CredentialMissing, NoStore, StoreUnreadable
from hsagency.secret import Secret

ACME = SecretName("w1", "acme-corp", 1)
UMBRELLA = SecretName("w1", "umbrella", 1)
IDENTITY = pyrage.x25519.Identity.generate()


def token(number=0):
    return Secret(f"pat-na1-{number:08x}-2222-3333-4444-555555555555")


SEALED = age_files.seal(ACME, token(), [IDENTITY.to_public()])


def leaks(error):
    told = traceback.TracebackException.from_exception(error, capture_locals=True)
    return any(needle in "".join(told.format()) for needle in ("-3333-", "AGE-SECRET-KEY"))


@pytest.fixture
def reopen(tmp_path):
    return lambda: open_store("age:credentials", workspace=tmp_path)


@pytest.fixture
def store(reopen):
    store = reopen()
    store.put(ACME, token(1))
    store.put(UMBRELLA, token(2))
    return store


@pytest.fixture
def folder(store, tmp_path):
    return tmp_path / "credentials"


@pytest.fixture
def identity(store, own_home):
    (path,) = (own_home / ".config" / "hsagency").iterdir()
    return path


@pytest.fixture
def acme(folder):
    return folder / "w1" / "acme-corp" / "main-1.age"


def refusal(ask, *args):
    with pytest.raises(StoreUnreadable) as refused:
        ask(*args)
    assert not leaks(refused.value)
    return str(refused.value)


def everything_below(folder):
    return sorted(path for path in folder.rglob("*"))


# Where things are.


def test_files_are_0600_and_folders_0700_whatever_the_umask(tmp_path, own_home):
    before = os.umask(0)
    try:
        open_store("age:credentials", workspace=tmp_path).put(ACME, token())
    finally:
        os.umask(before)
    made = [*everything_below(tmp_path / "credentials"), *everything_below(own_home)]
    assert len(made) > 6
    for path in [tmp_path / "credentials", *made]:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_the_identity_is_outside_the_store_and_named_after_it(folder, identity):
    store_id = json.loads((folder / "store.json").read_bytes())["storeId"]
    assert identity.name == f"{store_id}.age-identity"
    assert b"AGE-SECRET-KEY" in identity.read_bytes()
    files = [path.read_bytes() for path in everything_below(folder) if path.is_file()]
    assert not any(b"AGE-SECRET-KEY" in file or b"-3333-" in file for file in files)


def test_an_identity_says_which_folder_it_was_made_for(folder, identity):
    assert f"# Made for: {folder}\n" in identity.read_text("utf-8")


def test_whatever_a_folder_is_called_its_identity_is_one(tmp_path, own_home):
    odd = tmp_path / "a\nAGE-SECRET-KEY-1\u2028\udcff \u00e9"
    odd.mkdir()
    open_store("age:credentials", workspace=odd).put(ACME, token())
    (path,) = (own_home / ".config" / "hsagency").glob("*.age-identity")
    lines = path.read_text("utf-8").splitlines()
    assert f"# Made for: {tmp_path}/a?AGE-SECRET-KEY-1?? \u00e9/credentials" in lines
    assert open_store("age:credentials", workspace=odd).get(ACME) == token()


def test_the_configuration_folder_of_the_desktop_is_respected(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "elsewhere"))
    open_store("age:credentials", workspace=tmp_path).put(ACME, token())
    assert len(list((tmp_path / "elsewhere" / "hsagency").glob("*.age-identity"))) == 1


def test_a_relative_configuration_folder_is_ignored(tmp_path, own_home, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", "relative")
    open_store("age:credentials", workspace=tmp_path).put(ACME, token())
    assert (own_home / ".config" / "hsagency").is_dir()


def test_an_absolute_folder_and_an_identity_of_ones_own_are_used(tmp_path, own_home):
    uri = f"age:{tmp_path}/a%20store?identity={tmp_path}/keys/mine.txt"
    open_store(uri, workspace=own_home).put(ACME, token())
    assert (tmp_path / "keys" / "mine.txt").is_file()
    assert (tmp_path / "a store" / "store.json").is_file()
    assert not (own_home / ".config").exists()
    assert open_store(uri, workspace=own_home).get(ACME) == token()


def test_an_identity_that_is_already_there_is_taken_and_not_replaced(tmp_path):
    path = tmp_path / "mine.txt"
    path.write_text(f"# created by age-keygen\n# public key: x\n{IDENTITY}\n")
    path.chmod(0o600)
    before = path.read_bytes()
    store = open_store(f"age:credentials?identity={path}", workspace=tmp_path)
    store.put(ACME, token())
    assert path.read_bytes() == before
    assert store.get(ACME) == token()


@pytest.mark.parametrize(
    "uri",
    [
        "age:",
        "age:~/credentials",
        "age:credentials?identity=relative.txt",
        "age:credentials?identity=",
        "age:credentials?identity=WORKSPACE/credentials/identity.txt",
        "age:credentials?identity=WORKSPACE/x/../credentials/identity.txt",
        "age:credentials?password=hunter2",
        "age:credentials?identity=/a&identity=/b",
        "age://user:hunter2@host/credentials",
        "age:user:hunter2@host",
        "age://[hunter2",
        "age:credentials#hunter2",
        "age:cred%00entials",
        "age:credentials\n",
    ],
)
def test_a_uri_that_is_unsafe_or_not_understood_is_refused(uri, tmp_path):
    with pytest.raises(NoStore) as refused:
        open_store(uri.replace("WORKSPACE", str(tmp_path)), workspace=tmp_path)
    assert "hunter2" not in str(refused.value)
    assert not (tmp_path / "credentials").exists()


@pytest.mark.parametrize("uri", ["", "credentials", "null:", "vault:secret", "file:///tmp/x"])
def test_an_unknown_scheme_names_the_known_ones(uri, tmp_path):
    with pytest.raises(NoStore) as refused:
        open_store(uri, workspace=tmp_path)
    assert "age:, keyring:" in str(refused.value)


def test_asking_and_deleting_create_nothing(tmp_path, own_home):
    store = open_store("age:credentials", workspace=tmp_path)
    store.describe()
    store.delete(ACME)
    with pytest.raises(CredentialMissing):
        store.get(ACME)
    assert everything_below(tmp_path) == [own_home]


# The identity.


def test_a_lost_identity_is_an_error_and_never_replaced(reopen, identity):
    identity.unlink()
    message = refusal(reopen().get, ACME)
    assert str(identity) in message
    refusal(reopen().get, SecretName("w1", "never-stored", 1))
    refusal(reopen().put, ACME, token(3))
    refusal(reopen().delete, ACME)
    assert not identity.exists()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o620, 0o644])
def test_an_identity_open_to_others_is_refused_with_the_command_that_closes_it(
    mode, reopen, identity
):
    identity.chmod(mode)
    assert f"chmod go-rwx '{identity}'" in refusal(reopen().get, ACME)
    identity.chmod(0o600)
    assert reopen().get(ACME) == token(1)


def test_an_identity_of_another_user_is_refused(tmp_path, reopen, identity):
    uri = "age:credentials"
    if os.geteuid() == 0:
        os.chown(identity, 65534, -1)
    else:
        uri += "?identity=/etc/passwd"
    message = refusal(open_store(uri, workspace=tmp_path).get, ACME)
    assert "another user" in message


@pytest.mark.parametrize(
    "content", [b"", b"# only a comment\n", b"AGE-SECRET-KEY-1NONSENSE\n", b"\xff\xfe\n"]
)
def test_a_damaged_identity_is_refused_and_kept(content, reopen, identity):
    damaged = content + b"# AGE-SECRET-KEY-1LEFTOVER\n"
    identity.write_bytes(damaged)
    assert "is not an age identity" in refusal(reopen().get, ACME)
    assert identity.read_bytes() == damaged


def test_the_identity_of_another_store_opens_nothing(tmp_path, reopen, identity):
    stranger = pyrage.x25519.Identity.generate()
    identity.write_text(f"{stranger}\n")
    assert "could not be opened" in refusal(reopen().get, ACME)
    # Nor does it write what it could not read again.
    assert "does not list this identity" in refusal(reopen().put, ACME, token(3))


def test_the_description_names_the_folder_and_the_identity_and_their_limit(store, folder):
    told = store.describe()
    assert str(folder) in told
    assert ".config/hsagency" in told
    assert "root" in told


# Damage.


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_no_changed_byte_of_a_sealed_file_goes_unseen(at, change):
    changed = bytearray(SEALED)
    changed[at % len(SEALED)] ^= change
    assert isinstance(age_files.unseal(bytes(changed), [IDENTITY]), str)


@given(st.integers(0, 10_000), st.binary(min_size=1, max_size=20))
def test_no_cut_or_lengthened_file_goes_unseen(at, more):
    for changed in (SEALED[: at % len(SEALED)], SEALED + more):
        assert isinstance(age_files.unseal(changed, [IDENTITY]), str)


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=200))
def test_any_text_survives_sealing(value):
    sealed = age_files.seal(ACME, Secret(value), [IDENTITY.to_public()])
    assert age_files.unseal(sealed, [IDENTITY]) == (str(ACME), Secret(value))


@pytest.mark.parametrize(
    "plain",
    [
        b"",
        b"pat-na1-00000000-2222-3333-4444-555555555555",
        b'{"name": "pat-na1-00000000-2222-3333-4444-555555555555"',
        b"\xff-3333-",
        b"[]",
        b"{}",
        b'{"schema": 1, "value": "-3333-"}',
        b'{"schema": "1", "name": "x", "value": "-3333-"}',
        b'{"schema": 2, "name": "x", "value": "-3333-"}',
        b"[" * 100_000,
    ],
)
def test_a_sealed_file_that_holds_something_else_is_refused_without_showing_it(
    plain, reopen, identity, acme
):
    opens = pyrage.x25519.Identity.from_str(identity.read_text().splitlines()[-1])
    acme.write_bytes(pyrage.encrypt(plain, [opens.to_public()]))
    del plain
    with pytest.raises(StoreUnreadable) as refused:
        reopen().get(ACME)
    told = traceback.TracebackException.from_exception(refused.value, capture_locals=True)
    inside = [line for frame in told.stack[1:] for line in (frame.locals or {}).values()]
    assert not any("-3333-" in text for text in [*inside, str(refused.value)])


def test_two_clients_whose_files_were_exchanged_are_told_apart(reopen, folder, acme):
    umbrella = folder / "w1" / "umbrella" / "main-1.age"
    content = acme.read_bytes()
    acme.write_bytes(umbrella.read_bytes())
    umbrella.write_bytes(content)
    for name in (ACME, UMBRELLA):
        assert "holds another secret" in refusal(reopen().get, name)


def test_a_file_copied_to_another_generation_is_refused(reopen, acme):
    acme.with_name("main-2.age").write_bytes(acme.read_bytes())
    assert "holds another secret" in refusal(reopen().get, SecretName("w1", "acme-corp", 2))


def test_a_damaged_secret_stays_and_can_be_replaced_or_deleted(reopen, acme):
    acme.write_bytes(b"damaged")
    assert "left as it is" in refusal(reopen().get, ACME)
    assert acme.read_bytes() == b"damaged"
    assert reopen().get(UMBRELLA) == token(2)
    reopen().put(ACME, token(3))
    assert reopen().get(ACME) == token(3)
    acme.write_bytes(b"damaged again")
    reopen().delete(ACME)
    with pytest.raises(CredentialMissing):
        reopen().get(ACME)


def test_links_pipes_and_folders_in_place_of_a_secret_are_not_missing_secrets(reopen, acme):
    def dangling_link():
        acme.symlink_to("nowhere")

    def pipe():
        os.mkfifo(acme)

    acme.unlink()
    for make, remove in (
        (dangling_link, acme.unlink),
        (pipe, acme.unlink),
        (acme.mkdir, acme.rmdir),
    ):
        make()
        refusal(reopen().get, ACME)
        remove()


def test_secrets_without_store_json_are_unreadable_and_no_new_store_is_made(reopen, folder):
    (folder / "store.json").unlink()
    assert "no store.json" in refusal(reopen().get, ACME)
    refusal(reopen().put, SecretName("w1", "new", 1), token())
    assert not (folder / "store.json").exists()


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b'{"schema": 1}', b'{"schema": 1, "storeId": "../../../etc/passwd"}'],
)
def test_a_damaged_store_json_is_refused_and_kept(content, reopen, folder):
    (folder / "store.json").write_bytes(content)
    assert "is damaged" in refusal(reopen().get, ACME)
    refusal(reopen().put, ACME, token(3))
    assert (folder / "store.json").read_bytes() == content


def test_a_store_of_a_later_version_is_refused_by_name(reopen, folder):
    (folder / "store.json").write_text('{"schema": 2, "storeId": "0123456789abcdef"}')
    assert "Update hsagency" in refusal(reopen().get, ACME)


def test_a_store_that_vanishes_while_open_is_not_empty(store, reopen, folder):
    folder.rename(folder.with_name("unmounted"))
    assert "is gone" in refusal(store.get, ACME)
    refusal(store.put, ACME, token(3))
    refusal(store.delete, ACME)
    assert not folder.exists()


def test_a_store_exchanged_while_open_is_noticed(store, folder, tmp_path):
    folder.rename(folder.with_name("old"))
    open_store("age:credentials", workspace=tmp_path).put(UMBRELLA, token(7))
    assert "another one" in refusal(store.get, ACME)
    assert "another one" in refusal(store.put, ACME, token(3))


def test_a_file_where_the_folder_should_be_is_an_error(tmp_path):
    (tmp_path / "credentials").write_text("not a folder")
    store = open_store("age:credentials", workspace=tmp_path)
    refusal(store.get, ACME)
    refusal(store.put, ACME, token())
    assert (tmp_path / "credentials").read_text() == "not a folder"


ASK_AS_SOMEBODY_ELSE = """
import os, sys
from pathlib import Path
import pyrage
from hsagency.credentials import SecretName, age_store, open_store
from hsagency.secret import Secret
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
name = SecretName("w1", "acme-corp", 1)
store = open_store("age:credentials", workspace=Path(sys.argv[1]))
for ask in (store.get, store.delete, lambda name: store.put(name, Secret("new"))):
    try:
        ask(name)
    except Exception as error:
        print(type(error).__name__)
    else:
        print("answered")
"""


@pytest.mark.parametrize("closed", ["credentials", "credentials/w1/acme-corp"])
def test_a_store_that_this_user_may_not_enter_is_not_empty(closed, tmp_path, folder, acme):
    closed = tmp_path / closed
    closed.chmod(0)
    try:
        asked = subprocess.run(
            [sys.executable, "-c", ASK_AS_SOMEBODY_ELSE, tmp_path],
            capture_output=True,
            text=True,
            check=True,
        )
    finally:
        closed.chmod(0o700)
    assert asked.stdout.split() == ["StoreUnreadable"] * 3
    assert acme.exists()


# Recipients.


def test_a_colleague_on_the_list_can_read_what_is_written_from_then_on(
    tmp_path, store, folder, acme
):
    colleague = pyrage.x25519.Identity.generate()
    before = acme.read_bytes()
    with (folder / "recipients.txt").open("a") as recipients:
        recipients.write(f"# Sam\n{colleague.to_public()}\n")
    store.put(UMBRELLA, token(3))
    theirs = tmp_path / "sam.txt"
    theirs.write_text(f"{colleague}\n")
    theirs.chmod(0o600)
    sam = open_store(f"age:credentials?identity={theirs}", workspace=tmp_path)
    assert sam.get(UMBRELLA) == token(3)
    assert acme.read_bytes() == before
    refusal(sam.get, ACME)


def test_recipients_written_before_the_store_are_kept(tmp_path):
    folder = tmp_path / "credentials"
    folder.mkdir(mode=0o700)
    listed = folder / "recipients.txt"
    listed.write_text(f"# Sam\n{IDENTITY.to_public()}")
    listed.chmod(0o600)
    open_store("age:credentials", workspace=tmp_path).put(ACME, token())
    lines = listed.read_text().splitlines()
    assert lines[:2] == ["# Sam", str(IDENTITY.to_public())]
    assert len(lines) == 3
    sealed = (folder / "w1" / "acme-corp" / "main-1.age").read_bytes()
    assert age_files.unseal(sealed, [IDENTITY]) == (str(ACME), token())


@pytest.mark.parametrize("content", ["", "# nobody\n", "age1nonsense\n", "AGE-SECRET-KEY-1X\n"])
def test_a_list_of_recipients_that_names_nobody_stops_the_write(content, reopen, folder):
    listed = folder / "recipients.txt"
    listed.write_text(content)
    message = refusal_of_write(reopen())
    assert str(listed) in message
    assert reopen().get(ACME) == token(1)


def test_a_list_without_ourselves_stops_the_write_and_names_the_line_to_add(reopen, folder):
    own = (folder / "recipients.txt").read_text().strip()
    (folder / "recipients.txt").write_text(f"{IDENTITY.to_public()}\n")
    assert own in refusal_of_write(reopen())
    assert reopen().get(ACME) == token(1)


@pytest.mark.parametrize("what", ["recipients.txt", "."])
def test_a_list_that_others_can_change_stops_the_write(what, reopen, folder):
    (folder / what).chmod(0o770)
    assert "open to other users" in refusal_of_write(reopen())
    assert reopen().get(ACME) == token(1)


def refusal_of_write(store):
    with pytest.raises(StoreUnreadable) as refused:
        store.put(ACME, token(9))
    return str(refused.value)


# Many at once.

PUT_TEN = """
import sys
from pathlib import Path
from hsagency.credentials import SecretName, open_store
from hsagency.secret import Secret
store = open_store("age:credentials", workspace=Path(sys.argv[1]))
for number in range(10):
    store.put(SecretName("w1", f"{sys.argv[2]}-{number}", 1), Secret(f"{sys.argv[2]}{number}"))
"""


def test_processes_that_make_the_store_together_share_one(tmp_path, own_home):
    started = [
        subprocess.Popen([sys.executable, "-c", PUT_TEN, tmp_path, f"p{number}"])
        for number in range(3)
    ]
    assert [process.wait() for process in started] == [0, 0, 0]
    store = open_store("age:credentials", workspace=tmp_path)
    for number in range(3):
        for part in range(10):
            name = SecretName("w1", f"p{number}-{part}", 1)
            assert store.get(name) == Secret(f"p{number}{part}")
    assert len(list((own_home / ".config" / "hsagency").iterdir())) == 1


def test_a_hundred_clients_leave_a_hundred_files_and_nothing_else(tmp_path):
    store = open_store("age:credentials", workspace=tmp_path)
    for number in range(100):
        store.put(SecretName("w1", f"client-{number}", 1), token(number))
    files = [path for path in everything_below(tmp_path / "credentials") if path.is_file()]
    assert len([path for path in files if path.suffix == ".age"]) == 100
    assert {path.name for path in files if path.suffix != ".age"} == {
        ".lock",
        "recipients.txt",
        "store.json",
    }
