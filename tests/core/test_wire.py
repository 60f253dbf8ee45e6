"""
The wire beside httpx's own: the same answers, and the same errors where there is none.

Every claim that takes the fixture `wire` holds for both, so that ours is held to what httpx
does.
"""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import sys
import threading
import time
from array import array
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import httpx
import pytest
import trustme

from hsagency.errors import ClientClosed, UsageError
from hsagency.transport import Wire
from hsagency.transport.wire import Retired, Stopped
from tests.core.hosting import Host, Script, hosting, request_from, saying

Make = Callable[..., httpx.BaseTransport]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def ours(host: Host, *, tls: ssl.SSLContext | None = None) -> httpx.BaseTransport:
    return Wire(httpx.URL(host.url), tls=tls)


def of_httpx(host: Host, *, tls: ssl.SSLContext | None = None) -> httpx.BaseTransport:
    limits = httpx.Limits(max_connections=16, max_keepalive_connections=16)
    verify = tls or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return httpx.HTTPTransport(verify=verify, trust_env=False, limits=limits)


@pytest.fixture(params=[ours, of_httpx], ids=["ours", "of httpx"])
def wire(request: pytest.FixtureRequest) -> Make:
    made: Make = request.param
    return made


@contextmanager
def client(make: Make, host: Host, **settings: object) -> Iterator[httpx.Client]:
    seconds = settings.pop("timeout", 10)
    transport = make(host, **settings)
    with httpx.Client(base_url=host.url, transport=transport, timeout=seconds) as made:  # type: ignore[arg-type]
        yield made


def head(status: str = "200 OK", **headers: str) -> bytes:
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode()


ANSWERS: dict[str, bytes] = {
    "a body with its length": head(Content_Length="5", X_Case="As Is") + b"abcde",
    "no body": head("204 No Content"),
    "an empty body": head(Content_Length="0"),
    "chunks": head(Transfer_Encoding="chunked") + b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
    "chunks and trailers": head(Transfer_Encoding="chunked") + b"1\r\na\r\n0\r\nX-Late: 1\r\n\r\n",
    "a body up to the hang-up": head(Connection="close") + b"abcde",
    "an old version": b"HTTP/1.0 200 OK\r\n\r\nabc",
    "no reason": b"HTTP/1.1 429 \r\nContent-Length: 0\r\n\r\n",
    "an announcement before": head("100 Continue") + head("103 Early Hints") + OK,
    "the same header twice": head(A="1", a="2", Content_Length="0"),
    "letters outside ASCII": head("500 \u00e4", X_Name="\u00fc", Content_Length="0"),
    "nothing": b"",
    "half a status line": b"HTTP/1.1 20",
    "half its headers": b"HTTP/1.1 200 OK\r\nContent-Le",
    "half a body": head(Content_Length="10") + b"abc",
    "half a chunk": head(Transfer_Encoding="chunked") + b"a\r\nabc",
    "no last chunk": head(Transfer_Encoding="chunked") + b"1\r\na\r\n",
    "a chunk without a size": head(Transfer_Encoding="chunked") + b"zz\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\na",
    "a length that is none": head(Content_Length="-1"),
    "an unknown coding": head(Transfer_Encoding="rot13") + b"a",
    "a folded header": b"HTTP/1.1 200 OK\r\nA: 1\r\n b\r\nContent-Length: 0\r\n\r\n",
    "a header with a space in its name": b"HTTP/1.1 200 OK\r\nA b: 1\r\n\r\n",
    "no HTTP at all": b"220 mail.example.com ESMTP\r\n",
    "a head without an end": head(X_Long="x" * 200_000, Content_Length="0"),
    "another protocol": head("101 Switching Protocols", Upgrade="x", Connection="upgrade"),
}


