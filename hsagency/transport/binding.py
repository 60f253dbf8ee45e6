"""What a portal client is bound to, and what a request is, in words that records may hold."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

import httpx

from hsagency.audit.record import Origin, is_purpose
from hsagency.errors import (
    AuditError,
    BadToken,
    CallRefused,
    Cancelled,
    ClientClosed,
    CredentialChanged,
    CredentialError,
    CredentialMissing,
    CredentialRejected,
    Halted,
    HsAgencyError,
    MissingScopes,
    NoStore,
    PortalAway,
    PortalForbidden,
    PortalMismatch,
    PortalStopped,
    PortalUnreachable,
    QuotaSpent,
    StoreUnreadable,
    UnexpectedAnswer,
    VerificationError,
    WorkspaceError,
)
from hsagency.portals import ClientSlug, ConnectionType, PortalId, looks_like_token
from hsagency.routes import Touched, identifying, names_somebody, touched

METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
"""What may be sent: TRACE would answer with the credential, CONNECT would leave the record."""


Identify = Callable[[str, Iterable[str]], str | None]
"""Makes hashes, under a client's key, of values that no record may hold."""


def no_hashes(slug: str, values: Iterable[str]) -> str | None:
    """Leave such values out: for clients that have no credential store."""
    del slug, values
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """What a portal client is bound to, for as long as it lives."""

    client_slug: ClientSlug  # whose journal its calls are recorded in
    portal_id: PortalId | None  # nobody's yet while a credential is being judged
    connection_type: ConnectionType
    host: httpx.URL
    fingerprint: str
    generation: int
    purpose: str
    candidate_slug: ClientSlug | None = None
    identify: Identify = field(default=no_hashes, repr=False, compare=False)

    def describe(self, request: httpx.Request, call: Touched) -> dict[str, object]:
        """Return the fields that every record of a call starts with."""
        return {
            "callId": secrets.token_hex(16),
            "attempt": 1,
            "portalId": self.portal_id,
            "clientSlug": self.client_slug,
            "method": request.method if request.method in METHODS else "{method}",
            "path": call.template,
            "operationClass": call.operation_class,
            "objectType": call.object_type,
            "objectId": call.object_id,
            "identifiers": self._identifiers(request, call),
            "purpose": request.extensions.get("purpose", self.purpose),
            "credentialFingerprint": self.fingerprint,
            "credentialGeneration": self.generation,
            "candidateSlug": self.candidate_slug,
            "origin": Origin.WITNESSED,
        }

    def _identifiers(self, request: httpx.Request, call: Touched) -> str | None:
        query = request.url.query.decode("ascii")
        if not (call.hides or names_somebody(query)):  # nearly always
            return None
        path = path_of(request.url)
        return self.identify(self.client_slug, identifying(request.method, path, query))


def reason_of(error: HsAgencyError) -> str:
    """
    Return why a call was refused, as its client may read it.

    Only the guard's own sentences are repeated. Others may name another client, its portal or
    a path of this machine, so that of them only the kind is told.
    """
    if type(error) is CallRefused:
        return error.message
    return next(_REASONS[kind] for kind in type(error).__mro__ if kind in _REASONS)


_REASONS: Final[Mapping[type, str]] = {
    Halted: "halted",
    ClientClosed: "client closed",
    PortalStopped: "stopped",
    QuotaSpent: "no quota left",
    PortalAway: "portal moving",
    Cancelled: "cancelled",
    httpx.PoolTimeout: "no connection free",
    NoStore: "credential store missing",
    StoreUnreadable: "credential unreadable",
    CredentialMissing: "credential missing",
    CredentialChanged: "credential changed",
    CredentialError: "credential unusable",
    BadToken: "credential unusable",
    PortalMismatch: "not proven: portal mismatch",
    CredentialRejected: "not proven: rejected",
    MissingScopes: "not proven: missing scopes",
    PortalForbidden: "not proven: forbidden",
    PortalUnreachable: "not proven: unreachable",
    UnexpectedAnswer: "not proven: unexpected answer",
    VerificationError: "not proven",
    AuditError: "audit log closed",
    WorkspaceError: "workspace unreadable",
    HsAgencyError: "refused",
}


def path_of(url: httpx.URL) -> str:
    """Return the path as it is sent: percent-encoded, without the query."""
    return url.raw_path.partition(b"?")[0].decode("ascii")


def what(request: httpx.Request) -> Touched:
    """Return what a request touches."""
    return touched(request.method, path_of(request.url), request.url.query.decode("ascii"))


def is_label(purpose: object) -> bool:
    """Say whether this can be written down as a purpose: short, plain and no token."""
    return isinstance(purpose, str) and is_purpose(purpose) and not looks_like_token(purpose)
