"""Many records in one request: read, create, update, upsert, archive."""

from __future__ import annotations

from hsagency.sandbox.routes import Route


def batch_routes() -> list[Route]:
    """Return the routes of this module."""
    return []
