"""Marketing forms."""

from __future__ import annotations

from hsagency.sandbox.routes import Route


def forms_routes() -> list[Route]:
    """Return the routes of this module."""
    return []
