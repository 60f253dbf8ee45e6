"""
The hash chain over one journal segment.

Every line ends in a hash over the line's own bytes and the hash before it, so that a
changed, removed, inserted or reordered line breaks the chain from there on. The first line
of a segment is chained to the segment's name.

What it does not show: a cut tail, or a whole segment rewritten by somebody who can compute
SHA-256. Those are seen by the register (`register`), whose lines are signed and kept twice.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from typing import Final

_ENDING: Final = re.compile(rb',"hash":"([0-9a-f]{64})"\}\n\Z')


def genesis(segment: str) -> str:
    """Return the hash that the first line of a segment is chained to."""
    return hashlib.sha256(b"hsagency segment\0" + segment.encode()).hexdigest()


def link(previous: str, body: bytes) -> tuple[bytes, str]:
    """Return a line, with its hash and a line end, and that hash."""
    digest = hashlib.sha256(previous.encode() + body).hexdigest()
    return body[:-1] + b',"hash":"' + digest.encode() + b'"}\n', digest


def hash_of(line: bytes) -> str | None:
    """Return the hash that a line ends in, or nothing if it does not end as ours do."""
    match = _ENDING.search(line)
    return match[1].decode() if match else None


def first_break(segment: str, lines: Iterable[bytes]) -> int | None:
    """Return the number of the first line (from 1) that does not follow from the one before."""
    previous = genesis(segment)
    for number, line in enumerate(lines, start=1):
        match = _ENDING.search(line)
        if match is None:
            return number
        body = line[: match.start()] + b"}"
        if hashlib.sha256(previous.encode() + body).hexdigest().encode() != match[1]:
            return number
        previous = match[1].decode()
    return None