def told(make: Make, answer: bytes, *, method: str, reset: bool) -> object:
    """Return all that a caller learns of an answer."""
    with hosting(saying(answer, reset=reset)) as host, client(make, host) as caller:
        try:
            found = caller.request(method, "/")
        except httpx.TransportError as error:
            return type(error)
        line = found.http_version, found.status_code, found.reason_phrase
        return line, found.headers.raw, found.content


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=list(ANSWERS))
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_every_answer_is_taken_as_httpx_takes_it(answer: bytes, method: str) -> None:
    assert told(ours, answer, method=method, reset=False) == told(
        of_httpx, answer, method=method, reset=False
    )


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 2", head(Content_Length="9") + b"a"])
def test_a_reset_connection_is_the_same_error_as_with_httpx(answer: bytes) -> None:
    error = told(ours, answer, method="POST", reset=True)
    assert error == told(of_httpx, answer, method="POST", reset=True)
    assert isinstance(error, type)
    assert issubclass(error, httpx.TransportError)


def test_an_answer_to_head_has_a_length_and_no_body(wire: Make) -> None:
    answer = head(Content_Length="100")
    with hosting(saying(answer, answer)) as host, client(wire, host) as caller:
        assert [caller.head("/").content, caller.head("/").content] == [b"", b""]
        assert len(host.heard) == 1


def test_calls_share_a_connection_and_say_what_was_asked(wire: Make) -> None:
    with hosting(saying(OK, OK, OK)) as host, client(wire, host) as caller:
        for _ in range(2):
            assert caller.post("/a?b=c", json={}, headers={"X-Case": "As Is"}).text == "ok"
        caller.get("/d")
    (heard,) = host.heard
    assert heard[0] == heard[1]
    assert heard[0].startswith(b"POST /a?b=c HTTP/1.1\r\nHost: 127.0.0.1:")
    assert heard[0].endswith(b"\r\n\r\n{}")
    assert b"\r\nX-Case: As Is\r\n" in heard[0]
    assert heard[2].startswith(b"GET /d HTTP/1.1\r\n")


def test_a_connection_that_was_hung_up_between_calls_is_not_used(wire: Make) -> None:
    gone = threading.Event()

    def once(connection: socket.socket, host: Host) -> None:
        saying(OK)(connection, host)
        connection.close()
        gone.set()

    with hosting(once, saying(OK)) as host, client(wire, host) as caller:
        caller.post("/1")
        assert gone.wait(10)
        caller.post("/2")
    assert [len(one) for one in host.heard] == [1, 1]


@pytest.mark.parametrize("lost", [saying(OK, b""), saying(OK, b"", reset=True)])
def test_a_call_that_is_lost_on_a_kept_connection_is_not_sent_again(
    wire: Make, lost: Script
) -> None:
    with hosting(lost, saying(OK)) as host, client(wire, host) as caller:
        caller.get("/1")
        with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
            caller.get("/2")
        assert len(host.requests()) == 2
        caller.get("/3")
    assert [one.split()[1] for one in host.requests()] == [b"/1", b"/2", b"/3"]


def test_what_nobody_asked_for_is_no_answer_to_the_next_call() -> None:
    """Here httpx takes the rest of one answer for the next."""
    stray = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nstray"
    with hosting(saying(OK + stray, OK)) as host, client(ours, host) as caller:
        assert [caller.get("/1").text, caller.get("/2").text] == ["ok", "ok"]
    assert [len(one) for one in host.heard] == [1, 1]


def test_a_connection_that_was_idle_for_too_long_is_not_used() -> None:
    def made(host: Host) -> httpx.BaseTransport:
        return Wire(httpx.URL(host.url), tls=None, idle=-1)

    with hosting(saying(OK, OK)) as host, client(made, host) as caller:
        caller.get("/1")
        caller.get("/2")
    assert [len(one) for one in host.heard] == [1, 1]


@pytest.mark.parametrize("closing_header", ["request", "answer"])
def test_a_connection_that_either_side_closes_is_not_used_again(
    wire: Make, closing_header: str
) -> None:
    last = head(Content_Length="0", Connection="close") if closing_header == "answer" else OK
    with hosting(saying(last, OK)) as host, client(wire, host) as caller:
        caller.get("/1", headers={"Connection": "close"} if closing_header == "request" else {})
        caller.get("/2")
    assert [len(one) for one in host.heard] == [1, 1]


