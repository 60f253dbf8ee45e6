"""What tests look for in journals, read without the reader under test."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import orjson

from hsagency.audit import chain
from hsagency.audit.journal.segment import Segment
from hsagency.audit.journal.slots import open_segment
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


OF_SEGMENTS = ("audit.opened", "audit.closed")


def all_records(audit: Path, slug: str = "acme-corp") -> list[dict[str, Any]]:
    return [orjson.loads(line) for path in journals(audit, slug) for line in lines(path)]


def records(audit: Path, slug: str = "acme-corp") -> list[dict[str, Any]]:
    """Return the records of a journal but for those that begin and end its segments."""
    return [one for one in all_records(audit, slug) if one["event"] not in OF_SEGMENTS]


def events(audit: Path, slug: str = "acme-corp") -> list[str]:
    return [record["event"] for record in records(audit, slug)]


def register_lines(audit: Path, slug: str = "acme-corp") -> list[dict[str, Any]]:
    path = audit / slug / "heads.jsonl"
    return [orjson.loads(line) for line in lines(path)] if path.exists() else []


class NothingKnown:
    """What a register says of a journal that it does not know."""

    def newest(self) -> dict[int, int]:
        return {}

    def names(self, segment: str) -> bool:
        del segment
        return False

    def begins(self) -> str:
        return ""

    def last_head(self, segment: str) -> None:
        del segment


def take(folder: Path, sync: Callable[[int], None] = os.fsync) -> tuple[Segment, int]:
    """Take a segment; return it and how many torn bytes were set aside."""
    taken = open_segment(folder, known=NothingKnown(), sync=sync)
    return taken.segment, taken.torn


def broken_chains(audit: Path) -> list[tuple[str, int]]:
    """Return every segment whose chain breaks, with the line."""
    found = [(path, chain.first_break(path.name, lines(path))) for path in journals(audit)]
    return [(str(path), line) for path, line in found if line is not None]


def assert_follows(audit: Path, validator: jsonschema.Draft202012Validator) -> None:
    """Every segment is whole, names the one before it, and is registered as it is."""
    assert not broken_chains(audit)
    last: dict[str, tuple[str, str]] = {}
    found = {}
    for path in journals(audit, "acme-corp"):
        said = [orjson.loads(line) for line in lines(path)]
        for one in said:
            validator.validate(one)
        opened, slot = said[0], path.stem[:3]
        assert (opened["event"], opened["segment"]) == ("audit.opened", path.stem)
        before = (opened.get("previousSegment"), opened.get("previousHash"))
        assert before == last.get(slot, (None, None))
        last[slot] = (path.stem, said[-1]["hash"])
        assert [one["seq"] for one in said] == list(range(1, len(said) + 1))
        for one in said[:-1]:
            assert one["event"] != "audit.closed"
        if said[-1]["event"] == "audit.closed":
            assert (said[-1]["segment"], said[-1]["records"]) == (path.stem, len(said))
        found[path.stem] = path
    for line in register_lines(audit):
        content = b"".join(lines(found[line["segment"]])[: line["records"]])
        assert line["bytes"] == len(content)
        assert line["head"] == orjson.loads(content.splitlines()[-1])["hash"]
    for path in (audit / "acme-corp" / "heads").iterdir():
        point = orjson.loads(path.read_bytes())
        content = b"".join(lines(found[point["segment"]])[: point["records"]])
        assert (point["kind"], point["bytes"]) == ("checkpoint", len(content))
        assert point["head"] == orjson.loads(content.splitlines()[-1])["hash"]


def digests(audit: Path) -> dict[str, str]:
    """Return a digest of every file, so that two states can be compared."""
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(audit.rglob("*"))
        if path.is_file()
    }
