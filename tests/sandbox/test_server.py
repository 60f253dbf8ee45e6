"""The server on its socket: who is answered, and how it ends; of HubSpot's only facts 4.2's 414."""

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from hsagency.errors import SandboxError
from hsagency.sandbox import Fault, Sandbox, serve
from hsagency.sandbox.serving.server import CONNECTIONS_MAX
from tests.sandbox.conftest import bearer
from tests.sandbox.patience import patience

CONTACTS = "/crm/objects/2026-09/contacts"
ROOT = Path(__file__).resolve().parents[2]


def raw(url: str, *parts: bytes) -> bytes:
    """Send bytes as they are and return all that comes until the server hangs up."""
    where = urlsplit(url)
    with socket.create_connection((where.hostname, where.port), timeout=10) as connection:
        for part in parts:
            connection.sendall(part)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def auth(sandbox: Sandbox) -> bytes:
    return (
        b"Host: localhost\r\nAuthorization: Bearer " + sandbox.portals[0].token.encode() + b"\r\n"
    )


def test_many_threads_of_many_portals_are_told_apart(over_a_socket) -> None:
    sandbox = Sandbox(portals=6, contacts=5)
    clients = {portal: over_a_socket(sandbox, portal.token) for portal in sandbox.portals}

    def create(job: tuple) -> None:
        portal, number = job
        email = f"{number}@{portal.client_slug}.example.com"
        answer = clients[portal].post(CONTACTS, json={"properties": {"email": email}})
        assert answer.status_code == 201

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(create, [(portal, n) for n in range(20) for portal in sandbox.portals]))
    for portal, client in clients.items():
        emails = [
            record["properties"]["email"]
            for record in client.get(CONTACTS, params={"limit": 100}).json()["results"]
        ]
        assert len(emails) == 25
        assert all(email.endswith(f"@{portal.client_slug}.example.com") for email in emails)
        entries = sandbox.ledger(portal.portal_id)
        assert Counter(entry.status for entry in entries) == {201: 20, 200: 1}
        assert len({entry.correlation_id for entry in entries}) == 21


def test_the_ledger_names_the_call_by_the_correlation_id_the_caller_saw(
    connect, sandbox: Sandbox
) -> None:
    portal = sandbox.portals[0]
    answer = connect(sandbox, portal.token).get(CONTACTS, params={"limit": 3})
    (entry,) = sandbox.ledger(portal.portal_id)
    assert entry.correlation_id == answer.headers["x-hubspot-correlation-id"]
    assert (entry.path, entry.query, entry.at) == (CONTACTS, (("limit", "3"),), sandbox.clock.now())


def test_one_connection_carries_many_calls_also_after_a_204(over_a_socket, sandbox) -> None:
    client = over_a_socket(sandbox, sandbox.portals[0].token)
    answers = [client.delete(f"{CONTACTS}/101"), *(client.get(CONTACTS) for _ in range(3))]
    assert [answer.status_code for answer in answers] == [204, 200, 200, 200]
    streams = {id(answer.extensions["network_stream"]) for answer in answers}
    assert len(streams) == 1


def test_head_is_get_without_a_body(connect, sandbox: Sandbox) -> None:
    client = connect(sandbox, sandbox.portals[0].token)
    head, get = client.head(CONTACTS), client.get(CONTACTS)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == get.headers["content-length"]


def test_a_method_nobody_knows_is_405(connect, sandbox: Sandbox) -> None:
    answer = connect(sandbox, sandbox.portals[0].token).request("BREW", CONTACTS)
    assert answer.status_code == 405


def test_bodies_come_with_a_length_in_chunks_or_after_a_question(sandbox: Sandbox) -> None:
    body = json.dumps({"properties": {"email": "a@example.com"}}).encode()
    start = b"POST /crm/v3/objects/contacts HTTP/1.1\r\nConnection: close\r\n" + auth(sandbox)
    with serve(sandbox) as server:
        chunks = b"%x;x=y\r\n%b\r\n0\r\nTrailer: t\r\n\r\n" % (len(body), body)
        assert b" 201 " in raw(server.url, start, b"Transfer-Encoding: chunked\r\n\r\n", chunks)
        length = b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(body)
        answer = raw(server.url, start, length, body)
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n")
    assert b" 409 " in answer


@pytest.mark.parametrize(
    "nonsense",
    [
        b"hello\r\n\r\n",
        b"GET / HTTP/9.9.9\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: many\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nshort",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nshort",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n-9\r\n",
        b"GET / HTTP/2.0\r\n\r\n",
        b"GET /",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: b\r\n folded\r\n\r\n",
        b"GET / HTTP/1.1\r\nA : b\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: cut",
    ],
)
def test_what_is_not_http_gets_400(sandbox: Sandbox, nonsense: bytes) -> None:
    with serve(sandbox) as server:
        answer = raw(server.url, nonsense)
    assert b" 400 " in answer.split(b"\r\n")[0]
    assert b'"status":"error"' in answer


