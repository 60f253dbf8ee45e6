"""
The second copies of the checkpoints, beside which an older one that was put back shows.

A checkpoint is replaced once a second, and its second copy after it. So the copy may be of an
earlier place than the checkpoint, and never of a later one. Where it is, the log is judged by
the copy, which still tells how far the segment had come.
"""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

from hsagency.audit.register import copied_checkpoints
from hsagency.audit.standalone.evidence import ALTERED, MISSING, Evidence, Finding
from hsagency.audit.standalone.heads import Check, Head, Wrong, statement
from hsagency.audit.standalone.verdict import CHECKPOINT
from hsagency.durable import read_regular


def copied(copy: Path | None) -> dict[str, bytes]:
    """Return the second copies by the names of what they are copies of; raises `OSError`."""
    folder = copied_checkpoints(copy) if copy else None
    if folder is None or not folder.is_dir():
        return {}
    paths = {f"heads/{path.name}": path for path in sorted(folder.iterdir())}
    return {name: read_regular(path) for name, path in paths.items() if CHECKPOINT.match(name)}


def newer(
    evidence: Evidence, copies: Mapping[str, bytes], slug: str, keys: dict[str, bytes], check: Check
) -> tuple[Evidence, list[Finding]]:
    """Return the evidence with the newer of each checkpoint and its copy, and what is wrong."""
    found: list[Finding] = []
    ahead: dict[str, bytes] = {}
    for name, content in copies.items():
        given = evidence.read(name)
        ours = None if given is None else _stated(given, name, slug, keys, check)
        if isinstance(ours, Wrong):
            continue  # which the verdict says of the checkpoint itself
        theirs = _stated(content, name, slug, keys, check)
        if isinstance(theirs, Wrong):
            found.append(Finding(ALTERED, name, 1, 0, f"of its second copy: {theirs}"))
        elif ours is None:
            found.append(Finding(MISSING, name, None, None, _said(theirs)))
        elif _is_behind(ours, theirs):
            ahead[name] = content
            found.append(Finding(ALTERED, name, 1, 0, _said(theirs)))
    return _laid_over(evidence, ahead), found


def _stated(
    content: bytes, name: str, slug: str, keys: dict[str, bytes], check: Check
) -> Head | Wrong:
    try:
        head = statement(content.rstrip(b"\n"), name, slug, keys, check)[1]
    except Wrong as error:
        return error
    if head.kind != "checkpoint" or head.segment[:3] != name[6:9]:
        return Wrong("it is not the checkpoint of this slot")
    return head


def _is_behind(ours: Head, theirs: Head) -> bool:
    """Say whether a checkpoint is of an earlier place than its copy, or of another log."""
    if (ours.segment, ours.records) == (theirs.segment, theirs.records):
        return (ours.size, ours.hash) != (theirs.size, theirs.hash)
    return (ours.segment, ours.records) < (theirs.segment, theirs.records)


def _said(theirs: Head) -> str:
    return f"its second copy says that {theirs.segment} had {theirs.records} records at {theirs.ts}"


def _laid_over(evidence: Evidence, ahead: Mapping[str, bytes]) -> Evidence:
    def opened(name: str) -> Any:
        return BytesIO(ahead[name]) if name in ahead else evidence.open(name)

    return Evidence(evidence.names, opened)
