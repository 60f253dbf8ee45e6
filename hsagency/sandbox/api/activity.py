"""Audit log, login history and security history of an account."""

from __future__ import annotations

from hsagency.sandbox.routes import Route


def activity_routes() -> list[Route]:
    """Return the routes of this module."""
    return []
