"""The verdict on a log: what is wrong, what is lost, and what was looked at."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from typing import Any, Callable, Iterable

from hsagency.audit.standalone.ed25519 import verifies
from hsagency.audit.standalone.evidence import (
    ALTERED,
    GAP,
    INTACT,
    MISSING,
    TRUNCATED,
    WORST_FIRST,
    Evidence,
    Finding,
)
from hsagency.audit.standalone.heads import (
    HASH,
    MOMENT,
    REGISTER,
    SEGMENT,
    Check,
    Head,
    Wrong,
    read_register,
    statement,
)
from hsagency.audit.standalone.merged import not_brought, went_on
from hsagency.audit.standalone.retired import (
    Retired,
    as_json,
    contradicted,
    removed,
    retirement,
)
from hsagency.audit.standalone.segments import Pending, Segment, genesis, scan

CHECKPOINT = re.compile(r"heads/[0-9]{3}\.json\Z")
TORN = re.compile(r"heads/[0-9]{3}\.json\.torn-at-[0-9]+\Z")
JOURNAL = re.compile(r"journal/[0-9]{3}-[0-9]{6}\.jsonl(\.torn-at-[0-9]+)?\Z")


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
    outside: int = 0  # segments that were left out, since they lie outside of the period
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
    def empty(self) -> bool:
        """Say whether there is nothing at all: no record, and no word of one."""
        return not (self.heads or self.findings or any(one.records for one in self.segments))

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
            "calls": sum(one.calls for one in self.segments),
            "signedHeads": self.signed,
            "unsignedHeads": self.heads - self.signed,
            "retired": [as_json(one) for one in self.retired],
            "findings": [one._asdict() for one in self.findings],
            "lost": self.lost,
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
    also: Iterable[str] = (),
    check: Check = verifies,
    live: Callable[[str], bool] = lambda segment: False,
) -> Verdict:
    """
    Return the verdict on one client's log.

    `first` and `last` are days, if there are any; segments that were closed before or opened after are left out.
    `kept` is what a HEAD.json says. `brought` is, for a log from another machine, how much of
    which segments was merged. `also` are segments that are judged whatever the days; `live` says
    whether a program holds one open.
    """
    verdict = Verdict(slug, first, last)
    heads = stated(evidence, keys, check, verdict)
    outside = {name for name, said in heads.items() if is_outside(said, first, last)} - {*also}
    verdict.outside = len(outside)
    for name, one in kept_heads(kept, evidence, verdict).items():
        if name in outside:
            verdict.notes.append(f"Not compared with the kept head: {name} is not of this period.")
        else:
            heads.setdefault(name, []).append(one)
    files = [JOURNAL.match(name) for name in evidence.names]
    present = {file[0][8:18] for file in files if file and not file[1]}
    if brought is not None:
        outside |= elsewhere(heads, brought, present, outside, verdict)
    is_open = live if brought is None else lambda segment: went_on(heads[segment])
    known = sorted({*present, *heads})
    verdict.findings += gaps(known)
    before: Segment | None = None
    pending: Pending = {}
    for name in known:
        if before is None or before.name[:3] != name[:3]:
            before, pending = None, {}
        if name in outside:
            before = None
            continue
        gone = len(verdict.retired)
        before = examine(evidence, name, heads.get(name, []), before, pending, verdict)
        if len(verdict.retired) > gone:
            pending = {}  # nobody knows any more which of its calls ended
        newest = name == max(one for one in known if one[:3] == name[:3])
        if before is not None:
            left_open(before, pending if newest else {}, verdict, is_open)
        if brought is not None and went_on(heads[name]):
            before = None  # it went on elsewhere, and the next one names the end that it has there
    note_others(evidence, verdict)
    return verdict


def stated(
    evidence: Evidence, keys: dict[str, bytes], check: Check, verdict: Verdict
) -> dict[str, list[Head]]:
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
    found: dict[str, list[Head]] = {}
    for head in heads:
        found.setdefault(head.segment, []).append(head)
    return found


def elsewhere(
    heads: dict[str, list[Head]],
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
    closed = max((head.ts for head in said if head.kind == "closed"), default="9999")
    return closed[:10] < first or opened[:10] > (last or "9999")


def gaps(known: list[str]) -> list[Finding]:
    """Return which segments and slots are skipped: they are numbered without a break."""
    found, before = [], (-1, 0)
    for name in known:
        slot, number = int(name[:3]), int(name[4:])
        wanted = (slot, before[1] + 1) if slot == before[0] else (before[0] + 1, 1)
        if (slot, number) != wanted:
            cause = "neither it nor a word of it is there, but a later one is"
            file = f"journal/{wanted[0]:03}-{wanted[1]:06}.jsonl"
            found.append(Finding(GAP, file, None, None, cause))
        before = (slot, number)
    return found


def examine(
    evidence: Evidence,
    name: str,
    heads: list[Head],
    before: Segment | None,
    pending: Pending,
    verdict: Verdict,
) -> Segment | None:
    """Read one segment, add it to a verdict, and return it if it could be read to its end."""
    file, segment = f"journal/{name}.jsonl", Segment(name, genesis(name))
    heads = sorted(heads, key=lambda head: head.records)
    registered = any(head.kind != "kept" for head in heads)
    retired = retirement(heads)
    try:
        with evidence.open(file) as content:
            found = scan(content, segment, heads[:], verdict.slug, pending)
    except FileNotFoundError:
        if retired is not None:
            return passed_over(retired, heads, before, verdict)
        cause = f"it had {heads[-1].records} records at {heads[-1].ts} ({heads[-1].source})"
        verdict.findings.append(Finding(MISSING, file, None, None, cause))
        return None
    if retired is not None:
        what = f"{name} was to be removed under retention on {retired.ts[:10]}"
        verdict.notes.append(f"{what}; it is still there, and was checked.")
    verdict.segments.append(segment)
    others = [unlinked(segment, before), None if registered else unregistered(segment, verdict)]
    for one in [found] if found else others:
        if one is not None and one not in verdict.findings:
            verdict.findings.append(one)
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


def unlinked(segment: Segment, before: Segment | None) -> Finding | None:
    """Say whether a segment names another end of the one before it than was found."""
    if before is None or b'"event":"audit.opened"' not in segment.opening:
        return None
    named = opening_of(segment)
    if named.get("previousHash") in (None, before.head):
        return None
    cause = f"journal/{segment.name}.jsonl names another last record of it"
    return Finding(
        TRUNCATED, f"journal/{before.name}.jsonl", before.records + 1, before.size, cause
    )


def opening_of(segment: Segment) -> dict[str, Any]:
    """Return the first record of a segment."""
    try:
        said = json.loads(segment.opening or b"{}")
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def unregistered(segment: Segment, verdict: Verdict) -> Finding | None:
    """Say whether a segment that the register does not name should be in it."""
    older = segment.name[4:] == "000001" and b'"event":"audit.opened"' not in segment.opening
    distrusted = any(one.file == REGISTER for one in verdict.findings)
    # A segment has three records at most, about itself, before it is registered.
    if older or segment.records <= 3 or distrusted:
        verdict.unregistered += [segment.name] if segment.records else []
        return None
    if not verdict.heads:
        cause = "the segments were written by a version that keeps a register"
        return Finding(MISSING, REGISTER, None, None, cause)
    cause = "the register does not name this segment"
    return Finding(ALTERED, f"journal/{segment.name}.jsonl", 1, 0, cause)


def left_open(
    segment: Segment, pending: Pending, verdict: Verdict, live: Callable[[str], bool]
) -> None:
    """Note what a segment leaves unfinished, unless it is being written."""
    if not pending and not segment.torn:
        return
    open_calls, torn = len(pending), segment.torn
    if live(segment.name):
        current = sum(run == segment.run for run in pending.values())
        open_calls, torn = open_calls - current, 0
        verdict.notes.append(f"{segment.name} is being written; calls on their way: {current}.")
    if open_calls:
        verdict.lost.append(f"{segment.name}: calls whose outcome is not recorded: {open_calls}.")
    if torn:
        verdict.lost.append(f"{segment.name} ends in a torn line of {torn} bytes.")


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


def kept_heads(
    kept: dict[str, Any] | None, evidence: Evidence, verdict: Verdict
) -> dict[str, Head]:
    """Return what a kept HEAD.json states by segment, and compare the register with it."""
    if kept is None:
        return {}
    lines = (evidence.read(REGISTER) or b"").split(b"\n")[:-1]
    number, digest = kept["register"]["lines"], kept["register"]["digest"]
    if len(lines) < number:
        cause = f"it had {number} lines when the head was kept"
        verdict.findings.append(Finding(TRUNCATED, REGISTER, len(lines) + 1, None, cause))
    elif number and hashlib.sha256(lines[number - 1]).hexdigest() != digest:
        cause = "it is not the line that was there when the head was kept"
        verdict.findings.append(Finding(ALTERED, REGISTER, number, None, cause))
    return {
        one["segment"]: Head(
            *(one["segment"], one["records"], one["bytes"], one["head"]),
            *("kept", kept["made"], False, "the kept head"),
        )
        for one in kept["segments"]
    }


def read_kept(content: bytes, slug: str) -> dict[str, Any]:
    """Return what a HEAD.json says; raises `ValueError` if it is none of this client's."""
    try:
        kept: dict[str, Any] = json.loads(content)
        counts = [kept["register"]["lines"], *(one["records"] for one in kept["segments"])]
        counts += [one["bytes"] for one in kept["segments"]]
        good = (
            kept["clientSlug"] == slug
            and MOMENT.match(kept["made"])
            and all(type(one) is int and one >= 0 for one in counts)
            and all(SEGMENT.match(one["segment"]) for one in kept["segments"])
            and all(HASH.match(one["head"]) for one in kept["segments"])
        )
    except (ValueError, TypeError, KeyError, RecursionError):
        good = False
    if not good:
        raise ValueError("it is not a kept head of this client")
    return kept
