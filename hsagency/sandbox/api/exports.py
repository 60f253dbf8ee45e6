"""Exports of records to a file."""

from __future__ import annotations

from hsagency.sandbox.routes import Route


def exports_routes() -> list[Route]:
    """Return the routes of this module."""
    return []
