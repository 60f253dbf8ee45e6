"""
What a person authorised: one secret of the store, which holds both tokens and when they end.

Its tokens change every half hour, so that neither can name it in records or be what the index is
bound to. A random key made with it does that: a generation is one authorisation.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final, Self

import orjson

from hsagency.data import table
from hsagency.errors import StoreUnreadable
from hsagency.secret import Secret

_MARK: Final = "hsagency-oauth:"
_SCHEMA: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Authorisation:
    """What a person authorised, with the tokens of this moment."""

    refresh: Secret
    access: Secret
    issued_at: datetime
    expires_at: datetime
    key: Secret = field(default_factory=lambda: Secret(secrets.token_hex(16)))

    def is_due(self, now: datetime) -> bool:
        """Say whether the access token is to be renewed: most of its life is over."""
        rules = table("oauth")["lifetime"]
        life = (self.expires_at - self.issued_at) * rules["renew_after"]
        # Issued in the future: a clock was set back, and nobody knows how old it is.
        return now >= self.issued_at + life or now < self.issued_at - _SKEW

    def is_usable(self, now: datetime) -> bool:
        """Say whether a call that is made now still ends within the access token's life."""
        spare = timedelta(seconds=table("oauth")["lifetime"]["spare_seconds"])
        return self.issued_at - _SKEW <= now < self.expires_at - spare

    def kept(self) -> Secret:
        """Return it as the one secret that the store keeps."""
        content = {
            "schema": _SCHEMA,
            "key": self.key.reveal(),
            "refreshToken": self.refresh.reveal(),
            "accessToken": self.access.reveal(),
            "issuedAt": self.issued_at.isoformat(),
            "expiresAt": self.expires_at.isoformat(),
        }
        return Secret(_MARK + orjson.dumps(content).decode())

    @classmethod
    def parse(cls, kept: Secret) -> Self:
        """Read what the store keeps; raises `StoreUnreadable`, without a word of it."""
        try:
            return cls._read(kept)
        except (ValueError, LookupError, TypeError):
            pass
        raise StoreUnreadable(  # outside: the error above would bring the tokens along
            "What the store keeps is not what a person authorised. It was not used.",
            hint="A later hsagency may have written it; otherwise reconnect the client.",
        )

    @classmethod
    def _read(cls, kept: Secret) -> Self:
        text = kept.reveal()
        if not text.startswith(_MARK):
            raise ValueError("not an authorisation")
        content = orjson.loads(text[len(_MARK) :])
        if content["schema"] != _SCHEMA:
            raise ValueError("of a later schema")
        return cls(
            key=_secret(content["key"]),
            refresh=_secret(content["refreshToken"]),
            access=_secret(content["accessToken"]),
            issued_at=_moment(content["issuedAt"]),
            expires_at=_moment(content["expiresAt"]),
        )


def key_of(kept: Secret) -> Secret:
    """
    Return what names a credential in the index and in records.

    A static token names itself; what a person authorised is named by its key.
    """
    return Authorisation.parse(kept).key if kept.reveal().startswith(_MARK) else kept


def _secret(value: object) -> Secret:
    if not isinstance(value, str) or not value:
        raise ValueError("no token")
    return Secret(value)


def _moment(value: object) -> datetime:
    at = datetime.fromisoformat(str(value))
    if at.tzinfo is None:
        raise ValueError("a time without its zone")
    return at.astimezone(UTC)


_SKEW: Final = timedelta(minutes=2)  # between two machines that share a store
