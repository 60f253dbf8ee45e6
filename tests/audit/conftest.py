"""A writer on real files, portal clients that write through it, and the record's schema."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeAlias

import httpx
import jsonschema
import orjson
import pytest

from hsagency.audit.journal.writer import AuditWriter
from hsagency.client import Channel, PortalClient
from hsagency.halt import Halt
from hsagency.portals import ClientSlug, ConnectionType, PortalId
from hsagency.sandbox import Sandbox
from hsagency.secret import Secret
from hsagency.transport import Binding
from tests.audit.reading import AUTHOR
from tests.support import once

Connect: TypeAlias = Callable[..., PortalClient]


@dataclass
class Disk:
    """Flushes for real, counts the flushes, and knows how much of each file is safe."""

    flushes: int = 0
    safe: dict[int, int] = field(default_factory=dict)  # by inode

    def sync(self, descriptor: int) -> None:
        size = os.fstat(descriptor).st_size  # what comes later may not be covered
        os.fsync(descriptor)
        self.flushes += 1
        self.safe[os.fstat(descriptor).st_ino] = size


@pytest.fixture
def disk() -> Disk:
    return Disk()


@pytest.fixture
def audit(tmp_path: Path) -> Path:
    """Where the journals are."""
    return tmp_path / "audit"


@pytest.fixture
def writer(audit: Path, disk: Disk) -> Iterator[AuditWriter]:
    with AuditWriter(audit, author=AUTHOR, sync=disk.sync) as one:
        yield one


@pytest.fixture
def sandbox() -> Sandbox:
    return Sandbox(portals=2, contacts=10)


@pytest.fixture
def connect(sandbox: Sandbox, writer: AuditWriter, tmp_path: Path) -> Iterator[Connect]:
    """Make clients of the first portal, in this process or at an address."""
    with ExitStack() as stack:

        def to(url: str = "https://api.hubapi.com", *, wire: Any = None, by: Any = None) -> Any:
            portal = sandbox.portals[0]
            secret = Secret(portal.token)
            way = Channel(
                host=httpx.URL(url),
                credential=lambda: secret,
                writer=by or writer,
                halt=Halt(tmp_path / "halt.json"),
                wire=wire or (sandbox.transport() if "hubapi" in url else None),
            )
            stack.callback(way.close)
            binding = Binding(
                client_slug=ClientSlug("acme-corp"),
                portal_id=PortalId(portal.portal_id),
                connection_type=ConnectionType.CONFIG_AND_AUDIT,
                host=way.host,
                fingerprint=secret.fingerprint,
                generation=1,
                purpose="interactive",
            )
            return stack.enter_context(once(way.client(binding=binding)))

        yield to


@pytest.fixture(scope="session")
def schema() -> dict[str, Any]:
    content = files("hsagency.data").joinpath("record.schema.json").read_bytes()
    return orjson.loads(content)


@pytest.fixture(scope="session")
def validator(schema: dict[str, Any]) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(schema)
