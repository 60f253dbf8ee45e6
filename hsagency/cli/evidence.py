"""Commands about the lake: sealing what is closed, and making the lake anew."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from hsagency.cli.audit import audit
from hsagency.cli.common import Shared, as_json, emit, shared
from hsagency.cli.tables import plain
from hsagency.errors import HsAgencyError
from hsagency.words import counted

if TYPE_CHECKING:
    from hsagency.audit.lake.rebuilding import Comparison
    from hsagency.audit.lake.sealing import Sealed


@audit.command(short_help="Compress closed segments, and make them quick to query.")
@click.argument("slug", required=False)
@as_json
@shared
def seal(common: Shared, *, slug: str | None, as_json: bool) -> None:
    """
    Seal what is closed of the log of one client, or of all: as evidence, and for queries.

    Closed segments are compressed, byte for byte, and their calls become rows of Parquet files
    in audit/lake. Reports and queries do this by themselves when they need it. What a program
    still writes stays in the journal.

    Exit code 1 if something closed could not be sealed; it is read where it is.

    \b
    Examples:
      hsagency audit seal
      hsagency audit seal acme-corp --json
    """
    from hsagency.audit.journal.writer import LIMIT

    done: list[Sealed] = []
    failed: dict[str, HsAgencyError] = {}
    with common.agency() as agency:
        for one in [slug] if slug else agency.audit.slugs():
            try:
                done.append(agency.audit.seal(one, progress=common.progress))
            except HsAgencyError as error:  # one log that cannot be sealed does not stop the others
                failed[one] = error
    if as_json:
        emit({"clients": [_sealed(one) for one in done], "errors": _errors(failed)})
    else:
        for sealed in done:
            click.echo(_in_words(sealed))
        if not done and not failed:
            common.say("There is no audit log yet.")
        elif done and not any(sealed.segments or sealed.left for sealed in done):
            common.say(
                f"A segment can be sealed once it is closed: at {LIMIT >> 20} MB, or with the "
                "first record after midnight UTC."
            )
    for sealed in done:
        for words in sealed.words():
            click.echo(plain(words), err=True)
    _end(failed, 1 if any(one.left for one in done) else 0)


@audit.command(short_help="Show one record, as it was written.")
@click.argument("slug")
@click.argument("segment")
@click.argument("seq", type=click.IntRange(min=1))
@as_json
@shared
def show(common: Shared, *, slug: str, segment: str, seq: int, as_json: bool) -> None:
    """
    Show line SEQ of a segment, byte for byte: the record that a number leads back to.

    Rows of calls, and hsagency audit tail --json, name both. A call's end and details are
    records of their own, with the same callId. Reading it is recorded.

    \b
    Example:
      hsagency audit show acme-corp 000-000001 2
    """
    with common.agency() as agency:
        found = agency.audit.record(slug, segment, seq)
    if as_json:
        emit({"clientSlug": slug, "segment": segment, "seq": seq, "record": found.record})
    else:
        click.echo(found.raw, nl=False)


@audit.command(short_help="Make the lake anew from the evidence, or compare them.")
@click.argument("slug", required=False)
@click.option("--compare", is_flag=True, help="Only compare; nothing is changed.")
@as_json
@shared
def rebuild(common: Shared, *, slug: str | None, compare: bool, as_json: bool) -> None:
    """
    Make the lake of one client, or of all, anew from the evidence, and say what was different.

    The lake is what queries read; the evidence is what was recorded. They differ if somebody
    changed, removed or added to the files in audit/lake. Whether the evidence itself is as it
    was written is for hsagency audit verify to say.

    Exit code 4 with --compare if they differ, 1 if a log could not be compared.

    \b
    Examples:
      hsagency audit rebuild --compare
      hsagency audit rebuild acme-corp
    """
    done: list[Comparison] = []
    failed: dict[str, HsAgencyError] = {}
    with common.agency() as agency:
        slugs = [slug] if slug else sorted({*agency.audit.slugs(), *agency.audit.lakes()})
        with common.progress("rebuilding", len(slugs)) as step:
            for one in slugs:
                try:
                    done.append(agency.audit.rebuild(one, compare=compare))
                except HsAgencyError as error:
                    failed[one] = error
                step(1)
    if as_json:
        emit({"clients": [_compared(one) for one in done], "errors": _errors(failed)})
    else:
        for comparison in done:
            click.echo(plain(f"{comparison.client_slug}: {_result(comparison)}"))
            for difference in comparison.differences:
                click.echo(plain(f"  {difference.place}: {difference.cause}"))
        if not done and not failed:
            common.say("There is no audit log yet.")
    _end(failed, 4 if compare and any(one.differences for one in done) else 0)


def _end(failed: dict[str, HsAgencyError], code: int) -> None:
    for name, error in failed.items():
        click.echo(plain(f"{name}: {error}"), err=True)
    click.get_current_context().exit(code or (1 if failed else 0))


def _errors(failed: dict[str, HsAgencyError]) -> list[dict[str, str]]:
    return [{"clientSlug": name, "error": str(error)} for name, error in failed.items()]


def _sealed(one: Sealed) -> dict[str, Any]:
    return {
        "clientSlug": one.client_slug,
        "segments": one.segments,
        "calls": one.calls,
        "journalBytes": one.journal,
        "evidenceBytes": one.evidence,
        "lakeBytes": one.lake,
        "left": one.left,
        "rebuilt": one.rebuilt or None,
        "gone": one.gone,
    }


def _in_words(one: Sealed) -> str:
    if not one.segments:
        return f"{one.client_slug}: nothing to seal"
    return (
        f"{one.client_slug}: {counted(one.segments, 'segment')} with {counted(one.calls, 'call')} "
        f"sealed (journal {_size(one.journal)}, evidence {_size(one.evidence)}, "
        f"lake {_size(one.lake)})"
    )


def _compared(one: Comparison) -> dict[str, Any]:
    return {
        "clientSlug": one.client_slug,
        "segments": one.segments,
        "calls": one.calls,
        "rebuilt": one.rebuilt,
        "differences": [{"place": each.place, "cause": each.cause} for each in one.differences],
    }


def _result(one: Comparison) -> str:
    if not one.segments and not one.differences:
        return "nothing is sealed"
    said = "as the evidence has it" if not one.differences else "not as the evidence has it"
    made = ", made anew" if one.rebuilt else ""
    return f"{said}{made} ({counted(one.segments, 'segment')}, {counted(one.calls, 'call')})"


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 100_000 else f"{count / 1e3:.1f} kB"


COMMANDS = (audit,)
