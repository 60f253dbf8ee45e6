"""Repairs where something is closed to this user, or the disk is full; each run in a child."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from hsagency.audit.repairing import Repair, repair
from hsagency.audit.repairing.curing import closed_to_us
from hsagency.audit.verifying import verify
from tests.audit.logs import SLUG, Desk, call

OTHER = "beta-inc"
CLOSED = {
    "journal": "audit/acme-corp/journal",
    "segment": "audit/acme-corp/journal/000-000001.jsonl",
    "register": "audit/acme-corp/heads.jsonl",
    "checkpoints": "audit/acme-corp/heads",
    "client": "audit/acme-corp",
    "second copy": "copies/acme-corp.jsonl",
}

HIDDEN = (
    "evidence/000-000009.jsonl.zst",
    "evidence",
    "heads/000.json",
    f"merged/{'0' * 16}",
    f"merged/{'0' * 16}/evidence/000-000001.jsonl.zst",
    "journal/000-000001.jsonl",
)


def torn_desk(root: Path) -> Desk:
    """Return a desk with two logs that a crash tore."""
    desk = Desk(root)
    for slug in (SLUG, OTHER):
        with desk.writer() as writer:
            call(writer, 1, slug)
        with (desk.audit / slug / "journal" / "000-000001.jsonl").open("ab") as file:
            file.write(b'{"schema":1')
    return desk


def mend(desk: Desk, slug: str) -> Repair:
    with desk.writer() as writer:
        return repair(desk.log(slug), writer=writer)


def say(done: Repair, **more: object) -> None:
    failed = [{"what": one.what, "cure": one.cure} for one in done.failed]
    said = {"state": done.state, "failed": failed, "mended": done.mended, **more}
    sys.stdout.write(json.dumps(said) + "\n")
    sys.stdout.flush()


def closed(order: dict[str, Any]) -> None:
    """Close one part after the other, and repair."""
    root = Path(order["folder"])
    desk = torn_desk(root / "before")
    mend(desk, SLUG)
    verify(desk.log())  # all modules are loaded while they can be: they may be root's alone
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
    for name, path in CLOSED.items():
        desk = torn_desk(root / name.replace(" ", "-"))
        part = desk.audit.parent / path
        mode = part.stat().st_mode
        part.chmod(0)
        one, other = mend(desk, SLUG), mend(desk, OTHER)
        part.chmod(mode)
        say(one, case=name, other=other.state)
        say(mend(desk, SLUG), case=name, integrity=verify(desk.log()).integrity)


def hidden(order: dict[str, Any]) -> None:
    """Close one file or folder after the other of a log that is sealed and has a merged one."""
    desk = Desk(Path(order["folder"]) / "desk")
    with desk.writer() as writer:
        call(writer, 1)
    desk.log().folder.joinpath("evidence").mkdir()
    desk.log().folder.joinpath("merged", "0" * 16, "evidence").mkdir(parents=True)
    for name in HIDDEN:
        part = desk.log().folder / name
        if not part.exists():
            part.write_bytes(b"sealed")
    closed_to_us(desk.log())  # all modules are loaded while they can be
    if os.geteuid() == 0:
        for part in (desk.audit.parent, *desk.audit.parent.rglob("*")):
            os.chown(part, 65534, 65534)
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
    for name in ("", *HIDDEN):
        part = desk.log().folder / name
        mode = part.stat().st_mode
        part.chmod(0 if name else mode)
        found = closed_to_us(desk.log())
        part.chmod(mode)
        sys.stdout.write(f"{json.dumps(found and str(found.relative_to(desk.log().folder)))}\n")


def full(order: dict[str, Any]) -> None:
    """Repair on a full disk, and when there is room again."""
    desk = torn_desk(Path(order["folder"]) / "desk")
    (desk.audit / SLUG / "heads.jsonl").unlink()
    ballast = desk.audit.parent / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while file.write(b"x" * 4096):
                pass
        except OSError:
            pass
    say(mend(desk, SLUG))
    ballast.unlink()
    say(mend(desk, SLUG), integrity=verify(desk.log()).integrity)


if __name__ == "__main__":
    {one.__name__: one for one in (closed, hidden, full)}[sys.argv[1]](json.loads(sys.argv[2]))
