"""Commands about the audit log: tail, activity, import."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from hsagency.cli.common import Shared, as_json, emit, emit_line, records, shared
from hsagency.cli.tables import plain, show, show_story
from hsagency.portals import ClientSlug

if TYPE_CHECKING:
    from hsagency.agency import Agency


@click.group()
def audit() -> None:
    """
    Read the audit log, or take in the logs of other scripts.

    \b
    Example:
      hsagency audit tail acme-corp
    """


@audit.command()
@click.argument("slug", required=False)
@click.option(
    "-n",
    "--last",
    type=click.IntRange(min=1),
    default=20,
    show_default=True,
    help="How many calls.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines, one a call.")
@shared
def tail(common: Shared, *, slug: str | None, last: int, as_json: bool) -> None:
    """
    Show the last calls, of one client or of all.

    \b
    Examples:
      hsagency audit tail acme-corp -n 50
      hsagency audit tail acme-corp --json | jq .statusCode
    """
    from hsagency.audit.lake import joined_records

    with common.agency() as agency:
        reading = agency.reading(slug)
        calls = reading.calls.collect().tail(last)
        _name(common, agency, slug, as_json=as_json)
    if as_json:
        for record in joined_records(calls):
            emit_line(record)
    else:
        whose = [] if slug else ["client_slug", "portal_id"]
        columns = ["ts", *whose, "method", "path", "outcome", "status_code"]
        show(calls, [*columns, "duration_ms", "origin", "purpose", "reason"], spare=5)
    for one in reading.damage:
        common.say(f"Not readable: {one.client_slug}, {one.file}, line {one.line}: {one.cause}.")
    if calls.is_empty():
        common.say("No calls are recorded.")


@audit.command()
@click.argument("slug", required=False)
@as_json
@shared
def activity(common: Shared, *, slug: str | None, as_json: bool) -> None:
    """
    Show what happened to connections and to the log itself.

    \b
    Examples:
      hsagency audit activity
      hsagency audit activity acme-corp --json
    """
    with common.agency() as agency:
        frame = agency.activity(slug)
        _name(common, agency, slug, as_json=as_json)
    if as_json:
        emit({"activity": records(frame)})
    elif frame.height:
        show_story(frame, ["ts", "client_slug", "event", "user", "message"])
    else:
        common.say("Nothing is recorded.")


@audit.command(name="import", short_help="Take in a log that another script wrote.")
@click.argument("file", type=click.Path(path_type=Path))
@as_json
@shared
def import_(common: Shared, *, file: Path, as_json: bool) -> None:
    """
    Take in a log of JSON lines that another script wrote (camelCase or snake_case).

    Records keep their clients, onboarded or not, and are marked as imported. The same file
    adds nothing the second time. Malformed lines are named; with any, the exit code is 1.

    \b
    Example:
      hsagency audit import audit.jsonl
    """
    from hsagency.audit.importing import import_file

    with common.agency() as agency:
        result = import_file(agency.writer, file, progress=common.progress)
    if as_json:
        malformed = [{"line": one.line, "cause": one.cause} for one in result.malformed]
        emit(
            {
                "digest": result.digest,
                "added": dict(result.added),
                "alreadyKnown": result.known,
                "malformed": malformed,
            }
        )
    else:
        for slug, count in result.added.items():
            click.echo(f"{slug}: {count} records added")
        click.echo(f"{sum(result.added.values())} added, {result.known} were there already.")
        for one in result.malformed:
            click.echo(f"line {one.line} was left out: {one.cause}", err=True)
    if result.malformed:
        click.get_current_context().exit(1)


def _name(common: Shared, agency: Agency, slug: str | None, *, as_json: bool) -> None:
    """Say which portal is shown, where it is one that is connected."""
    connection = agency.connections().get(ClientSlug(slug)) if slug else None
    if connection is not None and not as_json:
        common.say(plain(str(connection.portal)))


COMMANDS = (audit,)
