"""
The register of a client's segments: signed lines that say how far each one had come.

    audit/<slug>/heads.jsonl        one line when a segment is opened, closed, found idle, or
                                    removed under retention (`retired`)
    audit/<slug>/heads/SSS.json     the running checkpoint of slot SSS, one line, replaced
    audit/keys.json                 the public keys that sign
    state/heads/<slug>.jsonl        the second copy of heads.jsonl (`[audit] copy`)
    state/heads/<slug>/SSS.json     the second copy of the checkpoint, replaced after the first

A line is one JSON object. `segment` is the name of its file without the ending, `head` the hash
of its record number `records`, and `bytes` where that record ends. `seq` counts lines from 1, and
`previous` is the SHA-256 of the line before without its line end (`genesis` for the first); a
checkpoint is no part of that chain and has neither. The signature, Ed25519, is the last member
and covers the line's bytes without it and without the line end: `signed_part`. A line written
while no key was to be had has `"key":null` and no signature.

Promised: a line is on the disk before what comes after it counts, in the register and in the
second copy; a line or a checkpoint never claims more than the disk has of its segment. The
second copy is there for the day the first is gone or rewritten: its loss is told at once, but
does not stop work, and when it is back it is brought up to date.

Not promised: against somebody who has the key, nothing. What came after the last line and the
last checkpoint can be cut off unseen, and so can what lies between the last line and now if
older checkpoints are put back in both places.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final, NamedTuple

import orjson

from hsagency.durable import read_regular

SCHEMA: Final = 1
"""The version of the line format."""

_SIGNATURE: Final = re.compile(rb',"signature":"([A-Za-z0-9+/]{86}==)"\}\n?\Z')


class Kind(StrEnum):
    """Why a line was written."""

    OPENED = "opened"
    CLOSED = "closed"
    IDLE = "idle"
    CHECKPOINT = "checkpoint"
    RETIRED = "retired"


class Signed(StrEnum):
    """What the signature of a line comes to."""

    GOOD = "good"
    BAD = "bad"
    UNSIGNED = "unsigned"
    UNKNOWN_KEY = "unknown key"


class Head(NamedTuple):
    """How far a segment had come: its name, records, bytes, and the hash of its last record."""

    segment: str
    records: int
    bytes: int
    hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of a register, or a checkpoint, which has no `seq` and no `previous`."""

    seq: int | None
    ts: str
    client_slug: str
    kind: Kind
    head: Head
    previous: str | None
    key: str | None
    raw: bytes


@dataclass(frozen=True, slots=True)
class Signer:
    """A private key in use: its id, and what signs with it."""

    key: str
    sign: Callable[[bytes], bytes]


def genesis(slug: str) -> str:
    """Return what the first line of a client's register names as the line before."""
    return hashlib.sha256(b"hsagency register\0" + slug.encode()).hexdigest()


def digest(line: bytes) -> str:
    """Return what the next line names a line by."""
    return hashlib.sha256(line.removesuffix(b"\n")).hexdigest()


def copied_checkpoints(copy: Path) -> Path:
    """Return the folder of the second copies of the checkpoints, beside that of the register."""
    return copy.with_suffix("")


def encode_line(
    head: Head,
    *,
    kind: Kind,
    slug: str,
    ts: str,
    signer: Signer | None,
    seq: int | None = None,
    previous: str | None = None,
    until: str | None = None,
) -> bytes:
    """
    Return a line, signed if there is a key, with its line end.

    `until` is the time of the last record of a segment that was removed, the closing apart.
    """
    place = {} if seq is None else {"seq": seq}
    more = {"previous": previous, "until": until}
    chained = {name: one for name, one in more.items() if one is not None}
    body = orjson.dumps(
        {"schema": SCHEMA, **place, "ts": ts, "clientSlug": slug, "kind": kind}
        | {"segment": head.segment, "records": head.records, "bytes": head.bytes}
        | {"head": head.hash, **chained, "key": None if signer is None else signer.key}
    )
    if signer is None:
        return body + b"\n"
    signature = base64.b64encode(signer.sign(body))
    return body[:-1] + b',"signature":"' + signature + b'"}\n'


