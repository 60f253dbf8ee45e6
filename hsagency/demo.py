"""
The whole main job against the sandbox, in a minute and on this machine only.

Real: onboarding, two thousand calls over a socket, the audit log, the reports. Simulated, and
labelled so on every chart: sixty days of history, because nobody waits sixty days.
"""

from __future__ import annotations

import html
import math
import random
import shlex
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import count, islice
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import polars as pl

from hsagency import onboarding, reports
from hsagency.agency import Agency
from hsagency.audit.record import Event, Origin, outcome_of, timestamp
from hsagency.client import PortalClient
from hsagency.data import table
from hsagency.durable import make_private_dir, write_private
from hsagency.errors import HsAgencyError, UsageError, WorkspaceError
from hsagency.periods import Period
from hsagency.portals import Connection, PortalId
from hsagency.progress import Progress, silent
from hsagency.routes import touched
from hsagency.sandbox import (
    History,
    PastCall,
    Portal,
    Sandbox,
    Story,
    bad_rows,
    serve,
    write_clients_csv,
)

SEED: Final = 7
DAYS: Final = 60
CALLS: Final = 2000
_MARK: Final = ".hsagency-demo"
_HEADROOM: Final = 0.96  # of a burst limit that the calls of ten seconds may use
_QUIETEST: Final = 0.35  # of the calls of the busiest client, made for the quietest

Say = Callable[[str], object]


@dataclass(frozen=True, slots=True)
class Demo:
    """Where a demo left its outputs."""

    index: Path
    workspace: Path
    period: Period
    sandbox: str
    """The options of `hsagency sandbox` that answer for its clients again."""


def run_demo(
    folder: Path,
    *,
    portals: int = 12,
    say: Say = print,
    progress: Progress = silent,
    today: date | None = None,
) -> Demo:
    """
    Run the demo in `folder`; an earlier demo there is made anew, anything else is refused.

    Raises `WorkspaceError` if the folder holds something else, and what its parts raise.
    """
    if not 1 <= portals <= 100:
        raise UsageError("A demo has 1 to 100 portals; nothing was made.")
    root = _clear(folder.expanduser().absolute())
    last = today or datetime.now(UTC).date()
    period = Period(last - timedelta(days=DAYS - 1), last)
    sandbox = Sandbox(portals=portals, seed=SEED)
    say("This takes about half a minute.")
    say(f"A sandbox with {portals} portals starts on this machine; nothing leaves it.")
    with (
        serve(sandbox) as server,
        Agency.create(root / "workspace", store=_store(root), name="Example Agency") as agency,
    ):
        say(f"Secrets are kept in: {agency.store.describe()}")
        write_clients_csv(sandbox, root / "clients.csv", bad_rows=bad_rows(sandbox))
        _onboard(agency, root / "clients.csv", api=server.url, say=say, progress=progress)
        past = Period(period.first, last - timedelta(days=1))  # today is real
        history = write_history(agency, sandbox.portals, past, progress=progress)
        for portal in sandbox.portals:
            used = history.others(portal.portal_id)
            sandbox.others(portal.portal_id, calls_per_day=used, shape="flat")
        _drive(agency, progress=progress)
        results = _report(agency, period, progress=progress)
        names = {str(slug): str(one.portal) for slug, one in agency.connections().items()}
        port = server.url.rpartition(":")[2]
    say("The sandbox is stopped.")
    whose = {portal.portal_id: portal.name for portal in sandbox.portals}
    again = f"--seed {SEED} --portals {portals} --port {port}"
    told = _told(history.stories, whose)
    index = _index(root, results, period, names=names, stories=told, again=again)
    return Demo(
        index=index,
        workspace=agency.workspace.root,
        period=period,
        sandbox=again,
    )


def _store(root: Path) -> str:
    """Keep the key to the sandbox's tokens inside the demo, so that nothing is left elsewhere."""
    return f"age:credentials?identity={quote(str(root / 'identity.txt'))}"


def _clear(root: Path) -> Path:
    """Make the folder, without an earlier demo; anybody else's files are not touched."""
    if root.exists() and any(root.iterdir()) and not (root / _MARK).is_file():
        raise WorkspaceError(
            f"{root} holds something that is not a demo; nothing was changed.",
            hint="Choose another folder with --dir.",
        )
    make_private_dir(root)
    for old in root.iterdir():
        if old.name == _MARK:
            continue
        if old.is_dir() and not old.is_symlink():
            shutil.rmtree(old)
        else:
            old.unlink()
    write_private(root / _MARK, b"Made by hsagency demo; the next demo here replaces it.\n")
    return root


