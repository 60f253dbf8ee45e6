"""
A server in a process of its own for the benchmarks: a sandbox without limits, or a bare stub.

Started by hand or by a benchmark: `python -m tests.benchmarks.serving sandbox 100 10000`. It
prints one JSON line when it answers, and stops when its standard input is closed.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from hsagency.sandbox import Sandbox, serve


@dataclass(frozen=True)
class Serving:
    """A server that answers, and how to call it."""

    url: str
    tokens: list[str]
    pid: int
    up_in: float  # seconds from the start of the process
    made_in: float  # of which the fleet took

    def megabytes(self) -> float:
        """Return the memory that the process holds."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        (held,) = (one for one in status.splitlines() if one.startswith("VmRSS:"))
        return round(int(held.split()[1]) / 1024, 1)


@contextlib.contextmanager
def serving(kind: str, *, portals: int = 1, contacts: int = 40) -> Iterator[Serving]:
    """Start a server, and stop it again."""
    command = [sys.executable, "-m", "tests.benchmarks.serving", kind, str(portals), str(contacts)]
    started = time.perf_counter()
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        said = json.loads(process.stdout.readline())
        yield Serving(**said, pid=process.pid, up_in=time.perf_counter() - started)
    finally:
        process.stdin.close()
        process.wait()


class Stub(BaseHTTPRequestHandler):
    """As little as a server can do: read a request, answer as many bytes as a contact has."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True
    body = json.dumps({"results": "x" * 240}).encode()

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)
        self.wfile.flush()

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, *_: object) -> None:
        return


class StubServer(ThreadingHTTPServer):
    """Serves the stub; wrk hangs up without a word."""

    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, *_: object) -> None:
        return


def main(kind: str, portals: int, contacts: int) -> None:
    started = time.perf_counter()
    if kind == "stub":
        stub = StubServer(("127.0.0.1", 0), Stub)
        Thread(target=stub.serve_forever, daemon=True).start()
        say(f"http://127.0.0.1:{stub.server_address[1]}", ["none"], started)
        return
    sandbox = Sandbox(portals=portals, contacts=contacts, limits=False)
    with serve(sandbox) as server:
        say(server.url, [portal.token for portal in sandbox.portals], started)


def say(url: str, tokens: list[str], started: float) -> None:
    """Say that the server answers, and wait until nobody needs it any more."""
    made_in = time.perf_counter() - started
    print(json.dumps({"url": url, "tokens": tokens, "made_in": made_in}), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
