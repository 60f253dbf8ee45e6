"""Commands where a part of the log is closed to this user, or the disk is full; in a child."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
from pathlib import Path

from hsagency import cli
from hsagency.settings import Workspace
from tests.audit.logs import Desk, call

CLOSED = (
    "audit/acme-corp",
    "audit/acme-corp/journal",
    "audit/acme-corp/journal/000-000001.jsonl",
    "audit/acme-corp/heads.jsonl",
    "audit/acme-corp/heads",
    "state/heads",
    "credentials",
)
COMMANDS = ("verify", "tail", "activity", "repair", "retain", "status")


def workspace(root: Path) -> Path:
    """Make a workspace with two logs."""
    made = Workspace.create(root, store="age:credentials")
    (root / "audit").rmdir()
    (root / "credentials").mkdir()
    desk = Desk(root.with_name(f"{root.name}-desk"))
    for slug in ("acme-corp", "beta-inc"):
        with desk.writer() as writer:
            call(writer, 1, slug)
    desk.audit.rename(root / "audit")
    (made.root / "state" / "heads").mkdir()
    for copy in desk.copies.iterdir():
        copy.rename(made.root / "state" / "heads" / copy.name)
    return root


def run(root: Path, command: str) -> dict[str, object]:
    """Run one command and return what it said and how it ended."""
    args = ["status"] if command == "status" else ["audit", command]
    sys.argv = ["hsagency", *args, "--workspace", str(root)]
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            cli.main()
        except SystemExit as end:
            code = end.code
    return {"command": command, "code": code, "out": out.getvalue(), "err": err.getvalue()}


def say(**said: object) -> None:
    sys.stdout.write(json.dumps(said) + "\n")


def closed(folder: Path) -> None:
    """Run every command while one part after the other is closed."""
    before = workspace(folder / "before")
    for command in COMMANDS:  # all modules are loaded while they can be: they may be root's alone
        run(before, command)
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
    for number, path in enumerate(CLOSED):
        root = workspace(folder / f"workspace-{number}")
        part = root / path
        mode = part.stat().st_mode
        for command in COMMANDS:
            part.chmod(0)
            said = run(root, command)
            part.chmod(mode)
            say(closed=path, **said)


def full(folder: Path) -> None:
    """Run every command on a disk that is full."""
    root = workspace(folder / "workspace")
    with (root / "audit/acme-corp/journal/000-000001.jsonl").open("ab") as torn:
        torn.write(b'{"schema":1')  # which there is no room to set aside
    with (folder / "ballast").open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(b"x" * 4096):
            pass
    for command in COMMANDS:
        say(**run(root, command))


if __name__ == "__main__":
    {one.__name__: one for one in (closed, full)}[sys.argv[1]](Path(sys.argv[2]))
