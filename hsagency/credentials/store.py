"""
What every credential store promises, and the part of it that no backend may get wrong.

- Missing and unreadable are different answers: `CredentialMissing` is only said by a store
  that answered.
- A write counts once the value has been read back and compared; nothing else is dropped.
- When two writers meet on one name the last one wins and the other learns of it
  (`WriteNotConfirmed`).

Not promised: a list of what is kept. Names live in the index of the workspace.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Protocol

from hsagency.credentials.names import SecretName
from hsagency.errors import CredentialMissing, StoreUnreadable, UsageError, WriteNotConfirmed
from hsagency.secret import Secret


class CredentialStore(Protocol):
    """Somewhere that keeps secrets by name; it may be used by many threads."""

    @property
    def uri(self) -> str:
        """Where the secrets are, as `open_store` reads it; never a secret itself."""

    def get(self, name: SecretName) -> Secret:
        """Return a secret, or raise `CredentialMissing` or `StoreUnreadable`."""

    def put(self, name: SecretName, secret: Secret) -> None:
        """Keep a secret, read it back and compare; else `WriteNotConfirmed`."""

    def delete(self, name: SecretName) -> None:
        """Forget a secret; asking again changes nothing."""

    def describe(self) -> str:
        """Say in one line where the secrets are and what that does not protect against."""


class ConfirmingStore(ABC):
    """
    The rules that all backends share; a backend only reads, writes and removes.

    Exceptions that leave a backend carry no secret, neither in their chain nor in the local
    variables of their frames: a logger that prints locals must find nothing.
    """

    uri: str

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.uri}>"

    def get(self, name: SecretName) -> Secret:
        """Return a secret, or raise `CredentialMissing` or `StoreUnreadable`."""
        secret = self._read(name)
        if secret is None:
            raise CredentialMissing(
                f"The store {self.uri} answered, and holds no secret {name}.",
                hint=f"{name.cure}, or check that this is the right store.",
            )
        if not secret:
            raise StoreUnreadable(f"The store {self.uri} holds an empty value for {name}.")
        return secret

    def put(self, name: SecretName, secret: Secret) -> None:
        """Keep a secret, read it back and compare; else `WriteNotConfirmed`."""
        _refuse_unkeepable(secret)
        self._write(name, secret)
        if self._read(name) != secret:
            raise WriteNotConfirmed(
                f"What the store {self.uri} gave back for {name} is not what was written.",
                hint="Another program may have written the same name: run the command again.",
            )

    def delete(self, name: SecretName) -> None:
        """Forget a secret; asking again changes nothing."""
        self._remove(name)
        if self._read(name) is not None:
            raise WriteNotConfirmed(
                f"The store {self.uri} still holds {name} after it was deleted.",
                hint="Run the command again; if it stays, remove the entry in the store itself.",
            )

    @abstractmethod
    def describe(self) -> str:
        """Say in one line where the secrets are and what that does not protect against."""

    @abstractmethod
    def _read(self, name: SecretName) -> Secret | None:
        """Return None only if the store answered that there is no such entry."""

    @abstractmethod
    def _write(self, name: SecretName, secret: Secret) -> None:
        """Set one entry and touch no other."""

    @abstractmethod
    def _remove(self, name: SecretName) -> None:
        """Remove one entry if it is there."""


def _refuse_unkeepable(secret: Secret) -> None:
    if not secret:
        raise UsageError("An empty secret was not stored.", hint="Nothing was changed.")
    if any(0xD800 <= ord(letter) <= 0xDFFF for letter in secret.reveal()):
        # Half a surrogate pair has no UTF-8 form, and the codec's error would repeat the value.
        raise UsageError("A secret that is not text was not stored.", hint="Copy it again.")
