"""What of HubSpot's ends, beside what is in use here: API versions and kinds of credentials."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final

from hsagency.agency import Agency
from hsagency.audit import lake
from hsagency.data import table
from hsagency.doctor.finding import Finding, Level
from hsagency.portals import AGENCY, Connection, CredentialKind
from hsagency.words import counted, listed

_LATELY: Final = timedelta(days=30)
_SHOWN: Final = 5
_VERSION: Final = re.compile(r"/(v\d{1,2}|20\d{2}-\d{2})(?:-beta)?(?=/|$)", re.ASCII)


def versions(agency: Agency) -> Iterator[Finding]:
    """
    Say which versions of HubSpot's API were called of late, and when they end.

    No record is handed out by that, so that it is no reading of the log.
    """
    subject, now = "API versions", agency.writer.now()
    used = _used(agency, since=now - _LATELY)
    for end, clients in sorted(used.items(), key=lambda one: (one[0].day, one[0].what)):
        yield _sunset(subject, f"Calls to {end.what} {_by(clients)}", end, today=now.date())
    if not used:
        yield Finding(subject, Level.OK, "Nothing was called in the last 30 days.")


@dataclass(frozen=True, slots=True)
class End:
    """When something of HubSpot's ends, and what to use instead of it."""

    what: str
    day: date
    named: str
    stops: bool
    instead: str
    source: str
    is_ours: bool = False
    """Whether it is this program's own doing, about which its user can do nothing."""


def end_of(path: str) -> End | None:
    """
    Return when the version ends that a route template names.

    Nothing for a template without a version; a dated one ends 18 months after it came.
    """
    found = _VERSION.search(path)
    if found is None:
        return None
    rules, version = table("end_of_life"), found[1]
    for rule in rules["version"]:
        paths = rule["paths"]
        if rule["name"] == version and (not paths or path.startswith(tuple(paths))):
            return _end(rule, paths[0] if paths else version)
    if version.startswith("v"):
        return None
    year, month = (int(part) for part in version.split("-"))
    if not 1 <= month <= 12:
        return None
    months = year * 12 + month - 1 + rules["dated"]["months"]
    dated = {
        "ends": date(months // 12, months % 12 + 1, 1),
        "stops": False,
        "instead": "Use the dated version that is current then.",
        "source": rules["dated"]["source"],
    }
    return _end(dated, version)


def _end(rule: Mapping[str, Any], what: str) -> End:
    ends = rule["ends"]
    return End(
        what=what,
        day=ends,
        named=rule.get("named", f"{ends.day} {ends:%B %Y}"),
        stops=rule["stops"],
        instead=rule["instead"],
        source=rule["source"],
        is_ours=rule.get("ours", False),
    )


def _used(agency: Agency, *, since: datetime) -> dict[End, set[str]]:
    """Return the clients of each version that was called of late."""
    used: dict[End, set[str]] = defaultdict(set)
    connected = agency.index.read().connections.keys()
    logs = [one for one in agency.audit.slugs() if one == AGENCY or one in connected]
    calls = lake.calls_of(agency.workspace.audit, logs, since=since)
    pairs = calls.select("client_slug", "path").drop_nulls().unique().collect()
    for slug, path in pairs.iter_rows():
        end = end_of(path)
        if end is not None:
            used[end].add(slug)
    return used


def credentials(agency: Agency) -> Iterator[Finding]:
    """Say which kinds of credentials are in use, when they end, and which are to be rotated."""
    subject, today = "credentials", agency.writer.now().date()
    connections = agency.connections().values()
    rules = table("end_of_life")
    ended = False
    for rule in rules["kind"]:
        mine = [one.client_slug for one in connections if one.kind == rule["name"]]
        if mine:
            ended = True
            what = f"{counted(len(mine), rule['name'].replace('_', ' '))} of {_named(mine)}"
            yield _sunset(subject, what, _end(rule, rule["name"]), today=today)
    undeclared = [one.client_slug for one in connections if one.kind is CredentialKind.STATIC]
    if undeclared:
        yield Finding(
            subject,
            Level.WARNING,
            f"Nobody said of what kind the token of {_named(undeclared)} is, and a token's form "
            "does not tell: a private app's is no longer supported from September 2027 on.",
            "Look in HubSpot (Development > Keys, or Legacy apps), and say so in the column kind "
            "of the list with which its next token is onboarded (--replace).",
        )
    yield from _old(connections, today=today, most=rules["warn"]["rotate_after_days"])
    if not (ended or undeclared):
        yield Finding(subject, Level.OK, "No kind that is in use has an end that HubSpot named.")


def _old(connections: Iterable[Connection], *, today: date, most: int) -> Iterator[Finding]:
    old = [
        one.client_slug
        for one in connections
        if one.kind is not CredentialKind.OAUTH
        and today - one.last_rotated_at.date() > timedelta(days=most)
    ]
    if old:
        yield Finding(
            "credentials",
            Level.WARNING,
            f"The credential of {_named(old)} is older than {most} days.",
            f"HubSpot advises to rotate it: make a new one there, then hsagency reconnect {old[0]}",
        )


def _sunset(subject: str, what: str, end: End, *, today: date) -> Finding:
    left = (end.day - today).days
    over = "stop working" if end.stops else "are no longer supported"
    advice = f"{end.instead} (Source: {end.source}.)"
    if end.is_ours:
        return Finding(subject, Level.OK, f"{what} {over} from {end.named} on. {end.instead}")
    if left <= 0:
        return Finding(subject, Level.PROBLEM, f"{what} {over} since {end.named}.", advice)
    said = f"{what} {over} from {end.named} on, in {left} days."
    if left > table("end_of_life")["warn"]["days"]:
        return Finding(subject, Level.OK, said)
    return Finding(subject, Level.WARNING, said, advice)


def _by(clients: Iterable[str]) -> str:
    """Say for whom calls were made; those of our own log are checks before somebody is connected."""
    whose = sorted({*clients} - {AGENCY})
    own = ["our own checks"] if AGENCY in clients else []
    return "for " + listed([*([_named(whose)] if whose else []), *own])


def _named(slugs: Iterable[str]) -> str:
    names = sorted(slugs)
    if len(names) > _SHOWN:
        return f"{', '.join(names[:_SHOWN])} and {len(names) - _SHOWN} more"
    return listed(names)
