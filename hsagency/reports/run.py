"""
Reports of many clients: what is asked for, made a few at a time, written whole or not at all.

Each client's report is made in a process of its own; one that fails is a failed result and
never stops the others. Only this module writes under `reports/`, each file at once, after
all of a client's files are ready.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import orjson

from hsagency.agency import Agency
from hsagency.durable import make_private_dir, write_private
from hsagency.errors import ReportError, UsageError
from hsagency.periods import Period
from hsagency.portals import parse_slug
from hsagency.progress import Progress, silent
from hsagency.reports.leaks import one_line
from hsagency.reports.making import BODY, CSV, RESULT, Kind, known_portals
from hsagency.reports.notebook import Engine
from hsagency.reports.page import Heading, page
from hsagency.reports.pool import Workers

Format: TypeAlias = Literal["html", "csv"]
Status: TypeAlias = Literal["ok", "empty", "failed"]

TITLES: Final[Mapping[Kind, str]] = {"quota": "Quota report", "compliance": "Compliance report"}
PROCESSES: Final = 2
TIMEOUT: Final = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportResult:
    """
    What became of one client's report.

    `empty` says that no record was found: the files say so too. `failed` left whatever was
    there before as it was, and `error` says why, in one line that a terminal can show.
    """

    slug: str
    kind: Kind
    status: Status
    files: tuple[Path, ...] = ()
    error: str = ""


def report(
    agency: Agency,
    kind: Kind,
    slugs: Iterable[str],
    period: Period,
    *,
    formats: Sequence[Format] = ("html", "csv"),
    progress: Progress = silent,
    processes: int | None = None,
    timeout: float = TIMEOUT,
    engine: Engine = "warm",
) -> list[ReportResult]:
    """
    Make a report for each client, under `reports/<slug>/<period>/`.

    A quota report is a page; a compliance report a page and `compliance.csv`. Results come
    in the order of the slugs. `timeout` is in seconds, for one report.

    Raises `BadSlug` and `UsageError` before anything starts, for a slug that is none or a
    format the report does not have; `AuditError`, `CorruptFile` or `NewerSchema` if the audit
    log or the index cannot be read. Whatever goes wrong with one client is a failed result:
    an unknown slug, a notebook that fails, a page that would tell too much, a full disk.
    """
    wanted = list(dict.fromkeys(parse_slug(slug) for slug in slugs))
    chosen = _formats(kind, formats)
    common = {"timeout": timeout, "engine": engine, "portals": known_portals(agency)}
    done: dict[str, ReportResult] = {}
    with (
        tempfile.TemporaryDirectory(prefix="hsagency-") as scratch,
        progress(f"{kind} reports", len(wanted)) as step,
        _makers(min(processes or PROCESSES, len(wanted))) as (workers, pool),
    ):
        making = {}
        for number, slug in enumerate(wanted):
            task = _task(agency, kind, slug, period, scratch=Path(scratch) / str(number))
            task |= common
            making[pool.submit(workers.run, task)] = (slug, task)
        for ready in as_completed(making):
            slug, task = making[ready]
            made = _result(task, ready.result())
            done[slug] = _saved(agency, kind, slug, period, made, task=task, formats=chosen)
            step(1)
    return [done[slug] for slug in wanted]


def single(agency: Agency, kind: Kind, slug: str, period: Period, fmt: Format = "html") -> bytes:
    """
    Make one client's report and return the document; nothing is written under `reports/`.

    Where there is no record the document says so. Raises as `report` does, and `ReportError`
    if the document cannot be made.
    """
    client = parse_slug(slug)
    _formats(kind, [fmt])
    with tempfile.TemporaryDirectory(prefix="hsagency-") as scratch, Workers(1) as workers:
        task = _task(agency, kind, client, period, scratch=Path(scratch) / "0")
        task |= {"timeout": TIMEOUT, "engine": "warm", "portals": known_portals(agency)}
        made = _result(task, workers.run(task))
        if made["status"] == "failed":
            raise ReportError(f"No report was made for {slug}: {made['error']}", hint="")
        return _document(agency, kind, period, made, task=task, fmt=fmt)


@contextmanager
def _makers(count: int) -> Iterator[tuple[Workers, ThreadPoolExecutor]]:
    """Stop the processes first, if something goes wrong: the threads wait for them."""
    pool = ThreadPoolExecutor(max(1, count))
    try:
        with Workers(count) as workers:
            yield workers, pool
    finally:
        pool.shutdown(cancel_futures=True)


def _task(
    agency: Agency, kind: Kind, slug: str, period: Period, *, scratch: Path
) -> dict[str, Any]:
    scratch.mkdir(mode=0o700)
    return {
        "workspace": str(agency.workspace.root),
        "scratch": str(scratch),
        "kind": kind,
        "client": slug,
        "first": period.first.isoformat(),
        "last": period.last.isoformat(),
    }


def _result(task: Mapping[str, Any], ended: str) -> dict[str, Any]:
    """Read what the process left, unless it did not come to its end."""
    path = Path(task["scratch"]) / RESULT
    if ended or not path.exists():
        return {"status": "failed", "error": f"The report was not made: {ended or 'no result'}."}
    result: dict[str, Any] = orjson.loads(path.read_bytes())
    return {**result, "error": one_line(result.get("error", ""))}


def _saved(
    agency: Agency,
    kind: Kind,
    slug: str,
    period: Period,
    made: Mapping[str, Any],
    *,
    task: Mapping[str, Any],
    formats: Sequence[Format],
) -> ReportResult:
    if made["status"] == "failed":
        return ReportResult(slug=slug, kind=kind, status="failed", error=made["error"])
    documents = {
        _name(kind, one): _document(agency, kind, period, made, task=task, fmt=one)
        for one in formats
    }
    folder = agency.workspace.reports / slug / period.label
    try:
        make_private_dir(folder)
        for name, document in documents.items():
            write_private(folder / name, document)
    except OSError as error:
        message = f"The report could not be written to {folder} ({error.strerror})."
        return ReportResult(slug=slug, kind=kind, status="failed", error=message)
    files = tuple(folder / name for name in documents)
    return ReportResult(slug=slug, kind=kind, status=made["status"], files=files)


def _document(
    agency: Agency,
    kind: Kind,
    period: Period,
    made: Mapping[str, Any],
    *,
    task: Mapping[str, Any],
    fmt: Format,
) -> bytes:
    scratch = Path(task["scratch"])
    if fmt == "csv":
        return (scratch / CSV).read_bytes()
    heading = Heading(
        title=TITLES[kind],
        client=made["portal"],
        period=str(period),
        agency=agency.workspace.settings.agency.name,
        made_at=datetime.now(UTC),
    )
    return page(heading, (scratch / BODY).read_text("utf-8")).encode()


def _name(kind: Kind, fmt: Format) -> str:
    return CSV if fmt == "csv" else f"{kind}.html"


def _formats(kind: Kind, formats: Iterable[Format]) -> list[Format]:
    """A quota report has no CSV: asked for alone it is a mistake, beside a page it is not."""
    chosen: list[Format] = [one for one in formats if kind == "compliance" or one == "html"]
    if not chosen or set(chosen) - {"html", "csv"}:
        raise UsageError(
            f"A {kind} report cannot be made as {', '.join(formats) or 'nothing'}.",
            hint="Quota reports are html; compliance reports are html, csv or both.",
        )
    return chosen
