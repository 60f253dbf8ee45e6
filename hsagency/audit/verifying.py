"""
Verdicts on the audit log: whether it is as it was written, and what is known to be lost.

Promised: a record, a line of the register or a whole segment that was changed, removed, added,
moved or cut is named with the first place where it shows; a log that nobody touched is not
accused, also while it is being written, after a crash, and where an earlier version wrote it;
whatever a file holds, there is a verdict; a segment that was sealed is judged as if it were
still in the journal. Neither a secret nor a network is needed, and memory does not grow with
the log. The rules are those of the verifier that clients get (`audit/standalone`); here the
second copies of the register and of the checkpoints are compared as well.

What cannot be seen: what was never recorded. What is cut off or added after the last signed
head, normally written in the last second before a program stopped, or since older checkpoints
that were put back with the cut, in both places: only a head that is kept elsewhere shows that.
What somebody does who holds the signing key, or writes all of it anew where nothing is signed.

Completeness says what is known to be lost. It does not yet compare with HubSpot's own count
of calls: a log of which nothing is known to be lost is *not comparable*, not *complete*.
"""

from __future__ import annotations

import contextlib
import itertools
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final

from hsagency.audit.evidence.gathered import Gathered
from hsagency.audit.evidence.merged import Watched, verdicts
from hsagency.audit.register.checkpoints import copied, newer
from hsagency.audit.standalone.evidence import (
    ALTERED,
    MISSING,
    TRUNCATED,
    Evidence,
    Finding,
)
from hsagency.audit.standalone.heads import REGISTER, read_keys
from hsagency.audit.standalone.verdict import Verdict, judge, read_kept
from hsagency.durable import (
    NotAFile,
    open_to_read,
    read_regular,
    try_lock,
)
from hsagency.errors import AuditError, UsageError
from hsagency.settings import Workspace

_LOOKS: Final = 3  # at a log that changes while it is read, before what is seen is believed


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """One client's log: its folder, and the second copy of its register."""

    folder: Path
    copy: Path | None

    @property
    def slug(self) -> str:
        """Whose log it is."""
        return self.folder.name

    def public_keys(self) -> bytes:
        """Return the list of keys as it is on disk."""
        try:
            return read_regular(self.folder.parent / "keys.json")
        except FileNotFoundError:
            return b"[]\n"


def log_of(workspace: Workspace, slug: str) -> Log:
    """Return a client's log, whether there is one or not."""
    return Log(folder=workspace.audit / slug, copy=workspace.heads / f"{slug}.jsonl")


def logs(workspace: Workspace) -> list[str]:
    """Return whose logs there are, or were: a second copy outlives the log itself."""
    found = {one.name for one in _inside(workspace.audit) if _has_parts(one)}
    copies: set[str] = set()
    with contextlib.suppress(AuditError):  # which says of itself that it cannot be compared
        copies = {one.stem for one in _inside(workspace.heads) if one.suffix == ".jsonl"}
    return sorted(found | copies)


def _has_parts(folder: Path) -> bool:
    """Say whether a folder is a log's; one that cannot be looked into is not taken for none."""
    try:
        names = {one.name for one in _inside(folder)}
    except AuditError:
        return True
    return bool(names & {"journal", "evidence", "merged", REGISTER})


