"""Which keyrings are trusted, and how the real one is used."""

import os
import subprocess
import sys
import traceback
from pathlib import Path

import pytest

from hsagency.credentials import SecretName, choose_store, open_store
from hsagency.errors import CredentialMissing, NoStore, StoreUnreadable, UsageError
from hsagency.secret import Secret

ACME = SecretName("w1", "acme-corp", 1)
TOKEN = Secret("pat-na1-00000000-2222-3333-4444-555555555555")
secret_service_needed = pytest.mark.needs("dbus-run-session", "gnome-keyring-daemon")

PLAIN_RING = """
from keyring.backend import KeyringBackend

class PlaintextKeyring(KeyringBackend):
    priority = 9

    def get_password(self, service, username):
        return None

    def set_password(self, service, username, password):
        raise AssertionError("it was used")
"""


def refusal(tmp_path, uri="keyring:"):
    with pytest.raises(NoStore) as refused:
        open_store(uri, workspace=tmp_path)
    return str(refused.value)


def in_a_child(script, tmp_path):
    """Run a script in a fresh process: keyring remembers for good what it once found."""
    (tmp_path / "plain_ring.py").write_text(PLAIN_RING)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(Path.cwd())])},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


OPEN = """
from pathlib import Path
from hsagency.credentials import choose_store, open_store
from hsagency.errors import NoStore
try:
    print(open_store("keyring:", workspace=Path()).uri)
except NoStore as refused:
    print(refused)
print(choose_store(workspace=Path()))
"""


# Which one.


def test_without_a_session_there_is_no_store_and_age_is_chosen(tmp_path):
    told = in_a_child(OPEN, tmp_path)
    assert "keyring.backends.fail.Keyring" in told
    assert "--store age:" in told
    assert told.splitlines()[-1] == "age:credentials"


def test_choosing_leaves_no_trace_in_the_workspace(tmp_path, own_home):
    assert choose_store(workspace=tmp_path) == "age:credentials"
    assert list(tmp_path.iterdir()) == [own_home]


def test_a_plaintext_keyring_that_keyring_would_choose_is_refused_by_name(tmp_path):
    told = in_a_child("import plain_ring\n" + OPEN, tmp_path)
    assert "plain_ring.PlaintextKeyring" in told
    assert told.splitlines()[-1] == "age:credentials"


