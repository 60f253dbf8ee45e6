"""Nothing a caller gets to hold shows, hooks or leads to the credential."""

from __future__ import annotations

import copy
import gc
import logging
import os
import pickle
import signal
import socket
import ssl
import traceback
import types
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from threading import Thread

import httpx
import pytest

from hsagency import onboarding
from hsagency.client import PortalClient
from hsagency.errors import BadToken, CallRefused, ClientClosed, Halted, HsAgencyError
from hsagency.secret import Secret
from hsagency.transport.wire import Stopped
from hsagency.verifier import FIRST_CONTACT, introspect
from tests.support import (
    TOKEN,
    Answer,
    Connected,
    Listener,
    Seen,
    assert_no_tokens,
    listening,
    lone_client,
    needles,
    records,
)

PATH = "/crm/v3/objects/contacts"
# Named here, because a verbose traceback shows every name that the lines of a test use.
WHOLE, NO_TOKEN = Secret(TOKEN), Secret(TOKEN + "\r\nX: 1")


def hides(text: str) -> bool:
    return not any(needle in text.encode() for needle in needles(TOKEN))


def told(error: BaseException) -> str:
    """Everything a traceback with locals, a notebook in verbose mode and a log would show."""
    from IPython.core.ultratb import VerboseTB

    lines = traceback.TracebackException.from_exception(error, capture_locals=True).format()
    verbose = VerboseTB(theme_name="nocolor").text(type(error), error, error.__traceback__)
    shown = ["".join(lines), str(verbose), repr(error), str(vars(error))]
    for one in chain(error):
        request = getattr(one, "_request", None)
        shown.append(str(one) + (shown_of(request) if request is not None else ""))
    return "\n".join(shown)


def chain(error: BaseException) -> Iterator[BaseException]:
    seen: list[BaseException | None] = [error]
    while (one := seen.pop()) is not None:
        yield one
        seen += [None, one.__cause__ or one.__context__]


def shown_of(request: httpx.Request) -> str:
    return f"{request!r} {request.headers.raw} {request.extensions} {vars(request)}"


def leads_to_a_token(start: object) -> bool:
    """Walk everything that is reachable from an object, as a debugger's user could."""
    opaque = (type, types.ModuleType, types.FunctionType, types.FrameType, types.BuiltinMethodType)
    todo, known = [start], {id(start)}
    while todo:
        one = todo.pop()
        text = one if isinstance(one, str) else repr(one) if isinstance(one, bytes) else ""
        if not hides(text):
            return True
        for other in gc.get_referents(one):
            if id(other) not in known and not isinstance(other, opaque):
                known.add(id(other))
                todo.append(other)
    return False


@pytest.fixture
def server() -> Iterator[Listener]:
    def answer(seen: Seen) -> Answer:
        json = {"Content-Type": "application/json"}
        if "notes" in seen.path:
            return Answer(400, json, b'{"category": "VALIDATION_ERROR"}')
        if "redirect" in seen.path:
            return Answer(302, {"Location": PATH})
        if "tasks" in seen.path:
            return Answer(200, json, b"x" * 1000, cut=10)
        return Answer(200, {"Set-Cookie": "a=1; Path=/\nb=2; Path=/", **json})

    with listening(answer) as made:
        yield made


@pytest.fixture
def client(tmp_path: Path, server: Listener) -> Iterator[PortalClient]:
    with lone_client(tmp_path, url=server.url) as made:
        yield made


def test_the_token_arrives_at_the_portal(client: PortalClient, server: Listener) -> None:
    client.get(PATH)
    assert server.seen[0].header("authorization") == [f"Bearer {TOKEN}"]


@pytest.mark.parametrize("path", [PATH, "/crm/v3/objects/notes"])
def test_an_answer_leads_to_no_token(client: PortalClient, path: str) -> None:
    answer = client.get(path)
    assert answer.request is not None
    shown = f"{answer!r} {vars(answer)} {answer.headers.raw} {shown_of(answer.request)}"
    assert hides(shown)
    for thing in (answer, answer.request, answer.stream, answer.extensions, answer.history):
        assert not leads_to_a_token(thing)
    for made in (pickle.dumps(answer), pickle.dumps(answer.request)):
        assert hides(made.decode("latin-1"))
    assert not leads_to_a_token(copy.deepcopy(answer))


