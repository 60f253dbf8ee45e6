"""A workspace beside a served sandbox, and the client lists that connect the two."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hsagency import onboarding
from hsagency.agency import Agency
from hsagency.credentials import SecretName
from hsagency.onboarding import Result
from hsagency.portals import Connection
from hsagency.sandbox import Portal, Sandbox, serve
from hsagency.secret import Secret

COLUMNS = ("clientSlug", "portalToken", "expectedPortalId")


@dataclass(frozen=True)
class Fleet:
    """A served sandbox and a workspace beside it."""

    sandbox: Sandbox
    url: str
    agency: Agency

    @property
    def root(self) -> Path:
        return self.agency.workspace.root

    def plan(self, content: bytes, **options: object) -> onboarding.Plan:
        return onboarding.plan_file(self.agency, content, api=self.url, **options)

    def onboard(self, content: bytes | None = None, **options: object) -> Result:
        plan = self.plan(client_list(self.sandbox) if content is None else content, **options)
        return onboarding.apply(self.agency, plan, digest=plan.digest)


@contextmanager
def fleet(root: Path, *, portals: int = 3, sandbox: Sandbox | None = None) -> Iterator[Fleet]:
    """Serve a sandbox and make an empty workspace in `root`."""
    box = sandbox or Sandbox(portals=portals, contacts=2)
    with serve(box) as server, Agency.create(root, store="age:credentials") as agency:
        yield Fleet(box, server.url, agency)


@contextmanager
def connected(root: Path, *, portals: int = 3) -> Iterator[Fleet]:
    """Serve a sandbox and make a workspace in which all of its portals are connected."""
    with fleet(root, portals=portals) as one:
        assert one.onboard().complete
        yield one


def row(portal: Portal, **changes: str) -> dict[str, str]:
    """Return the line of a client list for a portal."""
    return {
        "clientSlug": portal.client_slug,
        "portalToken": portal.token,
        "expectedPortalId": str(portal.portal_id),
        **changes,
    }


def client_list(rows: Sandbox | Iterable[Mapping[str, str]]) -> bytes:
    """Return a client list as its file would be, of a sandbox's portals or of rows."""
    rows = [row(one) for one in rows.portals] if isinstance(rows, Sandbox) else list(rows)
    names = list(dict.fromkeys([*COLUMNS, *(name for one in rows for name in one)]))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def stored_secret(agency: Agency, connection: Connection, *, generation: int = 0) -> Secret:
    """Read a connection's secret from the store, as the router would."""
    name = SecretName(
        workspace=agency.workspace.settings.workspace,
        slug=connection.client_slug,
        generation=generation or connection.generation,
    )
    return agency.store.get(name)


def tree(folder: Path) -> dict[str, bytes]:
    """Return the content of all files below a folder, by name; locks left out."""
    return {
        str(one.relative_to(folder)): one.read_bytes()
        for one in sorted(folder.rglob("*"))
        if one.is_file() and one.suffix != ".lock" and one.name != ".lock"
    }
