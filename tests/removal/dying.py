"""
Removals in processes of their own that die on the way, made of one that has imported everything.

`python -m tests.removal.dying WORKSPACE SLUG STEP …` removes a client for each slug and step, in
a forked child that kills itself just before the step of that number, and prints how many steps
each child made, or -1 for one that was killed. A step is whatever others can see: a file that
takes its place or goes, a call to HubSpot. With step 0 it lives.
"""

from __future__ import annotations

import os
import signal
import sys

from hsagency import removal
from hsagency.agency import Agency

STEPS = ("os.rename", "os.remove", "socket.connect")


def remove(root: str, slug: str, last: int) -> int:
    """Remove a client, and return how many steps that took."""
    steps, begun = 0, False

    def count(event: str, _: object) -> None:
        nonlocal steps
        if begun and event in STEPS:
            steps += 1
            if steps == last:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)
    with Agency.open(root) as agency:
        oauth = agency.connection(slug).kind == "oauth"
        plan = removal.plan(agency, slug, uninstall=oauth)
        begun = True
        removal.apply(agency, plan, digest=plan.digest)
        begun = False
    return steps


def forked(root: str, slug: str, last: int) -> int:
    """Return how many steps a child made, or -1 if it was killed."""
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(told)
        os.write(tell, str(remove(root, slug, last)).encode())
        os._exit(0)
    os.close(tell)
    with os.fdopen(told) as file:
        said = file.read()
    os.waitpid(child, 0)
    return int(said) if said else -1


def main(root: str, *asked: str) -> None:
    for slug, last in zip(asked[::2], asked[1::2], strict=True):
        print(forked(root, slug, int(last)), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
