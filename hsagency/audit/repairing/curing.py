"""What is wrong with a log that no program can mend: the cause it may have, and the cure."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hsagency.audit.register import Signed, check_signature, first_break, read_keys, read_lines
from hsagency.audit.standalone.evidence import ALTERED, GAP, MISSING, TRUNCATED, Finding
from hsagency.audit.standalone.heads import REGISTER
from hsagency.audit.standalone.verdict import Verdict
from hsagency.audit.verifying import Log, is_live, verify
from hsagency.durable import cure, open_to_read
from hsagency.errors import AuditError

_CAUSES: Final[Mapping[str, str]] = {
    ALTERED: "Something other than hsagency wrote to it, or the disk gave back other bytes.",
    MISSING: "It was deleted or moved, or the folder was restored without it. What is removed "
    "under retention leaves a signed word of that, and there is none.",
    TRUNCATED: "Its end was cut off: by somebody, by a disk that lost what it had confirmed, or "
    "by putting back an older copy.",
    GAP: "What was there in between was deleted together with every word of it.",
}
_THEN: Final = (
    "If there is none, keep the folder as it is, write down who could have touched it since, and "
    "tell the client: what the log says from there on is not evidence."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """What is wrong, the cause it may have (if that is not said already), and what to do."""

    what: str
    cause: str = ""
    cure: str


def failure(what: str, error: AuditError | OSError) -> Trouble:
    """Return what could not be done now, in words; the same of every step that one file stops."""
    cause = error.__cause__ if isinstance(error, AuditError) else error
    if not isinstance(cause, OSError):
        message = error.message if isinstance(error, AuditError) else str(error)
        hint = error.hint if isinstance(error, AuditError) else ""
        return Trouble(what=message.removesuffix(" Nothing was sent."), cure=hint)
    advice = cure(
        cause,
        otherwise="Give this user access to it again (it must be the owner), then run the repair "
        "again.",
    )
    where = cause.filename or what
    return Trouble(what=f"{where} cannot be read or written ({cause.strerror}).", cure=advice)


def closed_to_us(log: Log) -> Path | None:
    """Return the first part of a log that this user cannot read, if there is one."""
    inside = sorted(log.folder.rglob("*"))  # a folder before what is in it
    return next((one for one in (log.folder, *inside) if _is_closed_to_us(one)), None)


def _is_closed_to_us(part: Path) -> bool:
    try:
        mode = part.lstat().st_mode
    except FileNotFoundError:
        return False  # sealed or removed meanwhile, or never there
    except OSError:
        return True
    if stat.S_ISDIR(mode):
        return not os.access(part, os.R_OK | os.X_OK)
    return stat.S_ISREG(mode) and not os.access(part, os.R_OK)


def torn_tails(log: Log) -> list[Path]:
    """Return the journal files that end within a line, and that nobody is writing."""
    found = []
    for path in _journal(log):
        with contextlib.suppress(OSError):  # no file: that is told elsewhere
            if path.suffix == ".jsonl" and not is_live(path) and not _ends_in_a_line(path):
                found.append(path)
    return found


def tails_set_aside(log: Log) -> list[Path]:
    """Return the torn last lines that were set aside."""
    return [path for path in _journal(log) if ".torn-at-" in path.name]


def _journal(log: Log) -> list[Path]:
    """Return what is in a journal; nothing of one that is closed to us, which is told elsewhere."""
    with contextlib.suppress(OSError):
        return sorted((log.folder / "journal").iterdir())
    return []


def _ends_in_a_line(path: Path) -> bool:
    with open_to_read(path) as file:
        size = file.seek(0, os.SEEK_END)
        return size == 0 or os.pread(file.fileno(), 1, size - 1) == b"\n"


def troubles(log: Log) -> list[Trouble]:
    """Return what is wrong with a log; raises `AuditError` if it cannot be read."""
    verdict = verify(log)
    found = [_trouble(one, log) for one in verdict.findings]
    for other in verdict.merged:
        found += [_merged(one, other) for one in other.findings]
    return found


def _merged(finding: Finding, verdict: Verdict) -> Trouble:
    return Trouble(
        what=f"In what was merged from the machine with the key {verdict.lineage}: {finding}.",
        cause=_CAUSES[finding.verdict],
        cure="Merge that machine's log again: hsagency audit merge PACK",
    )


def _trouble(finding: Finding, log: Log) -> Trouble:
    path = log.folder / finding.file
    if finding.file == REGISTER:
        cure = _cure_of_register(path, log)
    elif finding.file.startswith("heads/"):
        cure = (
            f"Put {path} back from a backup, or move it elsewhere and keep it: the next start "
            f"writes another. Then look whether its segment lost its end: hsagency audit verify "
            f"{log.slug}"
        )
    else:
        cure = f"Restore {path} from a backup, and check it: hsagency audit verify {log.slug}. "
        cure += _THEN
    return Trouble(what=f"{finding}.", cause=_CAUSES[finding.verdict], cure=cure)


def _cure_of_register(path: Path, log: Log) -> str:
    if log.copy is not None and _is_whole_and_signed(log.copy, log):
        return (
            f"Its second copy, {log.copy}, is whole and signed throughout. Keep {path} elsewhere, "
            "put the copy in its place, and run the repair again."
        )
    return f"Restore {path} from a backup, and run the repair again. {_THEN}"


def _is_whole_and_signed(copy: Path, log: Log) -> bool:
    try:
        lines, keys = read_lines(copy)[0], read_keys(log.folder.parent / "keys.json")
    except (OSError, ValueError):
        return False
    if not lines or first_break(log.slug, lines) is not None:
        return False
    return all(check_signature(one, keys) is Signed.GOOD for one in lines)
