"""
Making one report of one client, in a process of its own.

What comes out is put into a scratch folder for the parent, who alone writes under `reports/`:
the content of the page, the CSV, and a result that says what happened. Nothing is put there
before it was searched for secrets and for other clients.
"""

from __future__ import annotations

import csv
import html
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import orjson
import polars as pl

from hsagency.agency import Agency
from hsagency.audit.lake.steady import steadily
from hsagency.audit.record import Origin, Outcome
from hsagency.compliance import COLUMNS, REASONS, summary, to_csv
from hsagency.durable import write_private
from hsagency.errors import HsAgencyError, ReportError
from hsagency.reports.leaks import leaks, redacted, words
from hsagency.reports.notebook import Engine, cleaned, run_notebook
from hsagency.reports.page import body_of
from hsagency.reports.selection import Selection, choose, named
from hsagency.reports.tables import table
from hsagency.routes import OperationClass, object_types
from hsagency.settings import HOME, Workspace, shipped

Kind: TypeAlias = Literal["quota", "compliance"]

NOTEBOOKS: Final[Mapping[Kind, str]] = {
    "quota": "03-quota.ipynb",
    "compliance": "04-compliance.ipynb",
}
RESULT: Final = "result.json"
BODY: Final = "body.html"
CSV: Final = "compliance.csv"
_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_POLICIES: Final = ("DAILY", "SECONDLY", "TEN_SECONDLY_ROLLING")
# What the charts and tables of hsagency itself say, as far as the shipped notebooks do not.
_OWN: Final = (
    "all at audit basis be before busiest could date datum every false file happened here "
    "history holds index its judge key known label largest lines looked malformed midnight most "
    "never nothing only operation origin out outcome own parity proof quota rank reason "
    "record report requested resets sent sha-256 show square status stored they true use "
    "utcyearmonthdate which whole whose x jan feb mar apr may jun jul aug sep oct nov dec "
    "object_type status_class 1xx 2xx 3xx 4xx 5xx"
)


def make(task: Mapping[str, Any], *, engine: Engine) -> None:
    """Make what a task asks for and leave the result in its scratch folder."""
    scratch = Path(task["scratch"])
    try:
        result = _made(task, scratch=scratch, engine=engine)
    except HsAgencyError as error:
        result = {"status": "failed", "error": redacted(str(error))}
    except Exception as error:  # noqa: BLE001 - one failing notebook never stops the others
        result = {"status": "failed", "error": redacted(f"{type(error).__name__}: {error}")}
    write_private(scratch / RESULT, orjson.dumps(result))


def _made(task: Mapping[str, Any], *, scratch: Path, engine: Engine) -> dict[str, Any]:
    root = Path(task["workspace"])
    os.environ[HOME] = str(root)  # this process is the notebook's own
    with Agency.open(root) as agency:
        notebook = find_notebook(agency.workspace, task["kind"])
        days = {"first": task["first"], "last": task["last"]}
        found = steadily(lambda: choose(agency, client=task["client"], **days))
    counted = summary(found.calls)
    empty = not found.calls.select(pl.len()).collect().item()
    if empty:
        body = _nothing_found(found)
    else:
        parameters = {"client": task["client"], **days}
        ran = run_notebook(notebook, parameters, cwd=root, engine=engine)
        body = body_of(cleaned(ran))
    # What the shipped notebook says is no leak; what somebody wrote into their own may be.
    usual = shipped("notebooks") / NOTEBOOKS[task["kind"]]
    harmless = words_of_notebook(usual) | vocabulary() | words(found.portal)
    others = _others(task["portals"], found)
    text = to_csv(counted)
    _refuse_leaks(body, text, others=others, harmless=harmless, root=root)
    write_private(scratch / BODY, body.encode())
    write_private(scratch / CSV, text.encode())
    portal = named(found.client_slug, found.account_name, found.portal_ids)
    return {"status": "empty" if empty else "ok", "portal": portal}


def find_notebook(workspace: Workspace, kind: Kind) -> Path:
    """Return the workspace's own notebook for a report, else the one that is shipped."""
    own = workspace.notebooks / NOTEBOOKS[kind]
    return own if own.exists() else shipped("notebooks") / NOTEBOOKS[kind]


def known_portals(agency: Agency) -> dict[str, list[int]]:
    """Return the portal ids of every client that the workspace knows, connected or recorded."""
    known = {str(slug): [int(one.portal_id)] for slug, one in agency.connections().items()}
    for slug in agency.audit.recorded():
        if slug not in known:
            ids = agency.calls(slug).select(pl.col("portal_id").drop_nulls().unique().sort())
            known[slug] = ids.collect()["portal_id"].to_list()
    return known


def _others(portals: Mapping[str, list[int]], found: Selection) -> dict[str, set[int]]:
    return {
        slug: set(ids) - set(found.portal_ids)
        for slug, ids in portals.items()
        if slug != found.client_slug
    }


def words_of_notebook(path: Path) -> set[str]:
    """Return the words of a notebook, and its headings as a page names them in links."""
    text = path.read_text("utf-8")
    return words(text) | words(text.replace(" ", "-"))


def vocabulary() -> set[str]:
    """
    Return the words that a report uses whoever it is about.

    What a record holds is no excuse for anything: an imported one may name anybody.
    """
    fixed = (*_METHODS, *_POLICIES, *Outcome, *Origin, *OperationClass, *REASONS)
    return words(" ".join([*fixed, *object_types(), *COLUMNS.values(), _OWN]))


def _refuse_leaks(
    body: str, text: str, *, others: Mapping[str, set[int]], harmless: set[str], root: Path
) -> None:
    cells = "\n".join(cell for row in csv.reader(text.splitlines()) for cell in row)
    found = leaks(body, others=others, harmless=harmless)
    found += leaks(html.escape(cells), others=others, harmless=harmless)
    if str(root) in body or str(Path.home()) in body:
        found.append("a folder of this machine")
    if found:
        raise ReportError(
            f"The report was not saved, because it holds {', '.join(dict.fromkeys(found))}.",
            hint="Find the cell of the notebook that shows it.",
        )


def _nothing_found(found: Selection) -> str:
    rested_on = table(found.evidence().frame(), names={"what": "What", "value": "Found"})
    return (
        '<p class="notice"><strong>Nothing to report.</strong> '
        f"The audit log holds no record of {html.escape(found.portal)} "
        f"from {found.period}. That is no proof that nothing happened: only that nothing was "
        "recorded here.</p>\n"
        f"<h2>What was looked at</h2>\n{rested_on._repr_html_()}"
    )