def test_an_answer_that_is_not_read_to_its_end_leaves_no_connection_behind(wire: Make) -> None:
    long = head(Content_Length="300000") + b"x" * 300_000
    with hosting(saying(long), saying(OK)) as host, client(wire, host) as caller:
        with caller.stream("GET", "/1") as answer:
            assert next(answer.iter_bytes(10)) == b"x" * 10
        assert caller.get("/2").text == "ok"
    assert [len(one) for one in host.heard] == [1, 1]


@pytest.mark.parametrize("error", [ZeroDivisionError, OSError, TimeoutError, KeyboardInterrupt])
def test_a_body_that_fails_fails_as_itself_and_leaves_no_connection_behind(
    wire: Make, error: type[BaseException]
) -> None:
    def body() -> Iterator[bytes]:
        yield b"{"
        raise error

    with hosting(saying(OK), saying(OK)) as host, client(wire, host) as caller:
        with pytest.raises(error):
            caller.post("/1", content=body())
        assert caller.get("/2").text == "ok"
    assert [one.split()[1] for one in host.requests()][-1] == b"/2"


def test_a_large_body_arrives_whole_in_one_piece_or_in_many(wire: Make) -> None:
    body = bytes(range(256)) * 20_000
    with hosting(saying(OK, OK)) as host, client(wire, host) as caller:
        length = {"Content-Length": str(len(body))}
        caller.post("/1", content=body)
        caller.post(
            "/2", content=(body[i : i + 7777] for i in range(0, len(body), 7777)), headers=length
        )
    assert [one.endswith(b"\r\n\r\n" + body) for one in host.requests()] == [True, True]


def test_an_answer_that_comes_before_the_body_has_left_is_the_answer(wire: Make) -> None:
    """As when a file is too large: the host says so and hangs up on the rest of it."""

    def early(connection: socket.socket, host: Host) -> None:
        connection.sendall(head("413 Too Large", Content_Length="0"))
        connection.shutdown(socket.SHUT_WR)
        connection.recv(1)

    with hosting(early) as host, client(wire, host) as caller:
        assert caller.post("/", content=b"x" * (1 << 24)).status_code == 413


@pytest.mark.parametrize("size", [1, 3])
def test_a_body_of_another_length_than_announced_is_an_error_of_httpx(size: int) -> None:
    """Here httpx lets an error of h11's through."""
    with (
        hosting(saying(OK)) as host,
        client(ours, host) as caller,
        pytest.raises(httpx.LocalProtocolError),
    ):
        caller.post("/", content=iter([b"x" * size]), headers={"Content-Length": "2"})


def silent(connection: socket.socket, host: Host) -> None:
    """Take the connection and say nothing until the other side goes."""
    host.heard.append([])
    with suppress(OSError):
        connection.recv(1)
        while connection.recv(65536):
            pass


def test_a_host_that_says_nothing_is_a_read_time_out(wire: Make) -> None:
    with hosting(silent) as host, client(wire, host) as caller, pytest.raises(httpx.ReadTimeout):
        caller.get("/", timeout=httpx.Timeout(10, read=0.05))


def test_a_body_that_stops_is_a_read_time_out(wire: Make) -> None:
    def half(connection: socket.socket, host: Host) -> None:
        saying(head(Content_Length="9") + b"a")(connection, host)
        silent(connection, host)

    with hosting(half) as host, client(wire, host) as caller, pytest.raises(httpx.ReadTimeout):
        caller.get("/", timeout=httpx.Timeout(10, read=0.05))


def test_a_host_that_does_not_listen_is_a_write_time_out(wire: Make) -> None:
    released = threading.Event()
    with hosting(lambda *_: released.wait(10)) as host, client(wire, host) as caller:
        with pytest.raises(httpx.WriteTimeout):
            caller.post("/", content=b"x" * (1 << 24), timeout=httpx.Timeout(10, write=0.05))
        released.set()


def test_a_host_that_does_not_finish_the_handshake_is_a_connect_time_out(wire: Make) -> None:
    with hosting(silent) as host:
        host.url = host.url.replace("http:", "https:")
        tls = ssl.create_default_context()
        with client(wire, host, tls=tls) as caller, pytest.raises(httpx.ConnectTimeout):
            caller.get("/", timeout=httpx.Timeout(10, connect=0.05))


