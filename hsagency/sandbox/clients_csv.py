"""The client list that onboards a sandbox's portals, as a client would hand it over."""

from __future__ import annotations

import csv
import io
import os
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from random import Random

from hsagency.errors import SandboxError
from hsagency.sandbox.core import Sandbox
from hsagency.sandbox.portals import MAX_PORTALS, Portal, make_portal, make_token

COLUMNS = ("clientSlug", "portalToken", "expectedPortalId", "kind", "displayName", "tier")


def client_rows(sandbox: Sandbox) -> list[dict[str, str]]:
    """Return one row for each portal of the fleet."""
    return [_row(portal) for portal in sandbox.portals]


def bad_rows(sandbox: Sandbox) -> list[dict[str, str]]:
    """
    Return two rows that onboarding must refuse, the same ones for the same seed.

    The first has a token that nobody knows (401). The second has a valid token of another
    portal than the one it names; neither that token nor that portal is in the fleet, so that
    nothing but asking HubSpot shows the mistake.
    """
    left, mixed_up = (make_portal(MAX_PORTALS + n, seed=sandbox.seed) for n in (1, 2))
    rng = Random(f"{sandbox.seed}/nobody")  # noqa: S311 - repeatable is the point
    return [
        _row(left) | {"portalToken": make_token(left.hublet, rng)},
        _row(mixed_up) | {"portalToken": sandbox.spare.token, "kind": sandbox.spare.kind},
    ]


def write_clients_csv(
    sandbox: Sandbox,
    path: Path,
    *,
    bad_rows: Iterable[Mapping[str, str]] = (),
    replace: bool = False,
) -> None:
    """
    Write the client list: only its owner may read it, and it is whole or not there.

    A file that holds anything else is left alone unless `replace`: it may be a real one.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows([*client_rows(sandbox), *bad_rows])
    content = text.getvalue().encode()
    try:
        if not replace and path.exists() and path.read_bytes() != content:
            raise SandboxError(
                f"{path} exists and holds something else; it was left alone.",
                hint="Name another file, or remove that one.",
            )
        _write(path, content)
    except OSError as error:
        raise SandboxError(f"{path} cannot be written ({error.strerror}).") from error


def _row(portal: Portal) -> dict[str, str]:
    return {
        "clientSlug": portal.client_slug,
        "portalToken": portal.token,
        "expectedPortalId": str(portal.portal_id),
        "kind": portal.kind,
        "displayName": portal.name,
        "tier": portal.tier,
    }


def _write(path: Path, content: bytes) -> None:
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # 0600
    beside = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        with suppress(FileNotFoundError):
            beside.unlink()
