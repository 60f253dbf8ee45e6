"""Whom calls trust, and which way they take out of this machine: what the settings say, and no more."""

from __future__ import annotations

import os
import socket
import ssl
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import certifi
import httpx
import pytest
import trustme

from hsagency import onboarding
from hsagency.agency import Agency
from hsagency.client import PortalClient
from hsagency.errors import CallRefused, PortalUnreachable, UsageError
from hsagency.hosts import host_of
from hsagency.sandbox import Fault, Sandbox, serve
from hsagency.settings import FILE, NetworkSettings, Workspace
from hsagency.transport.network import Network
from hsagency.verifier import FIRST_CONTACT, on_the_way, verify
from tests.core.conftest import Child
from tests.core.hosting import Host, Script, hosting, request_from, saying
from tests.support import (
    TOKEN,
    Connected,
    client_list,
    listening,
    lone_client,
    records,
)

HUBSPOT = "api.hubapi.com"
PATH = "/crm/v3/objects/contacts"
DETAILS = "/account-info/2026-09/details"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
THROUGH = b"HTTP/1.1 200 Connection established\r\n\r\n"


def bundle(folder: Path, content: bytes, *, mode: int = 0o600) -> Path:
    path = folder / "ca.pem"
    path.write_bytes(content)
    path.chmod(mode)
    return path


ClientOf = Callable[..., PortalClient]


@pytest.fixture
def client_of() -> Iterator[ClientOf]:
    """Make clients over wires that settings make; they are closed at the end."""
    with ExitStack() as stack:

        def make(folder: Path, url: str, *, ca: str = "", proxy: str = "") -> PortalClient:
            network = Network(NetworkSettings(ca_bundle=ca, proxy=proxy), folder=folder)
            wire = network.wire(host_of(url))
            return stack.enter_context(lone_client(folder / "own", url=url, wire=wire))

        yield make


# Trust


@contextmanager
def agency_over_https(root: Path, *, ca: str, variant: str = "good") -> Iterator[Connected]:
    """Connect a new workspace, of which the settings name a bundle, to a sandbox over HTTPS."""
    sandbox = Sandbox(portals=2, contacts=3)
    with serve(sandbox, tls=variant) as server:  # type: ignore[arg-type]
        made = Workspace.create(root, store="age:credentials")
        (root / "ca.pem").write_bytes(server.ca_file.read_bytes())
        (root / "ca.pem").chmod(0o600)
        with (made.root / FILE).open("a", encoding="utf-8") as file:
            file.write(f'\n[network]\nca_bundle = "{ca.replace("SANDBOX", str(server.ca_file))}"\n')
        with Agency.open(root) as agency:
            yield Connected(agency=agency, sandbox=sandbox, server=server)


def onboard(made: Connected) -> onboarding.Result:
    plan = onboarding.plan_file(made.agency, client_list(made.sandbox), api=made.server.url)
    return onboarding.apply(made.agency, plan, digest=plan.digest)


@pytest.mark.parametrize("ca", ["ca.pem", "./state/../ca.pem", "SANDBOX"])
def test_an_https_sandbox_is_trusted_where_the_settings_name_its_authority(
    tmp_path: Path, ca: str
) -> None:
    with agency_over_https(tmp_path / "w", ca=ca) as made:
        assert not onboard(made).refused
        for slug in made.slugs:
            assert made.agency.client(slug).get(PATH).status_code == 200
            assert records(made.agency.workspace.root, slug)[-1]["statusCode"] == 200


def test_a_bundle_that_is_gone_stops_every_call_before_it_is_sent(tmp_path: Path) -> None:
    with agency_over_https(tmp_path / "w", ca="ca.pem") as made:
        onboard(made)
        calls = len(made.sandbox.ledger(None))
        (tmp_path / "w" / "ca.pem").unlink()
        with Agency.open(tmp_path / "w") as later, pytest.raises(UsageError) as caught:
            later.client(made.slugs[0])
        assert len(made.sandbox.ledger(None)) == calls
    assert f"{tmp_path / 'w' / 'ca.pem'} cannot be read (No such file" in caught.value.message
    assert "Nothing was sent" in caught.value.message
    assert "[network] ca_bundle" in caught.value.hint


