"""
A process of many threads that call one portal at the same moment: `python -m tests.auth.storming`.

Arguments: workspace, slug, threads, and perhaps `renew`. It says that it is ready, waits for a
line, and prints what came of each call, and when the last had its answer.
"""

from __future__ import annotations

import json
import sys
import time

from hsagency.agency import Agency
from tests.auth.renewals import CONTACTS, together


def main(root: str, slug: str, threads: int) -> None:
    with Agency.open(root) as agency:
        agency.connections()
        print("ready", flush=True)
        sys.stdin.readline()
        came = together(lambda _: agency.client(slug).get(CONTACTS).status_code, threads=threads)
        said = [one if isinstance(one, int) else type(one).__name__ for one in came]
        print(json.dumps({"came": said, "at": time.time()}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
