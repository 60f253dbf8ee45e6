"""A call and its two records, seen from the server's side and over real sockets."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from hsagency.audit import lake
from hsagency.audit.journal.writer import AuditWriter
from hsagency.errors import AuditError
from hsagency.sandbox import Fault, Reply, Request, Sandbox, serve
from hsagency.transport.answer import OutcomeUnknown
from tests.audit.conftest import Connect, Disk
from tests.audit.reading import (
    AUTHOR,
    CONTACTS,
    broken_chains,
    ending,
    events,
    intent,
    journals,
    records,
)
from tests.support import connected

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: application/json\r\n"
Answer = Callable[[socket.socket], None]


class Watched(Sandbox):
    """A sandbox that looks at what its caller has on disk when a request arrives."""

    def watch(self, audit: Path, disk: Disk) -> None:
        self.audit, self.disk, self.safe = audit, disk, list[list[bytes]]()

    def handle(self, request: Request) -> Reply:
        flushed = []
        for path in journals(self.audit, "acme-corp"):
            there = path.stat()
            content = path.read_bytes()[: self.disk.safe.get(there.st_ino, 0)]
            flushed += content.splitlines()
        self.safe.append(flushed)
        return super().handle(request)


def test_an_intent_is_on_the_disk_before_its_request_arrives(
    tmp_path: Path, audit: Path, writer: AuditWriter, disk: Disk, connect: Connect
) -> None:
    watched = Watched(portals=1)
    watched.watch(audit, disk)
    with serve(watched) as server:
        client = connect(server.url)
        for number in range(101, 111):
            client.get(f"{CONTACTS}/{number}")
    assert len(watched.safe) == 10
    for number, flushed in enumerate(watched.safe, start=101):
        assert b'"event":"call.started"' in flushed[-1]
        assert b'"objectId":"%d"' % number in flushed[-1]


class Counting(Sandbox):
    """A sandbox that compares the requests it got with the intents on its caller's disk."""

    def count(self, audit: Path) -> None:
        self.audit, self.pairs, self.lock = audit, list[tuple[int, int]](), threading.Lock()

    def handle(self, request: Request) -> Reply:
        with self.lock:
            text = b"".join(path.read_bytes() for path in journals(self.audit))
            self.pairs.append((len(self.pairs) + 1, text.count(b'"event":"call.started"')))
        return super().handle(request)


def test_no_request_of_an_agency_is_ahead_of_its_intent(tmp_path: Path) -> None:
    """Onboarding, verification and calls alike, several at once."""
    counting = Counting(portals=4)
    counting.count(tmp_path / "w" / "audit")
    with connected(tmp_path / "w", sandbox=counting) as one:
        for slug in one.slugs:
            one.agency.verify(slug)
            one.agency.client(slug).get(CONTACTS)
    assert len(counting.pairs) >= 4 * 4
    assert all(intents >= requests for requests, intents in counting.pairs)


