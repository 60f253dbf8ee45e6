"""
A process that dies while it seals: `python -m tests.audit.crashing`.

Each line on standard input names a log, a segment and a number. A fork of this process then
archives the segment and drops its journal file, and is killed before the line of code of that
number, counted over the modules that touch the disk. What came of it goes out as JSON.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any

from hsagency import durable
from hsagency.audit import evidence
from hsagency.audit.evidence import compressed

TOUCHING = {one.__file__ for one in (durable, compressed, evidence)}


def seal(folder: Path, name: str) -> None:
    evidence.archive(folder, name)
    evidence.drop_journal(folder, name)


def die_before(line: int) -> Any:
    """Return a trace function that kills this process before so many lines of code."""
    left = [line]

    def trace(frame: FrameType, event: str, _: object) -> Any:
        if frame.f_code.co_filename not in TOUCHING:
            return None
        if event == "line":
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    return trace


def main() -> None:
    for order in sys.stdin:
        folder, name, line = json.loads(order)
        child = os.fork()
        if child == 0:
            sys.settrace(die_before(line))
            seal(Path(folder), name)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        print(json.dumps({"killed": os.WIFSIGNALED(status), "status": status}), flush=True)


if __name__ == "__main__":
    main()
