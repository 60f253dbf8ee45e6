"""What there is of a client: secrets, files, outputs, and settings that name it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from hsagency.agency import Agency
from hsagency.audit.evidence import segments
from hsagency.credentials import SecretName
from hsagency.portals import ClientSlug, Connection, CredentialKind, Portal
from hsagency.removal.plans import Kept, Output
from hsagency.verifier import answerer
from hsagency.words import counted


def secrets_of(agency: Agency, slug: ClientSlug, generation: int) -> tuple[SecretName, ...]:
    """Return every name under which the store may hold a credential of a client."""
    workspace = agency.workspace.settings.workspace
    # One more than there is: a replacement that broke off leaves it.
    return tuple(SecretName(workspace, slug, number) for number in range(1, generation + 2))


def files_of(agency: Agency, connection: Connection) -> tuple[Path, ...]:
    """Return the files that only a connected client needs, whether they are there or not."""
    lock = agency.workspace.state / "authorisation" / f"{connection.client_slug}.lock"
    return agency.pacing.path(connection), lock


def kept_of(agency: Agency, slug: ClientSlug) -> tuple[Kept, ...]:
    """Return what stays of a client, with how much of it there is."""
    return tuple(_kept(agency, slug))


def _kept(agency: Agency, slug: ClientSlug) -> Iterator[Kept]:
    workspace = agency.workspace
    log, lake = workspace.audit / slug, workspace.audit / "lake" / f"client_slug={slug}"
    yield _log(agency, slug, log)
    yield _folder(agency, "rows of its calls, for queries", lake, "file")
    copy = workspace.heads / f"{slug}.jsonl"
    if copy.exists():
        yield _files(agency, "second copy of the register of its log", [copy], copy, "file")
    merged = sorted(one for one in (log / "merged").glob("*") if one.is_dir())
    if merged:
        yield _files(agency, "logs merged from other machines", merged, log / "merged", "log")
    yield _folder(agency, "its reports", workspace.reports / slug, "file")
    register = workspace.root / "register" / f"{slug}.toml"
    if register.exists():
        yield _files(agency, "its record of processing", [register], register, "file")
    key = SecretName(workspace.settings.workspace, slug, 1, "identifiers")
    yield Kept(
        what="key of its hashed identifiers, without which 'audit find' finds nobody",
        count=f"1 secret ('hsagency audit erase {slug}' destroys it)",
        path=str(key),
        number=1,
    )
    months = workspace.settings.retention.of(slug)
    yield Kept(
        what="how long its log is kept",
        count=counted(months, "month") if months else "for ever",
        path="hsagency.toml [retention]",
        number=months or 0,
    )
    yield Kept(
        what="tombstone: slug, portal id and name, so that its records say whose they are",
        count="1 entry",
        path="connections.json",
        number=1,
    )


def _log(agency: Agency, slug: ClientSlug, log: Path) -> Kept:
    agency.writer.settle()  # so that the register says how far it is
    registrar, found = agency.writer.registrar(slug), segments(log)
    heads = [registrar.last_head(name) for name in found]
    records = sum(one.records for one in heads if one is not None)
    size = sum(one.stat().st_size for one in found.values() if one.exists())
    return Kept(
        what="audit log: journal and evidence, with what was imported into it",
        count=f"{counted(len(found), 'segment')}, {counted(records, 'record')} by its register",
        path=_shown(agency, log),
        number=records,
        size=size,
    )


def _folder(agency: Agency, what: str, folder: Path, each: str) -> Kept:
    return _files(agency, what, [one for one in folder.rglob("*") if one.is_file()], folder, each)


def _files(agency: Agency, what: str, files: list[Path], path: Path, each: str) -> Kept:
    size = sum(one.stat().st_size for one in files if one.is_file())
    return Kept(
        what=what,
        count=counted(len(files), each),
        path=_shown(agency, path),
        number=len(files),
        size=size,
    )


def outputs_of(agency: Agency, portal: Portal) -> tuple[Output, ...]:
    """Return the files below `reports/` that were made for a client, or name it."""
    reports = agency.workspace.reports
    own = [one for one in (reports / portal.client_slug).rglob("*") if one.is_file()]
    fleet = [one for one in (reports / "_fleet").rglob("*") if one.is_file()]
    named = [one for one in fleet if _names(one, portal)]
    return tuple(_output(agency, one) for one in sorted([*own, *named]))


def _names(path: Path, portal: Portal) -> bool:
    # A slug is part of another one's where a hyphen joins them.
    named = f"(?:{portal.client_slug}|{portal.portal_id})"
    whole = re.compile(rf"(?<![\w-]){named}(?![\w-])".encode())
    return any(whole.search(one) is not None for one in (path.name.encode(), path.read_bytes()))


def _output(agency: Agency, path: Path) -> Output:
    seen = path.stat()
    made = datetime.fromtimestamp(seen.st_mtime, UTC)
    return Output(path=_shown(agency, path), made=made, size=seen.st_size)


def _shown(agency: Agency, path: Path) -> str:
    """Return a path from the workspace on, or whole where it is elsewhere."""
    root = agency.workspace.root
    return str(path.relative_to(root) if path.is_relative_to(root) else path)


def shown(agency: Agency, paths: Iterable[Path]) -> tuple[str, ...]:
    """Return the paths that are there, from the workspace on."""
    return tuple(_shown(agency, one) for one in paths if one.exists())


def mentions_of(agency: Agency, slug: ClientSlug) -> tuple[str, ...]:
    """Return which settings name a client, or pass its log on."""
    return tuple(_mentions(agency, slug))


def _mentions(agency: Agency, slug: ClientSlug) -> Iterator[str]:
    settings = agency.workspace.settings
    if slug in settings.quota.clients:
        yield f"[quota.clients.{slug}]: its warning threshold and reserve; nobody reads it now"
    if slug in settings.retention.clients:
        yield f"[retention.clients] {slug}: goes on to say how long its log is kept"
    if slug in settings.completeness.only_us:
        yield f"[completeness] only_us: names {slug}; its log is still compared by it"
    for one in settings.forward:
        yield f"[[forward]] {one.name}: everybody's log goes to {one.to}, that of {slug} too"


def both_sides(kind: CredentialKind, api_base: str) -> tuple[str, ...]:
    """Return how each side ends what a credential may do, by its kind."""
    who = answerer(api_base)
    if kind is CredentialKind.OAUTH:
        return (
            f"Here: what was authorised is revoked at {who}, and asked about afterwards. An access "
            "token that was given out lives to its end, at most 30 minutes.",
            "There: the app stays listed under Settings > Integrations > Connected Apps until an "
            "admin removes it there, or --uninstall does, of which HubSpot tells the admins by "
            "e-mail.",
        )
    return (
        f"Here: no interface of {who} ends a static credential. It is asked about: 401 certifies "
        "that it is dead; anything else is written down as not proven.",
        f"There: {where(kind)}.",
    )


def where(kind: CredentialKind) -> str:
    """Return where a person ends a static credential in HubSpot."""
    return {
        CredentialKind.SERVICE_KEY: "delete it under Development > Keys > Service keys",
        CredentialKind.PRIVATE_APP: "delete the app under Development > Legacy apps",
        CredentialKind.STATIC_APP: "uninstall the app, or rotate its token with 'expire now', on "
        "the app's Distribution tab",
    }.get(
        kind,
        "delete it where it was made: Development > Keys > Service keys, Development > Legacy "
        "apps, or the app's Distribution tab",
    )
