"""Which scopes a connection type needs, and what a credential's scopes let it do."""

from __future__ import annotations

from hsagency.data import table
from hsagency.portals import ConnectionType


def missing_scopes(connection_type: ConnectionType, scopes: tuple[str, ...]) -> dict[str, str]:
    """Return the scopes a connection type needs and a token lacks, with the reason for each."""
    held = {scope.removesuffix(".v2") for scope in scopes}
    return {
        one["name"]: one["why"]
        for one in table("scopes")["scope"]
        if connection_type in one["required"] and one["name"] not in held
    }


def lacking(connection_type: ConnectionType, scopes: tuple[str, ...]) -> str | None:
    """Return in words which scopes a token lacks for a connection type, if any."""
    missing = missing_scopes(connection_type, scopes)
    why = ", ".join(f"{name} ({reason})" for name, reason in missing.items())
    return f"the token lacks scopes that {connection_type} needs: {why}" if missing else None


def surplus_scopes(connection_type: ConnectionType, scopes: tuple[str, ...]) -> list[str]:
    """Return the scopes that can change something on a connection that must not."""
    marks = tuple(table("scopes")["surplus"].get(connection_type, ()))
    return [one for one in scopes if marks and one.removesuffix(".v2").endswith(marks)]
