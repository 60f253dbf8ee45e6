"""No setting of the environment and no server decides whom a call is trusted to."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from hsagency.errors import HsAgencyError
from hsagency.sandbox import Sandbox, serve
from tests.isolation.attacking import DEALS, PATH, Ending, Scene, Way, endure, told
from tests.support import TOKEN, assert_no_tokens, lone_client, records, tokens_of

HOME = Ending.HOME


def with_variables(**variables: str) -> Callable[[Scene], object]:
    """Call with variables in which OTHER stands for another server, and HERE for a folder."""

    def attack(on: Scene) -> httpx.Response:
        folder = on.root.parent
        (folder / "netrc").write_text("default login user password secret\n")
        (folder / "hosts").write_text("127.0.0.1 elsewhere.example.com\n")
        for name, value in variables.items():
            filled = value.replace("OTHER", on.other.url).replace("HERE", str(folder))
            on.patch.setenv(name, filled.replace("TOKEN", on.portal_b.token))
        answer = on.a.get(PATH)
        on.see(answer.request.headers.raw)
        return answer

    return attack


def home_files(on: Scene) -> httpx.Response:
    """Leave tokens and settings where other tools look for them."""
    home = Path(os.environ["HOME"])
    for name in ("hubspot.config.yml", ".hscli/config.yml", ".hubspot", ".env"):
        file = home / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"portals:\n- personalAccessKey: {on.portal_b.token}\n")
    (home / ".netrc").write_text("machine 127.0.0.1 login user password secret\n")
    return on.a.get(PATH)


PROXIES = ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy")
TOKENS = (
    *("HUBSPOT_ACCESS_TOKEN", "HUBSPOT_API_KEY", "HUBSPOT_TOKEN", "HUBSPOT_PRIVATE_APP_TOKEN"),
    *("HAPIKEY", "HUBSPOT_PERSONAL_ACCESS_KEY", "HSAGENCY_TOKEN"),
)

WAYS: list[Way] = [
    *(Way(f"{name} names a proxy", with_variables(**{name: "OTHER"}), HOME) for name in PROXIES),
    *(Way(f"{name} holds a token", with_variables(**{name: "TOKEN"}), HOME) for name in TOKENS),
    Way("NETRC names a file", with_variables(NETRC="HERE/netrc"), HOME),
    Way("SSLKEYLOGFILE names a file", with_variables(SSLKEYLOGFILE="HERE/keys"), HOME),
    Way("HOSTALIASES renames hosts", with_variables(HOSTALIASES="HERE/hosts"), HOME),
    Way("LOCALDOMAIN completes names", with_variables(LOCALDOMAIN="example.com"), HOME),
    Way("HUBSPOT_BASE_URL names a host", with_variables(HUBSPOT_BASE_URL="OTHER"), HOME),
    Way("files in the home folder", home_files, HOME),
]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_the_environment_decides_nothing(
    scene: Scene, way: Way, caplog: pytest.LogCaptureFixture
) -> None:
    endure(scene, way, caplog)


CERTIFICATES = ("good", "expired", "not-yet-valid", "wrong-name", "untrusted")
TRUST = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


@pytest.mark.parametrize("certificate", CERTIFICATES)
def test_a_certificate_nobody_vouches_for_gets_no_token(
    tmp_path: Path, certificate: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even where the environment says whom to trust: only hsagency.toml does."""
    sandbox = Sandbox(portals=1, contacts=1)
    with serve(sandbox, tls=certificate) as server:  # type: ignore[arg-type]
        for name in TRUST:
            monkeypatch.setenv(name, str(server.ca_file))
        with lone_client(tmp_path, url=server.url, token=sandbox.portals[0].token) as client:
            with pytest.raises(
                httpx.ConnectError, match="certificate that is not trusted"
            ) as caught:
                client.get(PATH)
            text = told(caught.value)
    assert sandbox.ledger(sandbox.portals[0].portal_id) == sandbox.ledger(None) == ()
    assert {one["outcome"] for one in records(tmp_path, "acme-corp") if "outcome" in one} == {
        "unknown"
    }
    assert_no_tokens([tmp_path], tokens_of(sandbox), texts={"error": text})


HOSTILE = {
    "a second answer behind the first": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
    b'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"b":"B"}',
    "bytes behind the answer": b'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}{"b":"B"}',
}


@pytest.mark.parametrize("said", HOSTILE.values(), ids=HOSTILE)
def test_what_a_server_says_unasked_is_nobodys_answer(tmp_path: Path, said: bytes) -> None:
    server = socket.create_server(("127.0.0.1", 0))
    good = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnull"
    got: list[bytes] = []

    def serve_two() -> None:
        for answer in (said, good):
            connection, _ = server.accept()
            got.append(connection.recv(65536))
            connection.sendall(answer)
            open_ones.append(connection)

    open_ones: list[socket.socket] = []
    thread = threading.Thread(target=serve_two)
    thread.start()
    url = f"http://127.0.0.1:{server.getsockname()[1]}"
    with lone_client(tmp_path, url=url) as client:
        assert client.get(PATH).text == "{}"
        assert client.get(DEALS).text == "null"
    thread.join(10)
    for one in (*open_ones, server):
        one.close()
    assert [one.split(b" ")[1].decode() for one in got] == [PATH, DEALS]
    assert_no_tokens([tmp_path], [TOKEN])


def test_an_unreachable_host_is_an_error_on_record(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        with (
            lone_client(tmp_path, url=url) as client,
            pytest.raises((httpx.ConnectError, HsAgencyError)) as caught,
        ):
            client.get(PATH)
    assert records(tmp_path, "acme-corp")
    assert_no_tokens([tmp_path], [TOKEN], texts={"error": told(caught.value)})
