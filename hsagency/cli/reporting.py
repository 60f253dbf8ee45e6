"""Commands that make reports."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from hsagency.cli.common import Shared, as_json, emit, shared, shown_path
from hsagency.errors import NothingToReport, UsageError
from hsagency.periods import Period

if TYPE_CHECKING:
    from hsagency.agency import Agency
    from hsagency.reports import ReportResult
    from hsagency.reports.making import Kind
    from hsagency.reports.run import Format


@click.command(short_help="Make reports for clients: HTML pages and CSV.")
@click.argument("kind", type=click.Choice(["quota", "compliance"]))
@click.argument("slugs", nargs=-1)
@click.option("--all", "everyone", is_flag=True, help="Every client that has an audit log.")
@click.option("--month", help="A month: 2026-05.")
@click.option("--from", "first", help="The first day, included: 2026-05-01.")
@click.option("--to", "last", help="The last day, included: 2026-05-31.")
@click.option(
    "--format",
    "formats",
    default="html,csv",
    show_default=True,
    help="One or more of html and csv, with a comma.",
)
@click.option("--output", help="One client's report into this FILE (.html or .csv), or - for CSV.")
@as_json
@shared
def report(
    common: Shared,
    *,
    kind: Kind,
    slugs: tuple[str, ...],
    everyone: bool,
    month: str | None,
    first: str | None,
    last: str | None,
    formats: str,
    output: str | None,
    as_json: bool,
) -> None:
    """
    Make reports for clients: one self-contained HTML page each, and CSV for compliance.

    They go to reports/SLUG/PERIOD/ in the workspace; with --all, a CSV over all clients goes
    to reports/_fleet/PERIOD/, for the agency's own eyes. Days are UTC days.

    \b
    Examples:
      hsagency report compliance acme-corp --month 2026-05
      hsagency report quota --all --from 2026-05-01 --to 2026-05-31
      hsagency report compliance acme-corp --month 2026-05 --output -
    """
    if bool(slugs) == everyone:
        raise UsageError("Name clients, or --all.")
    period = Period.of(month=month, first=first, last=last)
    wanted = _formats(formats)
    with common.agency() as agency:
        chosen = agency.audit.recorded() if everyone else list(dict.fromkeys(slugs))
        if not chosen:
            raise NothingToReport(
                "No client has an audit log yet. Nothing was made.",
                hint="Onboard clients, or import a log: hsagency audit import FILE.",
            )
        if output is not None:
            _into(common, agency, kind, chosen, period, output)
            return
        results = _make(agency, common, kind, chosen, period, wanted, everyone=everyone)
        _summarise(agency, results, as_json=as_json)
    _finish(results, everyone=everyone)


def _formats(text: str) -> tuple[Format, ...]:
    formats = [_format(one.strip()) for one in text.split(",") if one.strip()]
    if not formats:
        raise UsageError("A report needs a format. Nothing was made.", hint="--format html,csv")
    return tuple(dict.fromkeys(formats))


def _format(text: str) -> Format:
    if text == "html":
        return "html"
    if text == "csv":
        return "csv"
    raise UsageError(
        f"{text[:20]!r} is not a format of reports. Nothing was made.",
        hint="Use html or csv: --format html,csv, or --output FILE.html.",
    )


def _into(
    common: Shared, agency: Agency, kind: Kind, slugs: list[str], period: Period, output: str
) -> None:
    """Write one client's report where the caller wants it."""
    from hsagency import reports

    if len(slugs) != 1:
        raise UsageError("--output takes the report of one client. Nothing was made.")
    fmt = _format("csv" if output == "-" else Path(output).suffix.lstrip(".").lower())
    content = reports.single(agency, kind, slugs[0], period, fmt)
    if output == "-":
        click.echo(content, nl=False)
    else:
        _write(common, Path(output), content)
    if agency.calls(slugs[0], since=period.since, until=period.until).collect().is_empty():
        raise NothingToReport(f"{slugs[0]} has no records for {period}; the report says so.")


def _write(common: Shared, file: Path, content: bytes) -> None:
    from hsagency.durable import write_private

    if not file.parent.is_dir():
        raise UsageError(f"There is no folder {file.parent}. Nothing was written.")
    write_private(file, content)
    common.say(f"Written: {file}")


def _make(
    agency: Agency,
    common: Shared,
    kind: Kind,
    slugs: list[str],
    period: Period,
    formats: tuple[Format, ...],
    *,
    everyone: bool,
) -> list[ReportResult]:
    from hsagency import reports

    results = reports.report(agency, kind, slugs, period, formats=formats, progress=common.progress)
    if everyone and kind == "compliance" and any(one.status == "ok" for one in results):
        path = reports.fleet_csv(agency, period)
        common.say(f"Over all clients, for the agency's own eyes: {path}")
    return results


def _summarise(agency: Agency, results: list[ReportResult], *, as_json: bool) -> None:
    if as_json:
        rows = [
            {
                "clientSlug": one.slug,
                "status": one.status,
                "files": [str(file) for file in one.files],
                "error": one.error or None,
            }
            for one in results
        ]
        emit({"reports": rows})
        return
    for one in results:
        for file in one.files:
            note = (
                "  (no records in this period; the page says so)" if one.status == "empty" else ""
            )
            click.echo(f"{shown_path(file)}{note}")
        if one.error:
            click.echo(f"{one.slug}: {one.error}", err=True)


def _finish(results: list[ReportResult], *, everyone: bool) -> None:
    if any(one.status == "failed" for one in results):
        click.get_current_context().exit(1)
    empty = [one for one in results if one.status == "empty"]
    if not results or len(empty) == len(results) or (empty and not everyone):
        click.get_current_context().exit(3)


COMMANDS = (report,)