def _inside(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise _unreadable(folder, error) from error


def verify(
    log: Log, *, first: date | None = None, last: date | None = None, head: bytes | None = None
) -> Verdict:
    """
    Return the verdict on one client's log.

    With days, both included, segments that were closed before or opened after are left out;
    the others are read whole, since a chain has no middle. `head` is a kept HEAD.json. Raises
    `AuditError` for a log that cannot be read and `UsageError` for a head of something else.
    """
    try:
        kept = None if head is None else read_kept(head, log.slug)
    except ValueError as error:
        raise UsageError(
            f"The head cannot be compared: {error}. Nothing was checked.",
            hint="Name the HEAD.json that came with an earlier evidence pack of this client.",
        ) from error
    try:
        for _ in range(_LOOKS):
            before = _state(log)
            verdict = _look(log, first=first, last=last, kept=kept)
            if not (verdict.findings or verdict.lost) or _state(log) == before:
                break
    except OSError as error:
        raise _unreadable(Path(error.filename or log.folder), error) from error
    return verdict


def _look(
    log: Log, *, first: date | None, last: date | None, kept: dict[str, Any] | None
) -> Verdict:
    copy, points, unread = _copies(log)  # before the first ones, which are never behind
    gathered, keys = Gathered(log.folder), read_keys(log.public_keys())
    evidence, wrong = newer(gathered.evidence, points, log.slug, keys, check_signature)
    watched = Watched(evidence)
    days = ("" if first is None else first.isoformat(), "" if last is None else last.isoformat())
    verdict = judge(
        watched.evidence,
        log.slug,
        keys,
        first=days[0],
        last=days[1],
        kept=kept,
        check=check_signature,
        live=lambda segment: is_live(log.folder / "journal" / f"{segment}.jsonl"),
    )
    gathered.complete(verdict)
    if unread:
        verdict.notes.append(unread)
    else:
        _compare(gathered.evidence, copy, verdict)
    verdict.findings += wrong
    verdict.merged = verdicts(
        log.folder, watched.records(), first=days[0], last=days[1], check=check_signature
    )
    return verdict


def _copies(log: Log) -> tuple[bytes | None, dict[str, bytes], str]:
    """Return the second copies of register and checkpoints, and why they cannot be read."""
    try:
        points = copied(log.copy)
        return (read_regular(log.copy) if log.copy else None), points, ""
    except FileNotFoundError:
        return None, points, ""
    except OSError as error:
        why = f"cannot be read ({error.strerror}), so it was not compared"
        return None, {}, f"The second copy of the register {why}: {error.filename}."


def _compare(evidence: Evidence, copy: bytes | None, verdict: Verdict) -> None:
    """Compare the register with its second copy, which may lag but never lead."""
    register = evidence.read(REGISTER)
    if copy is None:
        if register is not None:
            verdict.notes.append("There is no second copy of the register to compare with.")
        return
    ours, theirs = ((one or b"").split(b"\n")[:-1] for one in (register, copy))
    pairs = itertools.zip_longest(ours, theirs)
    same = [one for one, _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs)]
    byte = sum(len(line) + 1 for line in same)
    if len(theirs) > len(same) == len(ours):
        cause = f"the second copy has {len(theirs) - len(ours)} more lines"
        if register is None:
            verdict.findings.append(Finding(MISSING, REGISTER, None, None, cause))
        else:
            verdict.findings.append(Finding(TRUNCATED, REGISTER, len(same) + 1, byte, cause))
    elif len(theirs) > len(same):
        cause = "the second copy has another line here"
        verdict.findings.append(Finding(ALTERED, REGISTER, len(same) + 1, byte, cause))
    elif len(ours) > len(theirs):
        behind = len(ours) - len(theirs)
        verdict.notes.append(f"The second copy of the register lacks the last {behind} lines.")


def _state(log: Log) -> list[tuple[str, int, int]]:
    """Return what tells whether a log changed while it was read."""
    paths = Gathered(log.folder).files()
    paths = [*paths, log.copy] if log.copy else paths
    seen = []
    for path in paths:
        try:
            at = path.stat()
        except OSError:  # which whoever reads it will say
            continue
        seen.append((str(path), at.st_size, at.st_mtime_ns))
    return seen


def is_live(path: Path) -> bool:
    """Say whether a writer holds a segment; one that dies lets go of it, and none what is sealed."""
    try:
        with open_to_read(path) as file:
            return not try_lock(file.fileno())
    except (FileNotFoundError, NotAFile):
        return False


def check_signature(public: bytes, signature: bytes, message: bytes) -> bool:
    """Check a signature as `standalone.ed25519` does, only quicker."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def _unreadable(path: Path, error: OSError) -> AuditError:
    return AuditError(
        f"The audit log {path} cannot be read ({error.strerror}).",
        hint="A log that cannot be read is not an empty one: restore access to it.",
    )
