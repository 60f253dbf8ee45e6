"""What becomes of a call between the guard and the wire, as its record and its caller see it."""

from __future__ import annotations

import gzip
import json
import os
import time
import tracemalloc
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from hsagency.errors import CallRefused, Halted
from hsagency.halt import Halt
from tests.support import TOKEN, Answer, Seen, listening, lone_client, records

PATH = "/crm/v3/objects/contacts"
JSON = {"Content-Type": "application/json;charset=utf-8"}
ENVELOPE = json.dumps(
    {"category": "VALIDATION_ERROR", "policyName": "DAILY", "message": "jane@example.com"}
).encode()


def answered(folder: Path, answer: Answer, *, method: str = "GET") -> httpx.Response:
    with listening(lambda _: answer) as server, lone_client(folder, url=server.url) as client:
        return client.request(method, PATH)


def test_the_body_of_an_error_is_whole_for_the_caller_and_its_cause_is_recorded(
    tmp_path: Path,
) -> None:
    answer = answered(tmp_path, Answer(400, JSON, ENVELOPE))
    assert answer.content == ENVELOPE
    assert answer.is_closed
    assert answer.elapsed.total_seconds() > 0
    with pytest.raises(httpx.HTTPStatusError):
        answer.raise_for_status()
    started, finished, detail = records(tmp_path, "acme-corp")
    assert finished["outcome"] == "client_error"
    assert detail["event"] == "call.detail"
    assert (detail["category"], detail["policyName"]) == ("VALIDATION_ERROR", "DAILY")
    assert detail["callId"] == started["callId"]
    assert "jane" not in str(detail)


def test_an_error_may_be_streamed_as_it_came(tmp_path: Path) -> None:
    packed = gzip.compress(ENVELOPE)
    headers = {**JSON, "Content-Encoding": "gzip"}
    with (
        listening(lambda _: Answer(500, headers, packed)) as server,
        lone_client(tmp_path, url=server.url) as client,
    ):
        with client.stream("GET", PATH) as answer:
            assert b"".join(answer.iter_raw()) == packed
        with client.stream("GET", PATH) as answer:
            assert answer.read() == ENVELOPE
    assert records(tmp_path, "acme-corp")[-1]["category"] == "VALIDATION_ERROR"


class Endless(httpx.BaseTransport):
    """Answers with an error whose body never ends."""

    def __init__(self, pause: float) -> None:
        self.pause, self.sent, self.closed = pause, 0, False

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        wire = self

        class Body(httpx.SyncByteStream):
            def __iter__(self) -> Iterator[bytes]:
                while True:
                    time.sleep(wire.pause)
                    wire.sent += 1024
                    yield b" " * 1024

            def close(self) -> None:
                wire.closed = True

        return httpx.Response(500, headers=JSON, stream=Body(), request=request)