@pytest.mark.parametrize(
    ("variant", "why"),
    [
        ("expired", "certificate has expired"),
        ("not-yet-valid", "certificate is not yet valid"),
        ("wrong-name", "IP address mismatch"),
        ("untrusted", "unable to get local issuer|self-signed|signature failure"),
    ],
)
def test_a_certificate_of_a_trusted_authority_is_still_looked_at(
    tmp_path: Path, variant: str, why: str, client_of: ClientOf
) -> None:
    with agency_over_https(tmp_path / "w", ca="ca.pem", variant=variant) as made:
        result = onboard(made)
        assert [one.cause for one in result.refused]
        client = client_of(tmp_path / "w", made.server.url, ca="ca.pem")
        with pytest.raises(httpx.ConnectError, match=why):
            client.get(PATH)
        assert made.sandbox.ledger(None) == ()


@pytest.mark.parametrize("name", ["api-eu1.hubapi.com", "hubapi.com", "*.example.com", "127.0.0.1"])
def test_a_certificate_for_another_name_gets_no_token(
    tmp_path: Path, name: str, client_of: ClientOf
) -> None:
    """A name server, or a file of hosts, that lies: what it leads to has another certificate."""
    authority = trustme.CA()
    with tls_host(authority, name, saying(OK)) as host, tunnelling(host) as (proxy, seen):
        ca = bundle(tmp_path, authority.cert_pem.bytes())
        client = client_of(tmp_path, "", ca=str(ca), proxy=proxy.url)
        with pytest.raises(httpx.ConnectError, match="Hostname mismatch"):
            client.get(PATH)
        assert host.requests() == []
        assert seen


def test_its_own_authorities_come_beside_the_public_ones(tmp_path: Path) -> None:
    ca = bundle(tmp_path, trustme.CA().cert_pem.bytes() + trustme.CA().cert_pem.bytes())
    public = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    public.load_verify_locations(certifi.where())
    own = context_of(Network(NetworkSettings(ca_bundle=str(ca)), folder=tmp_path))
    assert own.cert_store_stats()["x509_ca"] == public.cert_store_stats()["x509_ca"] + 2
    none = context_of(Network())
    assert none.cert_store_stats() == public.cert_store_stats()
    assert own.verify_mode == none.verify_mode == ssl.CERT_REQUIRED
    assert own.check_hostname
    assert none.check_hostname
    assert none.minimum_version >= ssl.TLSVersion.TLSv1_2


def context_of(network: Network) -> ssl.SSLContext:
    wires = [network.wire(host_of("", one)) for one in (None, "eu1", None)]
    contexts = {id(one._tls) for one in wires}
    assert len(contexts) == 1, "portals share the context, and only that"
    found = wires[0]._tls
    assert found is not None
    return found


def test_what_one_workspace_trusts_another_does_not(tmp_path: Path, client_of: ClientOf) -> None:
    authority = trustme.CA()
    ca = bundle(tmp_path, authority.cert_pem.bytes())
    with tls_host(authority, "127.0.0.1", saying(OK)) as host:
        (tmp_path / "other").mkdir()
        assert client_of(tmp_path, host.url, ca=str(ca)).get(PATH).status_code == 200
        with pytest.raises(httpx.ConnectError, match="certificate that is not trusted"):
            client_of(tmp_path / "other", host.url).get(PATH)
        assert len(host.requests()) == 1


def test_a_host_that_speaks_no_modern_tls_gets_no_token(
    tmp_path: Path, client_of: ClientOf
) -> None:
    authority = trustme.CA()
    ca = str(bundle(tmp_path, authority.cert_pem.bytes()))
    for newest, works in ((ssl.TLSVersion.TLSv1_2, True), (ssl.TLSVersion.TLSv1_1, False)):
        with tls_host(authority, "127.0.0.1", saying(OK), newest=newest) as host:
            (tmp_path / newest.name).mkdir()
            client = client_of(tmp_path / newest.name, host.url, ca=ca)
            with ExitStack() as expected:
                if not works:
                    expected.enter_context(pytest.raises(httpx.ConnectError))
                client.get(PATH)
            assert len(host.requests()) == works


