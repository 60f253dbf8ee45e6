"""What several folders of tests build: an agency that is connected to a sandbox."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hsagency import onboarding
from hsagency.agency import Agency
from hsagency.sandbox import Sandbox, SandboxServer, serve
from hsagency.sandbox.clients_csv import COLUMNS, client_rows


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
