"""The head that somebody kept: how far a log had come then, which it must still contain."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from hsagency.audit.standalone.evidence import ALTERED, TRUNCATED, Finding
from hsagency.audit.standalone.heads import HASH, MOMENT, REGISTER, SEGMENT, Head


def kept_heads(kept: dict[str, Any]) -> dict[str, Head]:
    """Return what a kept HEAD.json states, by segment."""
    return {
        one["segment"]: Head(
            *(one["segment"], one["records"], one["bytes"], one["head"]),
            *("kept", kept["made"], False, "the kept head"),
        )
        for one in kept["segments"]
    }


def kept_line(kept: dict[str, Any], register: bytes) -> list[Finding]:
    """Compare a register with the line of it that a kept HEAD.json names."""
    lines = register.split(b"\n")[:-1]
    number, digest = kept["register"]["lines"], kept["register"]["digest"]
    if len(lines) < number:
        cause = f"it had {number} lines when the head was kept"
        return [Finding(TRUNCATED, REGISTER, len(lines) + 1, None, cause)]
    if number and hashlib.sha256(lines[number - 1]).hexdigest() != digest:
        cause = "it is not the line that was there when the head was kept"
        return [Finding(ALTERED, REGISTER, number, None, cause)]
    return []


def contained(kept: dict[str, Any], findings: list[Finding], absent: set[str]) -> dict[str, Any]:
    """Return as JSON shows it whether a log contains a kept head, as far as both are at hand."""
    named = {one["segment"] for one in kept["segments"]}
    files = {REGISTER, *(f"journal/{name}.jsonl" for name in named)}
    good = not any(one.file in files for one in findings)
    return {"made": kept["made"], "contained": good, "segmentsNotCompared": len(named & absent)}


def kept_in_words(said: dict[str, Any]) -> str:
    """Return the same in a line for a person."""
    where = "is" if said["contained"] else "is NOT"
    left = said["segmentsNotCompared"]
    rest = f" ({left} of its segments are not of this period, and not at hand)" if left else ""
    return f"the head kept at {said['made']} {where} contained in this log{rest}"


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
