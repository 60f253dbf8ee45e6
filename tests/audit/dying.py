"""
A process that dies while it seals: `python -m tests.audit.dying AUDIT SLUG LINE`.

It is killed before the line of code of that number, counted over the modules that touch the
disk; with 0 it lives, and prints how many lines there were.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any

from hsagency import durable
from hsagency.audit import evidence
from hsagency.audit.lake import catalog, sealing

TOUCHING = {one.__file__ for one in (durable, catalog, evidence, sealing)}


def main(audit: str, slug: str, line: int) -> None:
    done = [0]

    def trace(frame: FrameType, event: str, _: object) -> Any:
        if frame.f_code.co_filename not in TOUCHING:
            return None
        if event == "line":
            done[0] += 1
            if done[0] == line:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    threading.settrace(trace)
    sys.settrace(trace)
    sealing.seal(Path(audit), slug, zone="US/Eastern")
    sys.settrace(None)
    print(done[0])


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
