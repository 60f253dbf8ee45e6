"""
A process that dies while it merges: `python -m tests.audit.dying_merge`.

Each line on standard input names our folder, a source, the key of its signature and a number.
A fork of this process then merges, and is killed before the line of code of that number, counted
over the modules that touch the disk. What came of it goes out as JSON.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import Any

from hsagency import durable
from hsagency.audit.evidence import compressed
from hsagency.audit.journal import segment
from hsagency.audit.merging import staging
from hsagency.audit.register import registrar
from tests.audit.logs import Desk, signer_of
from tests.audit.machines import take

TOUCHING = {one.__file__ for one in (durable, compressed, registrar, segment, staging)}


class Countdown:
    """Kills this process before so many lines of code."""

    def __init__(self, line: int) -> None:
        self.left = line

    def __call__(self, frame: FrameType, event: str, _: object) -> Any:
        if frame.f_code.co_filename not in TOUCHING:
            return None
        if event == "line":
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return self


def reopened(root: Path, at: str) -> Desk:
    """Return the machine whose log lies in a folder, as it was left."""
    desk = Desk.__new__(Desk)
    desk.audit, desk.copies, desk.signed = root / "audit", root / "copies", True
    desk.signer, _ = signer_of(b"1")
    desk.clock = Clock(at)
    return desk


class Clock:
    """Stands still."""

    def __init__(self, at: str) -> None:
        self.at = datetime.fromisoformat(at)

    def __call__(self) -> datetime:
        return self.at


def main() -> None:
    for order in sys.stdin:
        root, source, key, at, line = json.loads(order)
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            countdown = Countdown(line)
            sys.settrace(countdown)
            take(reopened(Path(root), at), Path(source), keys=[key], most=2)
            sys.settrace(None)
            os.write(writing, str(line - countdown.left).encode())
            os._exit(0)
        os.close(writing)
        _, status = os.waitpid(child, 0)
        lines = int(os.read(reading, 20) or 0)
        os.close(reading)
        print(json.dumps({"killed": os.WIFSIGNALED(status), "lines": lines}), flush=True)


if __name__ == "__main__":
    main()
