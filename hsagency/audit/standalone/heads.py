"""The register: signed lines that say how far each segment of a log had come."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from typing import Any, Callable, NamedTuple

from hsagency.audit.standalone.evidence import ALTERED, GAP, Finding

Check = Callable[[bytes, bytes, bytes], bool]


class Head(NamedTuple):
    """What somebody states: a segment had so many records and bytes, and ended in this hash."""

    segment: str
    records: int
    size: int
    hash: str
    kind: str  # opened, closed, idle, retired, checkpoint, or kept
    ts: str
    signed: bool
    source: str
    key: str = ""  # whose signature it has
    until: str = ""  # of a segment that was removed: the time of its last record but the closing


class Wrong(Exception):
    """Why a line of the register cannot stand."""


SIGNATURE = re.compile(rb',"signature":"([A-Za-z0-9+/]{86}==)"\}\Z')
SEGMENT = re.compile(r"[0-9]{3}-[0-9]{6}\Z")
HASH = re.compile(r"[0-9a-f]{64}\Z")
MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]{15}Z\Z")
KINDS = ("opened", "closed", "idle", "checkpoint", "retired")


def statement(
    line: bytes, source: str, slug: str, keys: dict[str, bytes], check: Check
) -> tuple[dict[str, Any], Head]:
    """Return what a line of the register says, if it is one of this client and well signed."""
    try:
        said = json.loads(line)
        counts = said["records"], said["bytes"]
        texts = said["segment"], said["head"], said["kind"], said["ts"], said["clientSlug"]
        key = said.get("key")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise Wrong("it is not a line of a register") from None
    well_formed = (
        all(type(one) is int and one >= 0 for one in counts)
        and all(type(one) is str for one in texts)
        and SEGMENT.match(texts[0])
        and HASH.match(texts[1])
        and texts[2] in KINDS
        and MOMENT.match(texts[3])
    )
    if not well_formed:
        raise Wrong("it is not a line of a register")
    if texts[4] != slug:
        raise Wrong("it is a line of another client")
    found = SIGNATURE.search(line)
    if (found is None) != (key is None):
        raise Wrong("its signature is missing")
    if found is not None:
        if not isinstance(key, str) or key not in keys:
            raise Wrong(f"it is signed with a key that keys.json does not hold: {str(key)[:16]!r}")
        signature = base64.b64decode(found[1])
        same = base64.b64encode(signature) == found[1]  # the same bits have other spellings
        if not same or not check(keys[key], signature, line[: found.start()] + b"}"):
            raise Wrong("its signature does not fit what it says")
    until = said.get("until")
    known = until if type(until) is str and MOMENT.match(until) else ""
    stated = Head(texts[0], *counts, texts[1], texts[2], texts[3], found is not None, source)
    return said, stated._replace(key=key or "", until=known)


REGISTER = "heads.jsonl"


def read_register(
    content: bytes, slug: str, keys: dict[str, bytes], check: Check
) -> tuple[list[Head], list[Finding]]:
    """Return what the register states line by line, and what is wrong with it."""
    heads: list[Head] = []
    wrong, byte, expected = [], 0, 1
    previous = hashlib.sha256(b"hsagency register\0" + slug.encode()).hexdigest()
    for number, line in enumerate(content.split(b"\n")[:-1], start=1):
        verdict, cause, seq = ALTERED, "", expected
        try:
            said, head = statement(line, f"{REGISTER}, line {number}", slug, keys, check)
            cause = unfounded(head, heads)
            heads += [] if cause else [head]
            seq = said["seq"] if type(said.get("seq")) is int else 0
            if seq > expected:
                verdict, cause = GAP, f"lines {expected} to {seq - 1} of the register are not there"
            elif seq != expected or said.get("previous") != previous:
                cause = "it does not follow from the line before it"
        except Wrong as error:
            cause = str(error)
        if cause:
            wrong.append(Finding(verdict, REGISTER, number, byte, cause))
        previous, expected, byte = hashlib.sha256(line).hexdigest(), seq + 1, byte + len(line) + 1
    return heads, wrong


def unfounded(head: Head, before: list[Head]) -> str:
    """Say why a line must not excuse that a segment is not there any more, if it claims that."""
    if head.kind != "retired":
        return ""
    if not head.signed:
        return "it says that a segment was removed, and is not signed, so anybody could say that"
    ends = [one for one in before if (one.kind, one.segment) == ("closed", head.segment)]
    if not any(one[1:4] == head[1:4] for one in ends):
        return "it says that a segment was removed, and no line before says that it was closed so"
    return ""


def read_keys(content: bytes) -> dict[str, bytes]:
    """Return the public keys of a keys.json by their ids; what is no such key is left out."""
    try:
        listed = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    keys = {}
    for one in listed if isinstance(listed, list) else []:
        try:
            public = base64.b64decode(one["publicKey"], validate=True)
        except (ValueError, TypeError, KeyError):
            continue
        if one.get("algorithm") == "Ed25519":
            keys[hashlib.sha256(public).hexdigest()[:16]] = public
    return keys
