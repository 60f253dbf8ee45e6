"""
Secrets in the system keyring, reached only through backends on an allow-list.

keyring's own chooser takes whatever is installed, plain files included, so it is not asked:
the allowed classes are tried directly, in a fixed order. What a person configured for
keyring (PYTHON_KEYRING_BACKEND, keyringrc.cfg) can pick one of them or lead to a refusal, and
can never add one; KEYRING_PROPERTY_* variables are undone. `keyring:secret-service` pins a
kind, so that a second keyring that appears later cannot be taken for it.

An entry has the service "hsagency" and, as its user name, the secret's name without its
leading "hsagency/": backends that join the two then show the name as it is.

Not promised: protection from other programs of the same user while the keyring is unlocked.
"""

from __future__ import annotations

import configparser
import contextlib
import importlib
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from hsagency.credentials.names import SecretName
from hsagency.credentials.store import ConfirmingStore
from hsagency.credentials.uris import StoreUri
from hsagency.errors import NoStore, StoreUnreadable, UsageError
from hsagency.secret import Secret

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

ALLOWED = {
    "secret-service": "keyring.backends.SecretService.Keyring",
    "kwallet": "keyring.backends.kwallet.DBusKeyring",
    "kwallet4": "keyring.backends.kwallet.DBusKeyringKWallet4",
    "macos": "keyring.backends.macOS.Keyring",
    "windows": "keyring.backends.Windows.WinVaultKeyring",
    "pass": "keyring_pass.PasswordStoreBackend",
}
"""Kind to the one class that may serve it; bare `keyring:` takes the first that answers."""

_SERVICE = "hsagency"
_CHAINER = "keyring.backends.chainer.ChainerBackend"
# Windows keeps 2 560 bytes of UTF-16 an entry (jaraco/keyring#355); the same everywhere, so
# that what works on one machine works on the next.
_LONGEST = 1280
_INSTEAD = (
    "Use --store age:credentials for encrypted files, "
    "or install and start a Secret Service (gnome-keyring, KWallet or KeePassXC)."
)
T = TypeVar("T")


def open_uri(uri: StoreUri, *, workspace: Path) -> KeyringStore:
    """Open `keyring:` or `keyring:KIND`; `NoStore` if no allowed keyring answers."""
    uri.allow()
    if uri.path and uri.path not in ALLOWED:
        raise NoStore(
            "The store's URI names a kind of keyring that hsagency does not trust.",
            hint=f"It may be one of: {', '.join(ALLOWED)}.",
        )
    kind = uri.path or _pick()
    return KeyringStore(kind, _connect(kind))


class KeyringStore(ConfirmingStore):
    """
    Secrets in one allowed system keyring.

    Calls are made one at a time: keyring's backends do not promise more.
    """

    def __init__(self, kind: str, ring: KeyringBackend) -> None:
        self.uri = f"keyring:{kind}"
        self._ring = ring
        self._turn = threading.Lock()

    def may_ask(self) -> bool:
        """Say whether reading may ask a person to unlock the keyring."""
        if self.uri == "keyring:secret-service":
            return _is_locked()
        return self.uri not in {"keyring:macos", "keyring:windows"}

    def describe(self) -> str:
        """Say in one line where the secrets are and what that does not protect against."""
        return (
            f"The system keyring ({self.uri}), service {_SERVICE!r}. While it is unlocked, "
            "every program this user runs can ask it for the secrets."
        )

    def _read(self, name: SecretName) -> Secret | None:
        return self._ask(f"read {name}", lambda: _get(self._ring, _user(name)))

    def _write(self, name: SecretName, secret: Secret) -> None:
        if len(secret.reveal()) > _LONGEST:
            raise UsageError(
                f"A secret of more than {_LONGEST} characters was not stored in the keyring.",
                hint="Some systems cut longer ones. Store one token, or use --store age:...",
            )
        ring, user = self._ring, _user(name)
        self._ask(f"write {name}", lambda: ring.set_password(_SERVICE, user, secret.reveal()))

    def _remove(self, name: SecretName) -> None:
        if self._read(name) is not None:
            self._ask(f"delete {name}", lambda: _forget(self._ring, _user(name)))

    def _ask(self, doing: str, question: Callable[[], T]) -> T:
        """
        Ask the keyring; whatever goes wrong there makes the store unreadable, never empty.

        The cause is named and not chained: its frames and, for decoding errors, the exception
        itself hold the value.
        """
        with self._turn:
            try:
                return question()
            except Exception as error:  # noqa: BLE001 - D-Bus, ctypes, gpg: each has its own
                cause = f"{type(error).__name__}: {error}"
        raise StoreUnreadable(
            f"The keyring did not {doing} ({cause}). That is not the same as empty.",
            hint="Unlock it, or see that it runs in this session, and try again.",
        )


