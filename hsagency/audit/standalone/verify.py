#!/usr/bin/env python3
"""
Checks an evidence pack of an audit log. Needs Python 3.8 or later and nothing else.

    python3 verify.py                              the unpacked pack that this file is in
    python3 verify.py pack.zip                     a pack as it came
    python3 verify.py pack.zip --head HEAD.json    also against a head that you kept

Exit code 0: intact; 4: not intact; 3: it holds no records; 1 or 2: it could not be checked.

From the bottom up: `verifies` checks one Ed25519 signature; `statement` and `read_register`
read the signed lines that say how far each segment had come; `scan` follows a segment's hash
chain and compares it with those lines; `judge` puts a verdict together. SPECIFICATION.md
describes the format, and test-vectors.json lets you try any implementation of it.

What nobody can see from a log alone: what was never recorded; what is cut off or added after
the last signed head (normally written within a second before a program stopped); and what is
done by somebody who holds the private key. Against the last two, keep HEAD.json of every
pack: a log that was written anew, or put back to an earlier day, cannot contain it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import zipfile
from pathlib import Path
from typing import Any

from hsagency.audit.standalone.evidence import (
    ALTERED,
    INTACT,
    MISSING,
    Evidence,
    Finding,
    in_folder,
    in_zip,
)
from hsagency.audit.standalone.heads import read_keys
from hsagency.audit.standalone.merged import LINEAGE, brought_by, inside
from hsagency.audit.standalone.retired import in_words
from hsagency.audit.standalone.verdict import Verdict, judge, read_kept

MANIFEST = "MANIFEST.json"


def check_pack(evidence: Evidence, kept: bytes | None) -> Verdict:
    """Return the verdict on a pack; raises `ValueError` if it is none."""
    manifest = read_manifest(evidence)
    slug = manifest["clientSlug"]
    verdict = judge(
        evidence,
        slug,
        read_keys(evidence.read("keys.json") or b""),
        first=manifest["from"],
        last=manifest["to"],
        kept=None if kept is None else read_kept(kept, slug),
    )
    compare(evidence, manifest["files"], verdict)
    lineages = {found[1] for found in map(LINEAGE.match, evidence.names) if found}
    verdict.merged = [check_lineage(evidence, one, verdict) for one in sorted(lineages)]
    return verdict


def check_lineage(evidence: Evidence, key: str, log: Verdict) -> Verdict:
    """Return the verdict on a log from another machine that a pack holds as well."""
    part = inside(evidence, f"merged/{key}/")
    kept = read_kept(part.read("HEAD.json") or b"", log.slug)
    verdict = judge(
        part,
        log.slug,
        read_keys(part.read("keys.json") or b""),
        first=log.first,
        last=log.last,
        kept={**kept, "segments": []},
        brought=brought_by(kept),
    )
    verdict.lineage = key
    return verdict


def in_pack(folder: Path) -> Evidence:
    """Return the evidence in an unpacked pack."""
    names = in_folder(folder).names
    for one in sorted((folder / "merged").glob("*")):
        names += [f"merged/{one.name}/{name}" for name in in_folder(one).names]
    return Evidence(names, lambda name: (folder / name).open("rb"))


def read_manifest(evidence: Evidence) -> dict[str, Any]:
    """Return what MANIFEST.json says; raises `ValueError` if there is none, or not such a one."""
    try:
        said: dict[str, Any] = json.loads(evidence.read(MANIFEST) or b"")
        texts = [said["clientSlug"], said["from"], said["to"], *said["files"].values()]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        texts = [None]
    if not all(type(one) is str for one in texts):
        raise ValueError("there is no MANIFEST.json that can be read, so it is no evidence pack")
    return said


def compare(evidence: Evidence, files: dict[str, str], verdict: Verdict) -> None:
    """Compare every file of a pack with its SHA-256 in MANIFEST.json."""
    for name, digest in sorted(files.items()):
        try:
            with evidence.open(name) as file:
                hashed = hashlib.sha256()
                while part := file.read(1 << 20):
                    hashed.update(part)
        except FileNotFoundError:
            cause = "MANIFEST.json lists it"
            verdict.findings.append(Finding(MISSING, name, None, None, cause))
            continue
        if hashed.hexdigest() != digest:
            cause = "its SHA-256 is not the one in MANIFEST.json"
            verdict.findings.append(Finding(ALTERED, name, None, None, cause))
    for name in sorted({*evidence.names} - {*files, MANIFEST}):
        verdict.notes.append(f"Not listed in MANIFEST.json: {name!r}.")


def described(verdict: Verdict) -> list[str]:
    """Return a verdict as lines for a person."""
    said = verdict.report()
    asked, found = said["requested"], said["found"]
    whose = f"merged from key {verdict.lineage}" if verdict.lineage else verdict.slug
    lines = [
        f"{whose}: {verdict.integrity}; completeness: {verdict.completeness}",
        f"  requested {asked['from'] or 'the first day'} to {asked['to'] or 'the last'}",
        f"  found     {found['from']} to {found['to']}" if found["from"] else "  found     nothing",
        f"  counted   {said['segments']} segments, {said['records']} records, {said['calls']} calls",
        f"  heads     {said['signedHeads']} signed, {said['unsignedHeads']} unsigned; "
        f"{said['recordsUnderSignedHeads']} records are under a signed head",
    ]
    lines += [f"  {one}" for one in in_words(verdict.retired)]
    lines += [f"  {one}" for one in verdict.findings[:5]]
    if len(verdict.findings) > 5:
        lines.append(f"  and {len(verdict.findings) - 5} more")
    lines += [f"  lost: {one}" for one in verdict.lost]
    lines += [f"  {one}" for one in verdict.notes]
    return lines + [f"  {line}" for one in verdict.merged for line in described(one)]


def main() -> int:
    """Check the pack that is named, say what came of it, and return the exit code."""
    parser = argparse.ArgumentParser(description="Check an evidence pack.")
    here = Path(__file__).resolve().parent
    parser.add_argument("pack", nargs="?", type=Path, default=here, help="folder or zip file")
    parser.add_argument("--head", type=Path, help="a HEAD.json that you kept")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args()
    try:
        evidence = in_pack(options.pack) if options.pack.is_dir() else in_zip(options.pack)
        verdict = check_pack(evidence, options.head.read_bytes() if options.head else None)
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        sys.stderr.write(f"{options.pack} could not be checked: {error}\n")
        return 1
    if options.json:
        text = json.dumps({"schema": 1, **verdict.report()}, indent=2)
    else:
        text = "\n".join(described(verdict))
    sys.stdout.write(text + "\n")
    if verdict.empty:
        return 3
    return 0 if verdict.worst == INTACT else 4


if __name__ == "__main__":
    sys.exit(main())
