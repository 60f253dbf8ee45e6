#!/usr/bin/env python3
"""
Checks an evidence pack of an audit log. Needs Python 3.8 or later and nothing else.

    python3 -I verify.py                              the unpacked pack that this file is in
    python3 -I verify.py pack.zip                     a pack as it came
    python3 -I verify.py pack.zip --head HEAD.json    also against a head that you kept
    python3 -I verify.py pack.zip --key FINGERPRINT   also against the key that you know

Exit code 0: intact; 4: not intact; 3: it holds no records; 1 or 2: it could not be checked.
This file came with the pack, from whoever made the pack. Use the one of the first pack that
you got, or one that you got by another channel; README.txt says how to tell whether it is the same.

From the bottom up: `verifies` checks one Ed25519 signature; `statement` and `read_register`
read the signed lines that say how far each segment had come; `scan` follows a segment's hash
chain and compares it with those lines; `judge` puts a verdict together. SPECIFICATION.md
describes the format, and test-vectors.json lets you try any implementation of it.

What nobody can see from a log alone: what was never recorded; what is cut off or added after
the last signed head (normally written within a second before a program stopped); and whether
the key that signed is the agency's: anybody can write another log and sign it with a key of
their own. So have the key confirmed, and keep HEAD.json of every pack: a log that was written
anew, or put back to an earlier day, cannot contain it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
import zipfile
from pathlib import Path
from typing import Any, Sequence

from hsagency.audit.standalone.cover import Trust
from hsagency.audit.standalone.ed25519 import verifies
from hsagency.audit.standalone.evidence import ALTERED, INTACT, MISSING, Evidence, Finding
from hsagency.audit.standalone.heads import REGISTER, SEGMENT, Check, read_keys
from hsagency.audit.standalone.kept import read_kept
from hsagency.audit.standalone.lineages import Lineage, Watched, lineages_in
from hsagency.audit.standalone.merged import LINEAGE, inside
from hsagency.audit.standalone.packs import Opened, open_pack
from hsagency.audit.standalone.retired import in_words
from hsagency.audit.standalone.segments import Segment
from hsagency.audit.standalone.signers import digits_of, kept_signers, named_among
from hsagency.audit.standalone.verdict import Verdict, judge

SLUG = re.compile(r"[a-z][a-z0-9-]{0,62}\Z")
DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")
MANIFEST = "MANIFEST.json"


class BadHead(ValueError):
    """What was given as a kept head is none."""


def check_pack(
    pack: Opened, kept: bytes | None = None, *, named: Sequence[str] = (), check: Check = verifies
) -> Verdict:
    """
    Return the verdict on a pack; raises `ValueError` if it is none, or `BadHead`.

    `kept` is a HEAD.json, and `named` are fingerprints of keys: any other is a finding.
    """
    watched, manifest = Watched(pack.evidence), read_manifest(pack.evidence)
    slug, being_written = manifest["clientSlug"], manifest["open"]
    keys = read_keys(pack.evidence.read("keys.json") or b"")
    head = None if kept is None else read_head(kept, slug)
    verdict = judge(
        watched.evidence,
        slug,
        keys,
        first=manifest["from"],
        last=manifest["to"],
        kept=head,
        trust=Trust(named_among(keys, named), "is none that you named") if named else None,
        check=check,
        live=lambda segment: segment in being_written,
    )
    verdict.notes = [one.replace(" is being written", AT_EXPORT) for one in verdict.notes]
    cause = "it was left out by whoever made this, since it did not show whose it is"
    verdict.findings[:0] = [Finding(ALTERED, one, None, None, cause) for one in manifest["leftOut"]]
    if named and not verdict.signers:
        cause = "nothing of it is signed, with a key that you named or any other"
        verdict.findings.append(Finding(ALTERED, REGISTER, None, None, cause))
    verdict.notes += new_signers(verdict, kept_signers(head or {}))
    said = lineages_in(watched.records(verdict.unregistered))
    there = {found[1] for found in map(LINEAGE.match, pack.evidence.names) if found}
    verdict.merged = [
        check_lineage(pack.evidence, said.get(one), one, verdict, check)
        for one in sorted({*said} | there)
    ]
    compare(pack.evidence, manifest["files"], verdict, pack.wrong)
    return verdict


AT_EXPORT = " was being written when this was exported"


def read_head(kept: bytes, slug: str) -> dict[str, Any]:
    """Return what a kept HEAD.json says; raises `BadHead`."""
    try:
        return read_kept(kept, slug)
    except ValueError as error:
        raise BadHead(str(error)) from None


def new_signers(verdict: Verdict, before: Sequence[str]) -> list[str]:
    """Return in words which keys signed that a kept head does not name."""
    if not before:
        return []
    new = sorted({*verdict.signers} - {*named_among(verdict.keys, before)})
    why = "which the head that was kept does not name: ask for the reason, by another channel."
    unsigned = [] if verdict.signers else ["Nothing of it is signed any more."]
    return [f"It is signed with the key {one}, {why}" for one in new] + unsigned


def check_lineage(
    evidence: Evidence, lineage: Lineage | None, key: str, log: Verdict, check: Check
) -> Verdict:
    """Return the verdict on a log from another machine, by what records say was merged of it."""
    part = inside(evidence, f"merged/{key}/")
    if lineage is None:
        verdict = Verdict(log.slug, log.first, log.last, lineage=key)
        cause = "no merge on record brought it here"
        verdict.findings.append(Finding(ALTERED, f"merged/{key}", None, None, cause))
        return verdict
    verdict = judge(
        part,
        log.slug,
        lineage.keys,
        first=log.first,
        last=log.last,
        kept={"register": {"lines": lineage.lines, "digest": lineage.digest}, "segments": []},
        brought=dict(lineage.heads),
        check=check,
    )
    verdict.lineage = key
    verdict.findings = [one._replace(file=f"merged/{key}/{one.file}") for one in verdict.findings]
    return verdict


def read_manifest(evidence: Evidence) -> dict[str, Any]:
    """Return what MANIFEST.json says; raises `ValueError` if there is none, or not such a one."""
    try:
        said: dict[str, Any] = json.loads(evidence.read(MANIFEST) or b"")
        said = {"open": [], "leftOut": [], **said}
        good = (
            SLUG.match(said["clientSlug"])
            and all(DAY.match(said[one]) for one in ("from", "to"))
            and all(type(one) is str for one in [*said["files"].values(), *said["leftOut"]])
            and all(SEGMENT.match(one) for one in said["open"])
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        good = False
    if not good:
        raise ValueError("there is no MANIFEST.json that can be read, so it is no evidence pack")
    return said


def compare(
    evidence: Evidence, files: dict[str, str], verdict: Verdict, wrong: Sequence[Finding] = ()
) -> None:
    """
    Compare every file of a pack with its SHA-256 in MANIFEST.json.

    `wrong` is what is found of files that cannot be read, and may grow meanwhile. A file that
    there is a word on already gets no second one.
    """
    known = {finding.file for one in verdict.each for finding in one.findings}
    found = []
    for name, digest in sorted(files.items()):
        hashed = hashlib.sha256()
        try:
            with evidence.open(name) as file:
                for part in iter(lambda: file.read(1 << 20), b""):
                    hashed.update(part)
        except FileNotFoundError:
            found.append(Finding(MISSING, name, None, None, "MANIFEST.json lists it"))
            continue
        if hashed.hexdigest() != digest:
            cause = "its SHA-256 is not the one in MANIFEST.json"
            found.append(Finding(ALTERED, name, None, None, cause))
    known |= {one.file for one in wrong}
    rest = [one for one in found if one.file not in known]
    verdict.findings = [*wrong, *verdict.findings, *rest]  # the causes before what they cause
    unlisted = sorted({*evidence.names} - {*files, MANIFEST})
    verdict.notes += [f"Not listed in MANIFEST.json: {name!r}." for name in unlisted[:20]]
    if unlisted[20:]:
        verdict.notes.append(f"Not listed in MANIFEST.json: {len(unlisted) - 20} more.")


def holds(segment: Segment, first: str, last: str) -> bool:
    """Say whether a segment holds records of some days, or calls of them that came in later."""
    times = [[segment.first, segment.last], segment.imported]
    return any(both[0][:10] <= last and both[1][:10] >= first for both in times if both and both[0])


def nothing_in(verdict: Verdict) -> bool:
    """Say whether nothing is wrong, and nothing there of the days that were asked for."""
    return verdict.worst == INTACT and not any(
        holds(segment, verdict.first, verdict.last)
        for one in verdict.each
        for segment in one.segments
    )


def described(verdict: Verdict) -> list[str]:
    """Return a verdict as lines for a person."""
    said = verdict.report()
    asked, found = said["requested"], said["found"]
    whose = f"merged from key {verdict.lineage}" if verdict.lineage else verdict.slug
    lines = [
        f"{whose}: {verdict.integrity}; completeness: {verdict.completeness}",
        f"  requested {asked['from'] or 'the first day'} to {asked['to'] or 'the last'}",
        f"  found     {found['from']} to {found['to']}" if found["from"] else "  found     nothing",
        f"  counted   {_counted(said['segments'], 'segment')}, "
        f"{_counted(said['records'], 'record')}, {_counted(said['calls'], 'call')}",
        f"  heads     {said['signedHeads']:,} signed, {said['unsignedHeads']:,} unsigned; "
        f"records under a signed head: {said['recordsUnderSignedHeads']:,}",
    ]
    lines += [f"  {one}" for one in verdict.remarks()]
    lines += [f"  {one}" for one in in_words(verdict.retired)]
    lines += [f"  {one}" for one in verdict.findings[:5]]
    if len(verdict.findings) > 5:
        lines.append(f"  and {len(verdict.findings) - 5} more")
    lines += [f"  lost: {one}" for one in verdict.lost]
    lines += [f"  {one}" for one in verdict.notes]
    return lines + [f"  {line}" for one in verdict.merged for line in described(one)]


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def signers_described(verdict: Verdict, named: Sequence[str]) -> list[str]:
    """Return who signed, as lines for a person."""
    lines = []
    for one in verdict.signed_by:
        lines += [f"  signed by the key {one['key']}", f"    SHA-256 {one['fingerprint']}"]
    if lines and not named:
        lines.append("    Anybody can sign with a key of their own: see README.txt, and use --key.")
    return lines or ["  signed by nobody: anybody could have written it"]


def printable(text: str) -> str:
    """Return a line that cannot steer a terminal: names come from whoever made the pack."""
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode() for one in text
    )


def complain(what: Path, error: Exception) -> None:
    """Say why something could not be checked."""
    said = "not enough memory" if isinstance(error, MemoryError) else str(error)
    sys.stderr.write(printable(f"{what} could not be checked: {said}") + "\n")


def key_named(text: str) -> str:
    """Return a fingerprint as it was typed, if it is one."""
    if not digits_of(text):
        raise argparse.ArgumentTypeError("a fingerprint has 64 digits 0-9 and a-f, or its first 16")
    return text


def read_options() -> argparse.Namespace:
    """Return what was asked for."""
    parser = argparse.ArgumentParser(description="Check an evidence pack.")
    here = Path(__file__).resolve().parent
    parser.add_argument("pack", nargs="?", type=Path, default=here, help="folder or zip file")
    parser.add_argument("--head", type=Path, help="a HEAD.json that you kept")
    parser.add_argument(
        *("--key", "-k"),
        action="append",
        default=[],
        type=key_named,
        metavar="FINGERPRINT",
        help="the key that may sign, as it was confirmed to you; may be given more than once",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    return parser.parse_args()


def main() -> int:
    """Check the pack that is named, say what came of it, and return the exit code."""
    options = read_options()
    wrong: list[Finding] = []
    try:
        kept = options.head.read_bytes() if options.head else None
    except OSError as error:
        complain(options.head, error)
        return 1
    try:
        pack = open_pack(options.pack)
        wrong = pack.wrong
        verdict = check_pack(pack, kept, named=options.key)
    except BadHead as error:
        complain(options.head, error)
        return 1
    except (OSError, ValueError, MemoryError, zipfile.BadZipFile) as error:
        complain(options.pack, error)
        for one in wrong[:5]:
            sys.stderr.write(printable(f"  {one}") + "\n")
        return 4 if wrong else 1
    show(verdict, options)
    if verdict.empty or nothing_in(verdict):
        return 3
    return 0 if verdict.worst == INTACT else 4


def show(verdict: Verdict, options: argparse.Namespace) -> None:
    """Print what a pack comes to."""
    if options.json:
        text = json.dumps({"schema": 1, **verdict.report()}, indent=2)
    else:
        lines = [*described(verdict), *signers_described(verdict, options.key)]
        if nothing_in(verdict):
            lines.append("  Nothing of these days is recorded in it.")
        text = "\n".join(map(printable, lines))
    encoding = sys.stdout.encoding or "ascii"
    sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")


if __name__ == "__main__":
    sys.exit(main())
