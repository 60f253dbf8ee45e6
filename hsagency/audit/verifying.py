"""
Verdicts on the audit log: whether it is as it was written, and what is known to be lost.

Promised: a record, a line of the register or a whole segment that was changed, removed, added,
moved or cut is named with the first place where it shows, also by somebody who can write the
workspace, as long as the second copies or the signing key are out of their reach; a log that
nobody touched is not accused, also while it is being written, after a crash, and where an
earlier version wrote it; whatever a file holds, there is a verdict; a segment that was sealed is
judged as if it were still in the journal; a client that is connected, or in the lake, and has no
log is missing one. Neither a secret nor a network is needed, and memory does not grow with the
log. The rules are those of the verifier that clients get (`audit/standalone`); here the second
copies of the register, of the checkpoints and of the keys are compared as well, and the key in
the credential store, if that can be opened without asking anybody.

What cannot be seen: what was never recorded. What is cut off or added after the last signed
head, normally written in the last second before a program stopped. And what is done by somebody
who can write all of it: who can write both places can put the end of a log back to an older one,
with the older checkpoints; who holds the signing key, or can write both places, both lists of
keys and the settings, can replace everything. Records under no signed head anybody can have
written, and the verdict says how many there are. Against all that, keep a head (HEAD.json of a
pack) or the fingerprint of the key somewhere else.

Completeness says what is known to be lost: a log of which nothing is known to be lost is *not
comparable* here, not *complete*. What HubSpot itself counted is for `hsagency.completeness`.
"""

from __future__ import annotations

import contextlib
import itertools
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final

from hsagency.audit.evidence import evidence_file, journal_file
from hsagency.audit.evidence.gathered import Gathered
from hsagency.audit.evidence.merged import verdicts
from hsagency.audit.register.checkpoints import copied, newer
from hsagency.audit.register.quick import check_signature
from hsagency.audit.register.trusting import Known, known_keys
from hsagency.audit.standalone.evidence import (
    ALTERED,
    MISSING,
    TRUNCATED,
    Evidence,
    Finding,
)
from hsagency.audit.standalone.heads import REGISTER, read_keys
from hsagency.audit.standalone.kept import read_kept
from hsagency.audit.standalone.lineages import Watched
from hsagency.audit.standalone.verdict import Verdict, judge
from hsagency.durable import (
    NotAFile,
    entries,
    open_to_read,
    read_regular,
    try_lock,
    unreadable,
)
from hsagency.errors import AuditError, HsAgencyError, UsageError
from hsagency.periods import first_and_last
from hsagency.portals import parse_slug
from hsagency.settings import Workspace

_LOOKS: Final = 6  # at a log that changes while it is read; what two in a row see is believed
_PASSING: Final = "The log changed all the while it was read; seen once, and not believed"
_SHOWN: Final = 5  # of what is not believed
_LAKE: Final = "client_slug="  # and the slug: a folder of the lake

Day = date | str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """
    One client's log: its folder, and the second copy of its register.

    `workspace` is where else to look: which key is in its store, and who is connected.
    """

    folder: Path
    copy: Path | None
    workspace: Workspace | None = None

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

    def known_keys(self) -> Known:
        """Return the keys that are known to be ours."""
        return known_keys(self.workspace, self.copy.parent if self.copy else None)

    def expected(self) -> str:
        """Say why there has to be a log, if there has."""
        if self.workspace is None:
            return ""
        if self.slug in _connected(self.workspace):
            return "the client is connected"
        return "the lake has rows of it" if self.slug in _in_lake(self.workspace) else ""


def log_of(workspace: Workspace, slug: str) -> Log:
    """Return a client's log, whether there is one or not."""
    copy = workspace.heads / f"{slug}.jsonl"
    return Log(folder=workspace.audit / slug, copy=copy, workspace=workspace)


def logs(workspace: Workspace) -> list[str]:
    """
    Return whose logs there are, or were, or have to be.

    A second copy outlives the log itself, and so do a connection and the rows in the lake.
    """
    audit = workspace.audit
    found = {one.name for one in entries(audit) if _has_parts(audit / one.name)}
    copies: set[str] = set()
    with contextlib.suppress(AuditError):  # which says of itself that it cannot be compared
        copies = {Path(one.name).stem for one in entries(workspace.heads) if _is_copy(one.name)}
    return sorted(found | copies | _connected(workspace) | _in_lake(workspace))


def _is_copy(name: str) -> bool:
    return name.endswith(".jsonl")


def _connected(workspace: Workspace) -> set[str]:
    try:
        return {str(slug) for slug in workspace.index.read().connections}
    except HsAgencyError:
        return set()  # the index says of itself that it cannot be read, wherever it is needed


