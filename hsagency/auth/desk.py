"""
HubSpot's token endpoints (facts 1.7): trade a code, renew, ask about a token, revoke.

Dated endpoints, form-encoded. The form goes on the copy of a request that the last station
makes, so that no request anybody could print holds a secret. The calls are on record like all
others, with neither form nor answer: in the agency's own log, since they are our app's business
with HubSpot, and none of a portal's calls.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, NoReturn

import httpx
import orjson

from hsagency.audit.journal.writer import AuditWriter
from hsagency.auth.apps import OAuthApp
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
from hsagency.verifier import answerer, on_the_way

PURPOSE: Final = "authorisation"
"""Of the calls that OAuth costs."""
_PATIENCE: Final = 15.0  # seconds; calls wait behind this one
_OK: Final = 200


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
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._app, self._writer, self._halt, self._network = app, writer, halt, network
        self._connection, self._candidate, self._now = connection, candidate, now
        self._who = answerer(app.api_base)

    def exchange(self, code: Secret, *, verifier: Secret) -> Issued:
        """
        Trade the code that the browser brought back for tokens.

        Raises `ConnectingError` for a code that is used, too old or another attempt's.
        """
        return self._tokens(
            grant_type="authorization_code",
            code=code,
            redirect_uri=self._app.redirect_uri,
            code_verifier=verifier,
        )

    def refresh(self, refresh: Secret) -> Issued:
        """Renew; raises `AuthorisationEnded` where this portal no longer lets us in."""
        return self._tokens(grant_type="refresh_token", refresh_token=refresh)

    def introspect(self, token: Secret, *, hint: str = "access_token") -> Introspected:
        """Ask what a token is, and what it may do."""
        told = self._ask("introspect", token=token, token_type_hint=hint)
        if told.get("active") is not True:
            return Introspected(active=False)
        return Introspected(
            active=True,
            portal_id=_portal(told.get("hub_id")),
            scopes=_scopes(told.get("scopes")),
            hub_domain=plain_text(_text(told.get("hub_domain"))),
            user_id=_number(told.get("user_id")),
            app_id=_number(told.get("app_id")),
        )

    def revoke(self, refresh: Secret) -> None:
        """
        End what was authorised.

        An access token that was given out lives on to its end, half an hour at most (facts 1.7).
        """
        self._ask("revoke", token=refresh, token_type_hint="refresh_token")  # noqa: S106

    def _tokens(self, **fields: str | Secret) -> Issued:
        told = self._ask("token", **fields)
        access, life = told.get("access_token"), _number(told.get("expires_in"))
        refresh = told.get("refresh_token")
        if not isinstance(refresh, str) or not refresh:  # it may be left out where it stays
            refresh = fields.get("refresh_token")
        if isinstance(refresh, str):
            refresh = Secret(refresh)
        if not (isinstance(access, str) and access and isinstance(refresh, Secret) and life):
            raise UnexpectedAnswer(f"The answer of {self._who} holds no tokens.")
        return Issued(
            access=Secret(access),
            refresh=refresh,
            expires_in=life,
            portal_id=_portal(told.get("hub_id")),
            scopes=_scopes(told.get("scopes")),
            user_id=_number(told.get("user_id")),
        )

    def _ask(self, what: str, **fields: str | Secret) -> Mapping[str, Any]:
        """Send a form, and return the JSON object that comes back."""
        app, host = self._app, host_of(self._app.api_base)
        own: dict[str, str | Secret] = {
            "client_id": app.client_id,
            "client_secret": app.client_secret,
        }
        channel = Channel(
            host=host,
            credential=lambda: Form({**own, **fields}),
            writer=self._writer,
            halt=self._halt,
            wire=self._network.wire(host),
        )
        try:
            with channel.client(binding=self._binding(host), ways=Ways(patience=_PATIENCE)) as one:
                response = one.request("POST", table("oauth")["paths"][what])
        except httpx.HTTPError as error:
            raise on_the_way(error, who=self._who) or PortalUnreachable(
                f"{self._who[:1].upper()}{self._who[1:]} did not answer at its token endpoint "
                f"({type(error).__name__})."
            ) from None
        finally:
            channel.close()
        if response.status_code != _OK:
            self._refused(response)
        return _object(response)

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

    def _refused(self, response: httpx.Response) -> NoReturn:
        """Raise what a refusal is about: this portal, our app, or neither (facts 4.2)."""
        marker = _object(response).get("status")
        who = f"{self._who[:1].upper()}{self._who[1:]}"
        code = response.status_code
        for row in table("oauth")["refusal"]:
            if marker != row["marker"]:
                continue
            said = f"{who} {row['words']} ({code}, {marker})."
            if row["about"] == "app":
                raise AppMisconfigured(f"{said} Nothing is said of any portal by that.")
            if row["about"] == "code":
                raise ConnectingError(f"{said} Nothing was connected.", hint="Begin again.")
            ended = AuthorisationEnded(said)
            ended.status_code, ended.cause = code, Cause(row["cause"]).value
            ended.correlation_id = plain_word(response.headers.get("x-hubspot-correlation-id"))
            raise ended
        if 400 <= code < 500 and code not in (408, 429, 477):
            raise UnexpectedAnswer(
                f"{who} answered {code} at its token endpoint, which no rule covers."
            )
        raise PortalUnreachable(f"{who} answered {code} at its token endpoint.")


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