def test_nobody_there_is_a_connect_error(wire: Make) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        host = Host(f"http://127.0.0.1:{gone.getsockname()[1]}")
    with client(wire, host) as caller, pytest.raises(httpx.ConnectError):
        caller.get("/")


def test_a_call_beyond_sixteen_waits_for_its_place_and_gives_up_in_time(wire: Make) -> None:
    long = head(Content_Length="300000") + b"x" * 300_000
    with hosting(saying(long)) as host, client(wire, host) as caller:
        opened = [caller.send(caller.build_request("GET", "/"), stream=True) for _ in range(16)]
        with pytest.raises(httpx.PoolTimeout):
            caller.get("/", timeout=httpx.Timeout(10, pool=0.05))
        for one in opened:
            one.close()
        assert len(caller.get("/").content) == 300_000


def test_threads_get_their_own_answers_over_sixteen_connections_at_most(wire: Make) -> None:
    def echo(connection: socket.socket, host: Host) -> None:
        host.heard.append([])
        while request := request_from(connection):
            path = request.split()[1]
            connection.sendall(head(Content_Length=str(len(path))) + path)

    wrong: list[str] = []

    def call(number: int) -> None:
        for turn in range(20):
            path = f"/{number}/{turn}"
            if caller.get(path).text != path:
                wrong.append(path)

    with hosting(echo) as host, client(wire, host) as caller:
        threads = [
            threading.Thread(target=call, args=(number,), daemon=True) for number in range(32)
        ]
        for one in threads:
            one.start()
        for one in threads:
            one.join(30)
        assert not any(one.is_alive() for one in threads)
        assert wrong == []
        assert len(host.heard) <= 16


def test_closing_the_wire_hangs_up_on_what_is_idle_and_on_what_is_not() -> None:
    asked = threading.Event()
    errors: list[Exception] = []

    def waiting(connection: socket.socket, host: Host) -> None:
        asked.set()
        silent(connection, host)

    with hosting(waiting, saying(OK, OK)) as host, closing(ours(host)) as transport:

        def wait() -> None:
            try:
                transport.handle_request(httpx.Request("GET", host.url))
            except httpx.TransportError as error:
                errors.append(error)

        thread = threading.Thread(target=wait)
        thread.start()
        assert asked.wait(10)
        with closing(transport.handle_request(httpx.Request("GET", host.url))) as idle:
            assert idle.read() == b"ok"
        transport.close()
        thread.join(10)
    assert [type(one) for one in errors] == [httpx.RemoteProtocolError]


def test_a_call_after_closing_is_stopped_and_reaches_nobody() -> None:
    with hosting(saying(OK)) as host:
        transport = ours(host)
        transport.close()
        for _ in range(2):
            with pytest.raises(Stopped) as caught:
                transport.handle_request(httpx.Request("GET", host.url))
            assert isinstance(caught.value.cause, ClientClosed)
    assert host.heard == []


def held_back(release: threading.Event) -> Script:
    """Answer each request when told to."""

    def script(connection: socket.socket, host: Host) -> None:
        mine: list[bytes] = []
        host.heard.append(mine)
        while request := request_from(connection):
            mine.append(request)
            release.wait(10)
            connection.sendall(OK)

    return script


@contextmanager
def twenty_calls(transport: httpx.BaseTransport, host: Host) -> Iterator[list[str]]:
    """Make twenty calls at once, of which sixteen reach the host and four wait for a place."""
    ends: list[str] = []

    def call() -> None:
        try:
            with closing(transport.handle_request(httpx.Request("GET", host.url))) as answer:
                answer.read()
            ends.append("answered")
        except (Stopped, httpx.TransportError) as error:
            ends.append(type(getattr(error, "cause", error)).__name__)

    threads = [threading.Thread(target=call, daemon=True) for _ in range(20)]
    for one in threads:
        one.start()
    until = time.monotonic() + 10
    while len(host.requests()) < 16 and time.monotonic() < until:
        time.sleep(0.01)
    yield ends
    for one in threads:
        one.join(10)
    assert not any(one.is_alive() for one in threads)


