"""What tests look for in journals, read without the reader under test."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import orjson

from hsagency.audit import chain
from hsagency.audit.record import Author

AUTHOR = Author(actor="tests/1", user="tester", host="here", run_id="0123456789abcdef")
CONTACTS = "/crm/v3/objects/contacts"


def intent(number: int = 0, **more: object) -> dict[str, object]:
    """Return the fields of the start of a call, as the recorder gives them."""
    return {
        "event": "call.started",
        "callId": f"{number:032x}",
        "attempt": 1,
        "portalId": 12345678,
        "method": "GET",
        "path": f"{CONTACTS}/{number}",
        "operationClass": "read",
        "objectType": "contacts",
        "objectId": str(number),
        "purpose": "interactive",
        "credentialFingerprint": "0" * 16,
        "credentialGeneration": 1,
        "origin": "witnessed",
        **more,
    }


def ending(number: int = 0, **more: object) -> dict[str, object]:
    """Return the fields of the end of a call that was answered."""
    return {
        "event": "call.finished",
        "callId": f"{number:032x}",
        "portalId": 12345678,
        "durationMs": 12,
        "statusCode": 200,
        "outcome": "ok",
        **more,
    }


def journals(audit: Path, slug: str = "*") -> list[Path]:
    return sorted(audit.glob(f"{slug}/journal/*.jsonl"))


def lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


def records(audit: Path, slug: str = "acme-corp") -> list[dict[str, Any]]:
    return [orjson.loads(line) for path in journals(audit, slug) for line in lines(path)]


def events(audit: Path, slug: str = "acme-corp") -> list[str]:
    return [record["event"] for record in records(audit, slug)]


def broken_chains(audit: Path) -> list[tuple[str, int]]:
    """Return every segment whose chain breaks, with the line."""
    found = [(path, chain.first_break(path.name, lines(path))) for path in journals(audit)]
    return [(str(path), line) for path, line in found if line is not None]


def digests(audit: Path) -> dict[str, str]:
    """Return a digest of every file, so that two states can be compared."""
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(audit.rglob("*"))
        if path.is_file()
    }
