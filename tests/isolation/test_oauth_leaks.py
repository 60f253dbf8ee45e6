"""No token, code or secret of OAuth shows in anything that is written, raised, held or sent."""

from __future__ import annotations

import base64
import gc
import json
import logging
import pickle
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import polars as pl
import pytest

from hsagency.credentials import SecretName
from hsagency.errors import (
    AppMisconfigured,
    AuthorisationEnded,
    PortalUnreachable,
    WriteNotConfirmed,
)
from hsagency.sandbox import Fault
from hsagency.secret import Secret
from tests.isolation.test_leaks import told
from tests.support import Authorised, authorised

PATH = "/crm/v3/objects/contacts"


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Authorised]:
    with authorised(tmp_path / "agency") as made:
        made.sandbox.desk.rotates = True  # so that there are more to look for
        yield made


def secrets_of(one: Authorised) -> list[str]:
    """Return every secret of OAuth that there is: the very texts, since they have no shape."""
    kept = one.kept(one.slugs[0])
    held = [kept.access, kept.refresh, kept.key, one.agency.apps.read(one.server.url).client_secret]
    return [secret.reveal() for secret in held]


def needles(secret: str) -> Iterator[bytes]:
    yield secret.encode()
    if len(secret) > 60:  # an excerpt would give it away as well
        yield secret[20:52].encode()
    for shift in range(3):
        yield base64.b64encode(b" " * shift + secret.encode())[4:-4]


def shown(content: bytes, secrets: list[str]) -> list[str]:
    return [one[:6] for one in secrets if any(needle in content for needle in needles(one))]


def walk(start: object) -> bytes:
    """Return the text of everything that is reachable from an object but for what is opaque."""
    opaque = (type, type(gc), type(walk), type(len))
    todo, known, found = [start], {id(start)}, []
    while todo:
        at = todo.pop()
        if isinstance(at, str | bytes):
            found.append(at.encode("utf-8", "replace") if isinstance(at, str) else at)
        for other in gc.get_referents(at):
            if id(other) not in known and not isinstance(other, opaque):
                known.add(id(other))
                todo.append(other)
    return b"\n".join(found)


def use(one: Authorised) -> list[str]:
    """Renew ahead, late and after a refusal; return every secret there was."""
    slug, there = one.slugs[0], secrets_of(one)
    for _ in range(2):
        one.end(slug)
        with type(one.agency).open(one.agency.workspace.root) as other:
            assert other.client(slug).get(PATH).status_code == 200
        there += secrets_of(one)
    one.sandbox.end_access(one.kept(slug).access.reveal())
    assert one.agency.client(slug).get(PATH).status_code == 200
    return [*dict.fromkeys(there + secrets_of(one))]