def test_a_call_that_waited_for_a_place_does_not_leave_after_closing() -> None:
    release = threading.Event()
    with hosting(held_back(release)) as host:
        transport = ours(host)
        with twenty_calls(transport, host) as ends:
            transport.close()
        release.set()
        assert Counter(ends) == {"RemoteProtocolError": 16, "ClientClosed": 4}
        assert len(host.requests()) == 16


class Liar(bytes):
    """Bytes that say they are fewer than they are."""

    def __len__(self) -> int:
        return 2


@pytest.mark.parametrize(
    "part", [Liar(b"okGET /smuggled HTTP/1.1\r\n"), array("I", [0x41414141])], ids=["liar", "array"]
)
def test_a_part_that_lies_about_its_length_is_not_sent_past_the_length(part: object) -> None:
    with hosting(saying(OK, OK)) as host, client(ours, host) as caller:
        with pytest.raises(httpx.LocalProtocolError):
            caller.post("/", content=iter([part]), headers={"Content-Length": "2"})  # type: ignore[arg-type]
        assert caller.get("/").text == "ok"
    assert [one for one in host.requests() if b"smuggled" in one or b"AAA" in one] == []


def test_a_body_part_that_is_text_is_refused_before_it_is_sent() -> None:
    with (
        hosting(saying(OK)) as host,
        client(ours, host) as caller,
        pytest.raises(httpx.LocalProtocolError),
    ):
        caller.post("/", content=iter(["text"]))  # type: ignore[arg-type]
    assert host.requests() == []


def test_a_place_is_given_back_once_however_often_and_when_it_is_dropped() -> None:
    with hosting() as host, closing(ours(host)) as transport:
        assert isinstance(transport, Wire)
        places = [transport.place() for _ in range(17)]
        assert [one.take(0) for one in places] == [True] * 16 + [False]
        for _ in range(3):
            places[0].give_back()
        assert [places[16].take(0), transport.place().take(0)] == [True, False]
        places.clear()
        again = [transport.place() for _ in range(17)]
        assert [one.take(0) for one in again] == [True] * 16 + [False]


INTERRUPTED = """
import signal
import httpx
from hsagency.transport import Wire

def interrupt(*_):
    raise KeyboardInterrupt

wire = Wire(httpx.URL("http://127.0.0.1:9"), tls=None)
signal.signal(signal.SIGALRM, interrupt)
for number in range(300):
    place = wire.place()
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.0001 + number * 1e-7)
        while True:
            place.take(0)
            place.give_back()
    except KeyboardInterrupt:
        place.give_back()
places = [wire.place() for _ in range(17)]
print([one.take(0) for one in places].count(True), flush=True)
"""


def test_an_interrupt_at_any_point_loses_no_place() -> None:
    """
    Interrupts of a timer's, as Ctrl-C comes: at any point of taking and giving back.

    In a process of its own, where nothing traces it: what does, is interrupted as well.
    """
    traced = ("COV", "COVERAGE")
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED],
        cwd=Path(__file__).resolve().parents[2],
        env={name: value for name, value in os.environ.items() if not name.startswith(traced)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout.strip(), done.stderr) == ("16", "")


def test_nobody_waits_for_a_place_on_a_wire_that_is_retired_or_closed() -> None:
    with hosting() as host, closing(ours(host)) as transport:
        assert isinstance(transport, Wire)
        transport.retire()
        assert transport.place().take(0)  # what was let through before goes on
        with pytest.raises(Retired):
            transport.place().take(1)
        transport.close()
        with pytest.raises(ClientClosed):
            transport.place().take(0)


