"""What several folders of tests build: agencies on a sandbox, hostile servers, a token scanner."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import os
import secrets
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal

import httpx
import polars as pl

from hsagency import onboarding
from hsagency.agency import Agency
from hsagency.audit.journal.writer import AuditWriter
from hsagency.audit.record import Author
from hsagency.auth import Authorisation, Distribution, OAuthApp
from hsagency.client import Channel, PortalClient
from hsagency.credentials import SecretName
from hsagency.halt import Halt
from hsagency.hosts import host_of
from hsagency.onboarding import Result
from hsagency.onboarding.rows import Row
from hsagency.portals import ClientSlug, ConnectionType, CredentialKind, Portal, PortalId
from hsagency.sandbox import Sandbox, SandboxServer, serve
from hsagency.sandbox.clients_csv import COLUMNS, client_rows
from hsagency.sandbox.ledger import LedgerEntry
from hsagency.sandbox.oauth.apps import App
from hsagency.sandbox.oauth.grants import Challenge
from hsagency.secret import Secret
from hsagency.transport import Binding

TOKEN = "pat-na1-0c0ffee0-1111-4222-8333-444455556666"
CALLBACK = "http://localhost:8765/oauth/callback"
OPTIONAL = (
    "crm.objects.contacts.read",
    "crm.objects.contacts.write",
    "crm.schemas.contacts.read",
    "crm.schemas.contacts.write",
)


@dataclass(frozen=True)
class Connected:
    """An agency, the sandbox it is connected to, and the socket in between."""

    agency: Agency
    sandbox: Sandbox
    server: SandboxServer

    @property
    def slugs(self) -> list[str]:
        return [portal.client_slug for portal in self.sandbox.portals]


def client_list(sandbox: Sandbox) -> bytes:
    """Return the client list that onboards every portal of a sandbox."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS)
    writer.writeheader()
    writer.writerows(client_rows(sandbox))
    return text.getvalue().encode()


@contextmanager
def connected(
    folder: Path, *, portals: int = 1, contacts: int = 10, sandbox: Sandbox | None = None
) -> Iterator[Connected]:
    """Make a workspace in `folder`, connected to every portal of a sandbox on a socket."""
    fleet = sandbox or Sandbox(portals=portals, contacts=contacts)
    with serve(fleet) as server, Agency.create(folder, store="age:credentials") as agency:
        plan = onboarding.plan_file(agency, client_list(fleet), api=server.url)
        result = onboarding.apply(agency, plan, digest=plan.digest)
        assert not result.refused, result.frame()
        yield Connected(agency=agency, sandbox=fleet, server=server)


