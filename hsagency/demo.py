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
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from hsagency import onboarding, reports
from hsagency.agency import Agency
from hsagency.audit.record import Event, Origin, Outcome, outcome_of, timestamp
from hsagency.data import table
from hsagency.durable import make_private_dir, write_private
from hsagency.errors import UsageError, WorkspaceError
from hsagency.periods import Period
from hsagency.portals import Connection
from hsagency.progress import Progress, silent
from hsagency.routes import touched
from hsagency.sandbox import Sandbox, bad_rows, serve, write_clients_csv

SEED: Final = 7
DAYS: Final = 60
CALLS: Final = 2000
_MARK: Final = ".hsagency-demo"
_HEADROOM: Final = 0.96  # of a burst limit that all calls of the demo together may use

Say = Callable[[str], object]


@dataclass(frozen=True, slots=True)
class Demo:
    """Where a demo left its outputs."""

    index: Path
    workspace: Path
    period: Period


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
        _history(agency, period, progress=progress)
        _drive(agency, progress=progress)
        results = _report(agency, period, progress=progress)
        names = {str(slug): str(one.portal) for slug, one in agency.connections().items()}
    say("The sandbox is stopped.")
    index = _index(root, results, period, names)
    return Demo(index=index, workspace=agency.workspace.root, period=period)


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
    """Make real calls, portal beside portal, each well below its own burst limit."""
    shares = _shares(agency)
    with progress("calling", sum(shares.values())) as step, ThreadPoolExecutor(4) as pool:

        def work(slug: str) -> None:
            client = agency.client(slug, purpose="demo")
            for method, url, options in _requests(slug, shares[slug]):
                client.request(method, url, **options)
                step(1)

        list(pool.map(work, shares))


def _shares(agency: Agency) -> dict[str, int]:
    """Spread the calls so that no portal sees more than its burst limit allows in ten seconds."""
    most = {
        slug: int(_HEADROOM * _by_tier(one)["burst"]) for slug, one in agency.connections().items()
    }
    shares: dict[str, int] = {}
    left = CALLS
    for position, (slug, room) in enumerate(sorted(most.items(), key=lambda item: item[1])):
        shares[slug] = min(room, math.ceil(left / (len(most) - position)))
        left -= shares[slug]
    return shares


def _requests(slug: str, count: int) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield an analyst's morning: mostly lists and reads, now and then a change."""
    chance = random.Random(f"{SEED} {slug}")  # noqa: S311  (a demo, not a secret)
    for number in range(count):
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


def _history(agency: Agency, period: Period, *, progress: Progress) -> None:
    """Write the days before today as records of origin `simulated`."""
    connections = agency.connections()
    with progress("history", len(connections)) as step:
        for slug, connection in connections.items():
            for record in _past(connection, period):
                agency.writer.append(slug, record, durable=False)
            step(1)
    agency.writer.flush()


_MIX: Final = (
    # weight, method, path, purpose
    (46, "GET", "/crm/objects/2026-09/contacts", "weekly review"),
    (20, "GET", "/crm/v3/objects/contacts/101", "weekly review"),
    (12, "GET", "/crm/objects/2026-09/deals", "pipeline report"),
    (10, "POST", "/crm/v3/objects/contacts/search", "pipeline report"),
    (5, "GET", "/crm/v3/properties/contacts", "config review"),
    (4, "PATCH", "/crm/v3/objects/contacts/101", "data hygiene"),
    (2, "POST", "/crm/v3/objects/companies", "data hygiene"),
    (1, "DELETE", "/crm/v3/objects/contacts/151", "data hygiene"),
)


def _past(connection: Connection, period: Period) -> Iterator[dict[str, object]]:
    """Yield one portal's simulated days: weekdays busy, weekends quiet, one launch, some errors."""
    chance = random.Random(f"{SEED} {connection.portal_id}")  # noqa: S311  (a demo, not a secret)
    limit = _limit(connection)
    usual = chance.randint(25, 60)
    launch = period.first + timedelta(days=chance.randint(10, DAYS - 10))
    for offset in range(DAYS - 1):  # today is real
        day = period.first + timedelta(days=offset)
        busy = (0.25 if day.weekday() >= 5 else 1.0) * (2.5 if day == launch else 1.0)
        calls = max(1, round(usual * busy * chance.uniform(0.7, 1.3)))
        # Everybody's apps together use the day's limit; ours are a few of them.
        spent = round(limit * min(0.97, 0.35 * busy * chance.uniform(0.6, 1.4)))
        for number in range(calls):
            at = datetime(day.year, day.month, day.day, 7, tzinfo=UTC) + timedelta(
                seconds=number * 39_600 / calls + chance.uniform(0, 60)
            )
            left = limit - round(spent * (number + 1) / calls)
            yield _past_call(connection, chance, at, number, limit=limit, left=left)


def _past_call(
    connection: Connection,
    chance: random.Random,
    at: datetime,
    number: int,
    *,
    limit: int,
    left: int,
) -> dict[str, object]:
    _, method, path, purpose = chance.choices(_MIX, weights=[one[0] for one in _MIX])[0]
    call = touched(method, path)
    trouble = chance.random()
    status = 200 if trouble < 0.965 else chance.choice((404, 429, 429, 502, None))
    ending: dict[str, object] = {"statusCode": status, "outcome": outcome_of(status)}
    if status == 429:
        ending["policyName"] = chance.choice(("TEN_SECONDLY_ROLLING", "SECONDLY"))
    if status is None:
        ending = {"outcome": Outcome.UNKNOWN, "error": "ReadTimeout"}
    elif not path.endswith("/search"):
        ending |= {"rateLimitDaily": limit, "rateLimitRemaining": left}
    return {
        "event": Event.FINISHED,
        "callId": f"{SEED:04x}{connection.portal_id:012x}{int(at.timestamp()):010x}{number:06x}",
        "attempt": 1,
        "ts": timestamp(at),
        "portalId": connection.portal_id,
        "method": method,
        "path": call.template,
        "operationClass": call.operation_class,
        "objectType": call.object_type,
        "objectId": call.object_id,
        "durationMs": round(chance.lognormvariate(4.6, 0.45)),
        "purpose": purpose,
        "origin": Origin.SIMULATED,
        **ending,
    }


def _limit(connection: Connection) -> int:
    known = _fact(connection, "daily_limit")
    return known if isinstance(known, int) else int(_by_tier(connection)["daily"])


def _by_tier(connection: Connection) -> Mapping[str, Any]:
    """Return the limits of a portal's tier; the lowest where it is not known."""
    tiers: list[dict[str, Any]] = table("limits")["tier"]
    return next((one for one in tiers if one["name"] == _fact(connection, "tier")), tiers[0])


def _fact(connection: Connection, name: str) -> object:
    fact = connection.facts.get(name)
    return fact.value if fact else None


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


def _index(
    root: Path,
    results: list[tuple[str, reports.ReportResult]],
    period: Period,
    names: Mapping[str, str],
) -> Path:
    """Write a page that links every output."""
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
    fleet = f"workspace/reports/_fleet/{period.label}/compliance.csv"
    page = _PAGE.format(period=html.escape(str(period)), rows="\n".join(rows), fleet=fleet)
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
