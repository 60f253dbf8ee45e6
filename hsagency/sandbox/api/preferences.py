"""Communication preferences, with the address in the path."""

from __future__ import annotations

from hsagency.sandbox.routes import Route


def preferences_routes() -> list[Route]:
    """Return the routes of this module."""
    return []
