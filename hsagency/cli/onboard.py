"""The command that connects clients: from a list, or one by hand."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hsagency.cli.common import (
    Shared,
    api_option,
    as_json,
    emit,
    program,
    read_token,
    records,
    shared,
)
from hsagency.cli.tables import plain, show
from hsagency.errors import OnboardingError, UsageError
from hsagency.portals import ConnectionType, parse_choice, parse_portal_id

if TYPE_CHECKING:
    from hsagency.agency import Agency
    from hsagency.onboarding import Judgement, Plan, Result, Row


@click.command(short_help="Connect clients from a list, or one by hand.")
@click.argument("file", required=False)
@click.option("--client", help="Onboard one client under this slug; the token is asked for.")
@click.option("--portal", help="With --client: the portal id to expect.")
@click.option(
    "--type",
    "connection_type",
    help="config_and_audit (everything; what it is unless said), config_only (no records, no "
    "activity), audit_only (reads only); for rows that name none. A client that was removed comes "
    "back as what it was.",
)
@click.option("--dry-run", is_flag=True, help="Judge every row, store nothing.")
@click.option("--replace", is_flag=True, help="Use newer tokens for clients already connected.")
@click.option("--delete", is_flag=True, help="Delete FILE once every row of it is connected.")
@click.option(
    "--trust-first-contact", is_flag=True, help="Take HubSpot's word where no portal id is given."
)
@api_option
@as_json
@shared
def onboard(
    common: Shared,
    *,
    file: str | None,
    client: str | None,
    portal: str | None,
    connection_type: str | None,
    dry_run: bool,
    replace: bool,
    delete: bool,
    trust_first_contact: bool,
    api: str,
    as_json: bool,
) -> None:
    """
    Connect clients from a list (FILE, or - for standard input), or one client by hand.

    The list is a CSV file with the columns clientSlug,portalToken,expectedPortalId. Every row
    is judged before anything is stored; bad rows are named and never stop the good ones. Run
    again, it changes nothing. A list with more new clients than the fleet has free slots connects
    none of the new ones. A client that was removed comes back as a new connection, and its log
    goes on.

    \b
    Examples:
      hsagency onboard - --dry-run < clients.csv
      hsagency onboard clients.csv --delete
      hsagency onboard --client acme-corp --portal 12345678
    """
    from hsagency import onboarding

    _check(file, client, portal, dry_run=dry_run, delete=delete, trusting=trust_first_contact)
    kind = None
    if connection_type is not None:
        kind = parse_choice(ConnectionType, connection_type, what="connection type")
    content = b"" if file is None else _content(file)
    with common.agency() as agency:
        if client is not None:
            asked = _one_row(common, agency, client, portal, kind, replace=replace)
            rows, unusable = [asked], list[onboarding.BadRow]()
        else:
            rows, unusable = onboarding.read_rows(content, connection_type=kind)
        plan = onboarding.plan(
            agency,
            rows,
            unusable=unusable,
            api=api,
            trust_first_contact=trust_first_contact,
            replace_tokens=replace,
            progress=common.progress,
        )
        outcome: Plan | Result = plan
        if not dry_run:
            outcome = onboarding.apply(agency, plan, digest=plan.digest, progress=common.progress)
        _report(common, outcome, as_json=as_json, one=client is not None)
        if file not in (None, "-") and not dry_run:
            _dispose(common, Path(file or ""), content, outcome, delete=delete)
    if outcome.refused or (
        client and isinstance(outcome, onboarding.Result) and not outcome.complete
    ):
        click.get_current_context().exit(1)


def _check(
    file: str | None,
    client: str | None,
    portal: str | None,
    *,
    dry_run: bool,
    delete: bool,
    trusting: bool,
) -> None:
    """Refuse what contradicts itself, before a token is asked for."""
    if (file is None) == (client is None):
        raise UsageError(
            "Name either a FILE (or - for standard input) or one --client. Nothing was done.",
            hint=f"Examples: {program()} onboard --help",
        )
    if portal is not None and client is None:
        raise UsageError("--portal goes with --client. Nothing was done.")
    if client is not None and portal is None and not trusting:
        raise UsageError(
            "The portal id is missing. Nothing was done.",
            hint="Add --portal ID, or take HubSpot's word for it with --trust-first-contact.",
        )
    if delete and dry_run:
        raise UsageError("A dry run deletes nothing: leave out --delete. Nothing was done.")
    if delete and (file in (None, "-") or not _is_plain_file(Path(file or ""))):
        raise UsageError(
            "--delete needs a plain FILE. Nothing was done.",
            hint="What came from elsewhere (a pipe, a link, a prompt) is yours to remove there.",
        )


def _is_plain_file(path: Path) -> bool:
    # One that does not exist is told about when it is read.
    return not path.is_symlink() and (path.is_file() or not path.exists())


def _one_row(
    common: Shared,
    agency: Agency,
    client: str,
    portal: str | None,
    kind: ConnectionType | None,
    *,
    replace: bool,
) -> Row:
    from hsagency.onboarding import Row, check_client
    from hsagency.onboarding.rows import client_slug, client_token

    slug = client_slug(client)
    expected = parse_portal_id(portal) if portal else None
    check_client(agency, slug)  # a token need not be typed in vain
    if not replace and slug in agency.index.read().connections:
        from hsagency.portals import CredentialKind

        over_oauth = agency.connection(slug).kind is CredentialKind.OAUTH
        how, by = (" over OAuth", " --token") if over_oauth else ("", "")
        common.say(
            f"{slug} is connected already{how}; to give it another credential: "
            f"{program()} reconnect {slug}{by}"
        )
    token = client_token(read_token(f"Service key of {slug}").reveal())
    return Row(
        line=1,
        slug=slug,
        token=token,
        expected=expected,
        connection_type=kind or ConnectionType.CONFIG_AND_AUDIT,
        stated=kind is not None,
    )


def _content(file: str) -> bytes:
    from hsagency.onboarding.rows import read_list

    return sys.stdin.buffer.read() if file == "-" else read_list(file)


def _report(common: Shared, outcome: Plan | Result, *, as_json: bool, one: bool) -> None:
    from hsagency.onboarding import Plan

    frame = outcome.frame()
    dry_run = isinstance(outcome, Plan)
    counts = dict(sorted(frame["outcome"].value_counts().iter_rows()))
    if as_json:
        emit({"dryRun": dry_run, "counts": counts, "rows": records(frame)})
        return
    if not one:
        show(frame, ["line", "client_slug", "portal_id", "account_name", "outcome"])
    for row, judged in zip(frame.iter_rows(named=True), outcome.judgements, strict=True):
        where = plain(row["client_slug"] if one else f"line {row['line']}: {row['client_slug']}")
        if row["cause"] and (one or not judged.full):  # a full fleet is told once for them all
            click.echo(plain(f"{where}: {row['cause']}. {row['hint'] or ''}".rstrip()), err=True)
        if row["warnings"]:
            common.say(plain(f"{where}: note: {row['warnings']}."))
        if one:
            name = f" ({row['account_name']})" if row["account_name"] else ""
            portal = f"  portal {row['portal_id']}{name}" if row["portal_id"] else ""
            click.echo(plain(f"{row['outcome']}  {row['client_slug']}{portal}"))
    if summary := _summary(outcome, counts, one=one):
        click.echo(summary)


def _summary(outcome: Plan | Result, counts: Mapping[str, int], *, one: bool) -> str:
    from hsagency.onboarding import Plan

    said = ", ".join(f"{count} {word}" for word, count in counts.items()) or "The list has no rows"
    parts = [] if one else [f"{said}."]
    if isinstance(outcome, Plan):
        parts.append("Nothing was stored (dry run).")
    elif set(counts) == {"unchanged"}:
        parts.append("Nothing changed.")
    if outcome.refused and not one:
        parts += _advice(outcome.refused)
    return " ".join(parts)


def _advice(refused: Sequence[Judgement]) -> list[str]:
    """Say what to do about the refused rows of a list: not all of them need be wrong."""
    full = [f"No new portal was taken: {row.cause}. {row.hint}" for row in refused if row.full]
    room = full[0] if full else None
    rest = [row for row in refused if not row.full]
    if room is None or rest:
        silent = all(row.unanswered for row in rest)
        return [_SILENT if silent else _CORRECT, *([room] if room else [])]
    return [room, "Then run it again: what is connected stays."]


_CORRECT = "Correct the refused rows and run it again: what is connected stays."
_SILENT = (
    "None of the refused rows got an answer, and they may be right: see to that, then try again. "
    "What is connected stays."
)


def _dispose(
    common: Shared, file: Path, content: bytes, outcome: Plan | Result, *, delete: bool
) -> None:
    """Say, or do, what becomes of a file full of tokens."""
    copies = [one for one in _copies(file) if one.is_file()]
    if not delete:
        named = "".join(f" So does {one}." for one in copies)
        common.say(
            f"{file} still holds the tokens in plain text.{named} Delete it, and its copies in mail "
            "and downloads, when you are done (--delete does the first)."
        )
        return
    if not getattr(outcome, "complete", False):
        common.say(
            f"{file} was kept: some of its rows are not connected, and it holds their tokens."
        )
        return
    try:
        if file.read_bytes() != content:
            common.say(f"{file} was kept: it changed while it was read. Run this again.")
            return
        for one in (file, *copies):
            one.unlink()
    except OSError as error:
        raise OnboardingError(
            f"{error.filename} could not be deleted ({error.strerror}), and it holds tokens in "
            "plain text. All of its rows are connected.",
            hint="Delete it yourself.",
        ) from error
    also = "".join(f" So was {one}." for one in copies)
    common.say(
        f"{file} was deleted.{also} That cannot reach copies: mail, downloads, backups, the trash, "
        "or blocks an SSD has not overwritten yet. If one may exist, have the keys rotated."
    )


def _copies(file: Path) -> tuple[Path, ...]:
    """Return where JupyterLab and editors leave a copy of a file beside it."""
    checkpoint = f"{file.stem}-checkpoint{file.suffix}"
    return (
        file.parent / ".ipynb_checkpoints" / checkpoint,
        file.with_name(f"{file.name}~"),
        file.with_name(f".{file.name}.swp"),
    )


COMMANDS = (onboard,)