def _onboard(agency: Agency, clients: Path, *, api: str, say: Say, progress: Progress) -> None:
    plan = onboarding.plan_file(agency, clients.read_bytes(), api=api, progress=progress)
    result = onboarding.apply(agency, plan, digest=plan.digest, progress=progress)
    say(f"Onboarded {len(result.onboarded)} clients; {len(result.refused)} rows were refused:")
    for row in result.refused:
        say(f"  line {row.line}: {row.slug}: {row.cause}. {row.hint}")


def _drive(agency: Agency, *, progress: Progress) -> None:
    """
    Make real calls, every portal at once.

    What is too much for one burst of a portal waits its turn, as calls always do.
    """
    rooms = {
        str(slug): int(_HEADROOM * _by_tier(one)["burst"])
        for slug, one in agency.connections().items()
    }
    shares = _shares(rooms)
    with progress("calling", sum(shares.values())) as step:

        def work(client: PortalClient) -> None:
            share = shares[client.portal.client_slug]
            for method, url, options in islice(_requests(client.portal.client_slug), share):
                client.request(method, url, **options)
                step(1)

        rows = agency.map(work, purpose="demo", progress=silent)
    failed = rows.filter(pl.col("outcome") != "done")
    if failed.height:
        slug, message = failed.select("client_slug", "message").row(0)
        raise HsAgencyError(f"The demo's calls for {slug} failed. {message}")


def _shares(rooms: Mapping[str, int]) -> dict[str, int]:
    """Spread the calls as unevenly as an agency's days are; a small fleet makes fewer."""
    chance = random.Random(SEED)  # noqa: S311  (a demo, not a secret)
    weights = {slug: chance.uniform(_QUIETEST, 1) for slug in sorted(rooms)}
    if sum(rooms.values()) >= CALLS:
        most: dict[str, float] = {slug: 2 * room for slug, room in rooms.items()}
    else:
        most = {slug: weights[slug] * room for slug, room in rooms.items()}
    shares: dict[str, int] = {}
    left, whole = CALLS, sum(weights.values())
    # Whoever gets less than its weight comes first, so that the others make up for it.
    for slug in sorted(rooms, key=lambda slug: most[slug] / weights[slug]):
        shares[slug] = min(left, round(most[slug]), math.ceil(left * weights[slug] / whole))
        left -= shares[slug]
        whole -= weights[slug]
    return shares


