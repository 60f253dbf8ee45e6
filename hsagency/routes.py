"""
What a call touches: its route template, operation class, object type and id.

The table is `data/routes.toml`. A path becomes a template that may be written down: words
the table knows, version segments and numeric ids stay; everything else (an e-mail address, a
name, anything looked up by a property) becomes a placeholder. A call that no row describes is
`unclassified`, which no connection type takes for a read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cache, lru_cache
from typing import Final
from urllib.parse import parse_qsl, unquote

from hsagency.data import table
from hsagency.portals import ConnectionType


class OperationClass(StrEnum):
    """What a call does to a portal."""

    READ = "read"
    WRITE = "write"
    DELETE = "delete"
    EXPORT = "export"
    SEND = "send"
    ADMIN = "admin"
    UNCLASSIFIED = "unclassified"


@dataclass(frozen=True, slots=True)
class Touched:
    """What one call touches, in words that may be written down."""

    template: str
    operation_class: OperationClass
    family: str
    object_type: str | None
    object_id: str | None


_VERSION: Final = re.compile(r"v\d{1,2}|20\d{2}-\d{2}(-beta)?", re.ASCII)
# Names of custom objects: type ids and the forms with a p prefix; no free text.
_CUSTOM: Final = re.compile(r"[0-2]-\d{1,9}|p\d*_[a-z0-9_]{1,60}", re.ASCII)
_NUMBER: Final = re.compile(r"\d{1,20}", re.ASCII)
_LONGEST: Final = 12  # segments, more than any row has; the rest is one, so a record stays short
_Pattern = tuple[str, ...]


def touched(method: str, path: str, query: str = "") -> Touched:
    """
    Return what a call touches, from its method, path and query string.

    >>> touched("GET", "/crm/objects/2026-09/contacts/jane@example.com", "idProperty=email").template
    '/crm/objects/2026-09/contacts/{id}'
    >>> str(touched("POST", "/crm/v3/objects/0-3/search").operation_class)
    'read'
    """
    # The query stays out of the cache: it is new on every page and may hold personal data.
    return _touched(method, path, "idProperty" in _names(query))


@lru_cache(maxsize=4096)
def _touched(method: str, path: str, by_property: bool) -> Touched:  # noqa: FBT001  (a cache key)
    segments = [unquote(one) for one in path.split("/", _LONGEST)[1:]]
    version = next((i for i, one in enumerate(segments) if i and _VERSION.fullmatch(one)), None)
    bare = tuple(one for i, one in enumerate(segments) if i != version)
    pattern = _best(method, bare)
    safe = list(_safe(bare, pattern, keep_numbers=not by_property))
    shown = safe if version is None else [*safe[:version], segments[version], *safe[version:]]
    if pattern is None:
        return Touched("/" + "/".join(shown), OperationClass.UNCLASSIFIED, "unknown", None, None)
    operation_class, family = _rows()[method, pattern]
    return Touched(
        "/" + "/".join(shown),
        operation_class,
        family,
        _object_type(bare, pattern),
        _object_id(safe, pattern),
    )


def secret_in_url(path: str, query: str) -> bool:
    """Say whether this is one of HubSpot's calls that carry a secret in the URL."""
    never = table("routes")["never"]
    segments = unquote(path).lower().split("/")[1:]
    bare = "/" + "/".join(one for one in segments if not _VERSION.fullmatch(one))
    names = {name.lower() for name in _names(query)}
    return bare.startswith(tuple(never["paths"])) or not names.isdisjoint(never["query"])


def _names(query: str) -> set[str]:
    """Return the names of a query's parameters, read as HubSpot reads them."""
    if "%" not in query and "+" not in query:  # nearly always, and four times as quick
        return {pair.partition("=")[0] for pair in query.split("&")}
    return {name for name, _ in parse_qsl(query, keep_blank_values=True)}


