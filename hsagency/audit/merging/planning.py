"""
Merging: another machine's evidence of the same client comes in, as a lineage of its own.

(1) The source is judged by the rules of the verifier; what is not intact is refused whole.
(2) What is taken is what a signed head vouches for (see `vouching`). A pack that is signed with
    a key of its own `keys.json` agrees with itself, and that is all it proves: so whoever merges
    confirms the key, once for each client, by what the other machine shows.
(3) It must be the same client: its slug in every record, no portal but the one connected here.
(4) It must continue what is here: its register contains ours or is contained in it, line for
    line. Segments that are here are compared; one that has grown begins with what is here.
(5) Then it is staged, judged once more, recorded in our own chain, and moved into place (see
    `staging`).

Not promised: that the other machine recorded the truth, or all of it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NoReturn

import orjson

from hsagency.audit.evidence.gathered import Gathered
from hsagency.audit.evidence.merged import joined, recorded
from hsagency.audit.merging.bringing import FORKED, Part, hash_at, part_of
from hsagency.audit.merging.sources import BROKEN_ZIP, Source, refuse
from hsagency.audit.merging.vouching import Vouched, vouched
from hsagency.audit.register import Signed, digest, key_id, parse_line, read_keys, read_lines
from hsagency.audit.register import check_signature as check_line
from hsagency.audit.register.quick import check_signature
from hsagency.audit.standalone.evidence import INTACT, Evidence
from hsagency.audit.standalone.heads import REGISTER, Head
from hsagency.audit.standalone.heads import read_keys as keys_in
from hsagency.audit.standalone.lineages import Lineage
from hsagency.audit.standalone.signers import fingerprint
from hsagency.audit.standalone.verdict import CHECKPOINT, JOURNAL, Verdict, judge
from hsagency.audit.standalone.verify import compare
from hsagency.audit.verifying import Log
from hsagency.errors import DamagedEvidence
from hsagency.progress import Progress, silent
from hsagency.words import counted

_STEP: Final = 1 << 18
_PLACES: Final = ("merging", "merged")  # in the order in which files move
_PORTAL: Final = re.compile(rb'"portalId":(\d{1,16})')


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A key that signed what is to be merged; `trusted` if it was confirmed for this client."""

    public: bytes
    trusted: bool

    @property
    def id(self) -> str:
        """Its id, as registers name it: 16 digits of the fingerprint."""
        return key_id(self.public)

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of the key, in groups, to be compared by eye."""
        return fingerprint(self.public)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """
    What a merge would bring in.

    `lineage` is the key that the log is filed under, `keys` are all that signed it, `known`
    counts segments that are here already, `left_out` says what is not taken, and why, and
    `own` that it is this workspace's own log.
    """

    slug: str
    lineage: str
    keys: tuple[Key, ...]
    trusted: Mapping[str, bytes]
    parts: tuple[Part, ...]
    known: int
    left_out: tuple[str, ...]
    register: tuple[bytes, ...]
    checkpoints: Mapping[str, bytes]
    heads: Mapping[str, Head]
    digest: str
    own: bool = False

    @property
    def unconfirmed(self) -> tuple[Key, ...]:
        """The keys that nobody has confirmed for this client."""
        return tuple(one for one in self.keys if not one.trusted)

    @property
    def keyring(self) -> dict[str, bytes]:
        """The keys by which the lineage is judged once it is here."""
        return {**self.trusted, **{one.id: one.public for one in self.keys}}

    @property
    def portals(self) -> tuple[int, ...]:
        """The portals that the records name."""
        return tuple(sorted({one for part in self.parts for one in part.portals}))

    @property
    def records(self) -> int:
        """How many records would be added."""
        return sum(one.records for one in self.parts)

    @property
    def calls(self) -> int:
        """How many calls were begun, or refused, in them."""
        return sum(one.calls for one in self.parts)

    @property
    def first(self) -> str:
        """Time of the earliest record."""
        return min((one.first for one in self.parts), default="")

    @property
    def last(self) -> str:
        """Time of the latest record."""
        return max((one.last for one in self.parts), default="")


def plan(
    log: Log, source: Source, *, portal: int | None = None, progress: Progress = silent
) -> Plan:
    """
    Say what a merge would bring into a client's log; nothing is changed.

    `portal` is the id of the one that is connected. Raises `EvidenceRefused` for what does
    not prove what it should, and `AuditError` where our own log cannot be read.
    """
    try:
        return _planned(log, source, portal, progress)
    except (*BROKEN_ZIP, DamagedEvidence) as error:
        refuse(source.path, f"cannot be read to its end ({error})")


def _planned(log: Log, source: Source, portal: int | None, progress: Progress) -> Plan:
    keys = keys_in(source.keys)
    verdict = _judged(source, keys, progress)
    found = vouched(source.evidence, verdict, keys, check_signature)
    if not found.signers:
        refuse(
            source.path,
            "is not signed, so it proves nothing: anybody could have written it",
            "A log is signed once its workspace can reach its credential store.",
        )
    if _is_own(log, source, found):
        return _of_our_own(log, source, keys, found)
    lineages = recorded(log.folder)
    lineage = lineages.get(found.signers[0])
    held = joined(Gathered(log.folder / one / found.signers[0]).evidence for one in _PLACES)
    ours = _register(lineage, held)
    _refuse_fork(source, lineage, ours, found)
    newer = lineage is None or len(found.register) >= lineage.lines
    examined = {one.name for one in verdict.segments}
    parts, known, left_out = [], 0, [*_unvouched(verdict, found)]
    if source.merged:
        left_out.append(f"{counted(source.merged, 'log')} merged there; merge each from its origin")
    with progress("comparing", len(examined)) as step:
        for name, head in sorted(found.heads.items()):
            if name in examined and head.records:
                step(1)
                part = part_of(source, head, lineage, held)
                if part is None:
                    known += 1
                elif not newer and _farther(ours, head):
                    left_out.append(f"{name}: here it is known to have gone on; export it again")
                else:
                    parts.append(part)
    _refuse_other_portals(log, source, parts, portal)
    trusted = {} if lineage is None else lineage.keys
    return Plan(
        slug=log.slug,
        lineage=found.signers[0],
        keys=tuple(Key(public=keys[k], trusted=trusted.get(k) == keys[k]) for k in found.signers),
        trusted=trusted,
        parts=tuple(parts),
        known=known,
        left_out=tuple(left_out),
        register=found.register if newer else ours,
        checkpoints=_checkpoints(found, held, trusted),
        heads={} if lineage is None else lineage.heads,
        digest=source.digest or _digest(found),
    )


def _judged(source: Source, keys: dict[str, bytes], progress: Progress) -> Verdict:
    """Return the verdict on a source; raises unless it is intact."""
    names = [name for name in source.evidence.names if JOURNAL.match(name)]
    with progress("checking", len(names)) as step:

        def opened(name: str) -> object:
            step(int(name in names))
            return source.evidence.open(name)

        verdict = judge(
            Evidence(source.evidence.names, opened),
            source.slug,
            keys,
            first=source.first,
            last=source.last,
            check=check_signature,
        )
    if source.files:
        compare(source.evidence, dict(source.files), verdict)
    source.complete(verdict)
    if verdict.integrity != INTACT:
        refuse(source.path, f"is not intact: {verdict.findings[0]}")
    if not any(one.records for one in verdict.segments):
        refuse(source.path, "holds no records", "Export a period in which there was something.")
    return verdict


def _is_own(log: Log, source: Source, found: Vouched) -> bool:
    """Say whether a log is our own; raises if it is that of a copy of this workspace."""
    own = read_keys(log.folder.parent / "keys.json")
    if not {*own} & {*found.signers}:
        return False
    ours = read_lines(log.folder / REGISTER)[0]
    same, parted = _in_common(ours, found.register), _parted(log, found)
    if same < len(found.register) or parted:
        _refuse_copy(source, found, same, ours=len(ours), parted=parted)
    return True


def _refuse_copy(source: Source, found: Vouched, same: int, *, ours: int, parted: str) -> NoReturn:
    hint = (
        "Two workspaces with one key cannot be told apart, so neither vouches for the other. "
        "Keep the copy's packs as files, and have it go on in a workspace of its own: hsagency init"
    )
    if same == 0:
        refuse(source.path, "is signed with this workspace's own key, and is another log", hint)
    after = "after which ours has no more" if same == ours else "after which they differ"
    after = f"and part in {parted}" if same == len(found.register) else after
    refuse(
        source.path,
        "is the log of a copy of this workspace: it is signed with the same key, and the two "
        f"registers share their first {same} lines, {after}",
        hint,
    )


def _of_our_own(log: Log, source: Source, keys: dict[str, bytes], found: Vouched) -> Plan:
    """Return the plan that brings nothing: all of it is here already."""
    return Plan(
        slug=log.slug,
        lineage=found.signers[0],
        keys=tuple(Key(public=keys[one], trusted=True) for one in found.signers),
        trusted={},
        parts=(),
        known=len(found.heads),
        left_out=(),
        register=found.register,
        checkpoints={},
        heads={},
        digest=source.digest or _digest(found),
        own=True,
    )


def _parted(log: Log, found: Vouched) -> str:
    """Return the first segment of a copy of our own log that is not what we have."""
    own = Gathered(log.folder).evidence
    for head in sorted(found.heads.values()):
        try:
            if hash_at(own, head.segment, head.size) != head.hash:
                return head.segment
        except (FileNotFoundError, EOFError):
            return head.segment
    return ""


def _in_common(ours: Sequence[bytes], theirs: Sequence[bytes]) -> int:
    """Return how many lines two registers begin with alike."""
    pairs = enumerate(zip(ours, theirs, strict=False))
    return next((at for at, (one, other) in pairs if one != other), min(len(ours), len(theirs)))


def _register(lineage: Lineage | None, held: Evidence) -> tuple[bytes, ...]:
    """Return the register of a lineage as it was merged; nothing if it is not that any more."""
    if lineage is None:
        return ()
    lines = tuple((held.read(REGISTER) or b"").splitlines(keepends=True))[: lineage.lines]
    whole = len(lines) == lineage.lines and digest(lines[-1]) == lineage.digest
    return lines if whole else ()


def _refuse_fork(
    source: Source, lineage: Lineage | None, ours: Sequence[bytes], found: Vouched
) -> None:
    """Raise unless one of two registers of a machine continues the other."""
    if lineage is None:
        return
    theirs = found.register
    if len(theirs) >= lineage.lines:
        if digest(theirs[lineage.lines - 1]) == lineage.digest:
            return
    elif not ours:
        refuse(
            source.path,
            "is older than what was merged from that machine, of which the register is damaged "
            "here",
            "Merge its newest pack first: hsagency audit verify says what is wrong.",
        )
    elif theirs == ours[: len(theirs)]:
        return
    same = _in_common(ours, theirs)
    where = f"line {same + 1} of its register is another than the one that" if ours else "what"
    refuse(
        source.path,
        f"does not continue the log of key {lineage.key} that is here: {where} was merged. That "
        "log was rewritten or cut since, or two copies of one workspace have gone on apart",
        FORKED,
    )


def _farther(register: Sequence[bytes], head: Head) -> bool:
    """Say whether a register knows that a segment went on after a head."""
    name = head.segment.encode()
    said = [parse_line(line).head for line in register if name in line]
    return any(one.segment == head.segment and one.records > head.records for one in said)


def _refuse_other_portals(
    log: Log, source: Source, parts: Sequence[Part], portal: int | None
) -> None:
    """Raise if records name another portal than the client's own, as far as that is known."""
    theirs = {one for part in parts for one in part.portals}
    own = _portals_of(log) if portal is None else {portal}
    if own and theirs - own:
        others, ours = (", ".join(map(str, sorted(one))) for one in (theirs - own, own))
        refuse(
            source.path,
            f"has calls to portal {others}, and {source.slug} is portal {ours} here",
            "Two clients of the same slug are not the same client. Ask whose log it is.",
        )


