"""Pipelines and their stages."""

from __future__ import annotations

from hsagency.sandbox.routes import Route


def pipelines_routes() -> list[Route]:
    """Return the routes of this module."""
    return []
