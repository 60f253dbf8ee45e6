"""
What an agency is connected to: clients, portals, credentials, connections.

Everything here is a value without a secret in it. A fact says where it comes from
(fetched from HubSpot, declared by a person, inferred from something else) and when.
"""

from __future__ import annotations

import difflib
import hashlib
import hmac
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import NewType, TypeVar

from hsagency.errors import BadPortalId, BadSlug, BadToken, UnknownClient, UsageError
from hsagency.secret import Secret

ClientSlug = NewType("ClientSlug", str)
PortalId = NewType("PortalId", int)
E = TypeVar("E", bound=StrEnum)

AGENCY = ClientSlug("_agency")
"""Whose journal holds the calls made before a connection exists."""

_SLUG = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", re.ASCII)
_SLUG_MAX = 63  # a folder name, a keyring entry and a DNS label at once
# Every form seen in the wild (HubSpot's own tools and public code, 2026-09); the list is open.
_TOKEN = re.compile(
    r"pat-(?P<hublet>[a-z]{2}\d{1,3})-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII
)

# Wider than the shape: half a token, or one in capitals, is not to be shown either.
_TOKENISH = re.compile(r"pat-[a-z]{2}\d{1,3}[0-9a-f-]*", re.ASCII | re.IGNORECASE)


class ConnectionType(StrEnum):
    """What hsagency may do with a portal."""

    CONFIG_AND_AUDIT = "config_and_audit"
    CONFIG_ONLY = "config_only"
    AUDIT_ONLY = "audit_only"


class CredentialKind(StrEnum):
    """What sort of credential authenticates to a portal; `static` is one nobody declared."""

    STATIC = "static"
    SERVICE_KEY = "service_key"
    PRIVATE_APP = "private_app"
    STATIC_APP = "static_app"
    OAUTH = "oauth"

    @property
    def words(self) -> str:
        """The kind as people read it."""
        if self in (CredentialKind.OAUTH, CredentialKind.STATIC):
            return "OAuth" if self is CredentialKind.OAUTH else "static token"
        return self.value.replace("_", " ")


class ConnectionStatus(StrEnum):
    """Whether a connection works, as far as the last evidence goes."""

    CONNECTED = "connected"
    NEEDS_RECONNECTION = "needs_reconnection"
    DISCONNECTED = "disconnected"


class Cause(StrEnum):
    """Why a connection does not work, or not as it should (features F24)."""

    EXPIRED = "expired"
    REVOKED = "revoked"  # revoked, rotated, deleted or uninstalled in HubSpot
    SCOPES = "scopes"  # it holds fewer than its connection type needs
    USER = "user"  # who authorised it was deactivated, or may do less
    ACCOUNT = "account"  # merged, downgraded, closed to it or deleted
    SUSPENDED = "suspended"
    DATA_CENTRE = "data_centre"  # made for another one than keeps the portal now
    UNKNOWN = "unknown"


class Provenance(StrEnum):
    """Where a fact comes from."""

    FETCHED = "fetched"
    DECLARED = "declared"
    INFERRED = "inferred"


@dataclass(frozen=True, slots=True)
class Fact:
    """Something known of a portal, where it comes from and since when."""

    value: str | int | tuple[str, ...]
    provenance: Provenance
    at: datetime
    evidence: str = ""
    confidence: str = ""  # of what is inferred: high or low


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """When, and by what, which credential was last shown to belong to which portal."""

    at: datetime
    portal_id: PortalId
    fingerprint: str
    correlation_id: str | None = None
    api_base: str = ""  # where it was asked
    routed_to: str | None = None  # in which data centre of it


@dataclass(frozen=True, slots=True, kw_only=True)
class Routed:
    """When a connection was last led to another data centre, and which address it came from."""

    at: datetime
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """Why, and since when, calls to one portal are stopped, or some of them are in vain."""

    reason: str
    at: datetime
    status_code: int | None = None
    correlation_id: str | None = None
    cause: Cause = Cause.UNKNOWN


