"""
Which function answers which path.

A route is a template such as `/crm/objects/{dated}/{type}/{id}`; the version is part of it,
because HubSpot moved it when it introduced dated versions. A path that is known with another
method is a 405, any other a 404.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from hsagency.sandbox.call import Call
from hsagency.sandbox.contents.definitions import ObjectType
from hsagency.sandbox.limits import Budget
from hsagency.sandbox.wire import ApiError, JsonObject

Outcome: TypeAlias = tuple[int, JsonObject | None]
Handler: TypeAlias = Callable[[Call], Outcome]
# bearer: a portal's call; body: the token is in the body and no limit counts it;
# desk: of an OAuth app, a person or who has a signed address, answered before any portal.
Door: TypeAlias = Literal["bearer", "body", "desk"]

DATED = ("2026-03", "2026-09")
VERSION = re.compile(r"v\d+|\d{4}-\d{2}(-beta)?")
# Object types whose records have a scope of their own, with no word for read or write in it, or
# have it beside the usual one (facts 6).
_SCOPES = {"tickets": ("tickets",)}
_MORE_SCOPES = {"line_items": ("e-commerce",), "products": ("e-commerce",)}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """
    One method of one route, and the scopes of which one must be granted.

    A scope may hold `{type}`; no scopes at all ask for none.
    """

    handler: Handler
    scopes: tuple[str, ...] = ()

    def needs(self, kind: ObjectType | None) -> tuple[str, ...]:
        """Return the scopes that open this endpoint for a type of records."""
        if kind is None or not any("{type}" in scope for scope in self.scopes):
            return self.scopes
        if kind.name in _SCOPES:
            return _SCOPES[kind.name]
        usual = tuple(scope.replace("{type}", kind.scope) for scope in self.scopes)
        return (*usual, *_MORE_SCOPES.get(kind.name, ()))


@dataclass(frozen=True, slots=True)
class Route:
    """
    A path template and what its methods do.

    `name` is the template without its version: one word for the old and the dated form.
    """

    template: str
    endpoints: Mapping[str, Endpoint]
    door: Door = "bearer"
    version: str = field(init=False, default="")
    name: str = field(init=False, default="")
    parts: tuple[str, ...] = field(init=False, repr=False, default=())
    # which of HubSpot's limits count a call here
    budget: Budget = field(init=False, default="general")

    def __post_init__(self) -> None:
        parts = tuple(self.template.strip("/").split("/"))
        named = [part for part in parts if not VERSION.fullmatch(part)]
        version = next((part for part in parts if VERSION.fullmatch(part)), "")
        object.__setattr__(self, "parts", parts)
        object.__setattr__(self, "name", "/" + "/".join(named))
        object.__setattr__(self, "version", version)
        object.__setattr__(self, "budget", _budget(self.name))


def _budget(name: str) -> Budget:
    """Return what counts a route: searches and the associations API have limits of their own."""
    if name.startswith("/crm/") and name.endswith("/search"):
        return "search"
    linking = name.startswith("/crm/associations/") or "/{id}/associations/" in name
    return "associations" if linking else "general"


@dataclass(frozen=True, slots=True)
class Match:
    """A route found, with the values from the path."""

    route: Route
    values: dict[str, str] = field(repr=False)

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


class _Node:
    """What may follow one part of a path."""

    __slots__ = ("literal", "route", "value")

    def __init__(self) -> None:
        self.literal: dict[str, _Node] = {}
        self.value: _Node | None = None
        self.route: Route | None = None


class Routes:
    """All routes, as a tree; a literal part wins over one in braces."""

    def __init__(self, routes: list[Route]) -> None:
        self._root = _Node()
        self._all = tuple(routes)
        for route in routes:
            node = self._root
            for part in route.parts:
                if part.startswith("{"):
                    node.value = node = node.value or _Node()
                else:
                    node = node.literal.setdefault(part, _Node())
            if node.route is not None:
                raise ValueError(f"two routes: {node.route.template}, {route.template}")
            node.route = route

    def __iter__(self) -> Iterator[Route]:
        return iter(self._all)

    def find(self, segments: tuple[str, ...]) -> Match | None:
        """Return the route that fits."""
        route = _descend(self._root, segments, 0)
        if route is None:
            return None
        pairs = zip(route.parts, segments, strict=True)
        return Match(route, {part[1:-1]: value for part, value in pairs if part[0] == "{"})


def _descend(node: _Node, segments: tuple[str, ...], depth: int) -> Route | None:
    if depth == len(segments):
        return node.route
    segment = segments[depth]
    follower = node.literal.get(segment)
    if follower is not None:
        found = _descend(follower, segments, depth + 1)
        if found is not None:
            return found
    if node.value is None or not segment:
        return None
    return _descend(node.value, segments, depth + 1)


def routes_at(
    *bases: str,
    tails: Mapping[str, Mapping[str, Endpoint]],
    dated: tuple[str, ...] = DATED,
) -> list[Route]:
    """Return each tail behind each form of its base; `{dated}` stands for each dated version."""
    return [
        Route(base.replace("{dated}", date) + tail, endpoints)
        for tail, endpoints in tails.items()
        for base in bases
        for date in (dated if "{dated}" in base else ("",))
    ]
