"""The verdict on a log: what is wrong, what is lost, and what was looked at."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Callable

from hsagency.audit.standalone.calls import Calls
from hsagency.audit.standalone.cover import (
    Trust,
    signers,
    strangers,
    uncovered,
    unsigned_lines,
    unvouched,
)
from hsagency.audit.standalone.ed25519 import verifies
from hsagency.audit.standalone.evidence import (
    ALTERED,
    INTACT,
    MISSING,
    WORST_FIRST,
    Evidence,
    Finding,
)
from hsagency.audit.standalone.heads import (
    REGISTER,
    Check,
    Head,
    Wrong,
    read_register,
    statement,
)
from hsagency.audit.standalone.kept import contained, kept_heads, kept_in_words, kept_line
from hsagency.audit.standalone.merged import not_brought, went_on
from hsagency.audit.standalone.registered import (
    Heads,
    gaps,
    not_named,
    unharmed,
    without_checkpoint,
)
from hsagency.audit.standalone.retired import (
    Retired,
    as_json,
    contradicted,
    removed,
    retirement,
    unrecorded,
)
from hsagency.audit.standalone.segments import Segment, genesis, scan, unlinked
from hsagency.audit.standalone.signers import fingerprint

CHECKPOINT = re.compile(r"heads/[0-9]{3}\.json\Z")
TORN = re.compile(r"heads/[0-9]{3}\.json\.torn-at-[0-9]+\Z")
JOURNAL = re.compile(r"journal/[0-9]{3}-[0-9]{6}\.jsonl(\.torn-at-[0-9]+)?\Z")
FEAR = "what is not as it was written may have held more records, and was not all counted"


@dataclass
class Verdict:
    """What a log comes to; `findings` are about its integrity, `lost` about its completeness."""

    slug: str
    first: str = ""  # the days that were asked for
    last: str = ""
    findings: list[Finding] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    segments: list[Segment] = field(default_factory=list)
    heads: int = 0  # lines of the register, and checkpoints
    signed: int = 0
    signers: dict[str, int] = field(default_factory=dict)  # statements by the key that signed them
    keys: dict[str, bytes] = field(default_factory=dict)  # that were listed
    unsigned: list[str] = field(default_factory=list)  # what anybody could have written, in words
    kept: dict[str, Any] | None = None  # what came of a kept head
    outside: int = 0  # segments outside of the period that are not there, and need not be
    unregistered: list[str] = field(default_factory=list)
    retired: list[Retired] = field(default_factory=list)  # and not there any more
    lineage: str = ""  # the key of another machine, whose log of this client was merged
    merged: list[Verdict] = field(default_factory=list)  # on such logs, each for itself

    @property
    def integrity(self) -> str:
        """Return the worst of what was found."""
        return min((one.verdict for one in self.findings), key=WORST_FIRST.index, default=INTACT)

    @property
    def each(self) -> list[Verdict]:
        """Return it and those on merged logs: all that belongs to this client."""
        return [self, *self.merged]

    @property
    def worst(self) -> str:
        """Return the worst of what was found in any of them."""
        return min((one.integrity for one in self.each), key=(*WORST_FIRST, INTACT).index)

    @property
    def completeness(self) -> str:
        """Return what is known of records that are not there, in any of them."""
        known = any(one.lost or one.findings for one in self.each)
        return "incomplete" if known else "not comparable"

    @property
    def why_incomplete(self) -> list[str]:
        """Return in words why records are known, or feared, to be lost."""
        wrong = [one for one in self.each if one.findings]
        return [text for one in self.each for text in one.lost] + ([FEAR] if wrong else [])

    @property
    def empty(self) -> bool:
        """Say whether there is nothing at all: no record, and no word of one."""
        return not (self.heads or self.findings or any(one.records for one in self.segments))

    @property
    def signed_by(self) -> list[dict[str, Any]]:
        """Return which keys signed this log, how often, and by what people can compare them."""
        return [
            {"key": key, "fingerprint": fingerprint(self.keys[key]), "statements": count}
            for key, count in sorted(self.signers.items())
        ]

    def remarks(self) -> list[str]:
        """Return in words what signatures and a kept head come to."""
        said = [f"UNSIGNED: {one}" for one in self.unsigned]
        said += [f"incomplete: {FEAR}"] if self.findings else []
        return said + ([kept_in_words(self.kept)] if self.kept else [])

    def report(self) -> dict[str, Any]:
        """Return all of it as JSON shows it."""
        return {
            "clientSlug": self.slug,
            "integrity": self.integrity,
            "completeness": self.completeness,
            "requested": {"from": self.first or None, "to": self.last or None},
            "found": {
                "from": min((one.first for one in self.segments if one.first), default=None),
                "to": max((one.last for one in self.segments if one.last), default=None),
            },
            "segments": len(self.segments),
            "segmentsOutsidePeriod": self.outside,
            "segmentsNotRegistered": len(self.unregistered),
            "segmentsRetired": len(self.retired),
            "records": sum(one.records for one in self.segments),
            "recordsUnderSignedHeads": sum(one.signed for one in self.segments),
            "linesAfterBreaks": sum(one.unread for one in self.segments),
            "calls": sum(one.calls for one in self.segments),
            "signedHeads": self.signed,
            "unsignedHeads": self.heads - self.signed,
            "signedBy": self.signed_by,
            "unsigned": self.unsigned,
            "keptHead": self.kept,
            "retired": [as_json(one) for one in self.retired],
            "findings": [one._asdict() for one in self.findings],
            "lost": self.lost,
            "incompleteBecause": self.why_incomplete,
            "notes": self.notes,
            "merged": [{"key": one.lineage, **one.report()} for one in self.merged],
        }


def judge(
    evidence: Evidence,
    slug: str,
    keys: dict[str, bytes],
    *,
    first: str = "",
    last: str = "",
    kept: dict[str, Any] | None = None,
    brought: dict[str, Head] | None = None,
    trust: Trust | None = None,
    check: Check = verifies,
    live: Callable[[str], bool] = lambda segment: False,
) -> Verdict:
    """
    Return the verdict on one client's log.

    `first` and `last` are days, if there are any; segments that were closed before or opened
    after need not be there, and are judged if they are. `kept` is what a HEAD.json says.
    `brought` is, for a log from another machine, how much of which segments was merged. `trust`
    says which keys are known to be ours; `live` whether a program holds a segment open.
    """
    verdict = Verdict(slug, first, last)
    heads = stated(evidence, keys, check, verdict, trust)
    files = [JOURNAL.match(name) for name in evidence.names]
    present = {file[0][8:18] for file in files if file and not file[1]}
    absent = {name for name in {*heads} - present if is_outside(heads[name], first, last)}
    verdict.outside = len(absent)
    if kept is not None:
        verdict.findings += kept_line(kept, evidence.read(REGISTER) or b"")
        for name, one in kept_heads(kept).items():
            heads.setdefault(name, []).extend([] if name in absent else [one])
    skipped = absent
    if brought is not None:
        skipped = absent | elsewhere(heads, brought, present, absent, verdict)
    verdict.findings += gaps(sorted({*present, *heads}))
    calls = read_all(evidence, sorted({*present, *heads} - skipped), heads, verdict, brought)
    verdict.unregistered, found = not_named(verdict.segments, heads, verdict.findings)
    verdict.findings += found
    sound = unharmed(verdict.segments, verdict.findings)
    others = {*heads, *present} - {one.name for one in sound}
    until = max((closed_at(heads.get(name, [])) for name in others), default="")
    is_open = live if brought is None else lambda segment: went_on(heads[segment])
    unfinished(calls, sound, until, verdict, is_open)
    if brought is None:
        verdict.findings += without_checkpoint(sound, heads, live)
        verdict.findings += unrecorded(verdict.retired, heads, verdict.segments, until)
    verdict.unsigned += uncovered(verdict.segments, is_open)
    if kept is not None and brought is None:
        verdict.kept = contained(kept, verdict.findings, absent)
    note_others(evidence, verdict)
    return verdict


def read_all(
    evidence: Evidence,
    names: list[str],
    heads: Heads,
    verdict: Verdict,
    brought: dict[str, Head] | None,
) -> Calls:
    """Read segments, slot by slot, add them to a verdict, and return what became of their calls."""
    before: Segment | None = None
    calls = Calls()
    for name in names:
        follows = before is not None and before.name == f"{name[:3]}-{int(name[4:]) - 1:06}"
        before = examine(evidence, name, heads, before if follows else None, calls, verdict)
        if brought is not None and went_on(heads[name]):
            before = None  # it went on elsewhere, and the next one names the end that it has there
    return calls


def unfinished(
    calls: Calls,
    sound: list[Segment],
    until: str,
    verdict: Verdict,
    live: Callable[[str], bool],
) -> None:
    """
    Note torn lines and calls without an outcome, but for those of programs that are running.

    Nobody knows of calls that were begun before the end of what is not at hand: `until`.
    """
    known = {one.name for one in sound if one.first > until}
    calls.forget(lambda segment: segment not in known)
    begun = {segment for _, segment in calls.pending.values()}
    newest = {one.name[:3]: one.name for one in sound}.values()
    runs = []
    for one in sound:
        torn = one.torn
        if (torn or begun) and (torn or one.name in {*newest, *begun}) and live(one.name):
            runs.append(one.run)
            count, torn = calls.count(run=one.run), 0
            if count or one.torn:
                verdict.notes.append(f"{one.name} is being written; calls on their way: {count}.")
        if torn:
            verdict.lost.append(f"{one.name} ends in a torn line of {torn} bytes.")
    for name, number in calls.lost(runs).items():
        verdict.lost.append(f"{name}: calls whose outcome is not recorded: {number}.")


def stated(
    evidence: Evidence,
    keys: dict[str, bytes],
    check: Check,
    verdict: Verdict,
    trust: Trust | None = None,
) -> Heads:
    """Return what register and checkpoints state, by segment; note what is wrong with them."""
    content = evidence.read(REGISTER) or b""
    heads, wrong = read_register(content, verdict.slug, keys, check)
    verdict.findings += wrong[:100]
    verdict.heads = content.count(b"\n")
    if content and not content.endswith(b"\n"):
        verdict.notes.append("The register ends in a torn line.")
    for name in evidence.names:
        if CHECKPOINT.match(name):
            verdict.heads += 1
            line = (evidence.read(name) or b"").rstrip(b"\n")
            try:
                head = statement(line, name, verdict.slug, keys, check)[1]
            except Wrong as error:
                verdict.findings.append(Finding(ALTERED, name, 1, 0, str(error)))
                continue
            if head.kind != "checkpoint" or head.segment[:3] != name[6:9]:
                cause = "it is not the checkpoint of this slot"
                verdict.findings.append(Finding(ALTERED, name, 1, 0, cause))
                continue
            heads.append(head)
    verdict.signed = sum(head.signed for head in heads)
    verdict.keys, verdict.signers = keys, signers(heads)
    verdict.findings += strangers(heads, keys, trust) if trust else []
    verdict.findings += unvouched(heads, trust)
    verdict.unsigned += unsigned_lines(heads)
    found: dict[str, list[Head]] = {}
    for head in heads:
        found.setdefault(head.segment, []).append(head)
    return found


def elsewhere(
    heads: Heads,
    brought: dict[str, Head],
    present: set[str],
    outside: set[str],
    verdict: Verdict,
) -> set[str]:
    """Hold a log from another machine to what was merged of it; return what was not."""
    found, planted = not_brought(heads, brought, present)
    verdict.findings += planted
    count = len(found - present - outside)
    if count:
        verdict.notes.append(f"Segments that were not brought here: {count}.")
    return found


def is_outside(said: list[Head], first: str, last: str) -> bool:
    """Say whether a segment was closed before a period or opened after it."""
    opened = min((head.ts for head in said if head.kind == "opened"), default="")
    return closed_at(said)[:10] < first or opened[:10] > (last or "9999")


def closed_at(said: list[Head]) -> str:
    """Return when a segment was closed, or the end of days."""
    return max((head.ts for head in said if head.kind == "closed"), default="9999")


def examine(
    evidence: Evidence,
    name: str,
    heads: Heads,
    before: Segment | None,
    calls: Calls,
    verdict: Verdict,
) -> Segment | None:
    """Read one segment, add it to a verdict, and return it if it could be read to its end."""
    file, segment = f"journal/{name}.jsonl", Segment(name, genesis(name))
    said = sorted(heads.get(name, []), key=lambda head: head.records)
    retired = retirement(said)
    try:
        with evidence.open(file) as content:
            found = scan(content, segment, said[:], verdict.slug, calls)
    except FileNotFoundError:
        if retired is not None:
            return passed_over(retired, said, before, verdict)
        cause = f"it had {said[-1].records} records at {said[-1].ts} ({said[-1].source})"
        verdict.findings.append(Finding(MISSING, file, None, None, cause))
        return None
    if retired is not None:
        what = f"{name} was to be removed under retention on {retired.ts[:10]}"
        verdict.notes.append(f"{what}; it is still there, and was checked.")
    if segment.unread:
        where = f"up to what is wrong in it; the {segment.unread} lines from there on were not"
        verdict.notes.append(f"{name} was counted {where}.")
    verdict.segments.append(segment)
    found = found or unlinked(segment, before)
    if found is not None and found not in verdict.findings:
        verdict.findings.append(found)
    return None if found else segment


def passed_over(
    retired: Head, heads: list[Head], before: Segment | None, verdict: Verdict
) -> Segment | None:
    """Note a segment that was removed under retention; return it as far as it is known."""
    found = contradicted(retired, heads)
    if found is not None:
        verdict.findings.append(found)
        return None
    verdict.retired.append(removed(retired, heads))
    return Segment(retired.segment, retired.hash, records=retired.records, size=retired.size)


def note_others(evidence: Evidence, verdict: Verdict) -> None:
    """Note files that are left of a crash, and files that are no part of a log."""
    for name in evidence.names:
        journal = JOURNAL.match(name)
        if journal and journal[1]:
            verdict.lost.append(f"A line torn by a crash was set aside: {name}.")
        # What ends in .new was left by a crash, and is replaced by the next checkpoint.
        known = journal or CHECKPOINT.match(name) or name.endswith(".json.new")
        if name.startswith(("journal/", "heads/")) and not known:
            torn = "A torn checkpoint was set aside" if TORN.match(name) else "No part of the log"
            verdict.notes.append(f"{torn}: {name!r}.")
    for name in verdict.unregistered:
        verdict.notes.append(f"Not registered, so protected by its own chain alone: {name}.")
