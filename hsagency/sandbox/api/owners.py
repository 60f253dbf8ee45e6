"""The owners of records."""

from __future__ import annotations

from hsagency.sandbox.routes import Route


def owners_routes() -> list[Route]:
    """Return the routes of this module."""
    return []