def _portals_of(log: Log) -> set[int]:
    """Return the portals that the log of a client names who is not connected any more."""
    evidence, found = Gathered(log.folder).evidence, set[int]()
    for name in filter(JOURNAL.match, evidence.names):
        with evidence.open(name) as file:
            rest = b""
            while part := file.read(_STEP):
                found |= {int(one) for one in _PORTAL.findall(rest + part)}
                rest = part[part.rfind(b"\n") + 1 :]
    return found


def _unvouched(verdict: Verdict, found: Vouched) -> Iterator[str]:
    """Say what comes after the last signed head, and is not taken."""
    for one in verdict.segments:
        covered = found.heads[one.name].records if one.name in found.heads else 0
        if one.records > covered:
            rest = counted(one.records - covered, "record")
            yield f"{one.name}: {rest} that no signed head covers yet"


def _checkpoints(found: Vouched, held: Evidence, trusted: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return the farther checkpoint of each slot, of theirs and of those that are here."""
    ours = {name: held.read(name) or b"" for name in filter(CHECKPOINT.match, held.names)}
    good = {name: one for name, one in ours.items() if _is_signed(one, trusted)}
    return {
        name: max((one[name] for one in (good, found.checkpoints) if name in one), key=_reach)
        for name in sorted({*good, *found.checkpoints})
    }


def _is_signed(line: bytes, keys: Mapping[str, bytes]) -> bool:
    try:
        return check_line(line, keys) is Signed.GOOD
    except ValueError:
        return False


def _reach(line: bytes) -> tuple[str, int]:
    head = parse_line(line).head
    return head.segment, head.records


def _digest(found: Vouched) -> str:
    """Return the SHA-256 of what is taken from a folder: its register and its heads."""
    heads = sorted((one.segment, one.records, one.hash) for one in found.heads.values())
    return hashlib.sha256(b"".join(found.register) + orjson.dumps(heads)).hexdigest()
