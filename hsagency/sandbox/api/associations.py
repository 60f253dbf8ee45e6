"""Associations between records and their labels."""

from __future__ import annotations

from hsagency.sandbox.routes import Route


def associations_routes() -> list[Route]:
    """Return the routes of this module."""
    return []
