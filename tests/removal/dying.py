"""
A process that dies while it removes a client: `python -m tests.removal.dying WORKSPACE SLUG STEP`.

It is killed as it enters the step of that number, counted over what changes something or asks
somebody; with 0 it lives, and prints how many steps there were.
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType
from typing import Any

from hsagency import durable, index, removal
from hsagency.agency import Agency
from hsagency.audit.journal import writer
from hsagency.credentials import store
from hsagency.removal import certificate, severing, stages

STEPS = {
    durable.__file__: {"write_private", "make_private_dir"},
    index.__file__: {"bury", "settle"},
    writer.__file__: {"append", "end"},
    store.__file__: {"get", "put", "delete"},
    removal.__file__: {"apply", "_current"},
    certificate.__file__: {"issue", "_page"},
    severing.__file__: {"sever", "_uninstalled", "_access"},
    stages.__file__: {"begin", "finish", "delete_secrets", "_is_recorded"},
}


def main(root: str, slug: str, step: int) -> None:
    done = [0]

    def trace(frame: FrameType, event: str, _: object) -> Any:
        if event == "call" and frame.f_code.co_name in STEPS.get(frame.f_code.co_filename, ()):
            done[0] += 1
            if done[0] == step:
                os.kill(os.getpid(), signal.SIGKILL)

    with Agency.open(root) as agency:
        plan = removal.plan(agency, slug)
        sys.settrace(trace)
        removal.apply(agency, plan, digest=plan.digest, uninstall=plan.kind == "oauth")
        sys.settrace(None)
    print(done[0])


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