@pytest.mark.parametrize(
    ("nonsense", "status"),
    [
        (b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\n\r\n", b" 414 "),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 201 + b"\r\n", b" 431 "),
        (b"POST / HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n" + b"x" * 9_000_000, b" 400 "),
    ],
)
def test_too_much_is_refused_so_that_who_still_sends_hears_it(
    sandbox: Sandbox, nonsense: bytes, status: bytes
) -> None:
    with serve(sandbox) as server:
        answer = raw(server.url, nonsense)
    assert status in answer.split(b"\r\n")[0]
    assert b"Connection: close" in answer


@pytest.mark.parametrize("more", [0, 1])
def test_a_target_is_as_long_as_it_may_be_and_not_a_byte_longer(
    connect, sandbox: Sandbox, more: int
) -> None:
    """Facts 4.2: 414, URL too long. That the limit is 16 KiB is an assumption."""
    client = connect(sandbox, sandbox.portals[0].token)
    target = f"{CONTACTS}?a="
    answer = client.get(target + "x" * (16_384 - len(target) + more))
    assert answer.status_code == (414 if more else 200)
    assert client.get(CONTACTS).status_code == 200  # over the same connection
    assert len(sandbox.ledger(sandbox.portals[0].portal_id)) == 2 - more


def test_a_stray_line_before_a_request_is_skipped_and_an_old_client_is_let_go(sandbox) -> None:
    with serve(sandbox) as server:
        answer = raw(server.url, b"\r\nGET /x HTTP/1.0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 401 Unauthorized\r\n")
    assert answer.count(b"HTTP/1.1") == 1
    assert b"Connection: close\r\n" in answer


def test_a_connection_stays_until_its_client_asks_for_an_end(sandbox: Sandbox) -> None:
    request = b"GET /x HTTP/1.1\r\n"
    with serve(sandbox) as server:
        answer = raw(
            server.url, request + b"\r\n" + request + b"Connection: Close\r\n\r\n" + request
        )
    assert answer.count(b"HTTP/1.1 401") == 2


def test_the_bytes_of_an_answer_are_these(sandbox: Sandbox) -> None:
    with serve(sandbox) as server:
        answer = raw(server.url, b"HEAD /x HTTP/1.1\r\n\r\n")
    lines = answer.decode("ascii").split("\r\n")
    assert lines[0] == "HTTP/1.1 401 Unauthorized"
    assert lines[1] == "Content-Type: application/json;charset=utf-8"
    assert lines[3] == "Date: Wed, 14 Oct 2026 12:00:00 GMT"
    assert lines[4].startswith("Content-Length: ")
    assert lines[5:] == ["", ""]


@pytest.mark.parametrize(
    ("kind", "words"),
    [("truncated", {}), ("headers", {"oddity": "no_length"}), ("slow_body", {"seconds": 0.02})],
)
def test_a_spoilt_answer_says_what_it_does_not_keep(sandbox: Sandbox, kind, words) -> None:
    path = "/account-info/v3/details"
    sandbox.faults.add(Fault(kind=kind, path="/account-info", **words))
    with serve(sandbox) as server:
        start = f"GET {path} HTTP/1.1\r\n".encode()
        head, _, body = raw(server.url, start, auth(sandbox), b"\r\n").partition(b"\r\n\r\n")
    length = [line for line in head.split(b"\r\n") if line.startswith(b"Content-Length")]
    assert (length == []) == (kind == "headers")
    said = int(length[0].split()[1]) if length else len(body)
    assert (said > len(body)) == (kind == "truncated")
    assert (b"Connection: close" in head) == (kind != "slow_body")


def test_a_slow_body_ends_with_the_server(sandbox: Sandbox) -> None:
    sandbox.faults.add(Fault(kind="slow_body", seconds=600))
    server = serve(sandbox)
    where = urlsplit(server.url)
    with socket.create_connection((where.hostname, where.port)) as connection:
        connection.sendall(b"GET /x HTTP/1.1\r\n\r\n")
        assert connection.recv(8) == b"HTTP/1.1"
        server.close()
        rest = b"".join(iter(lambda: connection.recv(65536), b""))
    assert rest.endswith(b"\r\n\r\n")


def test_a_client_that_leaves_early_does_no_harm(over_a_socket, sandbox: Sandbox) -> None:
    with serve(sandbox) as server:
        where = urlsplit(server.url)
        for _ in range(5):
            with socket.create_connection((where.hostname, where.port)) as connection:
                connection.sendall(b"POST /x HTTP/1.1\r\nContent-Length: 100\r\n\r\nhalf")
        with socket.create_connection((where.hostname, where.port)) as connection:
            answer = raw(server.url, b"GET /x HTTP/1.0\r\n\r\n")
    assert b" 401 " in answer


def test_a_closed_server_leaves_no_thread_and_no_listener(sandbox: Sandbox) -> None:
    before = set(threading.enumerate())
    server = serve(sandbox)
    where = urlsplit(server.url)
    sandbox.faults.add(Fault(kind="latency", seconds=60))
    idle = socket.create_connection((where.hostname, where.port))
    waiting = socket.create_connection((where.hostname, where.port))
    waiting.sendall(b"GET /x HTTP/1.1\r\n\r\n")
    while not sandbox.ledger(None):
        threading.Event().wait(0.005)
    server.close()
    server.close()
    with idle, waiting:
        assert idle.recv(1) == b""
    assert set(threading.enumerate()) <= before
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((where.hostname, where.port))


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "example.com", "::"])
def test_only_loopback_is_served(sandbox: Sandbox, host: str) -> None:
    with pytest.raises(SandboxError, match="this machine only"):
        serve(sandbox, host=host)


