"""Two machines with a log of the same client each: one makes packs, the other merges them."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hsagency.audit.evidence import open_segment, segments
from hsagency.audit.merging.planning import Plan
from hsagency.audit.merging.sources import open_source
from hsagency.audit.merging.staging import merge
from hsagency.audit.pack import export
from hsagency.audit.register import Head, Kind, digest, encode_line, genesis
from hsagency.periods import Period
from tests.audit.logs import SLUG, Desk, call, rechained, signer_of

WHOLE = Period.of(month="2026-10")


def machine(root: Path, seed: bytes = b"2", *, signed: bool = True) -> Desk:
    """Return an audit folder with a key of its own."""
    desk = Desk(root, signed=signed)
    desk.signer, public = signer_of(seed)
    desk.list_keys(public)
    return desk


def work(desk: Desk, *days: Sequence[int]) -> Desk:
    """Record calls of some days, one after the other."""
    for numbers in days:
        with desk.writer() as writer:
            for number in numbers:
                call(writer, number)
        desk.clock.next_day()
    return desk


def here(root: Path) -> Desk:
    """Return our own machine, with a log of two calls."""
    return work(machine(root, b"1"), [1000, 1001])


def pack(desk: Desk, name: str = "pack", *, period: Period = WHOLE, slug: str = SLUG) -> Path:
    path = desk.audit.parent / f"{name}.zip"
    export(desk.log(slug), path, period=period, announce=lambda: None)
    return path


def day(number: int, last: int | None = None) -> Period:
    return Period.of(first=f"2026-10-{number:02}", last=f"2026-10-{last or number:02}")


def take(ours: Desk, source: Path, **more: Any) -> Plan:
    """Merge a source into our log of the client."""
    lock = ours.audit.parent / "merging.lock"
    options = {name: more.pop(name) for name in ("client", "room") if name in more}
    given = {"portal": 12345678, "lock": lock, **more}
    with (
        ours.writer() as writer,
        open_source(source, client=options.pop("client", None), **options) as found,
    ):
        return merge(ours.log(found.slug), found, writer=writer, **given)


def trusted(ours: Desk, other: Desk, source: Path, **more: Any) -> Plan:
    """Merge a source whose key the operator has read on the other machine."""
    return take(ours, source, keys=[other.signer.key], **more)


def lineage(ours: Desk, other: Desk) -> Path:
    return ours.log().folder / "merged" / other.signer.key


def bytes_of(folder: Path) -> dict[str, bytes]:
    """Return every segment as it was written."""
    found = {}
    for name, path in segments(folder).items():
        with open_segment(path) as file:
            found[name] = file.read()
    return found


def zipped(path: Path, files: Mapping[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in files.items():
            made.writestr(name, content)
    return path


def unzipped(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as made:
        return {name: made.read(name) for name in made.namelist()}


def forge(desk: Desk, change: Callable[[dict[str, Any]], None], *, slug: str = SLUG) -> Desk:
    """Rewrite every record as somebody can who holds the key: chained and signed anew."""
    folder = desk.log(slug).folder
    register: list[bytes] = []
    ends: dict[str, str] = {}
    for path in sorted((folder / "journal").glob("*.jsonl")):
        lines = [json.loads(line) for line in path.read_bytes().splitlines()]
        for line in lines:
            change(line)
            if "previousHash" in line:
                line["previousHash"] = ends[line["previousSegment"]]
        said = [json.dumps(line, separators=(",", ":")).encode() + b"\n" for line in lines]
        content = rechained(said, path.name)
        path.write_bytes(content)
        last = json.loads(content.splitlines()[-1])
        ends[path.stem] = last["hash"]
        head = Head(path.stem, len(lines), len(content), last["hash"])
        kind = Kind.CLOSED if last["event"] == "audit.closed" else Kind.IDLE
        register.append(
            encode_line(
                head,
                kind=kind,
                slug=slug,
                ts=last["ts"],
                signer=desk.signer,
                seq=len(register) + 1,
                previous=digest(register[-1]) if register else genesis(slug),
            )
        )
    (folder / "heads.jsonl").write_bytes(b"".join(register))
    for point in (folder / "heads").iterdir():
        point.unlink()
    desk.log(slug).copy.unlink(missing_ok=True)  # type: ignore[union-attr]
    return desk
