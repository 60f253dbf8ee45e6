"""What every credential store must do, run against each of them for real."""

import threading
import traceback
from concurrent.futures import ThreadPoolExecutor

import pytest

from hsagency.credentials import ConfirmingStore, SecretName, open_store
from hsagency.errors import (
    CredentialError,
    CredentialMissing,
    StoreUnreadable,
    UsageError,
    WriteNotConfirmed,
)
from hsagency.secret import Secret

FIRST = SecretName("w1", "acme-corp", 1)
SECOND = SecretName("w1", "acme-corp", 2)
OTHER = SecretName("w1", "umbrella", 1)


def token(number=0):
    return Secret(f"pat-na1-{number:08x}-2222-3333-4444-555555555555")


def shows_a_token(*texts):
    return any("-3333-" in text for text in texts)


def leaks(error):
    """Would a logger that prints local variables show a token?"""
    told = traceback.TracebackException.from_exception(error, capture_locals=True)
    return shows_a_token("".join(told.format()), repr(error), repr(error.__dict__))


class StoreContract:
    """Inherited by each backend; the fixture `reopen` opens the same store again."""

    @pytest.fixture
    def store(self, reopen):
        return reopen()

    def spoil(self, store, monkeypatch):
        """Make the store unreadable."""
        raise AssertionError("every backend says how it can be unreadable")

    def test_what_is_put_is_what_comes_back(self, store, reopen):
        store.put(FIRST, token())
        assert store.get(FIRST) == token()
        assert reopen().get(FIRST) == token()

    def test_an_empty_store_says_that_the_secret_is_missing(self, store):
        with pytest.raises(CredentialMissing) as missing:
            store.get(FIRST)
        assert str(FIRST) in str(missing.value)

    @pytest.mark.parametrize(
        "value",
        [
            "{",
            " \"quoted\" \\ and 'quoted' ",
            "two\nlines\r\n",
            "ünï码🔑",
            "\x00\x01\x7f",
            "%s {} $(id) `id` ; -e",
            "a",
        ],
    )
    def test_awkward_characters_come_back_as_they_were(self, store, value):
        store.put(FIRST, Secret(value))
        assert store.get(FIRST).reveal() == value

    def test_deleting_one_leaves_the_others(self, store):
        for number, name in enumerate([FIRST, SECOND, OTHER]):
            store.put(name, token(number))
        store.delete(FIRST)
        with pytest.raises(CredentialMissing):
            store.get(FIRST)
        assert [store.get(SECOND), store.get(OTHER)] == [token(1), token(2)]

    def test_deleting_twice_or_what_never_was_changes_nothing(self, store):
        store.delete(FIRST)
        store.put(OTHER, token())
        store.put(FIRST, token())
        for _ in range(2):
            store.delete(FIRST)
        assert store.get(OTHER) == token()

    def test_what_was_deleted_can_be_put_again(self, store):
        store.put(FIRST, token(1))
        store.delete(FIRST)
        store.put(FIRST, token(2))
        assert store.get(FIRST) == token(2)

    def test_an_unknown_name_is_missing_beside_known_ones(self, store):
        store.put(FIRST, token())
        for name in (SECOND, OTHER, SecretName("w1", "acme", 1)):
            with pytest.raises(CredentialMissing):
                store.get(name)

    def test_the_same_name_put_again_holds_the_new_value(self, store, reopen):
        store.put(FIRST, token(1))
        store.put(FIRST, token(2))
        assert reopen().get(FIRST) == token(2)

    def test_workspaces_capabilities_and_generations_never_collide(self, store):
        names = [
            SecretName(workspace, slug, generation, capability)
            for workspace in ("w1", "w2")
            for slug in ("acme", "main")
            for capability in ("main", "main-1", "audit")
            for generation in (1, 11)
        ]
        for number, name in enumerate(names):
            store.put(name, token(number))
        assert [store.get(name) for name in names] == [token(n) for n in range(len(names))]

    def test_a_new_generation_leaves_the_old_one_readable(self, store):
        store.put(FIRST, token(1))
        store.put(SECOND, token(2))
        assert store.get(FIRST) == token(1)

    def test_threads_that_start_an_empty_store_together_lose_nothing(self, store, reopen):
        names = [SecretName("w1", f"client-{number}", 1) for number in range(24)]
        with ThreadPoolExecutor(8) as threads:
            for _ in threads.map(store.put, names, map(token, range(24))):
                pass
            again = reopen()
            assert list(threads.map(again.get, names)) == [token(n) for n in range(24)]

    def test_of_two_writers_of_one_name_no_confirmed_one_is_undone_unseen(self, store):
        store.put(FIRST, token(999))
        together = threading.Barrier(4)

        def put(number):
            together.wait()
            try:
                store.put(FIRST, token(number))
            except WriteNotConfirmed:
                return None
            return token(number)

        with ThreadPoolExecutor(4) as threads:
            confirmed = list(threads.map(put, range(4)))
        assert store.get(FIRST) in confirmed

    def test_an_unreadable_store_is_never_taken_for_an_empty_one(self, store, reopen, monkeypatch):
        store.put(FIRST, token())
        self.spoil(store, monkeypatch)
        for name in (FIRST, OTHER):
            with pytest.raises(CredentialError) as unreadable:
                reopen().get(name)
            assert not isinstance(unreadable.value, CredentialMissing)

    def test_an_unreadable_store_takes_no_write_and_no_deletion(self, store, reopen, monkeypatch):
        store.put(FIRST, token())
        self.spoil(store, monkeypatch)
        for change in (
            lambda: reopen().put(FIRST, token(1)),
            lambda: reopen().put(OTHER, token(1)),
            lambda: reopen().delete(FIRST),
        ):
            with pytest.raises(CredentialError):
                change()

    def test_an_empty_secret_does_not_replace_one(self, store):
        store.put(FIRST, token())
        for value in ("", "\ud800"):
            with pytest.raises(UsageError):
                store.put(FIRST, Secret(value))
        assert store.get(FIRST) == token()

    def test_neither_repr_nor_description_nor_errors_hold_the_secret(
        self, store, reopen, monkeypatch
    ):
        store.put(FIRST, token())
        told = [repr(store), str(store), store.uri, store.describe()]
        with pytest.raises(CredentialMissing) as missing:
            store.get(OTHER)
        self.spoil(store, monkeypatch)
        with pytest.raises(CredentialError) as unread:
            reopen().get(FIRST)
        with pytest.raises(CredentialError) as unwritten:
            reopen().put(FIRST, token(1))
        assert not shows_a_token(*told)
        assert not any(leaks(error.value) for error in (missing, unread, unwritten))

    def test_the_description_is_one_line_and_says_who_is_not_kept_out(self, store):
        assert "\n" not in store.describe()
        assert "this user" in store.describe()