def test_a_port_in_use_is_refused_with_a_hint(sandbox: Sandbox) -> None:
    with serve(sandbox) as server:
        port = urlsplit(server.url).port
        with pytest.raises(SandboxError, match="Leave the port out"):
            serve(sandbox, port=port)
    with pytest.raises(SandboxError, match="cannot be used"):
        serve(sandbox, port=99_999)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_run_serves_until_it_is_told_to_stop(tmp_path: Path, number: signal.Signals) -> None:
    program = (
        "import sys\nfrom pathlib import Path\nfrom hsagency.sandbox import run\n"
        "say = lambda line: print(line, flush=True)\n"
        "run(portals=2, port=0, seed=1, csv=Path(sys.argv[1]), announce=say)\n"
    )
    csv = tmp_path / "clients.csv"
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", program, str(csv)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    with process:
        lines: list[str] = []
        with patience(process.kill):
            while not lines or "Stop it with" not in lines[-1]:
                lines.append(process.stdout.readline())
                assert lines[-1], process.stderr.read()
        url = next(word for word in lines[1].split() if word.startswith("http"))
        token = csv.read_text().splitlines()[1].split(",")[1]
        headers = {"authorization": f"Bearer {token}"}
        assert httpx.get(f"{url}{CONTACTS}", headers=headers).status_code == 200
        process.send_signal(number)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (0, "Stopped.\n", "")
    assert token not in "".join(lines)


def test_importing_the_sandbox_does_not_import_httpx() -> None:
    program = "import sys, hsagency.sandbox; sys.exit('httpx' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False
    )
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1", 200), ("LOCALHOST:1", 200), ("[::1]:80", 200), ("api.hubapi.localhost", 200),
        ("api-eu1.hubapi.localhost:8080", 200), ("evil.example", 421), ("localhost.evil.example", 421),
        ("127.0.0.1.evil.example", 421), ("evil.example:80", 421), ("", 421),
        ("localhost.", 200), ("localhost.:80", 200), ("[::1]evil.com", 421), ("[::1]:80@evil", 421),
        ("127.0.0.1:evil", 421), ("localhost..", 421), ("a/.localhost", 421), ("api.hubapi.com", 421),
    ],
)  # fmt: skip
@pytest.mark.parametrize("path", [CONTACTS, "/_sandbox/portals"])
def test_a_request_under_a_name_that_is_not_this_machines_is_refused(
    sandbox: Sandbox, host: str, status: int, path: str
) -> None:
    """A page in a browser can have its own name lead to loopback."""
    with serve(sandbox) as server, httpx.Client(base_url=server.url, trust_env=False) as client:
        headers = bearer(sandbox.portals[0].token) | {
            "X-Sandbox-Key": server.control_key,
            "Host": host,
        }
        assert client.get(path, headers=headers).status_code == status
    entered = len(sandbox.ledger(sandbox.portals[0].portal_id))
    assert entered == (status == 200 and path == CONTACTS)


@pytest.mark.parametrize("tls", [False, True])
def test_a_caller_who_resets_at_once_leaves_no_trace_on_the_screen(
    sandbox: Sandbox, capfd: pytest.CaptureFixture[str], tls
) -> None:
    with serve(sandbox, tls=tls) as server:
        where = urlsplit(server.url)
        for _ in range(20):
            caller = socket.create_connection((where.hostname, where.port))
            caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            caller.close()
        trusted = ssl.create_default_context(cadata=server.ca_pem) if tls else True
        with httpx.Client(verify=trusted, trust_env=False) as client:
            assert client.get(server.url).status_code == 401
    assert capfd.readouterr().err == ""


def test_there_is_a_last_connection_and_a_place_for_another_when_one_has_gone(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    with serve(sandbox) as server:
        where = urlsplit(server.url)
        held = [
            socket.create_connection((where.hostname, where.port)) for _ in range(CONNECTIONS_MAX)
        ]
        with socket.create_connection((where.hostname, where.port), timeout=30) as one_more:
            assert one_more.recv(1) == b""
        for one in held:
            one.close()
        with httpx.Client(trust_env=False) as client:
            while not answered(client, server.url):  # until the threads of the others have ended
                continue
    assert "another one was closed" in caplog.text


def answered(client: httpx.Client, url: str) -> bool:
    try:
        return client.get(url).status_code == 401
    except httpx.TransportError:
        return False
