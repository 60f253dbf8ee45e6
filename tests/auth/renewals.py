"""What the tests of renewals share: how often a portal's token was renewed, and moved clocks."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import httpx

from hsagency.auth import Authorisation
from hsagency.errors import HsAgencyError
from hsagency.sandbox import Fault
from tests.support import Authorised

CONTACTS = "/crm/v3/objects/contacts"
TOKEN = "/oauth/2026-09/token"


def renewals(one: Authorised, slug: str) -> int:
    """Count how often the token endpoint was asked since the portal was connected."""
    asked = [entry for entry in one.asked(slug) if entry.path == TOKEN]
    return len(asked) - 1  # the first traded the code


def due(one: Authorised, slug: str, *, left: float = 200) -> Authorisation:
    """Let most of an access token's life be over, with so many seconds left."""
    ends = datetime.now(UTC) + timedelta(seconds=left)
    return one.keep(slug, issued_at=ends - timedelta(seconds=1800), expires_at=ends)


def refusing(status: int = 503, *, times: int | None = None, body: str | None = None) -> Fault:
    """Return a fault of the token endpoint alone."""
    if body is not None:
        return Fault("malformed", path=TOKEN, body=body, times=times)
    return Fault("status", status=status, path=TOKEN, times=times)


def together(work: Callable[[int], object], *, threads: int = 16) -> list[object]:
    """Run something in many threads that begin at the same moment; errors are results."""
    gate = threading.Barrier(threads)

    def run(number: int) -> object:
        gate.wait()
        try:
            return work(number)
        except (HsAgencyError, httpx.HTTPError) as error:
            return error

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(run, range(threads)))