@contextmanager
def answering(answer: Answer) -> Iterator[str]:
    """Answer one connection in a way of its own; yield the address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve_one() -> None:
            peer, _ = listener.accept()
            with peer:
                received = b""
                while b"\r\n\r\n" not in received:
                    received += peer.recv(65536)
                answer(peer)

        thread = threading.Thread(target=serve_one)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            thread.join(10)


def says(content: bytes) -> Answer:
    return lambda peer: peer.sendall(content)


def waits(peer: socket.socket) -> None:
    peer.recv(1)  # until the caller has had enough


WAYS: dict[str, tuple[Answer, type[Exception] | None, str, int | None]] = {
    "204": (says(b"HTTP/1.1 204 No Content\r\n\r\n"), None, "ok", 204),
    "json": (says(OK + b"\r\n{}"), None, "ok", 200),
    "not json": (says(OK + b"\r\nno"), None, "ok", 200),
    "html": (
        says(
            b"HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/html\r\nContent-Length: 3\r\n\r\n<p>"
        ),
        None,
        "server_error",
        502,
    ),
    "limit": (
        says(b"HTTP/1.1 429 Too Many\r\nContent-Length: 0\r\n\r\n"),
        None,
        "rate_limited",
        429,
    ),
    "redirect": (
        says(b"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n"),
        None,
        "ok",
        302,
    ),
    "no answer": (says(b""), httpx.RemoteProtocolError, "unknown", None),
    "half a head": (says(b"HTTP/1.1 200 OK\r\nCont"), httpx.RemoteProtocolError, "unknown", None),
    "gibberish": (says(b"\xff\xfe\x00" * 100), httpx.RemoteProtocolError, "unknown", None),
    "half a body": (says(OK + b"\r\n{"), httpx.RemoteProtocolError, "ok", 200),
    "time-out": (waits, httpx.ReadTimeout, "unknown", None),
    "wrong numbers": (
        says(
            OK + b"X-HubSpot-RateLimit-Daily-Remaining: 99999999999999999999\r\n"
            b"X-HubSpot-RateLimit-Daily: many\r\nX-HubSpot-Correlation-Id: a@example.com\r\n\r\n{}"
        ),
        None,
        "ok",
        200,
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_however_a_call_ends_it_has_one_start_and_one_end(
    connect: Connect, audit: Path, way: str
) -> None:
    answer, error, outcome, status = WAYS[way]
    with answering(answer) as url:
        client = connect(url)
        if error is None:
            client.get(CONTACTS)
        else:
            with pytest.raises(error):
                client.get(CONTACTS, timeout=httpx.Timeout(5, read=0.2))
        client.close()
    assert events(audit) == ["call.started", "call.finished"]
    start, end = records(audit)
    assert (end["callId"], end["outcome"], end.get("statusCode")) == (
        start["callId"],
        outcome,
        status,
    )
    assert end["durationMs"] >= 0
    assert ("error" in end) is (status is None)
    assert not {"rateLimitDaily", "rateLimitRemaining", "correlationId"} & set(end)
    (call,) = lake.read(audit, ["acme-corp"]).calls.collect().to_dicts()
    assert (call["outcome"], call["status_code"]) == (outcome, status)


def test_nobody_listening_is_an_unknown_outcome(connect: Connect, audit: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with pytest.raises(httpx.ConnectError):
        connect(url).get(CONTACTS)
    assert events(audit) == ["call.started", "call.finished"]
    assert records(audit)[1]["outcome"] == "unknown"
    assert records(audit)[1]["error"] == "ConnectError"


@pytest.mark.parametrize("kind", ["drop_before", "drop_after"])
def test_a_lost_connection_is_recorded_whether_the_write_took_effect_or_not(
    connect: Connect, sandbox: Sandbox, audit: Path, kind: Any
) -> None:
    with serve(sandbox) as server:
        client = connect(server.url)
        sandbox.faults.add(Fault(kind=kind, times=1))
        with pytest.raises(OutcomeUnknown, match="RemoteProtocolError"):
            client.post(CONTACTS, json={"properties": {"email": "new@example.com"}})
    assert events(audit) == ["call.started", "call.finished"]
    assert records(audit)[1]["outcome"] == "unknown"
    assert "example.com" not in b"".join(p.read_bytes() for p in journals(audit)).decode()


def test_an_interrupt_while_waiting_is_recorded(connect: Connect, audit: Path) -> None:
    class Impatient(httpx.BaseTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        connect(wire=Impatient()).get(CONTACTS)
    assert events(audit) == ["call.started", "call.finished"]
    assert records(audit)[1]["outcome"] == "unknown"
    assert records(audit)[1]["error"] == "KeyboardInterrupt"


def test_the_cause_of_an_error_is_a_record_of_its_own(
    connect: Connect, sandbox: Sandbox, audit: Path
) -> None:
    sandbox.faults.add(Fault(kind="burst", times=1))
    assert connect().get(CONTACTS).status_code == 429
    assert events(audit) == ["call.started", "call.finished", "call.detail"]
    (call,) = lake.read(audit, ["acme-corp"]).calls.collect().to_dicts()
    assert call["outcome"] == "rate_limited"
    assert call["policy_name"] == records(audit)[2]["policyName"]


def test_no_request_leaves_once_the_journal_is_gone(
    connect: Connect, sandbox: Sandbox, audit: Path
) -> None:
    client = connect()
    client.get(CONTACTS)
    journals(audit)[0].unlink()
    for _ in range(2):
        with pytest.raises(AuditError, match="Nothing was sent") as caught:
            client.get(CONTACTS)
        assert not caught.value.under_way
    assert len(sandbox.ledger(sandbox.portals[0].portal_id)) == 1


def test_an_outcome_that_cannot_be_written_says_that_the_call_was_sent(
    connect: Connect, sandbox: Sandbox, writer: AuditWriter, audit: Path
) -> None:
    """The journal goes while HubSpot is thinking."""

    class Destructive(httpx.BaseTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            answer = sandbox.transport().handle_request(request)
            (path,) = journals(audit)
            with path.open("ab") as file:
                file.write(b"{}\n")
            return answer

    with pytest.raises(AuditError) as caught:
        connect(wire=Destructive()).get(CONTACTS)
    assert caught.value.message.startswith("The call was sent, but its outcome could not")
    assert "Nothing was sent" not in caught.value.message
    assert caught.value.under_way  # so that a batch calls its rows unknown, not skipped
    assert len(sandbox.ledger(sandbox.portals[0].portal_id)) == 1
    (call,) = lake.read(audit, ["acme-corp"]).calls.collect().to_dicts()
    assert call["outcome"] == "unknown"


def test_a_lost_answer_that_cannot_be_written_says_that_the_call_was_sent(
    connect: Connect, sandbox: Sandbox, audit: Path
) -> None:
    class Vanishing(httpx.BaseTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            sandbox.transport().handle_request(request)
            journals(audit)[0].unlink()
            raise httpx.ReadTimeout("gone")

    with pytest.raises(AuditError) as caught:
        connect(wire=Vanishing()).get(CONTACTS)
    assert caught.value.message.startswith("The call was sent, but its outcome could not")
    assert caught.value.under_way
    assert len(sandbox.ledger(sandbox.portals[0].portal_id)) == 1


def test_many_threads_leave_pairs(connect: Connect, audit: Path) -> None:
    client = connect()
    threads = [
        threading.Thread(target=lambda: [client.get(CONTACTS) for _ in range(5)]) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = records(audit)
    started = [one["callId"] for one in found if one["event"] == "call.started"]
    finished = [one["callId"] for one in found if one["event"] == "call.finished"]
    assert len(set(started)) == 40
    assert sorted(started) == sorted(finished)
    assert not broken_chains(audit)


def test_a_call_that_is_on_its_way_reads_as_unknown_and_then_as_it_ended(
    audit: Path, writer: AuditWriter
) -> None:
    writer.append("acme-corp", intent(1))
    assert lake.read(audit, ["acme-corp"]).calls.collect()["outcome"].to_list() == ["unknown"]
    writer.append("acme-corp", ending(1), durable=False)
    assert lake.read(audit, ["acme-corp"]).calls.collect()["outcome"].to_list() == ["ok"]
    assert AUTHOR.actor == records(audit)[0]["actor"]