PEM = trustme.CA().cert_pem.bytes()
KEY = trustme.CA().private_key_pem.bytes()
BROKEN = {
    "empty": (b" \n", "is empty"),
    "of words": (b"trust me", "holds no whole certificates in PEM"),
    "DER": (ssl.PEM_cert_to_DER_cert(PEM.decode()), "holds no whole certificates"),
    "a key": (KEY, "holds no whole certificates"),
    "cut": (PEM[:-30], "holds no whole certificates"),
    "whole, and cut behind": (PEM + PEM[:200], "holds no whole certificates"),
    "whole, and spoilt behind": (PEM + PEM.replace(b"MII", b"M!I", 1), "holds no whole"),
    "of letters that say nothing": (
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        "holds what is no certificate",
    ),
}


@pytest.mark.parametrize("kind", list(BROKEN))
def test_a_bundle_that_is_none_is_refused_by_name(tmp_path: Path, kind: str) -> None:
    content, why = BROKEN[kind]
    path = bundle(tmp_path, content)
    with pytest.raises(UsageError) as caught:
        Network(NetworkSettings(ca_bundle="ca.pem"), folder=tmp_path).wire(host_of(""))
    assert f"{path} {why}" in caught.value.message
    assert "Nothing was sent" in caught.value.message
    assert "BEGIN CERTIFICATE" in caught.value.hint


def test_what_stands_between_certificates_may_be_anything(tmp_path: Path) -> None:
    bundle(
        tmp_path, "# Größe\r\n".encode("latin-1") + PEM.replace(b"\n", b"\r\n") + b"\xff\n" + PEM
    )
    Network(NetworkSettings(ca_bundle="ca.pem"), folder=tmp_path).wire(host_of(""))


