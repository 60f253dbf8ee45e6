"""Properties and their groups."""

from __future__ import annotations

from hsagency.sandbox.routes import Route


def properties_routes() -> list[Route]:
    """Return the routes of this module."""
    return []
