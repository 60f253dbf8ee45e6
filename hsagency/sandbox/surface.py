"""What is simulated, as a list: the routes of each family, with their methods and versions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from hsagency.sandbox.api import FAMILIES
from hsagency.sandbox.desk import DeskRoute
from hsagency.sandbox.routes import Route


@dataclass(frozen=True, slots=True)
class Place:
    """One path, whatever its version, and what can be done there."""

    family: str
    path: str
    methods: tuple[str, ...]
    versions: tuple[str, ...]


def surface() -> tuple[Place, ...]:
    """Return everything that is simulated, family by family."""
    return tuple(place for family in FAMILIES for place in _places(family))


def surface_as_text(*, as_json: bool = False) -> str:
    """Write the list for people, or as JSON."""
    if as_json:
        return json.dumps([asdict(place) for place in surface()], indent=1)
    lines: list[str] = []
    family = ""
    for place in surface():
        if place.family != family:
            family = place.family
            lines += ["", family] if lines else [family]
        verbs, versions = " ".join(place.methods), " ".join(place.versions)
        lines.append(
            f"  {verbs:<20} {place.path}  ({versions})"
            if versions
            else f"  {verbs:<20} {place.path}"
        )
    return "\n".join(lines)


def methods(route: Route) -> tuple[str, ...]:
    """Return what can be done at a route, whoever answers it."""
    return tuple(sorted(route.answers if isinstance(route, DeskRoute) else route.endpoints))


def _places(family: str) -> Iterator[Place]:
    versions: dict[tuple[str, tuple[str, ...]], dict[str, None]] = {}
    for route in FAMILIES[family]:
        versions.setdefault((route.name, methods(route)), {})[route.version] = None
    for (name, known), found in versions.items():
        yield Place(family, name, known, tuple(version for version in found if version))
