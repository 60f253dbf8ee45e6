"""
What a person authorised: one secret of the store, which holds both tokens and when they end.

Its tokens change every half hour, so that neither can name it in records or be what the index is
bound to. A random key made with it does that: a generation is one authorisation.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, Self

import orjson

from hsagency.data import table
from hsagency.errors import StoreUnreadable, UsageError
from hsagency.secret import Secret

if TYPE_CHECKING:
    from hsagency.auth.desk import Issued

_MARK: Final = "hsagency-oauth:"
_SCHEMA: Final = 1
_TOKEN: Final = re.compile(r"[!-~]{1,4096}", re.ASCII)
_EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)
_LATEST: Final = datetime(9000, 1, 1, tzinfo=UTC)
_SKEW: Final = timedelta(minutes=2)  # between two machines that share a store
LONGEST: Final = timedelta(days=1)
"""No access token is taken to live longer, whatever is said of it: HubSpot's live half an hour."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Authorisation:
    """What a person authorised, with the tokens of this moment."""

    refresh: Secret
    access: Secret
    issued_at: datetime
    expires_at: datetime
    key: Secret = field(default_factory=lambda: Secret(secrets.token_hex(16)))

    @classmethod
    def of(cls, issued: Issued, *, now: datetime, key: Secret | None = None) -> Self:
        """Return what HubSpot gave out just now; with the key of before, where it is a renewal."""
        return cls(
            refresh=issued.refresh,
            access=issued.access,
            issued_at=now,
            expires_at=now + timedelta(seconds=issued.expires_in),
            key=key or Secret(secrets.token_hex(16)),
        )

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
        """Return it as the one secret that the store keeps; raises `UsageError` for no tokens."""
        kept = self._written()
        if kept is None:
            raise UsageError("These are no tokens of HubSpot's. Nothing was stored.")
        return kept

    @classmethod
    def parse(cls, kept: Secret) -> Self:
        """Read what the store keeps; raises `StoreUnreadable`, without a word of it."""
        try:
            return cls._read(kept)
        except (ValueError, LookupError, TypeError, OverflowError):
            pass
        raise StoreUnreadable(  # outside: the error above would bring the tokens along
            "What the store keeps is not what a person authorised. It was not used.",
            hint="A later hsagency may have written it; otherwise reconnect the client.",
        )

    def _written(self) -> Secret | None:
        tokens = (self.key, self.refresh, self.access)
        if not all(is_token(one.reveal()) for one in tokens):
            return None
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
    def _read(cls, kept: Secret) -> Self:
        text = kept.reveal()
        if not text.startswith(_MARK):
            raise ValueError("not an authorisation")
        content = orjson.loads(text[len(_MARK) :])
        if content["schema"] != _SCHEMA:
            raise ValueError("of a later schema")
        issued, expires = _moment(content["issuedAt"]), _moment(content["expiresAt"])
        if not timedelta() < expires - issued <= LONGEST:
            raise ValueError("no life of a token")
        return cls(
            key=_secret(content["key"]),
            refresh=_secret(content["refreshToken"]),
            access=_secret(content["accessToken"]),
            issued_at=issued,
            expires_at=expires,
        )


def key_of(kept: Secret) -> Secret:
    """
    Return what names a credential in the index and in records.

    A static token names itself; what a person authorised is named by its key.
    """
    return Authorisation.parse(kept).key if kept.reveal().startswith(_MARK) else kept


def is_token(value: object) -> bool:
    """Say whether this could be a token: printable, and short enough for a header."""
    return isinstance(value, str) and _TOKEN.fullmatch(value) is not None


def _secret(value: object) -> Secret:
    if not is_token(value):
        raise ValueError("no token")
    return Secret(str(value))


def _moment(value: object) -> datetime:
    at = datetime.fromisoformat(str(value))
    if at.tzinfo is None or not _EARLIEST <= at <= _LATEST:
        raise ValueError("no time in a zone")
    return at.astimezone(UTC)
