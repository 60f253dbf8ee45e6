"""`hsagency connect --setup`: the agency's own OAuth app, from its metadata to its secret."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from hsagency.cli.asking import answer, as_interrupted, show_setup, unchanged
from hsagency.cli.common import Shared, emit, hidden_line, is_terminal, program
from hsagency.cli.tables import plain
from hsagency.errors import UsageError
from hsagency.portals import parse_choice

if TYPE_CHECKING:
    from hsagency.agency import Agency
    from hsagency.connecting import Prepared


def set_up(
    common: Shared,
    *,
    api: str,
    port: int | None,
    partner: bool | None,
    distribution: str | None,
    as_json: bool,
) -> None:
    """Write the app's metadata, say what to do with it, then take its id and secret."""
    from hsagency import connecting
    from hsagency.auth import Distribution

    chosen = None
    if distribution is not None:
        chosen = parse_choice(Distribution, distribution, what="distribution")
    with common.agency() as agency, as_interrupted(), unchanged("The app stays as it was."):
        piped = None if is_terminal(sys.stdin) else _piped_id(agency, api)
        made = connecting.prepare(agency, api=api, port=port, distribution=chosen, partner=partner)
        show_setup(common, made)
        client_id = _asked_id(made) if piped is None else piped
        if client_id:
            secret = hidden_line("Client secret")
            app = connecting.set_up(agency, made, client_id=client_id, client_secret=secret)
        else:
            app = connecting.reuse(agency, made)
    if as_json:
        emit({
            "result": "OK",
            "clientId": app.client_id,
            "redirectUrl": app.redirect_uri,
            "requiredScopes": list(app.required),
            "optionalScopes": list(app.optional),
            "distribution": app.distribution,
            "mostInstalls": app.cap[0],
            "folder": str(made.folder),
        })  # fmt: skip
        return
    who = "The sandbox" if app.api_base else "HubSpot"
    more = f" --api {app.api_base}" if app.api_base else ""
    click.echo(f"OK  {who} knows the app, and its secret is in the store.")
    common.say(f"Connect a portal: {program()} connect{more}")


def _piped_id(agency: Agency, api: str) -> str:
    """Read the client id from standard input; raises `UsageError` where it is needed and absent."""
    from hsagency.connecting import check_client_id
    from hsagency.hosts import parse_api_base

    given = hidden_line("").reveal()
    if given:
        return check_client_id(given)
    if agency.apps.find(parse_api_base(api)) is None:
        raise UsageError(
            "Nobody is here to ask for the client id, and standard input is empty. Nothing was "
            "written.",
            hint="Run this on a terminal, or pipe the client id and the client secret into it, "
            "each on a line of its own.",
        )
    return ""


def _asked_id(made: Prepared) -> str:
    """Ask for the client id until the answer can be one; nothing to keep the one that is there."""
    from hsagency.connecting import check_client_id

    keeps = " (Enter keeps the one that is set up)" if made.before else ""
    while True:
        typed = answer(f"Client id{keeps}").strip()
        if not typed and made.before is not None:
            return ""
        try:
            return check_client_id(typed)
        except UsageError as error:
            click.echo(plain(str(error)), err=True)
