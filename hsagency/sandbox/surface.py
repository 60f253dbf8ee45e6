"""What is simulated, as a list: the routes of each family, with their methods and versions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from hsagency.sandbox.api import FAMILIES
from hsagency.sandbox.contents.definitions import BUILT_IN
from hsagency.sandbox.desk import DeskRoute
from hsagency.sandbox.routes import Route

_VERBS = ("GET", "POST", "PUT", "PATCH", "DELETE")


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
    types = ", ".join(f"{kind.name} ({kind.type_id})" for kind in BUILT_IN.values())
    lines += ["", f"{{type}} and {{other}} are {types},", "or a custom object of the portal."]
    return "\n".join(lines)


def methods(route: Route) -> tuple[str, ...]:
    """Return what can be done at a route, whoever answers it."""
    known = route.answers if isinstance(route, DeskRoute) else route.endpoints
    return tuple(sorted(known, key=_VERBS.index))


def _places(family: str) -> Iterator[Place]:
    versions: dict[tuple[str, tuple[str, ...]], set[str]] = {}
    for route in FAMILIES[family]:
        versions.setdefault((route.name, methods(route)), set()).add(route.version)
    for (name, known), found in versions.items():
        yield Place(family, name, known, tuple(sorted(filter(None, found), key=_age)))


def _age(version: str) -> tuple[bool, str]:
    """Sort versions by when they came: numbers are older than dates."""
    return not version.startswith("v"), version