def _in_lake(workspace: Workspace) -> set[str]:
    try:
        there = entries(workspace.audit / "lake")
    except AuditError:
        return set()
    found = {one.name.removeprefix(_LAKE) for one in there if one.name.startswith(_LAKE)}
    return {one for one in found if _is_slug(one)}


def _is_slug(name: str) -> bool:
    with contextlib.suppress(HsAgencyError):
        return bool(parse_slug(name))
    return False


def _has_parts(folder: Path) -> bool:
    """Say whether a folder is a log's; one that cannot be looked into is not taken for none."""
    try:
        names = {one.name for one in entries(folder)}
    except AuditError:
        return True
    return bool(names & {"journal", "evidence", "merged", REGISTER})


def verify(log: Log, *, first: Day = None, last: Day = None, head: bytes | None = None) -> Verdict:
    """
    Return the verdict on one client's log.

    With days, both included, segments that were closed before or opened after need not be
    there; what is there is read whole, since it may hold calls of other days that were imported,
    and a chain has no middle. `head` is a kept HEAD.json. Raises `AuditError` for a log that
    cannot be read and `UsageError` for a head of something else or days that are none.
    """
    try:
        kept = None if head is None else read_kept(head, log.slug)
    except ValueError as error:
        raise UsageError(
            f"The head cannot be compared: {error}. Nothing was checked.",
            hint="Name the HEAD.json that came with an earlier evidence pack of this client.",
        ) from error
    begin, end = ("" if day is None else day.isoformat() for day in first_and_last(first, last))
    try:
        verdict = _steady(log, (begin, end), kept)
    except OSError as error:
        raise unreadable(error.filename or log.folder, error) from error
    if verdict.empty and log.expected():
        cause = f"there is no log, though {log.expected()}"
        verdict.findings.append(Finding(MISSING, REGISTER, None, None, cause))
    return verdict


def _steady(log: Log, days: tuple[str, str], kept: dict[str, Any] | None) -> Verdict:
    """
    Look until what is seen does not come from its being written meanwhile.

    What is wrong, or lost, is believed once nothing changed while it was looked for, or once it
    was seen twice in a row; what comes from an unlucky moment is another thing at the next look.
    """
    seen: list[set[str]] | None = None
    for _ in range(_LOOKS):
        before = _state(log)
        verdict = _look(log, days, kept)
        found = [_wrongs(one) for one in verdict.each]
        if not any(found) or _state(log) == before or found == seen:
            return verdict
        was, seen = seen, found
    if was is not None and len(was) == len(found):
        for one, twice in zip(verdict.each, was, strict=True):
            passing = [text for text in (*map(str, one.findings), *one.lost) if text not in twice]
            one.findings = [finding for finding in one.findings if str(finding) in twice]
            one.lost = [text for text in one.lost if text in twice]
            one.notes += [f"{_PASSING}: {text}" for text in passing[:_SHOWN]]
    return verdict


def _wrongs(verdict: Verdict) -> set[str]:
    return {*map(str, verdict.findings), *verdict.lost}


def _look(log: Log, days: tuple[str, str], kept: dict[str, Any] | None) -> Verdict:
    copy, points, unread = _copies(log)  # before the first ones, which are never behind
    gathered = Gathered(log.folder)
    steady = gathered.steady()
    keys, known = read_keys(log.public_keys()), log.known_keys()  # listed before they sign
    evidence, wrong = newer(steady, points, log.slug, keys, check_signature)
    watched = Watched(evidence)
    verdict = judge(
        watched.evidence,
        log.slug,
        keys,
        first=days[0],
        last=days[1],
        kept=kept,
        trust=known.trust,
        check=check_signature,
        live=lambda segment: _goes_on(log.folder, segment, steady.names),
    )
    gathered.complete(verdict)
    verdict.notes += known.remarks(verdict.signers)
    if unread:
        verdict.notes.append(unread)
    else:
        _compare(steady, copy, verdict)
    verdict.findings += wrong
    merges = watched.records(verdict.unregistered)
    verdict.merged = verdicts(
        log.folder, merges, first=days[0], last=days[1], check=check_signature
    )
    return verdict


def _goes_on(folder: Path, segment: str, seen: list[str]) -> bool:
    """Say whether a writer holds a segment, or went on from it since the names were read."""
    following = f"{segment[:4]}{int(segment[4:]) + 1:06}"
    if is_live(journal_file(folder, segment)):
        return True
    there = journal_file(folder, following).exists() or evidence_file(folder, following).exists()
    return there and f"journal/{following}.jsonl" not in seen


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
        lines = "line" if behind == 1 else f"{behind:,} lines"
        verdict.notes.append(f"The second copy of the register lacks the last {lines}.")


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
    """Say whether a writer holds a segment; one that dies lets go, and none holds a sealed one."""
    try:
        with open_to_read(path) as file:
            return not try_lock(file.fileno())
    except (FileNotFoundError, NotAFile):
        return False
