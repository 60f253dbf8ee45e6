"""The OAuth endpoints of an app, and the uninstall call."""

from __future__ import annotations

from hsagency.sandbox.routes import Route


def oauth_routes() -> list[Route]:
    """Return the routes of this module."""
    return []
