"""What tests of fleet jobs share: what a job does, and how its rows are looked at."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl

from hsagency.client import PortalClient
from hsagency.portals import ClientSlug
from tests.support import Connected

CONTACTS = "/crm/v3/objects/contacts"


def ids(portal: PortalClient) -> list[str]:
    return [one["id"] for one in portal.get(CONTACTS).json()["results"]]


def row(results: pl.DataFrame, slug: str) -> dict[str, object]:
    return results.row(by_predicate=pl.col("client_slug") == slug, named=True)


def outcomes(results: pl.DataFrame) -> dict[str, str]:
    return dict(results.select("client_slug", "outcome").iter_rows())


def change(fleet: Connected, slug: str, **fields: object) -> None:
    fleet.agency.index.update(ClientSlug(slug), generation=1, **fields)


def received(fleet: Connected, slug: str) -> list[str]:
    """Return the paths that a portal was asked for, but for who it is."""
    (portal,) = (one for one in fleet.sandbox.portals if one.client_slug == slug)
    asked = [one.path for one in fleet.sandbox.ledger(portal.portal_id)]
    return [path for path in asked if path.startswith("/crm")]


class Watch:
    """Shows nothing, and remembers what it was told."""

    def __init__(self) -> None:
        self.bars: list[tuple[str, int]] = []
        self.done, self.notes = 0, list[str]()

    def __call__(self, what: str, total: int) -> Watch:
        self.bars.append((what, total))
        return self

    def __enter__(self) -> Callable[..., None]:
        return self.step

    def __exit__(self, *_: object) -> None:
        return

    def step(self, done: int, /, note: str = "") -> None:
        self.done += done
        self.notes.append(note)
