"""Commands about what is connected: portals."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from hsagency.cli.common import Shared, as_json, emit, program, records, shared
from hsagency.cli.tables import plain, show

if TYPE_CHECKING:
    from hsagency.agency import Agency


@click.command(short_help="List the connected portals, or show one.")
@click.argument("slug", required=False)
@as_json
@shared
def portals(common: Shared, *, slug: str | None, as_json: bool) -> None:
    """
    List the connected portals from stored facts, or show all that is known of one.

    \b
    Examples:
      hsagency portals
      hsagency portals acme-corp --json
    """
    with common.agency() as agency:
        if slug is not None:
            _one_portal(agency, slug, as_json=as_json)
            return
        frame = agency.portals()
    if as_json:
        emit({"portals": records(frame)})
    elif frame.height:
        columns = ["client_slug", "account_name", "portal_id", "connection_type", "status"]
        columns += ["api"] if frame["api"].null_count() < frame.height else []  # sandboxes
        show(frame, [*columns, "tier", "daily_limit", "verified_at", "kind"], spare=4)
    else:
        common.say(f"No portals are connected yet. Connect some: {program()} onboard clients.csv")


def _one_portal(agency: Agency, slug: str, *, as_json: bool) -> None:
    from hsagency.index import as_json as document

    connection = agency.connection(slug)
    if as_json:
        emit({"portal": document(connection)})
        return
    click.echo(plain(str(connection.portal)))
    for name in ("connection_type", "status", "kind", "generation", "fingerprint", "hublet"):
        click.echo(f"  {name.replace('_', ' ')}: {getattr(connection, name)}")
    if connection.stopped is not None:
        since = f"{connection.stopped.at:%Y-%m-%d %H:%M} UTC"
        click.echo(plain(f"  stopped: since {since}: {connection.stopped.reason}"))
    for name, fact in sorted(connection.facts.items()):
        value = f"{len(fact.value)} scopes" if isinstance(fact.value, tuple) else fact.value
        source = f"{fact.provenance} {fact.at:%Y-%m-%d}" + (
            f", {fact.evidence}" if fact.evidence else ""
        )
        click.echo(plain(f"  {name.replace('_', ' ')}: {value}  ({source})"))


COMMANDS = (portals,)
