"""
HTTPS with real handshakes: a good certificate works, and each bad one is refused as it should.

Nothing here is HubSpot's.
"""

import os
import socket
import ssl
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from hsagency.errors import SandboxError
from hsagency.sandbox import Fault, Sandbox, serve

CONTACTS = "/crm/objects/2026-09/contacts"
ROOT = Path(__file__).resolve().parents[2]


def get(server, sandbox: Sandbox, *, url: str = "", **how) -> httpx.Response:
    """Ask for contacts, trusting the server's authority and nobody else."""
    context = ssl.create_default_context(cafile=server.ca_file)
    headers = {"authorization": f"Bearer {sandbox.portals[0].token}"}
    with httpx.Client(verify=context, trust_env=False, headers=headers) as client:
        return client.get(f"{url or server.url}{CONTACTS}", **how)


def test_a_good_certificate_is_trusted_by_who_trusts_its_authority(sandbox: Sandbox) -> None:
    with serve(sandbox, tls=True) as server:
        assert server.url.startswith("https://127.0.0.1:")
        assert get(server, sandbox).status_code == 200
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            httpx.get(server.url, trust_env=False)
        context = ssl.create_default_context(cadata=server.ca_pem)
        assert httpx.get(server.url, verify=context, trust_env=False).status_code == 401


@pytest.mark.parametrize(
    "name",
    ["localhost", "api.hubapi.localhost", "api-eu1.hubapi.localhost", "app.hubspot.localhost"],
)
def test_it_is_good_for_this_machine_and_for_names_below_it(sandbox: Sandbox, name: str) -> None:
    with serve(sandbox, tls="good") as server:
        answer = get(server, sandbox, extensions={"sni_hostname": name})
        assert answer.status_code == 200
        with pytest.raises(httpx.ConnectError, match="Hostname mismatch"):
            get(server, sandbox, extensions={"sni_hostname": "api.hubapi.com"})


@pytest.mark.parametrize(
    ("variant", "why"),
    [
        ("expired", "certificate has expired"),
        ("not-yet-valid", "certificate is not yet valid"),
        ("wrong-name", "not valid for '127.0.0.1'|IP address mismatch"),
        ("untrusted", "unable to get local issuer|self-signed|signature failure"),
    ],
)
def test_a_bad_certificate_is_refused_for_its_reason(sandbox: Sandbox, variant, why) -> None:
    with serve(sandbox, tls=variant) as server:
        with pytest.raises(httpx.ConnectError, match=why):
            get(server, sandbox)
        # who looks at nothing gets through: it is the certificate, and nothing else
        careless = httpx.get(server.url, verify=False, trust_env=False)
        assert careless.status_code == 401
    assert sandbox.counts(sandbox.portals[0].portal_id) == {}


def test_the_authority_is_a_new_one_each_time_and_its_file_goes_with_the_server(sandbox) -> None:
    with serve(sandbox, tls=True) as one, serve(sandbox, tls=True) as other:
        assert one.ca_pem != other.ca_pem
        with pytest.raises(httpx.ConnectError):
            get(one, sandbox, url=other.url)
        folder = one.ca_file.parent
        assert folder.stat().st_mode & 0o777 == 0o700
        assert [path.name for path in folder.iterdir()] == ["ca.pem"]
        assert "PRIVATE KEY" not in one.ca_file.read_text("ascii")
        assert one.ca_file.read_text("ascii") == one.ca_pem
    assert not folder.exists()
    one.close()


def test_plain_http_has_no_certificate_to_trust(sandbox: Sandbox) -> None:
    with serve(sandbox) as server:
        for name in ("ca_file", "ca_pem"):
            with pytest.raises(SandboxError, match="speaks plain HTTP"):
                getattr(server, name)


def test_an_unknown_certificate_is_refused(sandbox: Sandbox) -> None:
    with pytest.raises(SandboxError, match="was not started"):
        serve(sandbox, tls="stolen")


def test_a_port_in_use_leaves_no_certificate_behind(sandbox: Sandbox, tmp_path: Path) -> None:
    """In a process with a folder of its own for what is temporary: others start sandboxes too."""
    code = """
import sys
from hsagency.errors import SandboxError
from hsagency.sandbox import Sandbox, serve
try:
    serve(Sandbox(portals=1, contacts=1), port=int(sys.argv[1]), tls=True)
except SandboxError as error:
    print(error)
"""
    with serve(sandbox) as server:
        done = subprocess.run(
            [sys.executable, "-c", code, str(urlsplit(server.url).port)],
            cwd=ROOT,
            env={**os.environ, "TMPDIR": str(tmp_path)},
            capture_output=True,
            text=True,
            check=True,
        )
    assert "cannot be used" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_caller_who_never_shakes_hands_holds_up_nobody(sandbox: Sandbox) -> None:
    with serve(sandbox, tls=True) as server:
        where = urlsplit(server.url)
        with socket.create_connection((where.hostname, where.port), timeout=30) as silent:
            assert get(server, sandbox).status_code == 200
            server.close()
            assert silent.recv(1) == b""


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("drop_before", httpx.RemoteProtocolError),
        # Python's own TLS takes a reset for an end
        ("reset_after", (httpx.ReadError, httpx.RemoteProtocolError)),
        ("truncated", httpx.RemoteProtocolError),
    ],
)
def test_faults_look_the_same_over_https(sandbox: Sandbox, kind, error) -> None:
    sandbox.faults.add(Fault(kind=kind))
    with serve(sandbox, tls=True) as server, pytest.raises(error):
        get(server, sandbox)


def test_what_makes_certificates_is_loaded_only_for_https() -> None:
    program = (
        "import sys, hsagency.sandbox as s\n"
        "s.serve(s.Sandbox(portals=1)).close()\n"
        "sys.exit('trustme' in sys.modules or 'cryptography' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False)
    assert done.returncode == 0