def test_an_answer_hands_out_no_open_connection(client: PortalClient) -> None:
    with client.stream("GET", PATH) as answer:
        assert set(answer.extensions) <= {"http_version", "reason_phrase"}
        shown = f"{answer.stream!r} {vars(answer)}"
        assert hides(shown)
    assert not leads_to_a_token(answer)


def test_hooks_and_auth_flows_see_no_token(client: PortalClient) -> None:
    seen: list[str] = []

    class Watching(httpx.Auth):
        requires_response_body = True

        def auth_flow(
            self, request: httpx.Request
        ) -> Generator[httpx.Request, httpx.Response, None]:
            answer = yield request
            seen.append(shown_of(request) + shown_of(answer.request))

    def on_request(request: httpx.Request) -> None:
        seen.append(shown_of(request))

    def on_response(answer: httpx.Response) -> None:
        seen.append(f"{vars(answer)} {shown_of(answer.request)}")
        assert not leads_to_a_token(answer.request)

    client.event_hooks = {"request": [on_request], "response": [on_response]}
    client.get(PATH, auth=Watching())
    assert len(seen) == 3
    assert hides("".join(seen))


def test_the_trace_extension_watches_nothing(client: PortalClient) -> None:
    watched: list[object] = []
    client.get(PATH, extensions={"trace": lambda name, info: watched.append((name, info))})
    assert watched == []


@pytest.mark.parametrize("extension", ["target", "sni_hostname", "network_stream"])
def test_extensions_cannot_steer_the_wire(
    client: PortalClient, server: Listener, extension: str
) -> None:
    client.get(PATH, extensions={extension: b"http://elsewhere.example.com/"})
    assert [seen.path for seen in server.seen] == [PATH]


def test_a_client_does_not_pickle_or_print_its_credential(client: PortalClient) -> None:
    client.get(PATH)
    assert hides(f"{client!r} {client} {vars(client)} {client.headers} {client.portal}")
    for take in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError) as caught:
            take(client)
        assert hides(told(caught.value))


def test_cookies_of_an_answer_are_not_kept(client: PortalClient, server: Listener) -> None:
    assert "set-cookie" not in client.get(PATH).headers
    client.get(PATH)
    assert not client.cookies
    assert server.seen[1].header("cookie") == []


def no_server() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


def test_a_refused_connection_tells_no_token(tmp_path: Path) -> None:
    with (
        lone_client(tmp_path, url=no_server()) as client,
        pytest.raises(httpx.ConnectError) as caught,
    ):
        client.get(PATH)
    assert hides(told(caught.value))
    assert caught.value.request.headers.get("authorization") is None


def test_an_answer_cut_short_tells_no_token(client: PortalClient) -> None:
    with pytest.raises(httpx.RemoteProtocolError) as caught:
        client.get("/crm/v3/objects/tasks")
    assert hides(told(caught.value))


