"""
Our own app: what HubSpot is to be told of it, and its id and secret, kept and checked.

One app asks for every scope that any connection type may ask for, and needs none but `oauth`:
what a portal grants beyond that is read back and compared with the type.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hsagency.agency import Agency
from hsagency.audit.record import Event
from hsagency.auth import Distribution, OAuthApp, TokenDesk
from hsagency.auth.apps import CALLBACK
from hsagency.connecting.listening import check_port
from hsagency.durable import make_private_dir, write_private
from hsagency.errors import AppMisconfigured, NoOAuthApp, UsageError, WorkspaceError
from hsagency.hosts import parse_api_base
from hsagency.portals import AGENCY, ConnectionType
from hsagency.scopes import wanted
from hsagency.secret import Secret
from hsagency.settings import shipped

PORT: Final = 8765
"""Where HubSpot's page leads the browser back to, unless said."""
FOLDER: Final = "oauth-app"
_NEEDED: Final = ("oauth",)
# HubSpot's are UUIDs, and it does not say that they stay so.
_WORD: Final = re.compile(r"[A-Za-z0-9._~-]{8,200}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What HubSpot is to be told of the app, and where that was written."""

    folder: Path
    redirect_uri: str
    required: Mapping[str, str]
    """Scopes that every account must grant, with the reason for each."""
    optional: Mapping[str, str]
    distribution: Distribution
    partner: bool
    api: str
    before: OAuthApp | None = None
    """The app that is set up already, if one is."""

    @property
    def registration(self) -> Path:
        """The file with which a sandbox's control call registers the app."""
        return self.folder / "sandbox-app.json"

    @property
    def cap(self) -> tuple[int, str]:
        """How many accounts may install it, and why."""
        return self.app(client_id="", client_secret=Secret("")).cap

    def app(self, *, client_id: str, client_secret: Secret) -> OAuthApp:
        """Return the app that HubSpot knows by an id and a secret."""
        return OAuthApp(
            client_id=client_id,
            client_secret=client_secret,
            redirect_uri=self.redirect_uri,
            required=tuple(self.required),
            optional=tuple(self.optional),
            distribution=self.distribution,
            partner=self.partner,
            api_base=self.api,
        )


def prepare(
    agency: Agency,
    *,
    api: str = "",
    port: int | None = None,
    distribution: Distribution | None = None,
    partner: bool | None = None,
) -> Prepared:
    """
    Write what HubSpot is to be told of our app into the workspace, for `hs project upload`.

    What is not said stays as it is for the app that is set up already, else it is port 8765, a
    private distribution and no Solutions Partner. Raises `UsageError` for a port that is none.
    """
    address = parse_api_base(api)
    before = agency.apps.find(address)
    port = port if port is not None else (before.port if before else PORT)
    if not 1024 <= port <= 65535:
        raise UsageError(
            f"{port} is no port at which this machine can listen. Nothing was written.",
            hint="Choose one from 1024 to 65535: --port PORT",
        )
    if before is None or before.port != port:
        check_port(port)
    reasons = {one.name: one.why for kind in ConnectionType for one in wanted(kind)}
    made = Prepared(
        folder=agency.workspace.root / FOLDER,
        redirect_uri=f"http://localhost:{port}{CALLBACK}",
        required={name: reasons[name] for name in _NEEDED},
        optional={name: why for name, why in reasons.items() if name not in _NEEDED},
        distribution=distribution or (before.distribution if before else Distribution.PRIVATE),
        partner=partner if partner is not None else bool(before and before.partner),
        api=address,
        before=before,
    )
    _write(agency, made)
    return made


def set_up(
    agency: Agency,
    prepared: Prepared,
    *,
    client_id: str,
    client_secret: Secret,
) -> OAuthApp:
    """
    Check an app's id and secret with HubSpot, and keep them in place of those before.

    Raises `UsageError` for what is no id or secret, `AppMisconfigured` where HubSpot does not
    know them, and then those before stay; `PortalUnreachable` where there was no answer.
    """
    app = prepared.app(
        client_id=check_client_id(client_id),
        client_secret=Secret(_word(client_secret.reveal(), what="client secret")),
    )
    agency.halt.check()
    try:
        _check(agency, app)
    except AppMisconfigured as error:
        was = "The app that was set up before stays." if prepared.before else ""
        error.message = f"{error.message} Nothing was stored. {was}".strip()
        error.hint = (
            "Copy both again from the app's page in HubSpot, and give the id first; then: "
            "hsagency connect --setup"
        )
        raise
    agency.apps.keep(app)
    where = f"the sandbox at {app.api_base}" if app.api_base else "HubSpot"
    fields = {
        "event": Event.CONNECTION_JUDGING,
        "message": f"Set up the OAuth app for {where}, with {app.redirect_uri}.",
        "credentialFingerprint": app.client_secret.fingerprint,
    }
    agency.writer.append(AGENCY, fields)
    return app


def reuse(agency: Agency, prepared: Prepared) -> OAuthApp:
    """Keep the id and secret that are there with what was prepared now; raises as `set_up`."""
    before = prepared.before
    if before is None:
        raise NoOAuthApp("No OAuth app is set up yet. Nothing was stored.")
    return set_up(agency, prepared, client_id=before.client_id, client_secret=before.client_secret)


def _check(agency: Agency, app: OAuthApp) -> None:
    """Ask HubSpot about a token that is none: it says first whether it knows who asks."""
    desk = TokenDesk(app, writer=agency.writer, halt=agency.halt, network=agency.network)
    desk.introspect(Secret("hsagency-asks-whether-its-app-is-known"))


def check_client_id(given: str) -> str:
    """Return a client id without the blanks around it; raises `UsageError` for what is none."""
    return _word(given, what="client id")


def _word(given: str, *, what: str) -> str:
    text = given.strip()
    if not _WORD.fullmatch(text):
        why = "is missing" if not text else "is not one that HubSpot would have given out"
        raise UsageError(
            f"The {what} {why}. Nothing was stored.",
            hint="Copy it from the app's page in HubSpot, without spaces or quotes.",
        )
    return text


def _write(agency: Agency, made: Prepared) -> None:
    """Fill the templates of a project of HubSpot's developer platform."""
    name = agency.workspace.settings.agency.name or "Agency"
    words = {
        "@PROJECT@": f"hsagency-{agency.workspace.settings.workspace}"[:50],
        "@UID@": f"hsagency_{agency.workspace.settings.workspace}".replace("-", "_")[:64],
        "@NAME@": f"{name} portal operations"[:100],
        "@DISTRIBUTION@": made.distribution.value,
        "@REDIRECT@": made.redirect_uri,
        "@REQUIRED@": tuple(made.required),
        "@OPTIONAL@": tuple(made.optional),
    }
    source = shipped("templates") / FOLDER
    try:
        for file in sorted(source.rglob("*.json")):
            content = _filled(json.loads(file.read_text("utf-8")), words)
            path = made.folder / file.relative_to(source)
            make_private_dir(path.parent)
            write_private(path, f"{json.dumps(content, indent=2)}\n".encode())
        if made.api:
            write_private(
                made.registration, f"{json.dumps(_registered(made), indent=2)}\n".encode()
            )
    except OSError as error:
        raise WorkspaceError(
            f"{made.folder} cannot be written ({error.strerror}). Nothing was set up.",
            hint="See to the disk and to who owns the folder, then try again.",
        ) from error


def _registered(made: Prepared) -> Mapping[str, object]:
    """Return what a sandbox is told of the app."""
    return {
        "name": "Agency portal operations",
        "redirectUris": [made.redirect_uri],
        "required": [*made.required],
        "optional": [*made.optional],
        "distribution": made.distribution.value,
        "partner": made.partner,
    }


def _filled(value: object, words: Mapping[str, str | tuple[str, ...]]) -> object:
    """Put words in their places; a place in a list may stand for several."""
    if isinstance(value, dict):
        return {name: _filled(one, words) for name, one in value.items()}
    if isinstance(value, list):
        filled = [_filled(one, words) for one in value]
        return [one for part in filled for one in (part if isinstance(part, tuple) else [part])]
    return words.get(value, value) if isinstance(value, str) else value
