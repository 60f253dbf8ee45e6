"""Logs as the writer leaves them, for tests that tamper with them."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hsagency.audit import chain
from hsagency.audit.evidence import archive, drop_journal
from hsagency.audit.journal.writer import AuditWriter
from hsagency.audit.register import Signer, key_id
from hsagency.audit.verifying import Log
from tests.audit.reading import AUTHOR, ending, intent

SLUG = "acme-corp"
START = datetime(2026, 10, 1, 9, tzinfo=UTC)


def signer_of(seed: bytes = b"1") -> tuple[Signer, bytes]:
    """Return a key that signs, and its public half."""
    private = Ed25519PrivateKey.from_private_bytes(seed * 32)
    public = private.public_key().public_bytes_raw()
    return Signer(key_id(public), private.sign), public


def listed(*publics: bytes) -> bytes:
    """Return a keys.json."""
    keys = [
        {
            "key": key_id(one),
            "algorithm": "Ed25519",
            "publicKey": base64.b64encode(one).decode(),
            "since": "2026-10-01T00:00:00.000000Z",
        }
        for one in publics
    ]
    return json.dumps(keys).encode()


class Clock:
    """Goes on by a second whenever it is read."""

    def __init__(self) -> None:
        self.at = START

    def __call__(self) -> datetime:
        self.at += timedelta(seconds=1)
        return self.at

    def next_day(self, days: int = 1) -> None:
        self.at = datetime.combine(self.at + timedelta(days=days), START.time(), UTC)


class Desk:
    """An audit folder, and writers for it."""

    def __init__(self, root: Path, *, signed: bool = True) -> None:
        self.audit, self.copies, self.clock = root / "audit", root / "copies", Clock()
        self.audit.mkdir(parents=True)
        self.copies.mkdir()
        self.signer, public = signer_of()
        self.signed = signed
        self.list_keys(public)

    def list_keys(self, *publics: bytes) -> None:
        """List keys that sign, beside the journals and beside the second copies."""
        for folder in (self.audit, self.copies):
            (folder / "keys.json").write_bytes(listed(*publics))

    def writer(self, **more: object) -> AuditWriter:
        given = {
            "author": AUTHOR,
            "signer": self.signing,
            "now": self.clock,
            "tell": lambda _: None,
            **more,
        }
        return AuditWriter(self.audit, copy=self.copies, **given)  # type: ignore[arg-type]

    def signing(self) -> Signer | None:
        return self.signer if self.signed else None

    def log(self, slug: str = SLUG) -> Log:
        return Log(folder=self.audit / slug, copy=self.copies / f"{slug}.jsonl")


def call(writer: AuditWriter, number: int, slug: str = SLUG) -> None:
    """Record a call and its end."""
    writer.append(slug, intent(number))
    writer.append(slug, ending(number), durable=False)


def three_days(root: Path, *, signed: bool = True) -> Desk:
    """Write a log of three days and two slots: 000-000001 to 3, and 001-000001."""
    desk = Desk(root, signed=signed)
    with desk.writer() as one:
        for day in range(3):
            for number in range(3):
                call(one, 10 * day + number)
            if day == 0:
                with desk.writer() as other:
                    call(other, 100)
                    call(other, 101)
            desk.clock.next_day()
    return desk


def rechained(lines: Sequence[bytes], name: str) -> bytes:
    """Return lines with hashes that follow, as a forger would write them."""
    written, last = [], chain.genesis(name)
    for line in lines:
        new, last = chain.link(last, line[:-76] + b"}")
        written.append(new)
    return b"".join(written)


@contextmanager
def replaced(path: Path, content: bytes | None) -> Iterator[None]:
    """Put something else in a file's place for a moment, or nothing."""
    before = path.read_bytes() if path.exists() else None
    try:
        _put(path, content)
        yield
    finally:
        _put(path, before)


def _put(path: Path, content: bytes | None) -> None:
    if content is None:
        path.unlink(missing_ok=True)
    else:
        path.write_bytes(content)


def sealed(desk: Desk, *names: str, slug: str = SLUG) -> None:
    """Move closed segments from the journal to the evidence."""
    for name in names:
        archive(desk.audit / slug, name)
        drop_journal(desk.audit / slug, name)
