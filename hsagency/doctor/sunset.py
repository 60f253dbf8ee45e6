"""What of HubSpot's ends, beside what is in use here: API versions and kinds of credentials."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, timedelta
from typing import Any, Final

import polars as pl

from hsagency.agency import Agency
from hsagency.data import table
from hsagency.doctor.finding import Finding, Level
from hsagency.portals import AGENCY, Connection, CredentialKind
from hsagency.words import counted, listed

_LATELY: Final = timedelta(days=30)
_SHOWN: Final = 5
_VERSION: Final = re.compile(r"/(v\d{1,2}|20\d{2}-\d{2})(?:-beta)?(?=/|$)", re.ASCII)


def versions(agency: Agency) -> Iterator[Finding]:
    """Say which versions of HubSpot's API were called of late, and when they end."""
    subject, today = "API versions", agency.writer.now().date()
    used = _used(agency, since=today - _LATELY)
    for row, clients in sorted(used.items()):
        ends = end_of(row)
        if ends is None:
            continue
        day, paths, rule = ends
        yield _sunset(
            subject,
            f"Calls to {paths or row} of {_named(clients)}",
            day,
            today=today,
            rule=rule,
        )
    if not used:
        yield Finding(subject, Level.OK, "Nothing was called in the last 30 days.")


def end_of(path: str) -> tuple[date, str, Mapping[str, Any]] | None:
    """
    Return when the version ends that a route template names, what is meant, and the rule.

    Nothing for a template without a version; a dated one ends 18 months after it came.
    """
    found = _VERSION.search(path)
    if found is None:
        return None
    rules, version = table("end_of_life"), found[1]
    for rule in rules["version"]:
        if rule["name"] == version and (
            not rule["paths"] or any(path.startswith(one) for one in rule["paths"])
        ):
            return rule["ends"], rule["paths"][0] if rule["paths"] else version, rule
    if version.startswith("v"):
        return None
    year, month = (int(part) for part in version.split("-"))
    if not 1 <= month <= 12:
        return None
    months = year * 12 + month - 1 + rules["dated"]["months"]
    ends = date(months // 12, months % 12 + 1, 1)
    rule = {"stops": False, "instead": "the dated version that is current then"}
    return ends, version, rule | {"source": rules["dated"]["source"]}


def _used(agency: Agency, *, since: date) -> dict[str, set[str]]:
    """Return the clients of each route template that was called of late, one for a version."""
    calls = agency.calls(since=since).select("client_slug", "path").unique().collect()
    seen: dict[str, set[str]] = defaultdict(set)
    one_for: dict[str, str] = {}
    for slug, path in calls.filter(pl.col("path").is_not_null()).sort("path").iter_rows():
        found = _VERSION.search(path)
        if found is not None:
            area = path if path.startswith("/oauth/v1/") else found[1]
            seen[one_for.setdefault(area, path)].add(slug)
    return seen


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
            yield _sunset(subject, what, rule["ends"], today=today, rule=rule)
    undeclared = [one.client_slug for one in connections if one.kind is CredentialKind.STATIC]
    if undeclared:
        yield Finding(
            subject,
            Level.WARNING,
            f"Nobody said of what kind the token of {_named(undeclared)} is, and a token's form "
            "does not tell: a private app's is no longer supported from September 2027 on.",
            "Look in HubSpot (Development > Keys, or Legacy apps), and say so in the column kind "
            "of the list when it is onboarded with --replace.",
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


def _sunset(
    subject: str, what: str, ends: date, *, today: date, rule: Mapping[str, Any]
) -> Finding:
    left, named = (ends - today).days, rule.get("named", f"{ends.day} {ends:%B %Y}")
    over = "stop working" if rule["stops"] else "are no longer supported"
    if left <= 0:
        said = f"{what} {over} since {named}."
        return Finding(subject, Level.PROBLEM, said, f"Use {rule['instead']}. {_source(rule)}")
    said = f"{what} {over} from {named} on, in {left} days."
    near = left <= table("end_of_life")["warn"]["days"]
    level = Level.WARNING if near else Level.OK
    return Finding(subject, level, said, f"Use {rule['instead']}. {_source(rule)}" if near else "")


def _source(rule: Mapping[str, Any]) -> str:
    return f"(Source: {rule['source']}.)"


def _named(slugs: Iterable[str]) -> str:
    names = sorted("the agency itself" if one == AGENCY else one for one in slugs)
    if len(names) > _SHOWN:
        return f"{', '.join(names[:_SHOWN])} and {len(names) - _SHOWN} more"
    return listed(names)