@dataclass(frozen=True)
class Authorised(Connected):
    """An agency whose portals let our app in over OAuth; `app` is what the sandbox registered."""

    app: App

    def authorise(self, slug: str, portal: int | str) -> Authorisation:
        """Agree for a portal on the consent page, and trade the code that comes back."""
        verifier = secrets.token_urlsafe(48)
        digest = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest())
        challenge = Challenge(digest.rstrip(b"=").decode(), "S256")
        code = self.sandbox.authorize(self.app, portal, challenge=challenge)
        desk = self.agency.desk(self.server.url, candidate=ClientSlug(slug))
        issued = desk.exchange(Secret(code), verifier=Secret(verifier))
        now = datetime.now(UTC)
        ends = now + timedelta(seconds=issued.expires_in)
        return Authorisation(
            refresh=issued.refresh, access=issued.access, issued_at=now, expires_at=ends
        )

    def row(self, slug: str, portal: int | str, **changes: Any) -> Row:
        """Return what connects a portal under a slug, as onboarding takes it."""
        made = self.authorise(slug, portal)
        asked = {"expected": PortalId(self.sandbox.portal(portal).portal_id), "line": 1, **changes}
        kind = CredentialKind.OAUTH
        return Row(slug=ClientSlug(slug), token=made.access, authorisation=made, kind=kind, **asked)

    def connect(self, rows: Iterable[Row], *, replace_tokens: bool = False) -> Result:
        """Connect rows, or with `replace_tokens` connect them again."""
        given = list(rows)
        plan = onboarding.plan(
            self.agency, given, api=self.server.url, replace_tokens=replace_tokens
        )
        return onboarding.apply(self.agency, plan, digest=plan.digest)

    def kept(self, slug: str) -> Authorisation:
        """Return what the store keeps of a connection at this moment."""
        connection = self.agency.connection(slug)
        name = SecretName(
            self.agency.workspace.settings.workspace, connection.client_slug, connection.generation
        )
        return Authorisation.parse(self.agency.store.get(name))

    def keep(self, slug: str, **changes: Any) -> Authorisation:
        """Put another authorisation in the store, such as one that ended a while ago."""
        connection = self.agency.connection(slug)
        name = SecretName(
            self.agency.workspace.settings.workspace, connection.client_slug, connection.generation
        )
        changed = replace(self.kept(slug), **changes)
        self.agency.store.put(name, changed.kept())
        return changed

    def end(self, slug: str, *, ago: float = 60) -> Authorisation:
        """Let the access token of a connection have ended so many seconds ago."""
        ended = datetime.now(UTC) - timedelta(seconds=ago)
        issued = ended - timedelta(seconds=1800)
        return self.keep(slug, issued_at=issued, expires_at=ended)

    def asked(self, slug: str, *, of: str = "/oauth/") -> list[LedgerEntry]:
        """Return the calls to the token endpoints about a portal, oldest first."""
        return [one for one in self.sandbox.ledger(slug) if one.path.startswith(of)]


@contextmanager
def authorised(
    folder: Path,
    *,
    portals: int = 1,
    contacts: int = 10,
    sandbox: Sandbox | None = None,
    required: Iterable[str] = ("oauth",),
    optional: Iterable[str] = OPTIONAL,
    distribution: Literal["private", "marketplace"] = "private",
    connection_type: ConnectionType = ConnectionType.CONFIG_AND_AUDIT,
) -> Iterator[Authorised]:
    """Make a workspace in `folder`, connected over OAuth to every portal of a sandbox."""
    fleet = sandbox or Sandbox(portals=portals, contacts=contacts)
    app = fleet.register_app(
        "Agency app",
        redirect_uris=[CALLBACK],
        required=required,
        optional=optional,
        distribution=distribution,
        partner=True,  # 100 portals may have it
    )
    with serve(fleet) as server, Agency.create(folder, store="age:credentials") as agency:
        agency.apps.keep(
            OAuthApp(
                client_id=app.client_id,
                client_secret=Secret(app.client_secret),
                redirect_uri=CALLBACK,
                required=tuple(sorted(app.required)),
                optional=tuple(sorted(app.optional)),
                distribution=Distribution(distribution),
                partner=True,
                api_base=server.url,
            )
        )
        made = Authorised(agency=agency, sandbox=fleet, server=server, app=app)
        result = made.connect(
            made.row(one.client_slug, one.portal_id, connection_type=connection_type)
            for one in fleet.portals
        )
        assert not result.refused, result.frame()
        yield made


def tokens_of(sandbox: Sandbox) -> list[str]:
    """Return every token a sandbox ever gave out."""
    held = (*sandbox.portals, sandbox.spare)
    return [credential.token for portal in held for credential in portal.credentials]


def needles(token: str) -> Iterator[bytes]:
    """Yield what would give a token away: its random part, as it is and as encodings show it."""
    random = token.split("-", 2)[2]
    yield from (random.encode(), random.replace("-", "").encode(), random.upper().encode())
    for shift in range(3):  # base64 of a text that holds the token anywhere
        yield base64.b64encode(b" " * shift + token.encode())[4:-4]


