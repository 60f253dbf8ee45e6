"""Search for records."""

from __future__ import annotations

from hsagency.sandbox.routes import Route


def search_routes() -> list[Route]:
    """Return the routes of this module."""
    return []