@dataclass(frozen=True, slots=True, kw_only=True)
class Portal:
    """One HubSpot account as people name it: the id, the slug and the account name."""

    portal_id: PortalId
    client_slug: ClientSlug
    name: str | None = None

    def __str__(self) -> str:
        return f"{self.name or self.client_slug} ({self.client_slug}, portal {self.portal_id})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """
    Client, portal, credential, connection type and status: one row of the index.

    `api_base` is empty for HubSpot itself and a loopback address for a sandbox, so that a
    sandbox's credential can never be sent to HubSpot or the other way round. `binding` ties slug,
    portal and address to the credential (see `binding_of`), so that an edit of them is noticed.
    `fingerprint` names a static token; of OAuth it names what a person authorised, which stays
    the same while its tokens change. `cause` is why `status` is not connected; `trouble` is by
    what that was seen where calls go on, because some work or a person resumed them.
    `routed_to` is the data centre that HubSpot sent this credential to (facts 1.8), else none;
    `routed` says when, and from where. `verified_at` is the time of the last good `proof`, and
    stays where that is given up.
    """

    client_slug: ClientSlug
    portal_id: PortalId
    connection_type: ConnectionType
    kind: CredentialKind
    generation: int
    fingerprint: str
    added_at: datetime
    last_rotated_at: datetime
    status: ConnectionStatus = ConnectionStatus.CONNECTED
    status_evidence: str = ""
    cause: Cause | None = None
    stopped: Stop | None = None
    trouble: Stop | None = None
    hublet: str | None = None
    routed_to: str | None = None
    routed: Routed | None = None
    api_base: str = ""
    binding: str = ""
    proof: Proof | None = None
    facts: Mapping[str, Fact] = field(default_factory=dict)
    verified_at: datetime | None = None

    def __post_init__(self) -> None:
        if self.proof is not None:  # whoever stores a proof; what clears it leaves the time
            object.__setattr__(self, "verified_at", self.proof.at)

    @property
    def portal(self) -> Portal:
        """The portal, as it is named beside the slug wherever it is mentioned."""
        name = self.facts.get("name")
        return Portal(
            portal_id=self.portal_id,
            client_slug=self.client_slug,
            name=str(name.value) if name else None,
        )

    @property
    def time_zone(self) -> str | None:
        """The portal's time zone as HubSpot names it, in which its days are reckoned."""
        fact = self.facts.get("time_zone")
        return str(fact.value) if fact else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tombstone:
    """
    What is kept of a connection that was removed, so that its records still say whose they are.

    `pending` is the connection itself while its removal is not finished: its secrets may still
    be in the store, and HubSpot has yet to be asked. No client is handed out for it any more.
    """

    client_slug: ClientSlug
    portal_id: PortalId
    name: str | None
    connection_type: ConnectionType
    kind: CredentialKind
    generation: int
    fingerprint: str
    api_base: str
    added_at: datetime
    removed_at: datetime
    removed_by: str
    time_zone: str | None = None  # in which the days of its records are reckoned
    proof: str = ""  # what became of the credential: of the last generation, in words
    severed: bool = False  # whether HubSpot was seen to refuse it
    uninstall: bool = False  # of OAuth: whether our app was to be taken out of the account
    uninstalled: bool = False  # and whether it was
    pending: Connection | None = None

    @property
    def portal(self) -> Portal:
        """The portal that it was, as it is named beside the slug."""
        return Portal(portal_id=self.portal_id, client_slug=self.client_slug, name=self.name)


def binding_of(connection: Connection, secret: Secret) -> str:
    """Return what only a holder of the secret can say of whose it is, and where it may go."""
    said = f"{connection.client_slug}\n{connection.portal_id}\n{connection.api_base}"
    key = secret.reveal().encode("utf-8", "surrogatepass")
    return hmac.new(key, said.encode(), hashlib.sha256).hexdigest()[:32]