def test_a_time_out_tells_no_token(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with (
            lone_client(tmp_path, url=url) as client,
            pytest.raises(httpx.ReadTimeout) as caught,
        ):
            client.get(PATH, timeout=0.05)
    assert hides(told(caught.value))


def interrupted(client: PortalClient, silent: socket.socket) -> None:
    """Make a call, interrupted a moment after its request has come."""
    held = []

    def listen() -> None:
        held.append(silent.accept()[0])
        held[0].recv(1)
        signal.setitimer(signal.ITIMER_REAL, 0.1)

    Thread(target=listen, daemon=True).start()
    try:
        client.get(PATH)
    finally:
        for connection in held:
            connection.close()


def test_an_interrupted_call_tells_no_token_and_is_unknown(tmp_path: Path) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            url = f"http://127.0.0.1:{silent.getsockname()[1]}"
            with (
                lone_client(tmp_path, url=url) as client,
                pytest.raises(KeyboardInterrupt) as caught,
            ):
                interrupted(client, silent)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert hides(told(caught.value))
    assert records(tmp_path, "acme-corp")[-1]["outcome"] == "unknown"


@pytest.mark.parametrize(
    "headers", [{"X-Odd": "a\r\nAuthorization: x"}, {"X Odd": "a"}, {"Authorization ": "Bearer x"}]
)
def test_a_header_that_is_none_is_stopped_and_tells_no_token(
    client: PortalClient, server: Listener, headers: dict[str, str]
) -> None:
    with pytest.raises((httpx.LocalProtocolError, CallRefused)) as caught:
        client.get(PATH, headers=headers)
    assert hides(told(caught.value))
    assert server.seen == []


def test_a_body_that_fails_under_way_tells_no_token(client: PortalClient) -> None:
    def body() -> Iterator[bytes]:
        yield b"{"
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as caught:
        client.post(PATH, content=body())
    assert hides(told(caught.value))


@pytest.mark.parametrize("odd", ["\r\nX-Injected: 1", "\u00e4", "\udc80", "\x00", " ", "\x7f"])
def test_a_credential_that_no_header_holds_is_not_repeated_in_an_error(
    tmp_path: Path, server: Listener, odd: str
) -> None:
    with (
        lone_client(tmp_path, url=server.url, token=TOKEN + odd) as client,
        pytest.raises(BadToken) as caught,
    ):
        client.get(PATH)
    assert hides(told(caught.value))
    assert server.seen == []


class Careless(httpx.BaseTransport):
    """A wire that keeps what it sends in a local variable, as many do, and fails."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        headers = [value.decode() for _, value in request.headers.raw]
        raise self.error if headers else AssertionError


@pytest.mark.parametrize("error", [httpx.ReadError("x"), OSError("x"), SystemExit(), MemoryError()])
def test_no_frame_of_the_wire_is_left_in_an_error(tmp_path: Path, error: BaseException) -> None:
    with (
        lone_client(tmp_path, wire=Careless(error)) as client,
        pytest.raises(type(error)) as caught,
    ):
        client.get(PATH)
    assert hides(told(caught.value))


@pytest.mark.parametrize("why", [Halted("The fleet is halted."), ClientClosed("Closed.")])
def test_a_call_stopped_at_the_wire_left_nothing_behind_and_is_recorded_as_refused(
    tmp_path: Path, why: HsAgencyError
) -> None:
    with (
        lone_client(tmp_path, wire=Careless(Stopped(why))) as client,
        pytest.raises(type(why)) as caught,
    ):
        client.get(PATH)
    assert caught.value is why
    assert why.under_way is False
    assert hides(told(why))
    assert (why.__context__, why.__cause__) == (None, None)  # their frames hold what was to go out
    assert [one.get("outcome") for one in records(tmp_path, "acme-corp")] == [None, "refused"]


class Failing:
    """A sender whose every request ends in the same error, raised below its body."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def request(self, method: str, url: str, *, json: object = None) -> httpx.Response:
        body = f"{method} {url} {json}"
        raise self.error.with_traceback(None) if body else self.error


@pytest.mark.parametrize("error", [KeyboardInterrupt(), HsAgencyError("full disk"), OSError()])
def test_introspection_that_is_broken_off_does_not_show_its_body(error: BaseException) -> None:
    with pytest.raises(type(error)) as caught:
        introspect(Failing(error), WHOLE)
    assert hides(told(caught.value))


def test_debug_logs_of_every_library_hold_routes_and_no_token(
    client: PortalClient, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    with caplog.at_level(logging.DEBUG):
        client.get(f"{PATH}/jane@example.com", params={"idProperty": "email"})
        client.get(f"{PATH}/15550001111?idProperty=phone")
        client.get("/crm/v3/objects/notes", params={"q": "jane@example.com"})
        with pytest.raises(CallRefused):
            client.get(PATH, params={"hapikey": TOKEN})
        with pytest.raises(CallRefused):
            client.get("https://elsewhere.example.com/")
    assert {record.name for record in caplog.records} == {"httpx"}  # the wire writes no log
    assert "/crm/v3/objects/contacts/{id}" in caplog.text
    assert "jane" not in caplog.text
    assert "15550001111" not in caplog.text
    assert hides(caplog.text)
    assert_no_tokens([tmp_path], [TOKEN])


@pytest.mark.parametrize(
    "name", ["SSLKEYLOGFILE", "SSL_CERT_FILE", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NETRC"]
)
def test_the_environment_does_not_get_at_the_wire(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch, server: Listener
) -> None:
    from hsagency.transport import network

    (tmp_path / "netrc").write_text("machine 127.0.0.1 login u password p\n")
    given = {"NETRC": str(tmp_path / "netrc"), "SSLKEYLOGFILE": str(tmp_path / "keys")}
    monkeypatch.setenv(name, given.get(name, "http://127.0.0.1:9"))
    network._context.cache_clear()
    try:
        context = network._context("")
        assert not context.keylog_filename
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert context.check_hostname
        with lone_client(tmp_path, url=server.url) as client:
            assert client.get(PATH).status_code == 200
    finally:
        network._context.cache_clear()
    assert server.seen[0].header("authorization") == [f"Bearer {TOKEN}"]


AMBIENT = (
    *("HUBSPOT_ACCESS_TOKEN", "HUBSPOT_API_KEY", "HUBSPOT_TOKEN", "HUBSPOT_PRIVATE_APP_TOKEN"),
    *("HAPIKEY", "HUBSPOT_PERSONAL_ACCESS_KEY", "HUBSPOT_CLIENT_SECRET", "HSAGENCY_TOKEN"),
)


def test_no_credential_of_the_environment_is_ever_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hsagency.sandbox import Sandbox
    from tests.support import connected

    sandbox = Sandbox(portals=2, contacts=2)
    for name in AMBIENT:
        monkeypatch.setenv(name, sandbox.spare.token)
    (Path(os.environ["HOME"]) / "hubspot.config.yml").write_text(sandbox.spare.token)
    with connected(tmp_path / "agency", sandbox=sandbox) as fleet:
        for slug in fleet.slugs:
            assert fleet.agency.client(slug).get(PATH).status_code == 200
        for portal in sandbox.portals:
            assert sandbox.counts(portal.portal_id)["200"] > 0
    assert sandbox.ledger(sandbox.spare.portal_id) == ()
    assert sandbox.ledger(None) == ()


def test_the_errors_of_an_agency_tell_no_token(fleet: Connected) -> None:
    """Slugs, purposes and reasons are where a person pastes a token by mistake."""
    token = fleet.sandbox.portals[0].token
    slug = fleet.slugs[0]
    attempts: list[Callable[[], object]] = [
        lambda: fleet.agency.client(token),
        lambda: fleet.agency.client(slug, purpose=token),
        lambda: fleet.agency.client(slug).get(PATH, extensions={"purpose": token}),
        lambda: fleet.agency.client(slug).get(f"/crm/v3/objects/{token}"),
        lambda: fleet.agency.client(slug).get(PATH, params={"q": token}),
        lambda: fleet.agency.client(slug).request(token, PATH),
        lambda: fleet.agency.calls(token),
    ]
    for attempt in attempts:
        with pytest.raises(HsAgencyError) as caught:
            attempt()
        assert not [n for n in needles(token) if n in str(caught.value).encode()]
    assert_no_tokens([fleet.agency.workspace.root], [token])


def test_judging_a_token_that_is_none_repeats_nothing(fleet: Connected) -> None:
    with pytest.raises(HsAgencyError) as caught:
        onboarding.judge_token(fleet.agency, NO_TOKEN, expected=FIRST_CONTACT, api=fleet.server.url)
    assert hides(told(caught.value))
