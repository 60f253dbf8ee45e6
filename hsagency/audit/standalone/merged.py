"""Logs of the same client from other machines, of which only what was merged is there."""

from __future__ import annotations

import re

from hsagency.audit.standalone.evidence import ALTERED, Evidence, Finding
from hsagency.audit.standalone.heads import REGISTER, Head

LINEAGE = re.compile(r"merged/([0-9a-f]{16})/")


def inside(evidence: Evidence, folder: str) -> Evidence:
    """Return the part of some evidence that lies in one folder."""
    names = [name[len(folder) :] for name in evidence.names if name.startswith(folder)]
    return Evidence(names, lambda name: evidence.open(folder + name))


def not_brought(
    heads: dict[str, list[Head]], brought: dict[str, Head], present: set[str]
) -> tuple[set[str], list[Finding]]:
    """
    Hold a log to what was merged of it; return what was not, and what is there all the same.

    Its register may name more segments, and know how those went on that were still open.
    """
    for name, last in brought.items():
        before = [one for one in heads.get(name, []) if one.records <= last.records]
        heads[name] = [one for one in before if one.kind != "retired"] + [last]
    cause = "no merge on record brought it here"
    planted = sorted(present - {*brought})
    findings = [Finding(ALTERED, f"journal/{name}.jsonl", None, None, cause) for name in planted]
    return ({*heads} | present) - {*brought}, findings


def went_on(heads: list[Head]) -> bool:
    """Say whether a segment was still open when it was merged."""
    return not any(one.kind == "closed" and one.source.startswith(REGISTER) for one in heads)
