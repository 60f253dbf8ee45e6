"""
HubSpot's token endpoints (facts 1.7): trade a code, renew, ask about a token, revoke.

Dated endpoints, form-encoded. The form goes on the copy of a request that the last station
makes, so that no request anybody could print holds a secret. The calls are on record like all
others, with neither form nor answer: in the agency's own log, since they are our app's business
with HubSpot, and none of a portal's calls.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, NoReturn

import httpx
import orjson

from hsagency.audit.journal.writer import AuditWriter
from hsagency.auth.apps import Distribution, OAuthApp
from hsagency.auth.authorisation import LONGEST, is_token
from hsagency.client import Channel, Ways
from hsagency.data import table
from hsagency.errors import (
    AppMisconfigured,
    AuthorisationEnded,
    ConnectingError,
    PortalUnreachable,
    UnexpectedAnswer,
)
from hsagency.halt import Halt
from hsagency.hosts import host_of
from hsagency.portals import (
    AGENCY,
    Cause,
    ClientSlug,
    Connection,
    ConnectionType,
    PortalId,
    plain_text,
    plain_word,
)
from hsagency.secret import Secret
from hsagency.transport import Binding, Form, Network
from hsagency.transport.answer import OutcomeUnknown
from hsagency.verifier import Introspection, answerer, on_the_way

PURPOSE: Final = "authorisation"
"""Of the calls that OAuth costs."""
PATIENCE: Final = 15.0
"""Seconds that it waits at most between attempts; calls wait behind it."""
# Not shorter: who hangs up on a slow answer may lose a refresh token that took another's place.
_TIMEOUT: Final = httpx.Timeout(30, connect=10)
_OK: Final = 200
_CODE: Final = "authorization_code"
_REFUSALS: Final = (400, 401, 403)
_PASSING: Final = (408, 423, 425, 429, 477)  # what another attempt may mend


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """Tokens as HubSpot gave them out; what it did not tell is none."""

    access: Secret
    refresh: Secret
    expires_in: int
    portal_id: PortalId | None = None
    scopes: tuple[str, ...] | None = None
    user_id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Introspected:
    """What HubSpot tells of a token; of one that is over, nothing but that."""

    active: bool
    portal_id: PortalId | None = None
    scopes: tuple[str, ...] | None = None
    hub_domain: str | None = None
    user_id: int | None = None
    app_id: int | None = None
    is_private: bool | None = None

    def introspection(self) -> Introspection | None:
        """Return what counts of it; nothing where it is over, or says not whose it is."""
        if not self.active or self.portal_id is None or self.scopes is None:
            return None
        kinds = {True: Distribution.PRIVATE.value, False: Distribution.MARKETPLACE.value}
        return Introspection(
            portal_id=self.portal_id,
            scopes=self.scopes,
            hub_domain=self.hub_domain,
            distribution=None if self.is_private is None else kinds[self.is_private],
        )


class TokenDesk:
    """
    Asks HubSpot's token endpoints in the name of one app, about one portal or about none yet.

    Every method raises `AppMisconfigured` where HubSpot refuses the app itself,
    `PortalUnreachable` where there was no usable answer, which says nothing of a portal, and
    `UnexpectedAnswer` for what makes no sense.
    """

    def __init__(
        self,
        app: OAuthApp,
        *,
        writer: AuditWriter,
        halt: Halt,
        network: Network,
        connection: Connection | None = None,
        candidate: ClientSlug | None = None,
    ) -> None:
        self._app, self._writer, self._halt, self._network = app, writer, halt, network
        self._connection, self._candidate = connection, candidate
        self._who = answerer(app.api_base)

    def exchange(self, code: Secret, *, verifier: Secret) -> Issued:
        """
        Trade the code that the browser brought back for tokens.

        Raises `ConnectingError` for a code that is used, too old or another attempt's, and where
        the account may not have the app.
        """
        return self._tokens(
            grant_type=_CODE,
            code=code,
            redirect_uri=self._app.redirect_uri,
            code_verifier=verifier,
        )

    def refresh(self, refresh: Secret, *, patience: float = PATIENCE) -> Issued:
        """
        Renew; raises `AuthorisationEnded` where this portal no longer lets us in.

        `patience` is how many seconds it may wait between attempts, all of them together.
        """
        return self._tokens(
            patience=patience,
            grant_type="refresh_token",
            refresh_token=refresh,
        )

    def introspect(self, token: Secret, *, hint: str = "access_token") -> Introspected:
        """Ask what a token is, and what it may do."""
        told = self._ask("introspect", token=token, token_type_hint=hint)
        if told.get("active") is not True:
            return Introspected(active=False)
        private = told.get("is_private_distribution")
        return Introspected(
            active=True,
            portal_id=_portal(told.get("hub_id")),
            scopes=_scopes(told.get("scopes")),
            hub_domain=plain_text(_text(told.get("hub_domain"))),
            user_id=_number(told.get("user_id")),
            app_id=_number(told.get("app_id")),
            is_private=private if isinstance(private, bool) else None,
        )

    def revoke(self, refresh: Secret) -> None:
        """
        End what was authorised.

        An access token that was given out lives on to its end, half an hour at most (facts 1.7).
        """
        self._ask("revoke", token=refresh, token_type_hint="refresh_token")  # noqa: S106

    def _tokens(self, *, patience: float = PATIENCE, **fields: str | Secret) -> Issued:
        issued = _issued(self._ask("token", patience=patience, **fields), fields)
        if issued is None:  # raised here, where no frame holds what was told
            raise UnexpectedAnswer(f"The answer of {self._who} holds no tokens that make sense.")
        return issued

    def _ask(
        self, what: str, *, patience: float = PATIENCE, **fields: str | Secret
    ) -> Mapping[str, Any]:
        """Send a form, and return the JSON object that comes back."""
        response = self._sent(what, {**self._own(), **fields}, patience=patience)
        if response.status_code != _OK:
            self._refused(response, grant=str(fields.get("grant_type", "")))
        return _object(response)

    def _own(self) -> dict[str, str | Secret]:
        return {"client_id": self._app.client_id, "client_secret": self._app.client_secret}

    def _sent(
        self, what: str, fields: Mapping[str, str | Secret], *, patience: float
    ) -> httpx.Response:
        host = host_of(self._app.api_base)
        channel = Channel(
            host=host,
            credential=lambda: Form(fields),
            writer=self._writer,
            halt=self._halt,
            wire=self._network.wire(host),
        )
        path = table("oauth")["paths"][what]
        try:
            with channel.client(binding=self._binding(host), ways=Ways(patience=patience)) as one:
                return one.request("POST", path, timeout=_TIMEOUT)
        except httpx.HTTPError as error:
            lost = error.lost_to if isinstance(error, OutcomeUnknown) else type(error).__name__
            raise on_the_way(error, who=self._who) or PortalUnreachable(
                f"{_first(self._who)} did not answer at its token endpoint ({lost})."
            ) from None
        finally:
            channel.close()

    def _binding(self, host: httpx.URL) -> Binding:
        one = self._connection
        return Binding(
            client_slug=AGENCY,  # no call of the portal's, and none that HubSpot counts as one
            portal_id=one.portal_id if one else None,
            connection_type=ConnectionType.CONFIG_AND_AUDIT,  # our own business, not the portal's
            host=host,
            fingerprint=one.fingerprint if one else self._app.client_secret.fingerprint,
            generation=one.generation if one else 0,
            purpose=PURPOSE,
            candidate_slug=one.client_slug if one else self._candidate,
        )

    def _refused(self, response: httpx.Response, *, grant: str) -> NoReturn:
        """Raise what a refusal is about: this portal, our app, or neither (facts 4.2)."""
        who, code = _first(self._who), response.status_code
        row = _row(_object(response)) if code in _REFUSALS else None
        if row is not None and row["about"] == "code" and grant != _CODE:
            row = None
        if row is None and 400 <= code < 500 and code not in _PASSING:
            raise UnexpectedAnswer(
                f"{who} answered {code} at its token endpoint, which no rule covers."
            )
        if row is None:
            raise PortalUnreachable(f"{who} answered {code} at its token endpoint.")
        said = f"{who} {row['words']} ({code}, {row.get('marker') or row['error']})."
        if row["about"] == "app":
            raise AppMisconfigured(f"{said} Nothing is said of any portal by that.")
        if grant == _CODE:
            raise ConnectingError(f"{said} Nothing was connected.", hint="Begin again.")
        ended = AuthorisationEnded(said, hint="Ask the client whether that was meant.")
        ended.status_code, ended.cause = code, Cause(row.get("cause", Cause.REVOKED)).value
        ended.correlation_id = plain_word(response.headers.get("x-hubspot-correlation-id"))
        raise ended


def _issued(told: Mapping[str, Any], asked: Mapping[str, str | Secret]) -> Issued | None:
    """Return the tokens of an answer; nothing where it makes no sense."""
    access, life, hub = (
        told.get("access_token"),
        _number(told.get("expires_in")),
        told.get("hub_id"),
    )
    refresh = told.get("refresh_token") or asked.get("refresh_token")  # left out where it stays
    if isinstance(refresh, str) and is_token(refresh):
        refresh = Secret(refresh)
    if not (is_token(access) and isinstance(refresh, Secret) and life):
        return None
    if hub is not None and _portal(hub) is None:  # whose they are must not be left open
        return None
    return Issued(
        access=Secret(str(access)),
        refresh=refresh,
        expires_in=min(life, int(LONGEST / timedelta(seconds=1))),
        portal_id=_portal(hub),
        scopes=_scopes(told.get("scopes")),
        user_id=_number(told.get("user_id")),
    )


def _row(told: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return what is known of a refusal: by HubSpot's own word, else by the standard's."""
    rows: list[Mapping[str, Any]] = table("oauth")["refusal"]
    for name, word in (("marker", told.get("status")), ("error", told.get("error"))):
        for row in rows:
            if word and row.get(name) == word:
                return row
    return None


def _first(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]


def _object(response: httpx.Response) -> Mapping[str, Any]:
    """Return the JSON object of an answer; an empty one for whatever is none."""
    try:
        found = orjson.loads(response.content)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _portal(value: object) -> PortalId | None:
    found = _number(value)
    return PortalId(found) if found is not None and found < 10**12 else None


def _number(value: object) -> int | None:
    return value if type(value) is int and value > 0 else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _scopes(value: object) -> tuple[str, ...] | None:
    if not isinstance(value, list):
        return None
    named = {one for one in value if isinstance(one, str) and plain_text(one) and " " not in one}
    return tuple(sorted(named))
