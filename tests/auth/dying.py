"""
A process that dies while it renews: `python -m tests.auth.dying`.

Each line on standard input names a workspace, a client and a number. A fork of this process then
calls the client's portal, and is killed before the line of code of that number, counted over the
modules that renew and that keep. What came of it goes out as JSON.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any

from hsagency import durable
from hsagency.agency import Agency
from hsagency.auth import authorisation, desk, refreshing
from hsagency.credentials import age_files, age_store, store
from tests.auth.renewals import CONTACTS

WATCHED = {
    one.__file__ for one in (durable, authorisation, desk, refreshing, age_files, age_store, store)
}


def die_before(line: int, lived: list[int]) -> Any:
    """Return a trace function that kills this process before so many lines of code."""

    def trace(frame: FrameType, event: str, _: object) -> Any:
        if frame.f_code.co_filename not in WATCHED:
            return None
        if event == "line":
            lived[0] += 1
            if lived[0] == line:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    return trace


def renew(root: Path, slug: str, line: int) -> None:
    with Agency.open(root) as agency:
        client, lived = agency.client(slug), [0]
        threading.settrace(die_before(line, lived))
        sys.settrace(die_before(line, lived))
        status = client.get(CONTACTS).status_code
        sys.settrace(None)
        print(json.dumps({"status": status, "lines": lived[0]}), flush=True)


def main() -> None:
    for order in map(json.loads, sys.stdin):
        child = os.fork()
        if not child:
            renew(Path(order["root"]), order["slug"], order["line"])
            os._exit(0)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if code:
            print(json.dumps({"killed": code == -signal.SIGKILL}), flush=True)


if __name__ == "__main__":
    main()