def test_a_folder_a_pipe_or_a_link_to_nothing_is_no_bundle(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("nothing")
    for name in ("folder", "pipe", "link", "missing", "missing/too"):
        with pytest.raises(UsageError, match=f"{name} cannot be read"):
            Network(NetworkSettings(ca_bundle=name), folder=tmp_path).wire(host_of(""))


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_bundle_that_others_may_write_to_is_refused(tmp_path: Path, mode: int) -> None:
    path = bundle(tmp_path, PEM, mode=mode)
    settings = NetworkSettings(ca_bundle="ca.pem")
    with pytest.raises(UsageError, match="other users may write to") as caught:
        Network(settings, folder=tmp_path).wire(host_of(""))
    assert caught.value.hint.endswith(f"chmod go-w '{path}'")
    path.chmod(0o644)
    Network(settings, folder=tmp_path).wire(host_of(""))


def test_a_folder_in_which_others_may_replace_the_bundle_is_refused(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    bundle(shared, PEM)
    (tmp_path / "link.pem").symlink_to(shared / "ca.pem")
    for name in ("shared/ca.pem", "link.pem"):
        settings = NetworkSettings(ca_bundle=name)
        shared.chmod(0o777)
        with pytest.raises(UsageError, match=f"other users may write to {shared}"):
            Network(settings, folder=tmp_path).wire(host_of(""))
        shared.chmod(0o1777)  # as /tmp is: everybody puts there what they like, under other names
        Network(settings, folder=tmp_path).wire(host_of(""))


@pytest.mark.needs("root")
def test_a_bundle_of_another_user_is_refused_and_one_of_the_machines_is_not(
    tmp_path: Path, child: Child
) -> None:
    path = bundle(tmp_path, PEM, mode=0o644)
    os.chown(path, 65534, 65534)
    with pytest.raises(UsageError, match=r"belongs to another user \(65534\)"):
        Network(NetworkSettings(ca_bundle="ca.pem"), folder=tmp_path).wire(host_of(""))
    with tempfile.TemporaryDirectory() as folder:  # a folder that nobody can look into
        Path(folder).chmod(0o755)
        for name, owner in (("machine.pem", 0), ("theirs.pem", 65533)):
            (Path(folder) / name).write_bytes(PEM)
            os.chown(Path(folder) / name, owner, owner)
        done = child(AS_NOBODY, folder, "machine.pem", "theirs.pem")
    machines, theirs = done.stdout.splitlines()
    assert "another user" not in machines
    assert "belongs to another user (65533)" in theirs


AS_NOBODY = """
import os, sys
from pathlib import Path
from hsagency.hosts import host_of
from hsagency.settings import NetworkSettings
from hsagency.transport.network import Network
host = host_of("")
Network().wire(host)  # everything is loaded now: nobody may not even see where Python is
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
for name in sys.argv[2:]:
    try:
        Network(NetworkSettings(ca_bundle=name), folder=Path(sys.argv[1])).wire(host)
        print("taken")
    except Exception as error:
        print(error)
"""


def test_a_plain_sandbox_needs_no_bundle(tmp_path: Path, client_of: ClientOf) -> None:
    with listening() as host:
        assert client_of(tmp_path, host.url, ca="missing.pem").get(PATH).status_code == 200


# The proxy


@contextmanager
def tls_host(
    authority: trustme.CA,
    name: str,
    *scripts: Script,
    newest: ssl.TLSVersion = ssl.TLSVersion.MAXIMUM_SUPPORTED,
) -> Iterator[Host]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    if newest is ssl.TLSVersion.TLSv1_1:
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
    with warnings.catch_warnings(action="ignore"):  # of versions that are out of date: that is it
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        context.maximum_version = newest
    with hosting(*scripts, tls=context) as host:
        yield host


@contextmanager
def tunnelling(host: Host, answer: bytes = THROUGH) -> Iterator[tuple[Host, list[bytes]]]:
    """Put every caller through to one host, whichever it asks for, and keep all that it says."""
    seen: list[bytes] = []
    callers: list[socket.socket] = []
    port = httpx.URL(host.url).port

    def script(caller: socket.socket, proxy: Host) -> None:
        callers.append(caller)
        proxy.heard.append([request_from(caller)])
        caller.sendall(answer)
        with socket.create_connection(("127.0.0.1", port)) as called:
            back = threading.Thread(target=pump, args=(called, caller, []))
            back.start()
            pump(caller, called, seen)
            back.join()

    def pump(source: socket.socket, sink: socket.socket, said: list[bytes]) -> None:
        with suppress(OSError):
            while part := source.recv(65536):
                said.append(part)
                sink.sendall(part)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    with hosting(script) as proxy:
        yield proxy, seen
        for one in callers:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


@dataclass
class Detour:
    """HubSpot as one proxy leads to it: a host that has a certificate for its name."""

    host: Host
    ca: str
    folder: Path
    client_of: ClientOf

    def client(self, proxy: Host | str) -> PortalClient:
        url = proxy if isinstance(proxy, str) else proxy.url
        return self.client_of(self.folder, "", ca=self.ca, proxy=url)


@pytest.fixture
def detour(tmp_path: Path, client_of: ClientOf) -> Iterator[Detour]:
    authority = trustme.CA()
    with tls_host(authority, HUBSPOT, saying(*[OK] * 30)) as host:
        ca = bundle(tmp_path, authority.cert_pem.bytes())
        yield Detour(host, str(ca), tmp_path, client_of)


def test_a_proxy_puts_through_and_sees_neither_token_nor_path(detour: Detour) -> None:
    with tunnelling(detour.host) as (proxy, seen):
        client = detour.client(proxy)
        for _ in range(2):
            assert client.get(f"{PATH}?limit=7").status_code == 200
    (asked,) = proxy.heard[0]
    assert asked == f"CONNECT {HUBSPOT}:443 HTTP/1.1\r\nHost: {HUBSPOT}:443\r\n\r\n".encode()
    assert len(proxy.heard) == 1, "calls share a way"
    got = detour.host.requests()
    assert [one.split(b"\r\n")[0] for one in got] == [f"GET {PATH}?limit=7 HTTP/1.1".encode()] * 2
    assert all(TOKEN.encode() in one for one in got)
    passed = asked + b"".join(seen)
    assert not any(word in passed for word in (TOKEN.encode(), TOKEN[8:].encode(), b"contacts"))


REFUSALS: dict[str, tuple[bytes, str]] = {
    "a password wanted": (
        b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\n",
        r"asks for a user name and a password \(407\), and hsagency gives none",
    ),
    "forbidden": (
        b"HTTP/1.1 403 Forbidden\r\nContent-Length: 4\r\n\r\nnono",
        r"does not put through to api\.hubapi\.com:443 \(403\).*allow CONNECT",
    ),
    "elsewhere": (
        b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/\r\n\r\n",
        r"does not put through to api\.hubapi\.com:443 \(302\)",
    ),
    "a bad gateway": (b"HTTP/1.1 502 Bad Gateway\r\n\r\n", r"could not reach .* itself \(502\)"),
    "rubbish": (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", "speaks no HTTP"),
    "bytes of TLS": (b"\x15\x03\x01\x00\x02\x02\x28" + b"\0" * 20000, "speaks no HTTP"),
    "half a head": (b"HTTP/1.1 200 OK\r\nX-A", "hung up"),
    "nothing": (b"", "hung up"),
    "a head without an end": (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000, "speaks no HTTP"),
    "another protocol": (b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n", "speaks no HTTP"),
    "an answer in HubSpot's place": (THROUGH + OK, r"spoke in place of api\.hubapi\.com:443"),
}


@pytest.mark.parametrize("kind", list(REFUSALS))
def test_a_proxy_that_does_not_put_through_is_named_and_nothing_was_sent(
    detour: Detour, kind: str
) -> None:
    answer, why = REFUSALS[kind]
    with hosting(saying(answer)) as proxy:
        client = detour.client(proxy)
        with pytest.raises(httpx.ProxyError, match=why) as caught:
            client.post(PATH, json={"properties": {}})
        assert TOKEN.encode() not in b"".join(proxy.requests())
    said = str(caught.value)
    assert f": The proxy {proxy.url.removeprefix('http://')} " in said
    assert "No token and no call were sent. " in said
    assert detour.host.requests() == []
    told = on_the_way(caught.value)
    assert told is not None
    assert told.message.endswith("No token and no call were sent.")
    assert told.hint


def test_whose_credential_it_is_cannot_be_asked_through_a_proxy_that_refuses(
    detour: Detour,
) -> None:
    refusing = hosting(saying(REFUSALS["forbidden"][0]))
    with refusing as proxy, pytest.raises(PortalUnreachable) as caught:
        verify(detour.client(proxy), expected=FIRST_CONTACT)
    assert caught.value.message.startswith("The proxy 127.0.0.1:")
    assert "allow CONNECT to api.hubapi.com:443" in caught.value.hint


def test_words_of_a_proxy_behind_its_answer_are_never_taken_for_hubspots(detour: Detour) -> None:
    """Here they come late, after the way seems open: TLS takes them for what they are."""
    gate = threading.Event()

    def late(caller: socket.socket, proxy: Host) -> None:
        request_from(caller)
        caller.sendall(THROUGH)
        caller.recv(1)  # the first of the handshake
        caller.sendall(OK)
        gate.wait(10)

    with hosting(late) as proxy:
        with pytest.raises(httpx.ConnectError):
            detour.client(proxy).get(PATH)
        gate.set()


def test_a_proxy_that_nobody_answers_at_is_named(detour: Detour) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as gone:
        port = gone.getsockname()[1]
    with pytest.raises(httpx.ConnectError, match=rf"proxy 127\.0\.0\.1:{port} cannot be reached"):
        detour.client(f"http://127.0.0.1:{port}").get(PATH)
    with pytest.raises(httpx.ConnectError, match=r"proxy a\.\.b:1 cannot be reached"):
        detour.client("http://a..b:1").get(PATH)


def silent(caller: socket.socket, proxy: Host) -> None:
    request_from(caller)
    caller.recv(1)


def dripping(caller: socket.socket, proxy: Host) -> None:
    """Announce an answer again and again: each word comes in time, and the whole never does."""
    request_from(caller)
    caller.settimeout(0.02)
    for _ in range(400):
        caller.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        with suppress(TimeoutError):
            if not caller.recv(1):
                return


def mute_behind(caller: socket.socket, proxy: Host) -> None:
    """Put through to a host that never shakes hands."""
    request_from(caller)
    caller.sendall(THROUGH)
    while caller.recv(65536):
        pass


@pytest.mark.parametrize("script", [silent, dripping, mute_behind])
def test_the_time_to_connect_covers_the_whole_way(detour: Detour, script: Script) -> None:
    with hosting(script) as proxy:
        client = detour.client(proxy)
        with pytest.raises(httpx.ConnectTimeout) as caught:
            client.get(PATH, timeout=httpx.Timeout(60, connect=0.4))
    if script is not mute_behind:  # there it is whoever is behind the proxy
        assert "did not put through to api.hubapi.com:443 in time" in str(caught.value)
    assert detour.host.requests() == []


def test_a_refused_way_leaves_its_place_to_the_next_call(detour: Detour) -> None:
    refusing = saying(REFUSALS["a bad gateway"][0])
    with hosting(refusing) as proxy:
        client = detour.client(proxy)
        for _ in range(20):  # more than there are places
            with pytest.raises(httpx.ProxyError):
                client.get(PATH, timeout=5)


def test_who_opens_tls_on_the_way_is_not_trusted_unless_the_settings_say_so(
    detour: Detour, tmp_path: Path, client_of: ClientOf
) -> None:
    with tunnelling(detour.host) as (proxy, _):
        (tmp_path / "trusting-nobody").mkdir()
        client = client_of(tmp_path / "trusting-nobody", "", proxy=proxy.url)
        with pytest.raises(PortalUnreachable, match="HubSpot showed a certificate") as caught:
            verify(client, expected=FIRST_CONTACT)
        assert "[network] ca_bundle" in caught.value.hint
        assert detour.host.requests() == []


def test_a_sandbox_is_called_past_the_proxy(tmp_path: Path) -> None:
    with listening() as proxy, listening() as host:
        for url in (host.url, host_of(host.url, "eu1")):
            folder = tmp_path / str(len(str(url)))
            folder.mkdir()
            network = Network(NetworkSettings(proxy=proxy.url), folder=folder)
            wire = network.wire(httpx.URL(url))
            with httpx.Client(transport=wire, base_url=url) as client:
                assert client.get(PATH).status_code == 200
        assert (len(host.seen), proxy.seen) == (2, [])


# The environment

CALLING = """
import sys
from hsagency.agency import Agency
with Agency.open(sys.argv[1]) as agency:
    for slug in agency.slugs():
        agency.verify(slug)
        print(agency.client(slug).get("/crm/v3/objects/contacts").status_code)
"""


def test_nothing_of_the_environment_leads_or_watches_a_call(tmp_path: Path, child: Child) -> None:
    (tmp_path / ".netrc").write_text("default login a password b\n")
    (tmp_path / ".netrc").chmod(0o600)
    (tmp_path / "certificates").mkdir()
    keys = tmp_path / "keys"
    with listening() as other, agency_over_https(tmp_path / "w", ca="ca.pem") as made:
        onboard(made)
        names = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")
        environment = {
            **dict.fromkeys(names, other.url),
            **dict.fromkeys(("NO_PROXY", "no_proxy"), "example.com"),
            **dict.fromkeys(("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"), "/missing"),
            "SSL_CERT_DIR": str(tmp_path / "certificates"),
            "SSLKEYLOGFILE": str(keys),
            "NETRC": str(tmp_path / ".netrc"),
            "HOME": str(tmp_path),
        }
        done = child(CALLING, made.agency.workspace.root, **environment)
        assert done.stdout.split() == ["200", "200"], done.stderr
        assert other.seen == []
        assert not keys.exists()
        environment["SSLKEYLOGFILE"] = "/missing/folder/keys"
        again = child(CALLING, made.agency.workspace.root, **environment)
        assert again.stdout.split() == ["200", "200"], again.stderr


def test_the_environment_adds_no_authority(tmp_path: Path, child: Child) -> None:
    with agency_over_https(tmp_path / "w", ca="ca.pem") as made:
        onboard(made)
        bundle(tmp_path / "w", PEM)
        calls = len(made.sandbox.ledger(None))
        names = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
        environment = dict.fromkeys(names, str(made.server.ca_file))
        done = child(CALLING, made.agency.workspace.root, **environment)
        assert "showed a certificate that is not trusted" in done.stderr
        assert len(made.sandbox.ledger(None)) == calls


WITHOUT_A_RESOLVER = """
import sys
asked = []
def look(event, args):
    if event.startswith("socket.get"):
        asked.append(event)
sys.addaudithook(look)
import httpx
from hsagency.hosts import host_of
from hsagency.transport.network import Network
host = host_of(sys.argv[1], "eu1")
with httpx.Client(transport=Network().wire(host), base_url=host) as client:
    print(host.host, client.get("/").status_code, asked)
"""


def test_a_data_centre_of_the_sandbox_is_found_without_a_resolver(child: Child) -> None:
    with listening() as host:
        done = child(WITHOUT_A_RESOLVER, host.url)
        assert done.stdout.strip() == "api-eu1.hubapi.localhost 200 []", done.stderr
        assert host.seen[0].header("host") == [f"api-eu1.hubapi.localhost:{host.port}"]


# Redirects


@pytest.fixture
def fleet_over_https(tmp_path: Path) -> Iterator[Connected]:
    with agency_over_https(tmp_path / "https", ca="ca.pem") as made:
        onboard(made)
        yield made


Follow = Callable[[PortalClient, str], httpx.Response]


def by_call(client: PortalClient, method: str) -> httpx.Response:
    return client.request(method, PATH, follow_redirects=True)


def by_client(client: PortalClient, method: str) -> httpx.Response:
    client.follow_redirects = True
    return client.request(method, PATH)


@pytest.mark.parametrize("follow", [by_call, by_client])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_followed_on_its_own_host_and_nowhere_else(
    fleet_over_https: Connected, status: int, follow: Follow
) -> None:
    made, url = fleet_over_https, httpx.URL(fleet_over_https.server.url)
    slug, root = made.slugs[0], made.agency.workspace.root
    at_home = ("/crm/v3/objects/deals", "deals", f"{url}/crm/v3/objects/deals")
    with listening() as other:
        away = (
            f"{other.url}{PATH}",
            f"//127.0.0.1:{other.port}{PATH}",
            f"https://127.0.0.1:{other.port}{PATH}",
            f"http://127.0.0.1:{url.port}{PATH}",
            f"https://localhost:{url.port}{PATH}",
            f"https://a:b@127.0.0.1:{url.port}{PATH}",
            f"https://api-eu1.hubapi.localhost:{url.port}{PATH}",
            "https://api.hubapi.com/",
        )
        for location in (*at_home, *away):
            made.sandbox.faults.add(
                Fault("redirect", status=status, location=location, portal=slug, times=1)
            )
            with ExitStack() as expected:
                if location in away:
                    expected.enter_context(pytest.raises(CallRefused))
                assert follow(made.agency.client(slug), "GET").status_code == 200
            first, second = [one for one in records(root, slug) if "outcome" in one][-2:]
            assert first["statusCode"] == status
            assert second["outcome"] == ("refused" if location in away else "ok")
        assert other.seen == []


@pytest.mark.parametrize(("status", "method"), [(303, "GET"), (307, "POST"), (308, "POST")])
def test_a_redirect_that_goes_on_as_a_write_is_a_write_on_the_record(
    fleet_over_https: Connected, status: int, method: str
) -> None:
    made = fleet_over_https
    slug, root = made.slugs[0], made.agency.workspace.root
    made.sandbox.faults.add(Fault("redirect", status=status, location=PATH, times=1))
    client = made.agency.client(slug)
    sent = {"properties": {"email": "a@example.com"}}
    assert client.post(PATH, json=sent, follow_redirects=True).is_success
    started = [one for one in records(root, slug) if one["event"] == "call.started"][-2:]
    assert [one["method"] for one in started] == ["POST", method]


def test_a_circle_of_redirects_ends(fleet_over_https: Connected) -> None:
    made = fleet_over_https
    made.sandbox.faults.add(Fault("redirect", location=PATH, path=PATH))
    with pytest.raises(httpx.TooManyRedirects):
        made.agency.client(made.slugs[0]).get(PATH, follow_redirects=True)