@pytest.mark.parametrize(
    "named",
    [
        "plain_ring.PlaintextKeyring",
        "keyring.backends.null.Keyring",
        "keyring.backends.fail.Keyring",
        "keyring.backends.libsecret.Keyring",
        "keyrings.alt.file.PlaintextKeyring",
    ],
)
def test_a_keyring_named_in_the_environment_is_refused_unless_trusted(named, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", named)
    assert named in refusal(tmp_path)
    assert choose_store(workspace=tmp_path) == "age:credentials"


def test_a_refused_keyring_is_not_even_imported(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "plain_ring.PlaintextKeyring")
    told = in_a_child(OPEN + "import sys; print('plain_ring' in sys.modules)", tmp_path)
    assert told.splitlines()[-1] == "False"


def configure(home, content):
    folder = home / ".config" / "python_keyring"
    folder.mkdir(parents=True)
    (folder / "keyringrc.cfg").write_text(content)


def test_a_keyring_named_in_the_configuration_file_is_refused_unless_trusted(tmp_path, own_home):
    configure(own_home, "[backend]\ndefault-keyring = plain_ring.PlaintextKeyring\n")
    assert "plain_ring.PlaintextKeyring" in refusal(tmp_path)


def test_an_unreadable_configuration_of_keyring_is_said(tmp_path, own_home):
    configure(own_home, "no section\n")
    assert "keyringrc.cfg" in refusal(tmp_path)


@pytest.mark.parametrize("uri", ["keyring:plain", "keyring:../x", "keyring:secret-service?x=1"])
def test_a_kind_or_option_that_is_not_known_is_refused(uri, tmp_path):
    refusal(tmp_path, uri)


@pytest.mark.parametrize("kind", ["kwallet", "kwallet4", "macos", "windows", "pass"])
def test_a_pinned_keyring_that_does_not_answer_is_never_replaced_by_another(
    kind, tmp_path, monkeypatch
):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "does not answer" in refusal(tmp_path, f"keyring:{kind}")


@secret_service_needed
@pytest.mark.usefixtures("secret_service")
class TestSecretService:
    def test_it_is_chosen_and_leaves_no_probe_behind(self, tmp_path):
        assert choose_store(workspace=tmp_path) == "keyring:"
        assert entries() == []

    def test_it_is_the_one_that_is_opened_and_says_so(self, tmp_path):
        store = open_store("keyring:", workspace=tmp_path)
        assert store.uri == "keyring:secret-service"
        assert open_store(store.uri, workspace=tmp_path).uri == store.uri

    def test_a_chain_is_reduced_to_its_trusted_member(self, tmp_path, monkeypatch):
        monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.chainer.ChainerBackend")
        told = in_a_child("import plain_ring\n" + OPEN, tmp_path)
        assert told.split() == ["keyring:secret-service", "keyring:"]

    def test_a_plaintext_keyring_of_higher_rank_does_not_get_in_front(self, tmp_path):
        told = in_a_child("import plain_ring\n" + OPEN, tmp_path)
        assert told.split() == ["keyring:secret-service", "keyring:"]

    def test_naming_it_in_the_environment_is_accepted(self, tmp_path, monkeypatch):
        monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.SecretService.Keyring")
        assert open_store("keyring:", workspace=tmp_path).uri == "keyring:secret-service"

    def test_naming_another_one_refuses_even_though_it_answers(self, tmp_path, monkeypatch):
        monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
        assert "keyring.backends.null.Keyring" in refusal(tmp_path)

    def test_an_entry_is_one_token_under_the_service_and_the_path(self, tmp_path):
        store = open_store("keyring:", workspace=tmp_path)
        store.put(ACME, TOKEN)
        ((attributes, value, collection),) = entries()
        store.delete(ACME)
        assert attributes["service"] == "hsagency"
        assert attributes["username"] == "w1/acme-corp/main/1"
        assert Secret(value) == TOKEN
        assert collection.endswith("/login")

    def test_the_environment_cannot_move_it_to_a_keyring_that_is_lost_on_logout(
        self, tmp_path, monkeypatch
    ):
        monkeypatch.setenv(
            "KEYRING_PROPERTY_PREFERRED_COLLECTION", "/org/freedesktop/secrets/collection/session"
        )
        monkeypatch.setenv("KEYRING_PROPERTY_SCHEME", "KeePassXC")
        store = open_store("keyring:", workspace=tmp_path)
        store.put(ACME, TOKEN)
        ((attributes, _, collection),) = entries()
        store.delete(ACME)
        assert collection.endswith("/login")
        assert attributes["username"] == "w1/acme-corp/main/1"

    def test_a_property_that_breaks_the_keyring_is_named(self, tmp_path, monkeypatch):
        monkeypatch.setenv("KEYRING_PROPERTY_PRIORITY", "9")
        assert "KEYRING_PROPERTY_" in refusal(tmp_path)

    def test_a_value_that_some_systems_would_cut_is_refused(self, tmp_path):
        store = open_store("keyring:", workspace=tmp_path)
        store.put(ACME, Secret("x" * 1280))
        with pytest.raises(UsageError):
            store.put(ACME, Secret("y" * 1281))
        assert store.get(ACME) == Secret("x" * 1280)
        store.delete(ACME)

    def test_an_entry_that_was_emptied_is_damage_and_not_a_missing_secret(self, tmp_path):
        store = open_store("keyring:", workspace=tmp_path)
        store.put(ACME, TOKEN)
        each_entry(lambda item: item.set_secret(b""))
        with pytest.raises(StoreUnreadable):
            store.get(ACME)
        store.delete(ACME)
        assert entries() == []

    def test_an_entry_changed_to_something_that_is_no_text_is_unreadable(self, tmp_path):
        store = open_store("keyring:", workspace=tmp_path)
        store.put(ACME, TOKEN)
        each_entry(lambda item: item.set_secret(b"\xff-3333-"))
        with pytest.raises(StoreUnreadable) as refused:
            store.get(ACME)
        each_entry(lambda item: item.delete())
        told = traceback.TracebackException.from_exception(refused.value, capture_locals=True)
        assert "-3333-" not in "".join(told.format())


@secret_service_needed
@pytest.mark.usefixtures("own_secret_service")
class TestLockedSecretService:
    def test_a_locked_keyring_is_unreadable_and_never_empty(self, tmp_path):
        store = open_store("keyring:", workspace=tmp_path)
        store.put(ACME, TOKEN)
        lock()
        told = in_a_child(ASK_EVERYTHING, tmp_path)
        assert told.split() == ["StoreUnreadable"] * 4 + ["age:credentials"]

    def test_it_answers_again_after_an_entry_was_missing(self, tmp_path):
        store = open_store("keyring:", workspace=tmp_path)
        with pytest.raises(CredentialMissing):
            store.get(ACME)
        store.put(ACME, TOKEN)
        assert store.get(ACME) == TOKEN


ASK_EVERYTHING = """
from pathlib import Path
from hsagency.credentials import SecretName, choose_store, open_store
from hsagency.errors import HsAgencyError
from hsagency.secret import Secret
store = open_store("keyring:", workspace=Path())
kept, other = SecretName("w1", "acme-corp", 1), SecretName("w1", "other", 1)
asks = [
    lambda: store.get(kept),
    lambda: store.get(other),
    lambda: store.put(kept, Secret("new")),
    lambda: store.delete(kept),
]
for ask in asks:
    try:
        ask()
    except HsAgencyError as error:
        print(type(error).__name__)
    else:
        print("answered")
print(choose_store(workspace=Path()))
"""


def each_entry(do):
    """Do something to each of our entries, past keyring and past hsagency."""
    import secretstorage

    connection = secretstorage.dbus_init()
    try:
        found = secretstorage.search_items(connection, {"application": "Python keyring library"})
        return [do(item) for item in found]
    finally:
        connection.close()


def entries():
    return each_entry(
        lambda item: (
            item.get_attributes(),
            item.get_secret().decode(),
            item.item_path.rpartition("/")[0],
        )
    )


def lock():
    import secretstorage

    connection = secretstorage.dbus_init()
    try:
        secretstorage.get_default_collection(connection).lock()
    finally:
        connection.close()
