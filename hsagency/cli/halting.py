"""The command that lets calls go on: to portals that were stopped, or after a halt of the fleet."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from hsagency.cli.common import Shared, as_json, emit, program, shared
from hsagency.cli.tables import plain
from hsagency.errors import NotStopped, UsageError

if TYPE_CHECKING:
    from hsagency.agency import Agency


@click.command(short_help="Let calls go on that were stopped, for a reason.")
@click.argument("slugs", nargs=-1)
@click.option("--fleet", is_flag=True, help="The whole fleet, after a portal mix-up halted it.")
@click.option("--reason", required=True, help="Why calls may go on; it is recorded.")
@as_json
@shared
def resume(
    common: Shared, *, slugs: tuple[str, ...], fleet: bool, reason: str, as_json: bool
) -> None:
    """
    Let calls go on: to clients whose portals were stopped, or to all after the fleet was halted.

    A portal is stopped when HubSpot no longer accepts its credential, or the portal is suspended
    or closed to us; hsagency status shows which, and hsagency verify whether it works again. A
    new credential (hsagency reconnect) needs no resuming. The next call proves the
    credential anew.

    \b
    Examples:
      hsagency resume acme-corp --reason "the suspension was lifted, says Jo at Acme"
      hsagency resume --fleet --reason "acme's key was pasted twice; corrected"
    """
    if bool(slugs) == fleet:
        raise UsageError(
            "Name clients, or --fleet. Nothing was changed.",
            hint=f"What is stopped: {program()} status.",
        )
    with common.agency() as agency:
        done = [_fleet(agency, reason)] if fleet else _clients(agency, slugs, reason)
    if as_json:
        emit({"resumed": done})
        return
    for one in done:
        what = "The fleet was halted" if fleet else f"{one['portal']} was stopped"
        click.echo(plain(f"Resumed. {what}{_since(one['since'])}: {one['reason']}"))
    common.say("The next call proves the credential anew.")


def _fleet(agency: Agency, reason: str) -> dict[str, Any]:
    since = agency.halt.since()
    halted_for = agency.resume(reason=reason)
    return {"clientSlug": None, "portal": None, "reason": halted_for, "since": _text(since)}


def _clients(agency: Agency, slugs: tuple[str, ...], reason: str) -> list[dict[str, Any]]:
    chosen = [agency.connection(slug) for slug in dict.fromkeys(slugs)]
    going = [one.client_slug for one in chosen if one.stopped is None]
    if going:
        raise NotStopped(f"Not stopped: {', '.join(going)}. Nothing was changed.")
    return [
        {
            "clientSlug": one.client_slug,
            "portal": str(one.portal),
            "reason": agency.resume(one.client_slug, reason=reason),
            "since": _text(one.stopped.at if one.stopped else None),
        }
        for one in chosen
    ]


def _text(at: datetime | None) -> str | None:
    from hsagency.audit.record import timestamp

    return timestamp(at) if at else None


def _since(text: str | None) -> str:
    from hsagency.stopping import moment

    return f" since {moment(datetime.fromisoformat(text))}" if text else ""


COMMANDS = (resume,)
