"""
The command line: arguments, printing, exit codes.

Each command is a few lines around one library function; what the command line does, three
lines of Python do.

Exit codes: 0 done; 1 refused or something failed; 2 wrong usage; 3 nothing to report;
4 a verification found a problem; 130 interrupted.
"""

from __future__ import annotations

import os
import sys
import traceback
from typing import NoReturn

import click

from hsagency import __version__
from hsagency.cli import audit, connections, reporting, workshop
from hsagency.errors import (
    CredentialRejected,
    HsAgencyError,
    MissingScopes,
    NothingToReport,
    PortalMismatch,
    UsageError,
)
from hsagency.portals import redact

_EPILOG = """\b
Try it without a HubSpot account:
  hsagency demo
Start for real:
  hsagency init my-agency
  hsagency onboard clients.csv --dry-run --workspace my-agency

Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 nothing to report, 4 a verification
found a problem, 130 interrupted.
"""


@click.group(epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="hsagency")
def cli() -> None:
    """Run 10-100 HubSpot client portals: isolated, on the record, answerable."""


for command in (
    *workshop.COMMANDS,
    *connections.COMMANDS,
    *reporting.COMMANDS,
    *audit.COMMANDS,
):
    cli.add_command(command)


def main() -> NoReturn:
    """Run the command line and exit."""
    # jsonschema would compile grammars for 0.75 s that nothing here uses.
    sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]  # blocks the import
    sys.exit(_run())


def _run() -> int:
    program = os.environ.get("HSAGENCY_PROG", "hsagency")
    try:
        code = cli.main(prog_name=program, standalone_mode=False)
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        usage = f"\nTry '{context.command_path} --help'." if context else ""
        click.echo(redact(f"Error: {error.format_message()}{usage}"), err=True)
        return 2
    except (click.Abort, KeyboardInterrupt):
        click.echo("Interrupted. What was finished stands; run it again to go on.", err=True)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # nobody reads on: leave quietly
        return 1
    except HsAgencyError as error:
        return _say(error, _code(error), redact(f"Error: {error}"))
    except Exception as error:  # noqa: BLE001  (the last place where a person can be told)
        return _say(
            error,
            1,
            f"Error: something unexpected happened ({type(error).__name__}). What was finished "
            "stands. Run again with --debug to see where, and please report it.",
        )
    return code if isinstance(code, int) else 0


def _say(error: Exception, code: int, message: str) -> int:
    if "--debug" in sys.argv:
        click.echo(redact("".join(traceback.format_exception(error))), err=True)
    click.echo(message, err=True)
    return code


def _code(error: HsAgencyError) -> int:
    if isinstance(error, UsageError):
        return 2
    if isinstance(error, NothingToReport):
        return 3
    return 4 if isinstance(error, PortalMismatch | CredentialRejected | MissingScopes) else 1
