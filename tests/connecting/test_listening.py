"""The callback on this machine takes one answer to one question, and refuses all else."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from pathlib import Path
from traceback import TracebackException
from urllib.parse import quote

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsagency.auth import OAuthApp
from hsagency.connecting import Attempt, PortTaken, proposed_slug
from hsagency.connecting.asking import Asking, Forged
from hsagency.connecting.listening import Listener, check_port
from hsagency.errors import ConnectingError
from hsagency.portals import PortalId, parse_slug
from hsagency.secret import Secret
from tests.connecting.offices import Office, Person, asked_for, free_port

PATH = "/oauth/callback"


def asking(**changes: object) -> Asking:
    app = OAuthApp(
        client_id="client-id-1",
        client_secret=Secret("client-secret-1"),
        redirect_uri=f"http://localhost:8765{PATH}",
        required=("oauth",),
        optional=("crm.lists.read",),
    )
    return Asking(app=app, scope=app.required, optional_scope=app.optional, **changes)  # type: ignore[arg-type]


@pytest.fixture
def attempt(desk: Office) -> Iterator[Attempt]:
    with desk.start(client="acme-corp") as one:
        yield one


@pytest.fixture
def client(desk: Office) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"http://localhost:{desk.port}", trust_env=False) as one:
        yield one


def state_of(attempt: Attempt) -> str:
    return asked_for(attempt.url)["state"]


@pytest.mark.parametrize("query", ["", "?state=forged&code=c", "?code=c", "?state=&code=c", "?%ff"])
def test_a_forged_state_is_refused_and_the_wait_goes_on(attempt, client, query) -> None:
    answer = client.get(f"{PATH}{query}")
    assert answer.status_code == 400
    assert "it still waits" in answer.text
    assert not attempt.came()


def test_the_right_state_without_a_code_does_not_end_the_wait(attempt, client) -> None:
    answer = client.get(PATH, params={"state": state_of(attempt)})
    assert (answer.status_code, attempt.came()) == (400, False)


def test_a_field_that_stands_twice_is_none(attempt, client) -> None:
    state = state_of(attempt)
    answer = client.get(f"{PATH}?state={state}&state={state}&code=c")
    assert (answer.status_code, attempt.came()) == (400, False)


def test_an_answer_is_taken_once(attempt, client) -> None:
    params = {"state": state_of(attempt), "code": "first"}
    taken = client.get(PATH, params=params)
    assert (taken.status_code, attempt.came()) == (303, True)
    again = client.get(PATH, params={**params, "code": "second"})
    assert again.status_code == 409
    with pytest.raises(ConnectingError, match="There was an answer already"):
        attempt.take(f"state={params['state']}&code=third")


@pytest.mark.parametrize("host", ["127.0.0.1:{port}", "evil.example", "localhost", "localhost:1"])
def test_other_hosts_are_refused(attempt, client, desk, host) -> None:
    params = {"state": state_of(attempt), "code": "c"}
    answer = client.get(PATH, params=params, headers={"Host": host.format(port=desk.port)})
    assert (answer.status_code, attempt.came()) == (403, False)


@pytest.mark.parametrize("path", ["/", "/oauth", f"{PATH}/", "/favicon.ico", "/oauth/outcome/x"])
def test_other_paths_are_not_there(attempt, client, path) -> None:
    answer = client.get(path, params={"state": state_of(attempt), "code": "c"})
    assert (answer.status_code, attempt.came()) == (404, False)


@pytest.mark.parametrize("method", ["POST", "PUT", "HEAD", "OPTIONS", "<script>"])
def test_other_methods_are_refused_without_repeating_them(attempt, desk, method) -> None:
    with socket.create_connection(("127.0.0.1", desk.port)) as raw:
        state = state_of(attempt)
        raw.sendall(
            f"{method} {PATH}?state={state}&code=c HTTP/1.1\r\nHost: localhost:{desk.port}\r\n\r\n".encode()
        )
        said = b""
        while more := raw.recv(65536):
            said += more
    assert said.startswith((b"HTTP/1.1 501", b"HTTP/1.1 400"))
    assert b"<script>" not in said
    assert state.encode() not in said
    assert not attempt.came()


def test_what_is_no_http_is_answered_without_repeating_it(attempt, desk) -> None:
    with socket.create_connection(("127.0.0.1", desk.port)) as raw:
        raw.sendall(b"GET <script>alert(1)</script> nonsense HTTP/9.9 x\r\n\r\n")
        assert b"<script>" not in raw.recv(65536)
    assert not attempt.came()


def test_it_listens_on_both_loopback_addresses_and_nowhere_else(attempt, desk) -> None:
    families = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}
    for family, host in families.items():
        with socket.socket(family) as one:
            assert one.connect_ex((host, desk.port)) == 0
    table = Path("/proc/net/tcp").read_text("ascii").splitlines()
    listens = [line.split() for line in table if f":{desk.port:04X} " in line]
    bound = [fields[1] for fields in listens if fields[3] == "0A"]
    assert {one.partition(":")[0] for one in bound} == {"0100007F"}


def test_every_page_is_kept_nowhere_and_may_load_nothing(attempt, client) -> None:
    for path in (PATH, "/", f"{PATH}?state=x&code=<b>"):
        page = client.get(path)
        assert page.headers["cache-control"] == "no-store"
        assert page.headers["referrer-policy"] == "no-referrer"
        assert page.headers["x-content-type-options"] == "nosniff"
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert "script" not in policy
        assert "python" not in page.headers.get("server", "").lower()
        assert not re.search(r"<script|\bsrc=|https?://|\bon\w+=", page.text)
    led = client.get(PATH, params={"state": state_of(attempt), "code": "c"})
    assert (led.headers["cache-control"], led.headers["referrer-policy"]) == (
        "no-store",
        "no-referrer",
    )
    assert "code" not in led.headers["location"]


def test_what_hubspot_calls_an_account_is_text_and_never_markup(desk: Office) -> None:
    desk.sandbox.alter(desk.portal(0), name="<script>alert(1)</script>")
    person = Person(desk.portal(0))
    desk.connect(person, client="acme-corp")
    assert "<script>" not in person.pages[0].text
    assert "&lt;script&gt;alert(1)" in person.pages[0].text


def test_a_description_of_an_error_is_not_repeated(attempt, client) -> None:
    params = {"state": state_of(attempt), "error": "server_error"}
    client.get(PATH, params={**params, "error_description": "<b>call 0123</b>"})
    with pytest.raises(ConnectingError) as caught:
        attempt.found()
    assert "HubSpot's page ended with server_error. Nothing was connected." in str(caught.value)
    assert "0123" not in str(caught.value)


def test_a_page_that_comes_back_again_still_says_how_it_ended(desk: Office) -> None:
    person = Person(desk.portal(0), decision="cancel")
    attempt = desk.start()
    with attempt, httpx.Client(trust_env=False) as client:
        led = client.get(person.decide(attempt.url)).headers["location"]
        with pytest.raises(ConnectingError):
            attempt.found()
        for _ in range(2):
            assert "said no" in client.get(f"http://localhost:{desk.port}{led}").text


def test_the_port_is_free_again_when_it_is_over(desk: Office) -> None:
    with desk.start(), pytest.raises(PortTaken, match=f"Port {desk.port}"):
        check_port(desk.port)
    check_port(desk.port)


def test_a_port_that_only_the_other_loopback_has_is_taken() -> None:
    port = free_port()
    with socket.socket(socket.AF_INET6) as other:
        other.bind(("::1", port))
        other.listen()
        with pytest.raises(PortTaken):
            Listener(port, read=asking().read)
    check_port(port)


@pytest.mark.parametrize(
    "shape",
    [
        "http://localhost:{port}/oauth/callback?code={code}&state={state}",
        "  http://localhost:{port}/oauth/callback?state={state}&code={code}\n",
        "?code={code}&state={state}",
        "code={code}&state={state}",
        "http://localhost:{port}/oauth/callback?code={code}&state={state}#top",
    ],
)
def test_an_address_can_be_pasted_whole_or_only_its_query(desk: Office, shape: str) -> None:
    with desk.start(client="acme-corp", listen=False) as attempt:
        back = asked_for(Person(desk.portal(0)).decide(attempt.url))
        attempt.take(shape.format(port=desk.port, **back))
        assert attempt.store(attempt.found()).connection.portal_id == desk.portal(0)
    assert desk.works("acme-corp")


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ("http://localhost:{port}/oauth/callback?code=c&state=forged", "does not belong"),
        ("http://localhost:{port}/oauth/callback?state={state}", "holds no code"),
        ("http://evil.example/oauth/callback?code=c&state={state}", "not the address"),
        ("http://127.0.0.1:{port}/oauth/callback?code=c&state={state}", "not the address"),
        ("http://localhost:{port}/other?code=c&state={state}", "not the address"),
        ("http://localhost:x/oauth/callback?code=c&state={state}", "no address"),
        ("https://app.hubspot.com/oauth/authorize?state={state}", "not the address"),
        ("", "does not belong"),
    ],
)
def test_a_pasted_address_that_will_not_do_is_named_and_may_be_pasted_again(
    desk: Office, shape: str, said: str
) -> None:
    with desk.start(client="acme-corp", listen=False) as attempt:
        state = state_of(attempt)
        with pytest.raises(ConnectingError, match=said) as caught:
            attempt.take(shape.format(port=desk.port, state=state))
        assert state not in str(caught.value)
        assert not attempt.came()
        attempt.take(f"code=c&state={state}")
        assert attempt.came()


def test_no_frame_of_a_refusal_holds_what_was_told() -> None:
    one, other = asking(), asking()
    told = f"code=very-private&state={other.state.reveal()}"
    for refused in (
        lambda: one.read(Secret(told)),
        lambda: one.read_address(Secret(f"http://localhost:8765{PATH}?{told}")),
        lambda: one.read_address(Secret(f"http://localhost:1{PATH}?{told}")),
    ):
        with pytest.raises(Forged) as caught:
            refused()
        below = caught.value.__traceback__.tb_next.tb_next
        frames = TracebackException(Forged, caught.value, below, capture_locals=True)
        assert "very-private" not in "".join(frames.format())


def test_the_door_leads_one_browser_to_the_page_and_no_other(attempt, client) -> None:
    assert attempt.door.startswith(str(client.base_url))
    assert state_of(attempt) not in attempt.door
    first, second = client.get(attempt.door), client.get(attempt.door)
    assert (first.status_code, first.headers["location"]) == (303, attempt.url)
    assert second.status_code == 410
    assert "somebody else on this machine was quicker" in second.text
    assert state_of(attempt) not in second.text


@given(st.text(max_size=300))
def test_no_text_without_the_state_is_an_answer(text: str) -> None:
    one = asking()
    with pytest.raises(Forged):
        one.read(Secret(text))
    with pytest.raises(Forged):
        one.read_address(Secret(text))


@given(st.text(min_size=1, max_size=200), st.text(max_size=50))
def test_a_query_with_the_state_gives_the_code_or_nothing(code: str, more: str) -> None:
    one = asking()
    query = f"code={quote(code)}&state={one.state.reveal()}&x{quote(more)}=1"
    if code.isprintable():
        found = one.read(Secret(query)).code
        assert found is not None
        assert found.reveal() == code
    else:
        with pytest.raises(Forged):
            one.read(Secret(query))


@given(
    st.one_of(st.none(), st.text(max_size=120)),
    st.one_of(st.none(), st.text(max_size=60)),
    st.integers(1, 10**11),
    st.sets(st.sampled_from(["acme", "acme-2", "portal-7", "a-b"])),
)
def test_a_proposed_slug_is_always_one_and_free(name, domain, portal_id, taken) -> None:
    slug = proposed_slug(name=name, domain=domain, portal_id=portal_id, taken=taken)
    assert parse_slug(slug) == slug
    assert slug not in taken


@pytest.mark.parametrize(
    ("domain", "begins"),
    [
        ("app-eu1.hubspot.com", "https://app-eu1.hubspot.com/oauth/123/authorize?"),
        ("app.hubspot.com", "https://app.hubspot.com/oauth/authorize?"),
        ("app-eu1.hubspot.com.evil.example", "https://app.hubspot.com/oauth/authorize?"),
        ("evil.example/app-eu1.hubspot.com", "https://app.hubspot.com/oauth/authorize?"),
        ("app-eu1.hubspot.com\n", "https://app.hubspot.com/oauth/authorize?"),
        (None, "https://app.hubspot.com/oauth/authorize?"),
    ],
)
def test_a_known_account_is_asked_at_its_own_data_centre_and_nowhere_else(domain, begins) -> None:
    assert asking(portal_id=PortalId(123), ui_domain=domain).url.startswith(begins)


def test_nothing_secret_is_in_the_address_or_in_what_prints() -> None:
    one = asking()
    for secret in (one.verifier.reveal(), one.app.client_secret.reveal()):
        assert secret not in one.url
        assert secret not in repr(one)
    assert one.state.reveal() not in repr(one)
