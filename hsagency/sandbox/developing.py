"""
What the developers of OAuth apps do at HubSpot, and what comes of it in the portals.

A browser can install an app on the consent page; `authorize` and `install` are for whoever has
none.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from hsagency.errors import SandboxError
from hsagency.sandbox.clock import Clock
from hsagency.sandbox.contents.state import PortalState
from hsagency.sandbox.desk import Desk
from hsagency.sandbox.oauth.apps import App
from hsagency.sandbox.oauth.grants import Challenge, grants, remove_app
from hsagency.sandbox.oauth.installing import Terms, Tokens, consent, exchange, obstacle
from hsagency.sandbox.portals import Distribution
from hsagency.sandbox.screens import Screens


class Developing(Screens):
    """
    The portals of a sandbox with the apps that are registered for them.

    `fleet` are the portals among which the consent page lets a person choose.
    """

    def __init__(
        self,
        states: Iterable[PortalState],
        *,
        fleet: Iterable[PortalState],
        clock: Clock,
        seed: int,
    ) -> None:
        super().__init__(states, clock=clock)
        self._desk = Desk(
            fleet=tuple(fleet), states=self._states, by_token=self._by_token, seed=seed
        )

    @property
    def desk(self) -> Desk:
        """The OAuth side: `desk.apps` are registered, and two of its behaviours can be switched."""
        return self._desk

    def register_app(
        self,
        name: str,
        *,
        redirect_uris: Iterable[str],
        required: Iterable[str] = (),
        optional: Iterable[str] = (),
        distribution: Distribution = "private",
        partner: bool = False,
        listed: bool = False,
        app_id: int | None = None,
        client_id: str | None = None,
        client_secret: str | None = None,
    ) -> App:
        """
        Register an OAuth app; ids and the secret are drawn from the seed where none are given.

        `required` and `optional` are scopes. A private app may be installed in 10 portals, or 100
        when its developer is a solutions `partner`; a marketplace app in 25 until it is `listed`.
        People install it at /oauth/authorize, programs with `install`.
        """
        return self._desk.apps.register(
            name,
            redirect_uris=redirect_uris,
            required=required,
            optional=optional,
            distribution=distribution,
            partner=partner,
            listed=listed,
            app_id=app_id,
            client_id=client_id,
            client_secret=client_secret,
        )

    def authorize(
        self,
        app: App | str,
        portal: int | str,
        *,
        redirect_uri: str | None = None,
        challenge: Challenge | None = None,
    ) -> str:
        """
        Agree on the consent page to all that an app registered, and return the code it gets.

        The app, itself or its client id, trades it at /oauth/2026-09/token within five minutes.
        Without `redirect_uri` the first one that it registered goes with the code.
        """
        state, terms = self._owned(portal), self._terms(app, redirect_uri, challenge)
        with state.lock:
            return self._agreed(terms, state)

    def install(self, app: App | str, portal: int | str) -> Tokens:
        """
        Let an app, itself or by its client id, into a portal, and return the tokens that it has.

        It is the consent page and the trade of its code in one, with the same refusals.
        """
        state, terms = self._owned(portal), self._terms(app, None, None)
        with state.lock:
            now, code = self._clock.now(), self._agreed(terms, state)
            grant = exchange(
                code,
                app=terms.app,
                state=state,
                redirect_uri=terms.redirect_uri,
                verifier="",
                now=now,
            )
            held = grants(state).access(grant, scopes=grant.scopes, now=now)
            self._desk.bind(grant.token, state)
            self._desk.hand_out(held, state)
        return Tokens(
            portal_id=state.portal.portal_id,
            app_id=held.app_id,
            access_token=held.token,
            refresh_token=grant.token,
            scopes=held.scopes,
            expires_at=held.expires_at or now,
        )

    def uninstall(self, portal: int | str, client_id: str, *, hub_gone: bool = False) -> None:
        """
        Take an app out of a portal, as an administrator does.

        From now on its refresh tokens fail with BAD_REFRESH_TOKEN, or BAD_HUB if `hub_gone`.
        """
        state, app = self._owned(portal), self._desk.apps.find(client_id)
        with state.lock:
            gone = app and remove_app(app, state, now=self._clock.now(), hub_gone=hub_gone)
        if not gone:
            raise SandboxError(f"Portal {portal} has no such app; nothing was removed.")

    def end_access(self, access_token: str) -> None:
        """End one access token of an app before its time; its refresh token stays good."""
        state = self._by_token.get(access_token)
        if state is None or access_token not in state.access_tokens:
            raise SandboxError("No app has this access token; nothing was ended.")
        with state.lock:
            held = state.access_tokens[access_token]
            state.access_tokens[access_token] = replace(held, revoked=True)

    def _terms(
        self, app: App | str, redirect_uri: str | None, challenge: Challenge | None
    ) -> Terms:
        client_id = app if isinstance(app, str) else app.client_id
        found = self._desk.apps.find(client_id)
        if found is None:
            raise SandboxError(
                f"No app has the client id {client_id}; nothing was installed.",
                hint="Register it first.",
            )
        where = found.redirect_uris[0] if redirect_uri is None else redirect_uri
        if where not in found.redirect_uris:
            raise SandboxError(
                f"{found.name} did not register the redirect URI {where}; nothing was installed.",
                hint=f"Registered: {', '.join(found.redirect_uris)}.",
            )
        return Terms(found, where, found.required, found.optional, challenge)

    def _agreed(self, terms: Terms, state: PortalState) -> str:
        problem = obstacle(terms, state)
        if problem:
            raise SandboxError(f"{problem} Nothing was installed.")
        code = consent(terms, state, now=self._clock.now())
        self._desk.bind(code, state)
        return code