def refusal(connection_type: ConnectionType, call: Touched) -> str | None:
    """Return why a connection type does not allow a call, or nothing if it does."""
    does, family = call.operation_class, call.family
    if does is OperationClass.UNCLASSIFIED:
        return "the route table does not know this path (check how it is spelt)"
    if connection_type is ConnectionType.AUDIT_ONLY and does is not OperationClass.READ:
        return f"an audit_only connection reads, and this call is {_article(does)}"
    if connection_type is ConnectionType.CONFIG_ONLY:
        if family not in ("config", "identity"):
            return "a config_only connection touches configuration, not records or activity"
        if does not in (OperationClass.READ, OperationClass.WRITE):
            return f"a config_only connection reads and writes, and this call is {_article(does)}"
    return None


def _article(does: OperationClass) -> str:
    return f"{'an' if does[0] in 'aeiou' else 'a'} {does}"


@cache
def _rows() -> dict[tuple[str, _Pattern], tuple[OperationClass, str]]:
    return {
        (method, tuple(path.split("/")[1:])): (OperationClass(does), family["name"])
        for family in table("routes")["family"]
        for row, does in family["rows"]
        for method, path in (row.split(" "),)
    }


@cache
def _by_length() -> dict[tuple[str, int], list[_Pattern]]:
    """Return the patterns for a method and length, those with most literal words first."""
    grouped: dict[tuple[str, int], list[_Pattern]] = {}
    for method, pattern in _rows():
        grouped.setdefault((method, len(pattern)), []).append(pattern)
    for patterns in grouped.values():
        patterns.sort(key=lambda one: sum(word.startswith("{") for word in one))
    return grouped


@cache
def _words() -> frozenset[str]:
    """Return every literal word of the table and every known object type."""
    literal = {word for _, pattern in _rows() for word in pattern if not word.startswith("{")}
    return frozenset(literal | set(table("routes")["types"]["known"]))


def _best(method: str, bare: tuple[str, ...]) -> _Pattern | None:
    for pattern in _by_length().get((method, len(bare)), ()):
        pairs = zip(pattern, bare, strict=True)
        if all(word == got or (word[0] == "{" and got) for word, got in pairs):
            return pattern
    return None


def _safe(bare: tuple[str, ...], pattern: _Pattern | None, *, keep_numbers: bool) -> Iterator[str]:
    """Yield each segment, or its placeholder if it may not be written down."""
    for position, got in enumerate(bare):
        place = pattern[position] if pattern else "{}"
        if place == got or (pattern is None and got in _words()):
            yield got
        elif _NUMBER.fullmatch(got):
            yield got if keep_numbers else "{id}"
        elif place in ("{type}", "{other}") and _is_type(got):
            yield got
        else:
            yield place


@cache
def object_types() -> frozenset[str]:
    """Return every object type that HubSpot itself names; no portal's own names or numbers."""
    fixed = {row[1] for _, row in _rows() if row[0] == "crm" and len(row) > 1}
    types = table("routes")
    return frozenset(fixed | {"custom", *types["types"]["known"], *types["names"]})


def is_object_type(name: str) -> bool:
    """
    Say whether HubSpot itself names an object type so, in whichever case.

    >>> is_object_type("contacts"), is_object_type("p_acme_corp")
    (True, False)
    """
    return name.isascii() and name.lower() in object_types()


def _is_type(text: str) -> bool:
    return text in table("routes")["types"]["known"] or _CUSTOM.fullmatch(text) is not None


def _object_type(bare: tuple[str, ...], pattern: _Pattern) -> str | None:
    """Return the object type by name, whichever of its ids or names the path used."""
    if "{type}" not in pattern:
        return pattern[1] if pattern[0] == "crm" and len(pattern) > 1 else None
    got = bare[pattern.index("{type}")]
    name: str = table("routes")["names"].get(got, got)
    return name if _is_type(name) else "custom"


def _object_id(safe: list[str], pattern: _Pattern) -> str | None:
    if "{id}" not in pattern:
        return None
    got = safe[pattern.index("{id}")]
    return got if _NUMBER.fullmatch(got) else None