def test_no_file_of_a_workspace_holds_any(
    one: Authorised, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    there = use(one)
    assert len(there) > 8
    for file in one.agency.workspace.root.rglob("*"):
        if file.is_file():
            is_table = file.suffix == ".parquet"
            content = pl.read_parquet(file).write_json().encode() if is_table else file.read_bytes()
            assert not shown(content, there), file
        assert not shown(str(file).encode(), there)
    out, err = capfd.readouterr()
    assert not shown(f"{caplog.text} {out} {err}".encode(), there)


def test_no_frame_ledger_environment_or_command_line_holds_any(one: Authorised) -> None:
    there = use(one)
    slug = one.slugs[0]
    frames = (
        one.agency.calls("_agency").collect(),
        one.agency.calls(slug).collect(),
        one.agency.activity("_agency"),
        one.agency.portals(),
    )
    for frame in frames:
        assert not shown(frame.write_json().encode(), there)
    ledger = repr([one.sandbox.ledger(slug), one.sandbox.ledger(None)])
    assert not shown(ledger.encode(), there)
    for name in ("environ", "cmdline"):
        assert not shown(Path(f"/proc/self/{name}").read_bytes(), there)
    assert not shown(repr(one.agency.connections()).encode(), there)


def test_what_a_caller_holds_leads_to_none(one: Authorised) -> None:
    there = use(one)
    client = one.agency.client(one.slugs[0])
    answer = client.get(PATH)
    for thing in (answer, answer.request, answer.extensions):
        assert not shown(walk(thing), there)
    assert not shown(pickle.dumps(answer), there)
    assert not shown(f"{client!r} {vars(client)} {client.headers}".encode(), there)
    for thing in (client, one.agency, one.agency.apps):
        assert not shown(repr(thing).encode(), there)
    with pytest.raises(TypeError):
        pickle.dumps(one.kept(one.slugs[0]))


def failing(one: Authorised, what: str) -> type[Exception]:
    slug = one.slugs[0]
    one.end(slug)
    if what == "uninstalled":
        one.sandbox.uninstall(slug, one.app.client_id)
        return AuthorisationEnded
    if what == "app":
        app = one.agency.apps.read(one.server.url)
        changed = {name: getattr(app, name) for name in app.__slots__}
        one.agency.apps.keep(type(app)(**changed | {"client_secret": Secret("w" * 40)}))
        return AppMisconfigured
    outage = Fault("status", status=503, path="/oauth/2026-09/token", retry_after=60)
    one.sandbox.faults.add(outage)
    return PortalUnreachable


@pytest.mark.parametrize("what", ["uninstalled", "app", "outage"])
def test_no_error_shows_any(one: Authorised, what: str) -> None:
    there = secrets_of(one)
    client, kind = one.agency.client(one.slugs[0]), failing(one, what)
    there.append("w" * 40)
    with pytest.raises(kind) as caught:
        client.get(PATH)
    error = caught.value
    assert error.__traceback__ is not None
    inner = error.with_traceback(error.__traceback__.tb_next)  # this test itself holds them
    assert not shown(told(inner).encode(), there)
    assert not shown(pickle.dumps(error), there)
    chain: BaseException | None = error
    while chain is not None:
        assert not shown(f"{chain!r} {vars(chain)}".encode(), there)
        chain = chain.__cause__ or chain.__context__


def test_a_code_that_is_refused_shows_neither_itself_nor_its_verifier(one: Authorised) -> None:
    code, verifier = "c0de-5ec2e700-0000", "v5ec2e700" * 6
    desk = one.agency.desk(one.server.url)
    with pytest.raises(Exception, match="code") as caught:
        desk.exchange(Secret(code), verifier=Secret(verifier))
    assert caught.value.__traceback__ is not None
    inner = caught.value.with_traceback(caught.value.__traceback__.tb_next)
    assert not shown(told(inner).encode(), [code, verifier, *secrets_of(one)])
    for file in one.agency.workspace.root.rglob("*.jsonl"):
        assert not shown(file.read_bytes(), [code, verifier])


def test_a_hook_sees_none_while_tokens_are_renewed(one: Authorised) -> None:
    slug, seen = one.slugs[0], []
    there = secrets_of(one)
    one.end(slug)
    client = one.agency.client(slug)

    def look(request: httpx.Request) -> None:
        seen.append(f"{vars(request)} {request.headers.raw}")

    client.event_hooks = {"request": [look], "response": [lambda a: look(a.request)]}
    threads = [threading.Thread(target=client.get, args=(PATH,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 16
    assert not shown(json.dumps(seen).encode(), there + secrets_of(one))


class Full:
    """A store that takes nothing, and whose errors are raised below what is to be kept."""

    uri = "full:"

    def put(self, name: SecretName, secret: Secret) -> None:
        raise WriteNotConfirmed(f"Nothing was kept of {name}.")


def test_a_store_that_fails_shows_no_secret_of_the_app(one: Authorised) -> None:
    app, there = one.agency.apps.read(one.server.url), secrets_of(one)
    one.agency.store = Full()
    with pytest.raises(WriteNotConfirmed) as caught:
        one.agency.apps.keep(app)
    assert caught.value.__traceback__ is not None
    inner = caught.value.with_traceback(caught.value.__traceback__.tb_next)
    assert not shown(told(inner).encode(), there)