@pytest.mark.parametrize("pause", [0, 0.1])
def test_an_error_that_never_ends_is_handed_over_soon_and_whole(
    tmp_path: Path, pause: float
) -> None:
    wire = Endless(pause)
    with (
        lone_client(tmp_path, wire=wire) as client,
        client.stream("GET", PATH, extensions={"retry": False}) as answer,
    ):
        seen = wire.sent
        assert seen <= 66 * 1024
        parts = answer.iter_raw()
        assert sum(len(next(parts)) for _ in range(seen // 1024 + 1)) == seen + 1024
        assert wire.sent == seen + 1024
    assert wire.closed
    assert [one["event"] for one in records(tmp_path, "acme-corp")] == [
        "call.started",
        "call.finished",
    ]


ZEROS = b"0" * (64 << 20)


@pytest.mark.parametrize(
    ("packing", "body"),
    [
        ("gzip", gzip.compress(ZEROS)),
        ("gzip, gzip", gzip.compress(gzip.compress(ZEROS))),
        ("br", b"\x00"),
    ],
)
def test_an_error_is_not_unpacked_beyond_what_is_looked_at(
    tmp_path: Path, packing: str, body: bytes
) -> None:
    headers = {**JSON, "Content-Encoding": packing}
    with (
        listening(lambda _: Answer(400, headers, body)) as server,
        lone_client(tmp_path, url=server.url) as client,
    ):
        tracemalloc.start()
        with client.stream("GET", PATH) as answer:
            assert tracemalloc.get_traced_memory()[1] < 8 << 20
            tracemalloc.stop()
            assert b"".join(answer.iter_raw()) == body
    assert records(tmp_path, "acme-corp")[-1]["event"] == "call.finished"


@pytest.mark.parametrize("packing", ["gzip", "gzip, identity", "deflate"])
def test_a_packed_error_names_its_cause(tmp_path: Path, packing: str) -> None:
    body = zlib.compress(ENVELOPE) if packing == "deflate" else gzip.compress(ENVELOPE)
    answered(tmp_path, Answer(400, {**JSON, "Content-Encoding": packing}, body))
    assert records(tmp_path, "acme-corp")[-1]["category"] == "VALIDATION_ERROR"


def test_an_error_cut_off_fails_for_who_reads_it_and_for_nobody_else(tmp_path: Path) -> None:
    with (
        listening(lambda _: Answer(400, JSON, ENVELOPE, cut=9)) as server,
        lone_client(tmp_path, url=server.url) as client,
    ):
        with client.stream("GET", PATH) as answer:
            assert answer.status_code == 400
        with pytest.raises(httpx.RemoteProtocolError):
            client.get(PATH)
    last = records(tmp_path, "acme-corp")[-1]
    assert (last["event"], last["outcome"]) == ("call.finished", "client_error")


@pytest.mark.parametrize(
    "body", [b"", b"not json", b"[]", b"5", b'{"category": 5}', b"\xff", b'{"category": "a b@c"}']
)
def test_an_error_without_a_cause_has_none(tmp_path: Path, body: bytes) -> None:
    assert answered(tmp_path, Answer(400, JSON, body)).content == body
    assert len(records(tmp_path, "acme-corp")) == 2


def test_an_error_that_cannot_be_unpacked_is_the_callers_to_see(tmp_path: Path) -> None:
    headers = {**JSON, "Content-Encoding": "gzip"}
    with pytest.raises(httpx.DecodingError):
        answered(tmp_path, Answer(400, headers, b"no gzip at all"))
    assert records(tmp_path, "acme-corp")[-1]["statusCode"] == 400


@pytest.mark.parametrize(
    "text", [TOKEN, TOKEN.upper(), "jane@example.com", "Jané", "a" * 65, "a b"]
)
def test_what_a_server_says_is_recorded_as_a_plain_word_or_not_at_all(
    tmp_path: Path, text: str
) -> None:
    headers = {**JSON, "X-HubSpot-Correlation-Id": text.encode().decode("latin-1")}
    answered(tmp_path, Answer(400, headers, json.dumps({"category": text}).encode()))
    said = records(tmp_path, "acme-corp")
    assert len(said) == 2
    assert "correlationId" not in said[1]


def test_absent_or_odd_limits_are_not_zero(tmp_path: Path) -> None:
    for number, value in enumerate(("", "-1", "1.5", "many", "\u00b2", "9" * 5000)):
        headers = {"X-HubSpot-RateLimit-Daily-Remaining": value.encode().decode("latin-1")}
        answered(tmp_path / str(number), Answer(200, headers))
        assert "rateLimitRemaining" not in records(tmp_path / str(number), "acme-corp")[-1]
    answered(tmp_path, Answer(200, {"X-HubSpot-RateLimit-Daily-Remaining": "0"}))
    assert records(tmp_path, "acme-corp")[-1]["rateLimitRemaining"] == 0


def test_a_halt_that_comes_while_the_disk_is_busy_stops_the_call(tmp_path: Path) -> None:
    halt = Halt(tmp_path / "state" / "halt.json")

    def sync(descriptor: int) -> None:
        os.fsync(descriptor)
        halt.set("just now.", at=datetime.now(UTC))

    with (
        listening() as server,
        lone_client(tmp_path, url=server.url, sync=sync) as client,
        pytest.raises(Halted),
    ):
        client.get(PATH)
    assert server.seen == []
    assert [one["event"] for one in records(tmp_path, "acme-corp")] == [
        "call.started",
        "call.finished",
    ]
    assert records(tmp_path, "acme-corp")[-1]["outcome"] == "refused"


def test_a_call_whose_body_was_refused_elsewhere_is_unknown_and_not_refused(
    tmp_path: Path,
) -> None:
    """Copying from one portal to another: the source is refused when headers have left."""
    with (
        listening() as server,
        lone_client(tmp_path / "source", url=server.url) as source,
        lone_client(tmp_path / "target", url=server.url) as target,
    ):

        def body() -> Iterator[bytes]:
            yield b"{"
            yield source.get("https://elsewhere.example.com/").content

        with pytest.raises(CallRefused):
            target.post(PATH, content=body())
    assert records(tmp_path / "source", "acme-corp")[-1]["outcome"] == "refused"
    assert records(tmp_path / "target", "acme-corp")[-1]["outcome"] == "unknown"


def test_a_redirect_inside_the_portal_is_two_calls_on_the_record(tmp_path: Path) -> None:
    def answer(seen: Seen) -> Answer:
        return Answer() if seen.path == PATH else Answer(302, {"Location": PATH})

    with listening(answer) as server, lone_client(tmp_path, url=server.url) as client:
        found = client.get(f"{PATH}/1", follow_redirects=True)
    assert [one.status_code for one in (*found.history, found)] == [302, 200]
    assert all("authorization" not in one.request.headers for one in (*found.history, found))
    paths = [one["path"] for one in records(tmp_path, "acme-corp") if "path" in one]
    assert paths == [f"{PATH}/1", PATH]


def test_a_redirect_to_a_call_that_may_not_be_made_is_refused(tmp_path: Path) -> None:
    with (
        listening(lambda _: Answer(302, {"Location": "/new/thing"})) as server,
        lone_client(tmp_path, url=server.url) as client,
        pytest.raises(CallRefused, match="the route table does not know"),
    ):
        client.get(PATH, follow_redirects=True)
    assert len(server.seen) == 1


def test_the_bytes_that_are_sent_are_those_whose_ids_were_recorded(tmp_path: Path) -> None:
    class Body(httpx.ByteStream):
        """Gives another id each time it is read."""

        read = 0

        def __iter__(self) -> Iterator[bytes]:
            self.read += 1
            yield json.dumps({"inputs": [{"id": f"{100 + self.read}"}]}).encode()

    length = {"Content-Length": str(len(b"".join(Body(b""))))}
    with (
        listening(lambda _: Answer(204, body=b"")) as server,
        lone_client(tmp_path, url=server.url) as client,
    ):
        request = client.build_request("POST", f"{PATH}/batch/archive", headers=JSON | length)
        request.stream = Body(b"")
        client.send(request)
        (sent,) = [one["id"] for one in json.loads(server.seen[-1].body)["inputs"]]
    recorded = [one["objectIds"] for one in records(tmp_path, "acme-corp") if "objectIds" in one]
    assert recorded == [[sent]]
