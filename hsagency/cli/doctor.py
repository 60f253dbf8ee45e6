"""The command that examines everything at once."""

from __future__ import annotations

import click

from hsagency.cli.common import Shared, as_json, emit, records, shared, typable
from hsagency.cli.tables import plain


@click.command(short_help="Examine everything that can be wrong with a workspace.")
@click.option("--offline", is_flag=True, help="Leave out what asks HubSpot.")
@as_json
@shared
def doctor(common: Shared, *, offline: bool, as_json: bool) -> None:
    """
    Examine everything at once: what is wrong with this workspace, and what to do.

    The credential store and every secret in it, the clock, the disk, permissions, the way to
    HubSpot, our OAuth app, time zones, and which API versions and kinds of credentials are in
    use beside the days on which HubSpot ends them. Nothing is repaired. The exit code is 1 where
    there is a problem. Settings that cannot be read are the one problem that is told alone.

    \b
    Examples:
      hsagency doctor
      hsagency doctor --offline --json
    """
    from hsagency import doctor as examination
    from hsagency.doctor import Finding, Level
    from hsagency.errors import NoWorkspace, WorkspaceError

    try:
        agency = common.agency()
    except NoWorkspace:
        raise
    except WorkspaceError as error:
        rest = "What goes by them was not examined: run this again then."
        found = [Finding("workspace", Level.PROBLEM, error.message, f"{error.hint} {rest}".strip())]
    else:
        with agency:
            found = examination.examine(agency, offline=offline, progress=common.progress)
    problems = [one for one in found if one.level is Level.PROBLEM]
    if as_json:
        emit({"findings": records(examination.frame(found)), "problems": len(problems)})
    else:
        width = max(len(one.subject) for one in found)
        for one in found:
            line = f"{one.level.value:8} {one.subject:{width}}  {one.said}"
            click.echo(plain(typable(line)))
            if one.advice:
                click.echo(plain(typable(f"{'':8} {'':{width}}  -> {one.advice}")))
        warnings = sum(one.level is Level.WARNING for one in found)
        common.say(_summary(len(problems), warnings))
    if problems:
        click.get_current_context().exit(1)


def _summary(problems: int, warnings: int) -> str:
    from hsagency.words import counted

    if problems or warnings:
        return f"{counted(problems, 'problem')}, {counted(warnings, 'warning')}."
    return "Everything is as it should be."


COMMANDS = (doctor,)
