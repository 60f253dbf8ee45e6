"""
The command line: arguments, printing, exit codes.

Each command is a few lines around one library function; what the command line does, three
lines of Python do.

Exit codes: 0 done; 1 refused or something failed; 2 wrong usage; 3 nothing to report;
4 a verification found a problem; 130 interrupted.
"""

from __future__ import annotations

import gc
import os
import sys
import traceback
from typing import NoReturn

import click

from hsagency import __version__
from hsagency.cli import (
    audit,
    calls,
    completeness,
    connect,
    connections,
    doctor,
    evidence,
    halting,
    merge,
    onboard,
    portals,
    privacy,
    quota,
    removing,
    repair,
    reporting,
    retention,
    status,
    workshop,
)
from hsagency.cli.common import program, typable
from hsagency.cli.tables import plain
from hsagency.errors import (
    CredentialRejected,
    EvidenceRefused,
    HsAgencyError,
    MissingScopes,
    NothingToReport,
    NoWorkspace,
    PortalForbidden,
    PortalMismatch,
    UsageError,
)
from hsagency.portals import looks_like_token, redact

_EPILOG = """\b
Try it without a HubSpot account:
  hsagency demo
Start for real:
  hsagency init my-agency
  hsagency onboard clients.csv --dry-run --workspace my-agency
  (or one portal after the other, over OAuth: hsagency connect --setup)

Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 nothing to report, 4 a verification
found a problem, 130 interrupted.
"""


@click.group(epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="hsagency")
def cli() -> None:
    """Run 10-100 HubSpot client portals: isolated, on the record, answerable."""


for command in (
    *workshop.COMMANDS,
    *onboard.COMMANDS,
    *connect.COMMANDS,
    *removing.COMMANDS,
    *connections.COMMANDS,
    *portals.COMMANDS,
    *calls.COMMANDS,
    *halting.COMMANDS,
    *reporting.COMMANDS,
    *status.COMMANDS,
    *quota.COMMANDS,
    *doctor.COMMANDS,
    *audit.COMMANDS,
    *evidence.COMMANDS,
    *privacy.COMMANDS,
    *completeness.COMMANDS,
    *merge.COMMANDS,
    *repair.COMMANDS,
    *retention.COMMANDS,
):
    cli.add_command(command)


def main() -> NoReturn:
    """Run the command line and exit."""
    code = _run()
    gc.freeze()  # else all that was loaded is looked through for garbage on the way out
    sys.exit(code)


def _run() -> int:
    try:
        _refuse_tokens(sys.argv[1:])
        code = cli.main(prog_name=program(), standalone_mode=False)
    except (click.Abort, KeyboardInterrupt):
        click.echo("Interrupted. What was finished stands.", err=True)
        return 130
    except BrokenPipeError:
        for stream in (1, 2):  # nobody reads on: leave quietly
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
        return 1
    except Exception as error:  # noqa: BLE001  (the last place where a person can be told)
        return _say(error)
    return code if isinstance(code, int) else 0


def _refuse_tokens(arguments: list[str]) -> None:
    if any(looks_like_token(one) for one in arguments):
        raise UsageError(
            "A token stands in the arguments, where the shell's history keeps it and others on "
            "this machine can see it. Nothing was done.",
            hint="Have it rotated, and give the new one at the prompt or on standard input.",
        )


def _say(error: Exception) -> int:
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        click.echo(error.format_message(), err=True)
        return 2
    if "--debug" in sys.argv:
        click.echo(redact("".join(traceback.format_exception(error))), err=True)
    click.echo(plain(redact(f"Error: {typable(_in_words(error), group=cli)}")), err=True)
    return _code(error)


def _in_words(error: Exception) -> str:
    """Return one line: what happened, what was not done, what to do next."""
    if isinstance(error, UsageError | NoWorkspace) and "othing" not in error.message:
        return f"{error.message} Nothing was done. {error.hint}".rstrip()
    if isinstance(error, HsAgencyError):
        return str(error)
    if isinstance(error, click.ClickException):
        context = getattr(error, "ctx", None)
        message = " ".join(error.format_message().split()).rstrip(".")
        end = "" if message.endswith("?") else "."
        return f"{message}{end} Nothing was done." + (
            f" See: {context.command_path} --help" if context else ""
        )
    if isinstance(error, OSError):
        where = f": {error.filename}" if error.filename else ""
        return (
            f"the system refused something ({error.strerror or type(error).__name__}{where}). "
            "What was finished stands. See to that, then run it again."
        )
    return (
        f"something unexpected happened ({type(error).__name__}). What was finished stands. "
        "Run again with --debug to see where, and please report it."
    )


def _code(error: Exception) -> int:
    if isinstance(error, UsageError | click.ClickException):
        return 2
    if isinstance(error, NothingToReport):
        return 3
    checks = PortalMismatch | CredentialRejected | MissingScopes | PortalForbidden
    found = checks | EvidenceRefused
    return 4 if isinstance(error, found) else 1
