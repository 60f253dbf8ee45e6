"""Own home, own session: no test reaches the keyring or the identities of who runs it."""

import contextlib
import os
import subprocess

import pytest


@pytest.fixture(autouse=True)
def own_home(tmp_path, monkeypatch):
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    for variable in list(os.environ):
        if variable.startswith(("KEYRING_", "PYTHON_KEYRING", "XDG_", "DBUS_")):
            monkeypatch.delenv(variable)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(home))  # where D-Bus looks when not told
    return home


@contextlib.contextmanager
def running_secret_service(home):
    """A real D-Bus session with an unlocked gnome-keyring; gives the address of the bus."""
    home.mkdir(mode=0o700, exist_ok=True)
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "XDG_RUNTIME_DIR": str(home)}
    script = (
        "printf password | gnome-keyring-daemon --unlock --components=secrets >/dev/null"
        ' && echo "$DBUS_SESSION_BUS_ADDRESS" && exec cat'
    )
    with (
        (home / "session.log").open("w") as log,
        subprocess.Popen(
            ["dbus-run-session", "--", "sh", "-c", script],
            env=environment,
            stdin=subprocess.PIPE,  # the session ends when this is closed
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        ) as session,
    ):
        address = session.stdout.readline().strip()
        assert address, (home / "session.log").read_text()
        yield address


@pytest.fixture(scope="module")
def shared_bus(tmp_path_factory):
    with running_secret_service(tmp_path_factory.mktemp("session")) as address:
        yield address


@pytest.fixture
def secret_service(shared_bus, own_home, monkeypatch):
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", shared_bus)


@pytest.fixture
def own_secret_service(tmp_path, own_home, monkeypatch):
    """A session for one test, which may spoil it."""
    with running_secret_service(tmp_path / "session") as address:
        monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", address)
        yield
