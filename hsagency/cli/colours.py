"""Colours of a status, where the output is a terminal and nobody asked for none; words always."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from hsagency.health import HealthStatus


def coloured(text: str, status: HealthStatus | str) -> str:
    """Return a text in its status's colour: connected is green, what needs reconnection yellow."""
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return text
    return click.style(
        text, fg={"connected": "green", "needs_reconnection": "yellow"}.get(status, "red")
    )
