"""
What a signed log vouches for: the register and the segments as far as a signature covers them.

A line of the register stands if it is signed or a later one is, since each names the one
before; a checkpoint stands if it is signed itself. What comes after the last of them, in the
register or in a segment, is nobody's word, and is not taken.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hsagency.audit.register import parse_line
from hsagency.audit.standalone.evidence import Evidence
from hsagency.audit.standalone.heads import REGISTER, Check, Head, read_register, statement
from hsagency.audit.standalone.segments import Segment, opening_of
from hsagency.audit.standalone.verdict import CHECKPOINT, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Vouched:
    """
    What signatures cover of a log that is intact.

    `register` are whole lines, `checkpoints` files of one line by name, `heads` the farthest
    end of each segment, and `signers` the ids of the keys, the first that ever signed first.
    """

    register: tuple[bytes, ...] = ()
    checkpoints: Mapping[str, bytes] = field(default_factory=dict)
    heads: Mapping[str, Head] = field(default_factory=dict)
    signers: tuple[str, ...] = ()


def vouched(evidence: Evidence, verdict: Verdict, keys: dict[str, bytes], check: Check) -> Vouched:
    """Return what is vouched for; nothing if the register is not signed."""
    content = (evidence.read(REGISTER) or b"").splitlines(keepends=True)
    said, _ = read_register(b"".join(content), verdict.slug, keys, check)
    upto = max((number for number, one in enumerate(said, start=1) if one.signed), default=0)
    if not upto:
        return Vouched()
    points = _checkpoints(evidence, verdict.slug, keys, check)
    heads = [*said[:upto], *(head for _, head in points.values())]
    farthest: dict[str, Head] = {}
    for head in sorted(heads, key=lambda one: one.records):
        farthest[head.segment] = head
    register = tuple(content[:upto])
    checkpoints = {name: line for name, (line, _) in points.items()}
    signing = [parse_line(line).key for line in (*register, *checkpoints.values())]
    return Vouched(
        register=register,
        checkpoints=checkpoints,
        heads={**_named_by_the_next(verdict, farthest), **farthest},
        signers=tuple(dict.fromkeys(one for one in signing if one is not None)),
    )


def _checkpoints(
    evidence: Evidence, slug: str, keys: dict[str, bytes], check: Check
) -> dict[str, tuple[bytes, Head]]:
    found = {}
    for name in filter(CHECKPOINT.match, evidence.names):
        line = evidence.read(name) or b""
        head = statement(line.rstrip(b"\n"), name, slug, keys, check)[1]
        if head.signed:
            found[name] = (line, head)
    return found


def _named_by_the_next(verdict: Verdict, farthest: Mapping[str, Head]) -> dict[str, Head]:
    """Return segments from before the register, which the next one of the slot vouches for."""
    found: dict[str, Head] = {}
    after: Segment | None = None
    for one in sorted(verdict.segments, key=lambda one: one.name, reverse=True):
        if after is not None and after.name in {*farthest, *found} and one.name not in farthest:
            named = opening_of(after)
            if (named.get("previousSegment"), named.get("previousHash")) == (one.name, one.head):
                found[one.name] = Head(
                    *(one.name, one.records, one.size, one.head),
                    *("closed", after.first, True, f"journal/{after.name}.jsonl"),
                )
        after = one
    return found
