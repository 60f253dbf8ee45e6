"""What there is of a client: secrets, files, outputs, and settings that name it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import orjson

from hsagency.agency import Agency
from hsagency.audit.evidence import segments
from hsagency.auth import key_of
from hsagency.auth.refreshing import FOLDER, lock_of
from hsagency.credentials import SecretName
from hsagency.errors import CredentialError
from hsagency.onboarding.storing import noted
from hsagency.portals import ClientSlug, Connection, CredentialKind, Portal, Tombstone
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
    lock = lock_of(agency.workspace.state / FOLDER, connection.client_slug)
    return agency.pacing.path(connection), lock


def known_of(agency: Agency, tombstone: Tombstone) -> frozenset[str]:
    """Return the fingerprints of what this workspace has stored for a client, or was about to."""
    known = {tombstone.fingerprint}
    for text in agency.activity(tombstone.client_slug)["details"].drop_nulls():
        known.add(str(orjson.loads(text).get("credentialFingerprint")))
    begun = noted(agency.workspace)
    names = secrets_of(agency, tombstone.client_slug, tombstone.generation)
    return frozenset(known | {begun[str(name)] for name in names if str(name) in begun})


def is_foreign(agency: Agency, name: SecretName, known: frozenset[str]) -> bool:
    """Say whether the store holds something of which this workspace knows nothing."""
    try:
        return key_of(agency.store.get(name)).fingerprint not in known
    except CredentialError:  # none, or nothing that can be read
        return False


def kept_of(agency: Agency, slug: ClientSlug) -> tuple[Kept, ...]:
    """Return what stays of a client, with how much of it there is."""
    return tuple(one for one in _kept(agency, slug) if not one.count.startswith("0 "))


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
    return _files(agency, what, _below(folder), folder, each)


def _files(agency: Agency, what: str, files: list[Path], path: Path, each: str) -> Kept:
    sizes = [seen.st_size for seen in map(_stat, files) if seen is not None]
    return Kept(
        what=what,
        count=counted(len(sizes), each),
        path=_shown(agency, path),
        number=len(sizes),
        size=sum(sizes),
    )


def _below(folder: Path) -> list[Path]:
    """Return the files below a folder; others write there meanwhile, and what comes may go."""
    found = []
    for parent, _, names in os.walk(folder):
        found += [Path(parent, name) for name in names]
    return [one for one in sorted(found) if one.is_file()]


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None


def outputs_of(agency: Agency, portal: Portal) -> tuple[Output, ...]:
    """
    Return the files below `reports/` that were made for a client, or name it.

    One that cannot be read is among them: nobody can say that it does not name it.
    """
    reports = agency.workspace.reports
    named = [one for one in _below(reports / "_fleet") if _names(one, portal)]
    found = sorted([*_below(reports / portal.client_slug), *named])
    return tuple(one for one in (_output(agency, path) for path in found) if one is not None)


def _names(path: Path, portal: Portal) -> bool:
    # A slug is part of another one's where a hyphen joins them.
    named = f"(?:{portal.client_slug}|{portal.portal_id})"
    whole = re.compile(rf"(?<![\w-]){named}(?![\w-])".encode())
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return any(whole.search(one) is not None for one in (path.name.encode(), content))


def _output(agency: Agency, path: Path) -> Output | None:
    seen = _stat(path)
    if seen is None:
        return None
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


def both_sides(one: Connection | Tombstone, *, uninstall: bool) -> tuple[str, ...]:
    """Return how each side ends what a credential may do, by its kind."""
    who = answerer(one.api_base)
    if one.kind is not CredentialKind.OAUTH:
        return (
            f"Here: no interface of {who} ends a static credential. It is asked about: 401 "
            "certifies that it is dead; anything else is written down as not proven.",
            f"There: {where(one.kind)}.",
        )
    revoked = (
        f"what was authorised is revoked at {who}, and asked about afterwards. An access token "
        "that was given out lives to its end, at most 30 minutes."
    )
    if uninstall:
        return (
            f"Here: the app is uninstalled, of which HubSpot tells the admins by e-mail; {revoked}",
            "There: nothing is left to do.",
        )
    return (
        f"Here: {revoked}",
        "There: the app stays listed under Settings > Integrations > Connected Apps until an "
        "admin removes it there. With --uninstall it is taken out now, of which HubSpot tells the "
        "admins by e-mail.",
        *(f"Not proven by that: {said[0].lower()}{said[1:]}" for said in earlier_ones(one)),
    )


def earlier_ones(one: Connection | Tombstone) -> tuple[str, ...]:
    """Return what is not known of the authorisations that reconnections replaced."""
    if one.kind is not CredentialKind.OAUTH or one.generation == 1:
        return ()
    return (
        "That what was authorised before this was connected anew is over. It was not revoked then, "
        "because HubSpot may hand out the same refresh token again; uninstalling the app ends all "
        "of it.",
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
