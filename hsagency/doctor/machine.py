"""What this machine does for a workspace: disk, permissions, the audit log, time zones."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from hsagency.agency import Agency
from hsagency.audit.record import Event
from hsagency.audit.repairing.curing import torn_tails
from hsagency.audit.verifying import log_of
from hsagency.doctor.finding import Finding, Level
from hsagency.health import HealthStatus, health
from hsagency.portals import AGENCY, looks_like_token
from hsagency.words import counted, listed

_LITTLE: Final = 1 << 30  # bytes; the log of a busy year of one portal, as Parquet and evidence
_TOO_LITTLE: Final = 100 << 20
_FEW: Final = 10_000  # files
_SHOWN: Final = 3
_LOOKED_INTO: Final = 4 << 20  # bytes; a list of clients is smaller


def disk(agency: Agency) -> Iterator[Finding]:
    """Say whether there is room: without it nothing is recorded, and so no call is made."""
    subject, root = "disk", agency.workspace.root
    free = shutil.disk_usage(root).free
    said = f"{free / 1e9:.1f} GB are free"
    if free < _LITTLE:
        level = Level.PROBLEM if free < _TOO_LITTLE else Level.WARNING
        yield Finding(
            subject,
            level,
            f"{said}: when the disk is full, no call can be recorded, and none is made.",
            "Make room, or move the workspace to a larger disk.",
        )
    else:
        yield Finding(subject, Level.OK, f"{said}.")
    files = os.statvfs(root)
    if files.f_files and files.f_favail < _FEW:
        yield Finding(
            subject,
            Level.WARNING,
            f"The disk has room for {files.f_favail} more files.",
            "Remove files that are not needed; the number is what the file system was made with.",
        )


def permissions(agency: Agency) -> Iterator[Finding]:
    """Say whether others may read or write what belongs to this user alone."""
    subject, open_ = "permissions", []
    for path in _everything(agency.workspace.root):
        seen = path.lstat()
        if seen.st_uid != os.geteuid() or (not path.is_symlink() and seen.st_mode & 0o077):
            open_.append(path)
    if not open_:
        yield Finding(subject, Level.OK, "Nobody else may read or write anything here.")
        return
    names = [str(one.relative_to(agency.workspace.root)) for one in open_[:_SHOWN]]
    more = f" and {len(open_) - _SHOWN} more" if len(open_) > _SHOWN else ""
    writable = any(one.lstat().st_mode & 0o022 for one in open_ if not one.is_symlink())
    yield Finding(
        subject,
        Level.PROBLEM if writable else Level.WARNING,
        f"Others may {'write to' if writable else 'read'}, or own: {listed(names)}{more}.",
        f"Close the workspace: chmod -R go-rwx '{agency.workspace.root}'",
    )


def _everything(root: Path) -> Iterator[Path]:
    yield root
    for folder, folders, files in os.walk(root):
        for name in (*folders, *files):
            yield Path(folder, name)


def plain_tokens(agency: Agency) -> Iterator[Finding]:
    """Say whether a file with tokens still lies about, such as a list of clients."""
    subject, root = "plain tokens", agency.workspace.root
    looked = [one for one in _files(root) if one.lstat().st_size <= _LOOKED_INTO]
    found = [str(one.relative_to(root)) for one in looked if _holds_token(one)]
    if found:
        more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        yield Finding(
            subject,
            Level.WARNING,
            f"Tokens stand in plain text in {listed(found[:_SHOWN])}{more}.",
            "Delete them once their clients are connected, with their copies in mail and "
            "downloads: hsagency onboard FILE --delete does the first.",
        )
    else:
        most = _LOOKED_INTO >> 20
        yield Finding(
            subject,
            Level.OK,
            f"None in the {counted(len(looked), 'file')} of up to {most} MB here, outside the "
            "audit log.",
        )


def _files(root: Path) -> Iterator[Path]:
    """Yield what may hold what somebody put there: not the log, whose records are our own."""
    for folder, folders, files in os.walk(root):
        if Path(folder) == root:
            folders[:] = [one for one in folders if one != "audit"]
        yield from (one for one in (Path(folder, name) for name in files) if one.is_file())


def _holds_token(path: Path) -> bool:
    try:
        content = path.read_bytes()
    except FileNotFoundError:  # it was there a moment ago
        return False
    text = content.decode("utf-8", "replace").replace(_ZEROS, "")
    return any(looks_like_token(one) for one in _SHAPE.findall(text))


# Whole tokens alone; the example list's own, of zeros, is none.
_SHAPE: Final = re.compile(r"pat-[a-z]{2}\d{1,3}-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_ZEROS: Final = "00000000-0000-0000-0000-000000000000"


def audit_log(agency: Agency) -> Iterator[Finding]:
    """Say whether the audit log can be written, is all there, and broke off nowhere."""
    subject, workspace = "audit log", agency.workspace
    known, recorded = agency.index.read(), set(agency.audit.recorded())
    copied = {one.stem for one in workspace.heads.glob("*.jsonl")}
    gone = sorted(
        (known.connections.keys() | known.tombstones.keys() | copied) - recorded - {AGENCY}
    )
    if gone:
        yield Finding(
            subject,
            Level.PROBLEM,
            f"The log of {listed(gone)} is gone: there was one, and nothing of it is here.",
            f"Restore it from a backup, then look what is missing: hsagency audit verify {gone[0]}",
        )
    agency.writer.append(
        AGENCY, {"event": Event.AUDIT_READ, "message": "The workspace was examined."}
    )
    torn = {slug: len(torn_tails(log_of(workspace, slug))) for slug in agency.audit.slugs()}
    broken = [slug for slug, count in torn.items() if count]
    if broken:
        yield Finding(
            subject,
            Level.WARNING,
            f"A record broke off in the log of {listed(broken)}.",
            "Set the torn ends aside; no whole record is lost: hsagency audit repair",
        )
    if not (gone or broken):
        yield Finding(
            subject,
            Level.OK,
            f"It can be written; {counted(len(torn), 'log')}, none torn. Whether each is as it was "
            "written: hsagency audit verify",
        )


def time_zones(agency: Agency) -> Iterator[Finding]:
    """Say whether the day of each portal can be told: its limit starts anew at its midnight."""
    subject, unknown, untold = "time zones", [], []
    for slug, one in sorted(agency.connections().items()):
        zone = one.facts.get("time_zone")
        if zone is None:
            untold.append(slug)
        elif not _is_known(str(zone.value)):
            unknown.append(f"{zone.value} ({slug})")
    if unknown:
        yield Finding(
            subject,
            Level.WARNING,
            f"This machine does not know {listed(unknown)}: their days are counted in UTC.",
            "Install the system's time zone data, or the Python package tzdata.",
        )
    if untold:
        yield Finding(
            subject,
            Level.WARNING,
            f"HubSpot never told the time zone of {listed(untold)}: their days are those of UTC.",
            f"Ask again: hsagency verify {untold[0]}",
        )
    if not (unknown or untold):
        yield Finding(subject, Level.OK, "The day of every portal can be told.")


def _is_known(zone: str) -> bool:
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def connections(agency: Agency) -> Iterator[Finding]:
    """Say which portals do not work, and which removals were not finished."""
    subject, known = "connections", agency.index.read()
    halted, now, fine = agency.halt.reason(), agency.writer.now(), 0
    if halted is not None:
        said = f"The whole fleet is halted: {halted}"
        yield Finding(subject, Level.PROBLEM, said, agency.halt.advice())
    for _, one in sorted(known.connections.items()):
        how = health(one, now=now)
        if how.status is HealthStatus.CONNECTED:
            fine += 1
        else:
            said = f"{one.portal}: {how.evidence}"
            yield Finding(subject, Level.PROBLEM, said, how.next_step)
    for slug, tombstone in sorted(known.tombstones.items()):
        if tombstone.pending is not None:
            said = f"The removal of {tombstone.portal} is not finished."
            yield Finding(subject, Level.PROBLEM, said, f"hsagency remove {slug}")
    if fine == len(known.connections):
        said = f"{counted(fine, 'portal')} connected, as far as is known." if fine else "None yet."
        yield Finding(subject, Level.OK, said)