def assert_no_tokens(
    paths: Iterable[Path], tokens: Iterable[str], *, texts: Mapping[str, str] | None = None
) -> None:
    """Look for tokens in the name and content of every file below `paths`, and in `texts`."""
    files = [file for path in paths for file in (path.rglob("*") if path.is_dir() else [path])]
    seen = {name: text.encode() for name, text in (texts or {}).items()}
    for file in files:
        seen[str(file)] = str(file).encode() + _content(file)
    wanted = {needle: token[:8] for token in tokens for needle in needles(token)}
    assert wanted, "no tokens to look for"
    found = {name for name, content in seen.items() for needle in wanted if needle in content}
    assert not found, f"tokens stand in {sorted(found)}"


def _content(file: Path) -> bytes:
    if not file.is_file():
        return b""
    if file.suffix == ".parquet":  # compressed on disk
        return pl.read_parquet(file).write_json().encode()
    return file.read_bytes()


def records(workspace: Path, slug: str) -> list[dict[str, Any]]:
    """Return a client's records as they are on disk, but for those that begin and end segments."""
    files = sorted((workspace / "audit" / slug / "journal").glob("*.jsonl"))
    said = [json.loads(line) for file in files for line in file.read_bytes().splitlines()]
    return [one for one in said if one["event"] not in ("audit.opened", "audit.closed")]


@dataclass(frozen=True)
class Seen:
    """One request that reached a server."""

    method: str
    path: str
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]


@dataclass(frozen=True)
class Answer:
    """What a server says; `cut` hangs up after so many bytes of the body."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b"{}"
    cut: int | None = None
    after: Callable[[], object] = lambda: None


@dataclass(frozen=True)
class Listener:
    """A server of ours on loopback, and what it saw."""

    url: str
    seen: list[Seen]

    @property
    def port(self) -> int:
        return httpx.URL(self.url).port or 80


@contextmanager
def listening(answer: Callable[[Seen], Answer] = lambda _: Answer()) -> Iterator[Listener]:
    """Serve whatever a function answers, and remember every request."""
    seen: list[Seen] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            seen.append(Seen(self.command, self.path, self.headers.items(), body))
            said = answer(seen[-1])
            self.send_response(said.status)
            for name, value in said.headers.items():
                for one in value.split("\n"):
                    self.send_header(name, one)
            self.send_header("Content-Length", str(len(said.body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(said.body[: said.cut])
            self.wfile.flush()
            said.after()
            self.close_connection = said.cut is not None

        def __getattr__(self, name: str) -> Callable[[], None]:
            if name.startswith("do_"):
                return self.handle_any
            raise AttributeError(name)

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield Listener(f"http://127.0.0.1:{server.server_address[1]}", seen)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def once(client: PortalClient) -> PortalClient:
    """Have a client make every call once, where a test is about a single one."""
    client.event_hooks = {"request": [lambda request: request.extensions.update(retry=False)]}
    return client


@contextmanager
def lone_client(
    folder: Path,
    *,
    url: str = "",
    token: str = TOKEN,
    connection_type: ConnectionType = ConnectionType.CONFIG_AND_AUDIT,
    wire: httpx.BaseTransport | None = None,
    sync: Callable[[int], None] = os.fsync,
) -> Iterator[PortalClient]:
    """Make a portal client without an agency: guard, recorder, bearer and a real wire."""
    author = Author(actor="tests/0", user="tester", host="here", run_id="r1")
    (folder / "state").mkdir(parents=True, exist_ok=True)
    with AuditWriter(folder / "audit", author=author, sync=sync) as writer:
        way = Channel(
            host=host_of(url),
            credential=lambda: Secret(token),
            writer=writer,
            halt=Halt(folder / "state" / "halt.json"),
            wire=wire,
        )
        slug, portal_id = ClientSlug("acme-corp"), PortalId(12345678)
        binding = Binding(
            client_slug=slug,
            portal_id=portal_id,
            connection_type=connection_type,
            host=way.host,
            fingerprint=Secret(token).fingerprint,
            generation=1,
            purpose="interactive",
        )
        client = way.client(binding=binding, portal=Portal(portal_id=portal_id, client_slug=slug))
        try:
            yield client
        finally:
            client.close()
            way.close()
