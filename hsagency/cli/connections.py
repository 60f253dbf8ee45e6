"""Commands about connections: verify."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from hsagency.cli.common import (
    Shared,
    api_option,
    as_json,
    emit,
    program,
    read_token,
    shared,
    ticking,
    typable,
)
from hsagency.cli.tables import plain
from hsagency.errors import (
    CredentialRejected,
    HsAgencyError,
    MissingScopes,
    PortalForbidden,
    PortalMismatch,
    UsageError,
)
from hsagency.portals import parse_portal_id

if TYPE_CHECKING:
    from hsagency.agency import Agency
    from hsagency.portals import Connection


@click.command()
@click.argument("slugs", nargs=-1)
@click.option("--all", "everyone", is_flag=True, help="Every connection.")
@click.option("--expect", help="Judge a token from the prompt or standard input; store nothing.")
@api_option
@as_json
@shared
def verify(
    common: Shared,
    *,
    slugs: tuple[str, ...],
    everyone: bool,
    expect: str | None,
    api: str,
    as_json: bool,
) -> None:
    """
    Ask HubSpot now whose credentials these are: OK or MISMATCH.

    \b
    Examples:
      hsagency verify acme-corp
      hsagency verify --all
      hsagency verify --expect 12345678
    """
    if sum((bool(slugs), everyone, expect is not None)) != 1:
        raise UsageError(
            "Name clients, or --all, or --expect PORTAL-ID. Nothing was asked.",
            hint=f"Examples: {program()} verify --help",
        )
    if api and expect is None:
        raise UsageError(
            "--api goes with --expect: a connection keeps its own address. Nothing was asked."
        )
    with common.agency() as agency:
        if expect is not None:
            _judge(agency, expect, api=api, as_json=as_json)
            return
        rows = _prove(agency, list(agency.slugs()) if everyone else list(slugs), common)
    failed = [row for row in rows if row["result"] != "OK"]
    if as_json:
        emit({"results": rows})
    else:
        for row in rows:
            line = f"{row['result']}  {row['clientSlug']}  {row['message']}"
            click.echo(plain(typable(line)))
    if not rows:
        common.say(f"No portals are connected yet. Connect some: {program()} onboard clients.csv")
        click.get_current_context().exit(3)
    if failed:
        found = {str(row["result"]) for row in failed} & set(_FINDINGS.values())
        click.get_current_context().exit(4 if found else 1)


_FINDINGS = {
    PortalMismatch: "MISMATCH",
    CredentialRejected: "REJECTED",
    MissingScopes: "FORBIDDEN",
    PortalForbidden: "FORBIDDEN",
}
"""What a verification found, as one word; anything else means that there was no verification."""


def _judge(agency: Agency, expect: str, *, api: str, as_json: bool) -> None:
    from hsagency.onboarding import judge_token
    from hsagency.onboarding.rows import client_token

    expected = parse_portal_id(expect)
    token = client_token(read_token("Token").reveal())
    said: dict[str, object]
    notes: tuple[str, ...] = ()
    try:
        found = judge_token(agency, token, expected=expected, api=api)
    except PortalMismatch as error:
        said = {"result": "MISMATCH", "expected": error.expected, "portalId": error.got}
        words = error.message.removeprefix("MISMATCH: ")
    else:
        identity, notes = found.identity, found.notes()
        said = {"result": "OK", "portalId": identity.portal_id, "accountName": identity.name}
        name = f" ({identity.name})" if identity.name else ""
        words = f"the token belongs to portal {identity.portal_id}{name}. Nothing was stored."
    if as_json:
        emit({**said, "notes": list(notes)})
    else:
        click.echo(plain(f"{said['result']}  {words}"))
    for note in notes:
        click.echo(plain(f"note: {note}."), err=True)
    if said["result"] != "OK":
        click.get_current_context().exit(4)


def _prove(agency: Agency, slugs: list[str], common: Shared) -> list[dict[str, object]]:
    from concurrent.futures import ThreadPoolExecutor

    for slug in slugs:
        agency.connection(slug)  # an unknown one is told before anything is asked
    with (
        common.progress("verifying", len(slugs)) as step,
        ticking(step),
        ThreadPoolExecutor(16) as pool,
    ):

        def one(slug: str) -> dict[str, object]:
            row = _proof(agency, slug)
            step(1)
            return row

        return list(pool.map(one, slugs))


def _proof(agency: Agency, slug: str) -> dict[str, object]:
    try:
        found = agency.verify(slug)
    except HsAgencyError as error:
        result = _FINDINGS.get(type(error), "FAILED")
        message = str(error).removeprefix("MISMATCH: ")
        connection = agency.connection(slug)
        portal = connection.portal
        if isinstance(error, PortalMismatch):
            message += f" Every call is halted. {agency.halt.advice()}"
        elif not isinstance(error, CredentialRejected | PortalForbidden):  # these say so themselves
            message += _still_stopped(connection)
        if portal.name:
            message = f"{portal.name}, portal {portal.portal_id}: {message}"
        return {
            "clientSlug": slug,
            "result": result,
            "portalId": portal.portal_id,
            "message": message,
        }
    message = f"portal {found.portal_id}" + (f" ({found.name})" if found.name else "")
    stopped = _still_stopped(agency.connection(slug))
    return {
        "clientSlug": slug,
        "result": "OK",
        "portalId": found.portal_id,
        "message": f"{message}.{stopped}" if stopped else message,
    }


def _still_stopped(connection: Connection) -> str:
    """Say that calls to a portal stay stopped, and how they may go on."""
    from hsagency.stopping import advice

    if connection.stopped is None:
        return ""
    return f" Calls to it are still stopped. {advice(connection)}"


COMMANDS = (verify,)