def parse_slug(text: str) -> ClientSlug:
    """Return a client slug, or raise `BadSlug`."""
    if not _SLUG.fullmatch(text) or len(text) > _SLUG_MAX or looks_like_token(text):
        shown = text if len(text) <= _SLUG_MAX and not looks_like_token(text) else "(not shown)"
        raise BadSlug(f"{shown!r} is not a client slug.")
    return ClientSlug(text)


def parse_portal_id(text: str | int) -> PortalId:
    """Return a portal id, or raise `BadPortalId`."""
    written = str(text).strip()
    if not (written.isascii() and written.isdigit() and len(written) <= 12 and int(written) > 0):
        shown = repr(written) if len(written) <= 20 else "(not shown)"
        raise BadPortalId(f"{shown} is not a portal id.")
    return PortalId(int(written))


def parse_token(token: Secret) -> str:
    """Return the hublet that a static token names, or raise `BadToken`; a hint, not proof."""
    match = _TOKEN.fullmatch(token.reveal())
    if match is None:
        raise BadToken("This is not a HubSpot token.")
    return match["hublet"]


def parse_choice(kind: type[E], text: str, *, what: str) -> E:
    """Return a member of an enumeration by its value, or raise `UsageError` with the choices."""
    try:
        return kind(text)
    except ValueError:
        choices = ", ".join(kind)
        shown = repr(text) if len(text) <= 30 and not looks_like_token(text) else "(not shown)"
        raise UsageError(f"{shown} is not a {what}.", hint=f"Choose one of {choices}.") from None


def plain_text(text: str | None) -> str | None:
    """Return a text from outside if it is short, printable and no token, else nothing."""
    if text and len(text) <= 100 and text.isprintable() and not looks_like_token(text):
        return text
    return None


def plain_word(text: object) -> str | None:
    """Return a short machine word, or nothing: free text may quote what was submitted."""
    if isinstance(text, str) and _WORD.fullmatch(text) and not looks_like_token(text):
        return text
    return None


_WORD = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)


def looks_like_token(text: str) -> bool:
    """Say whether a text holds anything of a static token's shape, so that it is not echoed."""
    return _TOKENISH.search(text) is not None


def redact(text: str) -> str:
    """
    Return a text with everything of a token's shape cut out, for what a person gets to see.

    >>> redact("no file pat-na1-00000000-0000-0000-0000-000000000000")
    'no file pat-…'
    """
    return _TOKENISH.sub("pat-…", text)


def unknown_client(
    slugs: Collection[str],
    known: Collection[str],
    *,
    removed: Mapping[ClientSlug, Tombstone] = MappingProxyType({}),
    undone: str = "Nothing was sent.",
) -> UnknownClient:
    """
    Return what to raise for slugs that are nobody's, with near matches among those that are.

    Of one that was removed it says so.

    >>> unknown_client(["acme-crop"], ["acme-corp", "globex"]).message
    "There is no client 'acme-crop'. Nothing was sent."
    """
    for gone in (removed[ClientSlug(one)] for one in slugs if one in removed):
        return UnknownClient(
            f"{gone.portal} was removed on {gone.removed_at:%Y-%m-%d}. {undone}",
            hint=f"Its removal is not finished. Finish it: hsagency remove {gone.client_slug}"
            if gone.pending
            else f"What is kept of it: hsagency portals {gone.client_slug}. To add it again, "
            "connect or onboard it under the same slug.",
        )
    # Near matches only: the list of all clients is not for a client's notebook.
    near = dict.fromkeys(
        match for one in slugs for match in difflib.get_close_matches(one, known, n=3)
    )
    shown = ", ".join(redact(repr(one if len(one) <= 63 else one[:60] + "...")) for one in slugs)
    what = "is no client" if len(slugs) == 1 else "are no clients"
    return UnknownClient(
        f"There {what} {shown}. {undone}",
        hint=(f"Did you mean {' or '.join(near)}? " if near else "")
        + "All clients: hsagency portals, or in Python agency.slugs().",
    )