def _requests(slug: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield what an analyst does, without end: mostly lists and reads, now and then a change."""
    chance = random.Random(f"{SEED} {slug}")  # noqa: S311  (a demo, not a secret)
    for number in count():
        kind = chance.random()
        if kind < 0.55:
            what = chance.choice(("contacts", "contacts", "companies", "deals"))
            url = f"/crm/objects/2026-09/{what}"
            yield "GET", url, {"params": {"limit": chance.choice((10, 25))}}
        elif kind < 0.85:
            record = chance.choice((101, 151, 201))
            yield "GET", f"/crm/v3/objects/contacts/{record}", {}
        elif kind < 0.95:
            yield "GET", "/account-info/2026-09/details", {}
        else:
            properties = {"email": f"demo-{slug}-{number}@example.com"}
            yield "POST", "/crm/v3/objects/contacts", {"json": {"properties": properties}}


def write_history(
    agency: Agency,
    portals: Iterable[Portal],
    period: Period,
    *,
    progress: Progress = silent,
) -> History:
    """
    Write a period's invented calls into the logs of connected portals; return what they tell.

    Every record is of origin `simulated`, which charts and reports say. Portals of a sandbox
    that are not connected are left out. Writing the same period twice adds records but no
    calls: each is known by its id.
    """
    connected = {one.portal_id: slug for slug, one in agency.connections().items()}
    fleet = [portal for portal in portals if portal.portal_id in connected]
    history = History(fleet, first=period.first, last=period.last, seed=SEED)
    with progress("history", len(fleet)) as step:
        for portal in fleet:
            slug = connected[PortalId(portal.portal_id)]
            for number, call in enumerate(history.of(portal.portal_id)):
                agency.writer.append(slug, _record(call, number), durable=False)
            step(1)
    agency.writer.flush()
    return history


def _record(call: PastCall, number: int) -> dict[str, object]:
    """Return a call that never happened as the log has calls that were seen from outside."""
    touching = touched(call.method, call.path)
    return {
        "event": Event.FINISHED,
        "callId": f"{SEED:04x}{call.portal_id:012x}{int(call.at.timestamp()):010x}{number:06x}",
        "attempt": call.attempt,
        "ts": timestamp(call.at),
        "portalId": call.portal_id,
        "method": call.method,
        "path": touching.template,
        "operationClass": touching.operation_class,
        "objectType": touching.object_type,
        "objectId": touching.object_id,
        "statusCode": call.status,
        "outcome": outcome_of(call.status),
        "error": "ReadTimeout" if call.status is None else None,
        "durationMs": call.duration_ms,
        "policyName": call.policy,
        "rateLimitDaily": call.daily,
        "rateLimitRemaining": call.remaining,
        "purpose": call.purpose,
        "origin": Origin.SIMULATED,
    }


def _by_tier(connection: Connection) -> Mapping[str, Any]:
    """Return the limits of a portal's tier; the lowest where it is not known."""
    tiers: list[dict[str, Any]] = table("limits")["tier"]
    fact = connection.facts.get("tier")
    return next((one for one in tiers if fact and one["name"] == fact.value), tiers[0])


def _report(
    agency: Agency, period: Period, *, progress: Progress
) -> list[tuple[str, reports.ReportResult]]:
    slugs = list(agency.slugs())
    made = [
        (kind, one)
        for kind in ("quota", "compliance")
        for one in reports.report(agency, kind, slugs, period, progress=progress)
    ]
    reports.fleet_csv(agency, period)
    return made


def _told(stories: Iterable[Story], whose: Mapping[int, str]) -> list[tuple[date, str, str]]:
    """Return when each story begins, to whom it happens, and what."""
    return [
        (
            story.starts.date(),
            ", ".join(sorted(whose[one] for one in story.portal_ids))
            if len(story.portal_ids) < len(whose)
            else "every client",
            story.text,
        )
        for story in stories
    ]


def _index(
    root: Path,
    results: list[tuple[str, reports.ReportResult]],
    period: Period,
    *,
    names: Mapping[str, str],
    stories: Iterable[tuple[date, str, str]],
    again: str,
) -> Path:
    """Write a page that links every output, and tells what the simulated days hold."""
    rows = []
    for slug, name in names.items():
        mine = [one for _, one in results if one.slug == slug]
        links = [
            f'<a href="{html.escape(str(file.relative_to(root)))}">{_TITLES[file.name]}</a>'
            for one in mine
            for file in one.files
        ]
        failed = [html.escape(one.error) for one in mine if one.error]
        cells = " · ".join([*links, *failed])
        rows.append(f"<tr><th>{html.escape(name)}</th><td>{cells}</td></tr>")
    told = [
        f"<tr><td>{day}</td><th>{html.escape(who)}</th><td>{html.escape(text)}</td></tr>"
        for day, who, text in stories
    ]
    fleet = f"workspace/reports/_fleet/{period.label}/compliance.csv"
    page = _PAGE.format(
        period=html.escape(str(period)),
        rows="\n".join(rows),
        stories="\n".join(told),
        fleet=fleet,
        again=html.escape(again),
    )
    write_private(root / "index.html", page.encode())
    return root / "index.html"


_TITLES: Final = {
    "quota.html": "quota",
    "compliance.html": "compliance",
    "compliance.csv": "compliance, as CSV",
}
_PAGE: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>hsagency demo</title>
<meta name="viewport" content="width=device-width">
<style>
:root {{ color-scheme: light dark }}
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 58rem; margin: 2rem auto; padding: 0 1rem }}
table {{ border-collapse: collapse; width: 100% }}
th, td {{ text-align: left; padding: .35rem .6rem; border-bottom: 1px solid #8884 }}
th {{ font-weight: 600 }}
.note {{ opacity: .75 }}
</style></head><body>
<h1>hsagency demo</h1>
<p>{period}. Reports of every client, made from its own audit log.</p>
<p class="note">The clients are invented and HubSpot was simulated on this machine. The history
before the last day is simulated too, and every chart says so.</p>
<table>
{rows}
</table>
<p>For the agency's own eyes, over all clients: <a href="{fleet}">compliance.csv</a></p>
<p>The sandbox is stopped. To call these clients, start it again:
<code>hsagency sandbox {again}</code></p>
<h2>What happened (simulated)</h2>
<p class="note">Nothing of this was real; look for it in the reports of these days. Times are UTC.</p>
<table>
{stories}
</table>
</body></html>
"""


def things_to_try(demo: Demo) -> tuple[str, ...]:
    """Return three commands that work on what the demo left behind."""
    first = Agency.open(demo.workspace).slugs()[0]
    where = f"--workspace {shlex.quote(str(demo.workspace))}"
    return (
        f"portals {where}",
        f"audit tail {first} {where}",
        f"report compliance {first} --month {demo.period.last:%Y-%m} {where}",
    )
