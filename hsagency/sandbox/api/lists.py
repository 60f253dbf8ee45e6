"""Lists and their memberships."""

from __future__ import annotations

from hsagency.sandbox.routes import Route


def lists_routes() -> list[Route]:
    """Return the routes of this module."""
    return []
