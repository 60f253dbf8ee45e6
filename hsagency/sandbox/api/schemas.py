"""Schemas of custom objects."""

from __future__ import annotations

from hsagency.sandbox.routes import Route


def schemas_routes() -> list[Route]:
    """Return the routes of this module."""
    return []