class TestAgeStore(StoreContract):
    @pytest.fixture
    def reopen(self, tmp_path):
        return lambda: open_store("age:credentials", workspace=tmp_path)

    def spoil(self, store, monkeypatch):
        # Its identity is now somewhere else.
        monkeypatch.setenv("XDG_CONFIG_HOME", "/nowhere")

    def test_a_value_of_32_kilobytes_comes_back(self, store):
        value = Secret("0123456789abcdef" * 2048)
        store.put(FIRST, value)
        assert store.get(FIRST) == value


@pytest.mark.needs("dbus-run-session", "gnome-keyring-daemon")
class TestKeyringStore(StoreContract):
    @pytest.fixture
    def reopen(self, tmp_path, secret_service):
        return lambda: open_store("keyring:", workspace=tmp_path)

    @pytest.fixture(autouse=True)
    def emptied(self, secret_service, shared_bus, monkeypatch):
        import secretstorage

        yield
        monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", shared_bus)
        connection = secretstorage.dbus_init()
        for item in secretstorage.search_items(connection, {"service": "hsagency"}):
            item.delete()
        connection.close()

    def spoil(self, store, monkeypatch):
        monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nowhere/bus")

    def test_an_open_store_whose_session_ended_is_unreadable(self, store, monkeypatch):
        store.put(FIRST, token())
        self.spoil(store, monkeypatch)
        for ask in (store.get, store.delete, lambda name: store.put(name, token(1))):
            with pytest.raises(StoreUnreadable) as unreadable:
                ask(FIRST)
            assert not leaks(unreadable.value)


class Forgetful(ConfirmingStore):
    """A backend that says yes and keeps something else."""

    uri = "forgetful:"

    def __init__(self, kept):
        self.kept = kept

    def describe(self):
        return "It forgets."

    def _read(self, name):
        return self.kept

    def _write(self, name, secret):
        pass

    def _remove(self, name):
        pass


@pytest.mark.parametrize("kept", [None, Secret("{"), Secret("")])
def test_a_write_that_does_not_read_back_is_not_confirmed(kept):
    with pytest.raises(WriteNotConfirmed) as unconfirmed:
        Forgetful(kept).put(FIRST, token())
    assert not leaks(unconfirmed.value)


def test_a_deletion_that_did_not_happen_is_an_error():
    with pytest.raises(WriteNotConfirmed):
        Forgetful(token()).delete(FIRST)


def test_an_entry_without_a_value_is_damage_and_not_a_secret():
    with pytest.raises(StoreUnreadable):
        Forgetful(Secret("")).get(FIRST)