def signed_part(line: bytes) -> bytes:
    """Return the bytes of a line that its signature covers."""
    match = _SIGNATURE.search(line)
    return line.removesuffix(b"\n") if match is None else line[: match.start()] + b"}"


def parse_line(line: bytes) -> Line:
    """Return what a line says, whoever signed it; raises `ValueError` if it is none of ours."""
    given = orjson.loads(line)
    if not isinstance(given, dict) or given.get("schema") != SCHEMA:
        raise ValueError("not a line of a register")
    return Line(
        seq=None if "seq" not in given else _count(given, "seq"),
        ts=_text(given, "ts"),
        client_slug=_text(given, "clientSlug"),
        kind=Kind(_text(given, "kind")),
        head=Head(
            _text(given, "segment"),
            _count(given, "records"),
            _count(given, "bytes"),
            _text(given, "head"),
        ),
        previous=None if "previous" not in given else _text(given, "previous"),
        key=None if given.get("key") is None else _text(given, "key"),
        raw=line,
    )


def _text(given: Mapping[str, object], name: str) -> str:
    value = given.get(name)
    if not isinstance(value, str):
        raise ValueError(f"a line whose {name} is no text")  # noqa: TRY004  (one error for all)
    return value


def _count(given: Mapping[str, object], name: str) -> int:
    value = given.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"a line whose {name} is no count")
    return value


def check_signature(line: bytes, keys: Mapping[str, bytes]) -> Signed:
    """Say what a line's signature comes to, by public keys such as `read_keys` returns."""
    match = _SIGNATURE.search(line)
    key = parse_line(line).key
    if match is None or key is None:
        return Signed.UNSIGNED if match is None and key is None else Signed.BAD
    if key not in keys:
        return Signed.UNKNOWN_KEY
    return Signed.GOOD if _verifies(keys[key], match[1], signed_part(line)) else Signed.BAD


def _verifies(public: bytes, signature: bytes, body: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    plain = base64.b64decode(signature)
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(plain, body)
    except (InvalidSignature, ValueError):
        return False
    return base64.b64encode(plain) == signature  # another spelling is another line


def read_lines(path: Path) -> tuple[list[bytes], bytes]:
    """Return the whole lines of a register, line ends included, and what is torn after them."""
    try:
        content = read_regular(path)
    except FileNotFoundError:
        return [], b""
    *whole, torn = content.split(b"\n")
    return [line + b"\n" for line in whole], torn


def first_break(slug: str, lines: list[bytes]) -> int | None:
    """Return the number of the first line (from 1) that does not follow from the one before."""
    previous = genesis(slug)
    for number, line in enumerate(lines, start=1):
        try:
            said = parse_line(line)
        except ValueError:
            return number
        if (said.seq, said.previous, said.client_slug) != (number, previous, slug):
            return number
        previous = digest(line)
    return None


def key_id(public: bytes) -> str:
    """Return the id of a public key: the first 16 hex digits of its SHA-256."""
    return hashlib.sha256(public).hexdigest()[:16]


def read_keys(path: Path) -> dict[str, bytes]:
    """
    Return the public keys of `keys.json` by id; a key that is not what its id says is left out.

    Raises `ValueError` if the file is none of ours. None there is no key.
    """
    try:
        listed = orjson.loads(read_regular(path))
    except FileNotFoundError:
        return {}
    if not isinstance(listed, list):
        raise ValueError("not a list of keys")  # noqa: TRY004  (one error for all)
    found = {}
    for one in listed:
        try:
            public = base64.b64decode(one["publicKey"], validate=True)
            if one["algorithm"] == "Ed25519" and one["key"] == key_id(public):
                found[one["key"]] = public
        except (KeyError, TypeError, binascii.Error):
            continue
    return found
