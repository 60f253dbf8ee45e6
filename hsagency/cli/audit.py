"""The group of commands about the audit log: tail, activity, import, verify and export."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from hsagency.cli.common import Shared, as_json, emit, emit_line, records, shared, shown_path
from hsagency.cli.tables import plain, show, show_story
from hsagency.errors import AuditError, UsageError
from hsagency.periods import Period, parse_day
from hsagency.portals import ClientSlug
from hsagency.words import counted

if TYPE_CHECKING:
    from hsagency.agency import Agency
    from hsagency.audit.lake import Reading
    from hsagency.audit.pack import Pack


@click.group()
def audit() -> None:
    """
    Read the audit log, check it, hand it out, or take in the logs of other scripts.

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

    With --json, segment and seq say where the record of a call is: hsagency audit show.

    \b
    Examples:
      hsagency audit tail acme-corp -n 50
      hsagency audit tail acme-corp --json | jq .statusCode
    """
    import polars as pl

    from hsagency.audit.lake import CALLS, joined_records
    from hsagency.audit.lake.steady import steadily

    def look() -> tuple[list[Reading], dict[str, AuditError], list[pl.DataFrame]]:
        readings, unread = _read(agency, slug)
        return readings, unread, [one.calls.collect().tail(last) for one in readings]

    with common.agency() as agency:
        readings, unread, each = steadily(look)
        calls = pl.concat([pl.DataFrame(schema=CALLS), *each]).sort("ts", "call_id").tail(last)
        _name(common, agency, slug, as_json=as_json)
    if as_json:
        for record in joined_records(calls, placed=True):
            emit_line(record)
    else:
        whose = [] if slug else ["client_slug", "portal_id"]
        columns = ["ts", *whose, "method", "path", "outcome", "status_code"]
        show(calls, [*columns, "duration_ms", "origin", "purpose", "reason"], spare=5)
    for one in (damage for reading in readings for damage in reading.damage):
        common.say(f"Not readable: {one.client_slug}, {one.file}, line {one.line}: {one.cause}.")
    if calls.is_empty():
        common.say("No calls are recorded.")
    _end(unread)


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
    import polars as pl

    from hsagency.audit.lake import ACTIVITY

    with common.agency() as agency:
        readings, unread = _read(agency, slug)
        each = [one.activity for one in readings]
        frame = pl.concat([pl.DataFrame(schema=ACTIVITY), *each]).sort("ts", maintain_order=True)
        _name(common, agency, slug, as_json=as_json)
    if as_json:
        errors = [{"clientSlug": one, "error": str(why)} for one, why in unread.items()]
        emit({"activity": records(frame), "errors": errors})
    elif frame.height:
        show_story(frame, ["ts", "client_slug", "event", "user", "message"])
    else:
        common.say("Nothing is recorded.")
    _end(unread)


def _read(agency: Agency, slug: str | None) -> tuple[list[Reading], dict[str, AuditError]]:
    """Read one log, or each for itself."""
    return agency.audit.read_each() if slug is None else ([agency.audit.read(slug)], {})


def _end(unread: dict[str, AuditError]) -> None:
    """Name the logs that could not be read, and fail if there are any."""
    for name, error in unread.items():
        click.echo(plain(f"{name}: {error}"), err=True)
    if unread:
        click.get_current_context().exit(1)


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
            click.echo(f"{slug}: {counted(count, 'record')} added")
        added = sum(result.added.values())
        were = "was" if result.known == 1 else "were"
        known = f"{counted(result.known, 'record')} {were} there already."
        click.echo(f"{f'{added:,} added' if added else 'Nothing was added'}; {known}")
        for one in result.malformed:
            click.echo(f"line {one.line} was left out: {one.cause}", err=True)
    if result.malformed:
        click.get_current_context().exit(1)


@audit.command(name="verify", short_help="Say whether the log is as it was written.")
@click.argument("slug", required=False)
@click.option("--from", "first", metavar="DAY", help="First day, UTC, as 2026-10-01.")
@click.option("--to", "last", metavar="DAY", help="Last day, included.")
@click.option(
    "--head", type=click.File("rb"), help="A HEAD.json that was kept, to compare SLUG's log with."
)
@click.option("--require-complete", is_flag=True, help="Exit with 4 for anything but complete.")
@click.option(
    "--require-signed", is_flag=True, help="Exit with 4 for records that no signed head covers."
)
@as_json
@shared
def verify(
    common: Shared,
    *,
    slug: str | None,
    first: str | None,
    last: str | None,
    head: BinaryIO | None,
    require_complete: bool,
    require_signed: bool,
    as_json: bool,
) -> None:
    """
    Say whether the log of one client, or of all, is as it was written.

    Integrity is one of intact, altered, missing, truncated, gap; the first place where it shows
    is named. Needs neither a secret nor a network. With days, segments that were closed before
    or opened after need not be there. Logs that were merged from other machines are judged each
    for itself. A client that is connected and has no log is missing one.

    The keys that signed are shown, and the one that the store holds: compare them with what you
    noted elsewhere. UNSIGNED says how many records no signature covers, but for the last seconds.
    --require-signed fails on those; without it they do not count against the log.

    The lake, which is made from the evidence for queries, is as sealed or changed; no number is
    taken from a changed one. hsagency audit rebuild --compare looks at its rows as well.

    Completeness is told apart: incomplete where records are known to be lost, complete where all
    days with calls are by HubSpot's own count (see hsagency audit completeness), else not
    comparable. For that, days are the portal's. --require-complete says of which days and why.

    Exit code 4 if a log is not intact, 3 if there is none, 1 if one could not be read.

    \b
    Examples:
      hsagency audit verify
      hsagency audit verify acme-corp --from 2026-10-01 --to 2026-10-31 --json
      hsagency audit verify acme-corp --head HEAD.json
    """
    from hsagency.cli.comparing import join

    if head is not None and slug is None:
        raise UsageError(
            "A kept head is one client's, and none is named. Nothing was checked.",
            hint="Name the client: hsagency audit verify SLUG --head HEAD.json",
        )
    since, until = parse_day(first) if first else None, parse_day(last) if last else None
    kept = head.read() if head else None
    after = until + timedelta(days=1) if until and until < date.max else None
    found, unread = [], {}
    with common.agency() as agency:
        keys = agency.audit.keys()
        for one in [slug] if slug else agency.audit.slugs():
            try:
                verdict = agency.audit.verify(one, head=kept, first=since, last=until)
                if not verdict.empty:
                    joined = join(
                        agency, verdict, since=since, until=after, thorough=require_complete
                    )
                    found.append(joined)
            except AuditError as error:  # one log that cannot be read does not hide the others
                unread[one] = str(error)
    if as_json:
        errors = [{"clientSlug": one, "error": message} for one, message in unread.items()]
        emit({"keys": keys, "clients": [one.report() for one in found], "errors": errors})
    else:
        for joined in found:
            click.echo("\n".join(joined.lines(every_day=require_complete)))
    for one, message in unread.items():
        common.say(plain(f"{one}: {message}"))
    if found and keys:
        _show_own(common, keys)
    if not found and not unread:
        common.say("There is no audit log yet.")
    failed = any(
        one.fails(require_complete=require_complete, require_signed=require_signed) for one in found
    )
    click.get_current_context().exit(4 if failed else 1 if unread else 0 if found else 3)


def _show_own(common: Shared, keys: list[dict[str, str | bool | None]]) -> None:
    """Show the key that the store holds; whatever else is listed, it is the one that signs."""
    own = [one for one in keys if one["inStore"]]
    for key in own:
        common.say(f"This workspace signs with the key {key['key']}.")
        common.say(f"  SHA-256 {key['fingerprint']}")
    if not own:
        common.say("The credential store does not say which key is its own.")


@audit.command(short_help="Write one client's evidence pack.")
@click.argument("slug")
@click.option("--from", "first", metavar="DAY", required=True, help="First day, UTC.")
@click.option("--to", "last", metavar="DAY", required=True, help="Last day, included.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), required=True, help="The zip file to make."
)
@as_json
@shared
def export(
    common: Shared, *, slug: str, first: str, last: str, output: Path, as_json: bool
) -> None:
    """
    Write one client's records of a period, with all that is needed to check them, into a zip.

    Its verify.py needs nothing but Python. Segments are included whole, so there may be records
    of days before and after. The export itself is recorded. A file that is there is not replaced.

    What is printed is for the client too, by another channel than the pack: the head to keep, which
    a later log must contain; the fingerprint of the key that signs; and the SHA-256 of verify.py,
    since whoever swaps the pack can swap the verifier in it.

    Exit code 4 if the log is not intact, or holds what is not this client's, which is left out;
    3 if nothing of the period is recorded. The pack is made all the same.

    \b
    Example:
      hsagency audit export acme-corp --from 2026-10-01 --to 2026-10-31 -o acme-2026-10.zip
    """
    period = Period.of(first=first, last=last)
    with common.agency() as agency:
        pack = agency.audit.export(slug, output, period=period)
        _name(common, agency, slug, as_json=as_json)
    integrity = pack.verdict.worst
    if as_json:
        emit(
            {
                "file": str(pack.path),
                "sha256": pack.digest,
                "segments": pack.segments,
                "leftOut": list(pack.left_out),
                "keys": [{"key": key, "fingerprint": one} for key, one in pack.keys.items()],
                "verifier": {"file": "verify.py", "sha256": pack.verifier},
                "head": json.loads(pack.head),
                "log": pack.verdict.report(),
            }
        )
    else:
        click.echo("\n".join(_described(pack, period)))
    nothing = integrity == "intact" and not pack.segments
    click.get_current_context().exit(3 if nothing else 0 if integrity == "intact" else 4)


def _described(pack: Pack, period: Period) -> Iterator[str]:
    """Yield what was exported, and what the client is to be given beside it."""
    count = counted(pack.segments, "segment")
    yield f"{shown_path(pack.path)}: {pack.verdict.slug}, {period}, {count}"
    if not pack.segments:
        yield "Nothing is recorded of this period; the register in the pack shows that."
    yield f"SHA-256 {pack.digest}; the log is {pack.verdict.worst}."
    for one in pack.left_out:
        yield f"Left out, since it does not show that it is this client's: {one}"
    for key, mark in pack.keys.items():
        yield f"Signed with the key {key}"
        yield f"  SHA-256 {mark}"
    if not pack.keys:
        yield "Not signed: whoever has the pack can write it anew."
    yield f"SHA-256 of the verify.py in it: {pack.verifier}"
    yield f"The head for the client to keep (HEAD.json in the pack):\n{pack.head.decode()}"


def _name(common: Shared, agency: Agency, slug: str | None, *, as_json: bool) -> None:
    """Say which portal is shown, where it is one that is connected."""
    connection = agency.connections().get(ClientSlug(slug)) if slug else None
    if connection is not None and not as_json:
        common.say(plain(str(connection.portal)))


COMMANDS = (audit,)