def _is_locked() -> bool:
    """Say whether the collection of the Secret Service is locked; unknown is as good as that."""
    try:
        service = importlib.import_module("secretstorage")
        with contextlib.closing(service.dbus_init()) as bus:
            return bool(service.get_default_collection(bus).is_locked())
    except Exception:  # noqa: BLE001 - D-Bus and jeepney: each has its own
        return True


def _user(name: SecretName) -> str:
    return str(name).removeprefix(f"{_SERVICE}/")


def _get(ring: KeyringBackend, user: str) -> Secret | None:
    value = ring.get_password(_SERVICE, user)
    return None if value is None else Secret(value)


def _forget(ring: KeyringBackend, user: str) -> None:
    from keyring.errors import PasswordDeleteError

    # Somebody else may have deleted it; whether it is gone is read afterwards.
    with contextlib.suppress(PasswordDeleteError):
        ring.delete_password(_SERVICE, user)


def _pick() -> str:
    """Return the kind that was configured, if it is allowed, else the first that answers."""
    configured = _configured()
    if configured and configured != _CHAINER:
        for kind, path in ALLOWED.items():
            if path == configured:
                return kind
        raise NoStore(
            f"keyring is configured to use {configured}, which is not a system keyring that "
            "hsagency trusts. Nothing was stored.",
            hint=_INSTEAD,
        )
    for kind in ALLOWED:
        if _answers(kind):
            return kind
    raise NoStore(
        "No system keyring that hsagency trusts answers here; keyring itself would use "
        f"{_what_keyring_would_use()}. Nothing was stored.",
        hint=_INSTEAD,
    )


def _configured() -> str | None:
    """
    Return the backend that a person chose for keyring, by name.

    keyring's own loader would import the class, and put a folder on the module path, before
    anybody could refuse it.
    """
    from keyring.util.platform_ import config_root

    if named := os.environ.get("PYTHON_KEYRING_BACKEND"):
        return named
    config = configparser.RawConfigParser()
    try:
        config.read(config_root() / "keyringrc.cfg", encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError) as error:
        raise NoStore(
            "keyringrc.cfg is not readable, so no keyring was opened.", hint=_INSTEAD
        ) from error
    return config.get("backend", "default-keyring", fallback="").strip() or None


def _what_keyring_would_use() -> str:
    import keyring

    found = type(keyring.get_keyring())
    return f"{found.__module__}.{found.__qualname__}"


def _class(kind: str) -> type[KeyringBackend] | None:
    module, _, name = ALLOWED[kind].rpartition(".")
    try:
        found: type[KeyringBackend] | None = getattr(importlib.import_module(module), name, None)
    except ImportError:
        return None
    return found


def _answers(kind: str) -> bool:
    found = _class(kind)
    return found is not None and bool(found.viable)


def _connect(kind: str) -> KeyringBackend:
    found = _class(kind)
    if found is None or not _answers(kind):
        raise NoStore(f"The keyring {kind} does not answer in this session.", hint=_INSTEAD)
    try:
        ring = found()
    except (AttributeError, RuntimeError) as error:
        raise NoStore(
            f"The keyring {kind} could not be opened.",
            hint="Unset the environment variables that begin with KEYRING_PROPERTY_.",
        ) from error
    return _without_environment(ring)


def _without_environment(ring: KeyringBackend) -> KeyringBackend:
    # Such a variable can point the keyring at a collection that is lost on logout, or at
    # another program; the class's own value comes back when the instance's is dropped.
    held = vars(ring)
    for variable, value in os.environ.items():
        _, found, attribute = variable.partition("KEYRING_PROPERTY_")
        if found and held.get(attribute.lower()) == value:
            del held[attribute.lower()]
    return ring