def test_a_forked_child_that_closes_leaves_the_calls_of_its_parent_alone() -> None:
    release = threading.Event()
    with hosting(held_back(release)) as host, closing(ours(host)) as transport:
        answers: list[bytes] = []

        def call() -> None:
            with closing(transport.handle_request(httpx.Request("GET", host.url))) as answer:
                answers.append(answer.read())

        thread = threading.Thread(target=call, daemon=True)
        thread.start()
        until = time.monotonic() + 10
        while not host.requests() and time.monotonic() < until:
            time.sleep(0.01)
        child = os.fork()
        if child == 0:
            transport.close()
            os._exit(0)
        os.waitpid(child, 0)
        release.set()
        thread.join(10)
        assert answers == [b"ok"]


def test_an_answer_that_is_dropped_unread_gives_its_place_back() -> None:
    with hosting(saying(OK)) as host, closing(ours(host)) as transport:
        for _ in range(40):
            request = httpx.Request("GET", host.url, extensions={"timeout": {"pool": 1.0}})
            transport.handle_request(request)
    assert len(host.requests()) == 40


def test_an_older_reader_does_not_get_the_next_answer() -> None:
    body = b"x" * 200_000
    first = head(Content_Length=str(len(body))) + body
    with hosting(saying(first, OK)) as host, closing(ours(host)) as transport:
        answer = transport.handle_request(httpx.Request("GET", host.url))
        older = iter(answer.stream)  # type: ignore[call-overload]
        assert next(older)
        assert list(answer.stream) == []  # type: ignore[call-overload]  # it is read once
        answer.close()
        with closing(transport.handle_request(httpx.Request("GET", host.url))) as other:
            assert list(older) == []
            assert other.status_code == 200


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def contexts(authority: trustme.CA, *names: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return contexts for a host of these names, and for callers that trust the authority."""
    host, caller = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert(*names).configure_cert(host)
    authority.configure_trust(caller)
    return host, caller


def test_a_host_that_is_vouched_for_is_called_over_tls(wire: Make, authority: trustme.CA) -> None:
    tls, trust = contexts(authority, "127.0.0.1")
    body = b"x" * 100_000
    answer = head(Content_Length=str(len(body))) + body
    with hosting(saying(answer, answer), tls=tls) as host, client(wire, host, tls=trust) as caller:
        assert [caller.get("/").content, caller.post("/", content=body).content] == [body, body]
    (heard,) = host.heard
    assert heard[1].endswith(body)


@pytest.mark.parametrize("why", ["another name", "another authority"])
def test_a_host_that_is_not_vouched_for_hears_nothing(
    wire: Make, authority: trustme.CA, why: str
) -> None:
    tls, trust = contexts(authority, "127.0.0.1" if why == "another authority" else "example.com")
    if why == "another authority":
        trust = ssl.create_default_context()
    with (
        hosting(saying(OK), tls=tls) as host,
        client(wire, host, tls=trust) as caller,
        pytest.raises(httpx.ConnectError, match="certificate"),
    ):
        caller.get("/")
    assert host.heard == []


def test_an_answer_cut_short_under_tls_is_an_error(wire: Make, authority: trustme.CA) -> None:
    tls, trust = contexts(authority, "127.0.0.1")
    cut = head(Content_Length="10") + b"abc"
    with hosting(saying(cut), tls=tls) as host, client(wire, host, tls=trust) as caller:
        with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
            caller.get("/")
        assert len(host.requests()) == 1


def test_a_retired_wire_ends_what_is_under_way_and_keeps_nothing_open() -> None:
    with hosting(saying(OK, OK)) as host:
        wire = Wire(httpx.URL(host.url), tls=None)
        with httpx.Client(base_url=host.url, transport=wire, timeout=10) as caller:
            with caller.stream("GET", "/under-way") as answer:
                caller.get("/idle-then")
                wire.retire()
                assert answer.read() == b"ok"
            assert caller.get("/comes-yet").text == "ok"
        assert [len(one) for one in host.heard] == [1, 1, 1]


@pytest.mark.parametrize(
    "address",
    ["http://api.hubapi.com", "https://api.hubapi.com", "http://192.0.2.1:80", "https://127.0.0.1"],
)
def test_there_is_no_wire_without_tls_but_in_plain_words_to_this_machine(address: str) -> None:
    with pytest.raises(UsageError, match=r"no way to .* without TLS"):
        Wire(httpx.URL(address), tls=None)
