"""
Which function answers which path.

A route is a template such as `/crm/objects/2026-09/{type}/{id}`; the version is part of the
template, because HubSpot moved it when it introduced dated versions. A path that is known with
another method is a 405, any other a 404.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from hsagency.sandbox.state import Call
from hsagency.sandbox.wire import ApiError, JsonObject

Outcome: TypeAlias = tuple[int, JsonObject | None]
Handler: TypeAlias = Callable[[Call], Outcome]

DATED = ("2026-03", "2026-09")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One method of one route; `scope` may hold `{type}`, and None asks for none."""

    handler: Handler
    scope: str | None = None


@dataclass(frozen=True, slots=True)
class Route:
    """
    A path template and what its methods do.

    An `open` route takes no bearer token, finds its portal in the body and is in no rate limit.
    """

    template: str
    version: str
    endpoints: Mapping[str, Endpoint]
    open: bool = False
    parts: tuple[str, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "parts", tuple(self.template.strip("/").split("/")))

    def match(self, segments: tuple[str, ...]) -> dict[str, str] | None:
        """Return what the braces hold, or None if the path is another one."""
        found = {}
        for part, segment in zip(self.parts, segments, strict=True):
            if part[0] == "{" and segment:
                found[part[1:-1]] = segment
            elif part != segment:
                return None
        return found


@dataclass(frozen=True, slots=True)
class Match:
    """A route found, with the values from the path."""

    route: Route
    values: dict[str, str]

    def endpoint(self, method: str) -> Endpoint:
        """Return what this method does here; HEAD is answered like GET."""
        found = self.route.endpoints.get("GET" if method == "HEAD" else method)
        if found is None:
            raise ApiError(
                405,
                "HTTP 405 Method Not Allowed",
                headers=(("Allow", ", ".join(sorted(self.route.endpoints))),),
            )
        return found


class Routes:
    """All routes, found by the number of their parts first."""

    def __init__(self, routes: list[Route]) -> None:
        self._by_length: dict[int, list[Route]] = {}
        for route in routes:
            self._by_length.setdefault(len(route.parts), []).append(route)

    def find(self, segments: tuple[str, ...]) -> Match | None:
        """Return the first route that fits."""
        for route in self._by_length.get(len(segments), ()):
            values = route.match(segments)
            if values is not None:
                return Match(route, values)
        return None


def both_forms(
    old: str, dated: str, endpoints: Mapping[str, Endpoint], *, versions: tuple[str, ...] = DATED
) -> list[Route]:
    """Return a route in its v3 form and in every dated one; `{version}` in `dated` is the date."""
    return [
        Route(old, "v3", endpoints),
        *(Route(dated.replace("{version}", date), date, endpoints) for date in versions),
    ]
