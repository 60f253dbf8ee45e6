"""
What a call touches: its route template, operation class, object type and id.

The table is `data/routes.toml`. A path becomes a template that may be written down: words
the table knows, version segments, and numbers and UUIDs where a row has an id stay;
everything else (an e-mail address, a name, anything looked up by a property) becomes a
placeholder. A call that no row describes is `unclassified`, which no connection type takes for
a read; of it, known words stay alone. What was left out is told to whoever makes a keyed hash
of it, and to nobody else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache, lru_cache
from itertools import product
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
    hides: bool = False
    """Whether the path names something that the template leaves out."""


_VERSION: Final = re.compile(r"v\d{1,2}|20\d{2}-\d{2}(-beta)?", re.ASCII)
# Names of custom objects: type ids and the forms with a p prefix; no free text.
_CUSTOM: Final = re.compile(r"[0-2]-\d{1,9}|p\d*_[a-z0-9_]{1,60}", re.ASCII)
# What may be an id and nothing else; where a property is named, a number may be a telephone's.
_ID: Final = re.compile(
    r"\d{1,20}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE
)
_KEEPS_IDS: Final = frozenset({"{id}", "{label}"})
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
    return _touched(method, path, looks_up(query))


def identifying(method: str, path: str, query: str = "") -> list[str]:
    """
    Return what an address names and no record may hold, decoded; for keyed hashes only.

    >>> identifying("GET", "/crm/owners/2026-09", "email=jane%40example.com&limit=1")
    ['jane@example.com']
    """
    hidden = _read(method, path, by_property=looks_up(query)).hidden
    return [one for one in (*hidden, *_asked_for(query)) if one]


@lru_cache(maxsize=4096)
def _touched(method: str, path: str, by_property: bool) -> Touched:  # noqa: FBT001  (a cache key)
    read = _read(method, path, by_property=by_property)
    template, hides = "/" + "/".join(read.shown), any(read.hidden)
    if read.pattern is None:
        return Touched(template, OperationClass.UNCLASSIFIED, "unknown", None, None, hides)
    operation_class, family = rows()[method, read.pattern]
    return Touched(
        template,
        operation_class,
        family,
        _object_type(read.bare, read.pattern),
        _object_id(read.safe, read.pattern),
        hides,
    )


@dataclass(frozen=True, slots=True)
class _Read:
    """A path, read; what is hidden is not for any repr."""

    pattern: _Pattern | None
    bare: tuple[str, ...]  # without the version
    safe: list[str]
    shown: list[str]
    hidden: list[str]

    def __repr__(self) -> str:
        return f"<_Read {'/'.join(self.shown)}>"


def _read(method: str, path: str, *, by_property: bool) -> _Read:
    segments = [unquote(one) for one in path.split("/", _LONGEST)[1:]]
    if len(segments) > 1 and not segments[-1]:
        segments.pop()  # HubSpot's own clients end some paths with a slash
    version = next((i for i, one in enumerate(segments) if i and _VERSION.fullmatch(one)), None)
    secret = _never(segments)
    if secret is not None:  # known, refused, and nothing of it may be kept in any form
        pattern, bare, safe, hidden = None, secret, list(secret), list[str]()
    else:
        plain = tuple(one for i, one in enumerate(segments) if i != version)
        pattern, bare = _best(method, plain)
        safe = list(_safe(bare, pattern, keep_ids=not by_property))
        hidden = [got for got, kept in zip(bare, safe, strict=True) if got != kept]
    shown = safe if version is None else [*safe[:version], segments[version], *safe[version:]]
    return _Read(pattern, bare, safe, shown, hidden)


def _asked_for(query: str) -> list[str]:
    """Return the values of a query that name somebody or something."""
    if not names_somebody(query):
        return []
    given = parse_qsl(query, keep_blank_values=True)
    return [value for name, value in given if _is_identifying(name)]


def names_somebody(query: str) -> bool:
    """Say whether a query has a parameter whose value names somebody or something."""
    if not query:
        return False
    names = {name.lower() for name in _names(query)}
    exact, prefixes = _query_names()
    return not exact.isdisjoint(names) or any(name.startswith(prefixes) for name in names)


def is_id(text: str) -> bool:
    """Say whether a text is a number or a UUID, as records keep them."""
    return _ID.fullmatch(text) is not None


def _is_identifying(name: str) -> bool:
    name = name.lower()
    exact, prefixes = _query_names()
    return name in exact or name.startswith(prefixes)


@cache
def _query_names() -> tuple[frozenset[str], tuple[str, ...]]:
    listed = table("routes")["query"]
    return frozenset(listed["identifying"]), tuple(listed["prefixes"])


def looks_up(query: str) -> bool:
    """Say whether a query names the property that ids are looked up by: then they are none."""
    return bool(query) and any(is_lookup(name) for name in _names(query))


def is_lookup(name: str) -> bool:
    """
    Say whether this is what HubSpot calls the property that ids are looked up by.

    >>> is_lookup("idProperty"), is_lookup("IDPROPERTY"), is_lookup("id")
    (True, True, False)
    """
    return name.lower() == "idproperty"


def secret_in_url(path: str, query: str) -> bool:
    """Say whether this is one of HubSpot's calls that carry a secret in the URL."""
    names = {name.lower() for name in _names(query)}
    segments = unquote(path).split("/")[1:]
    return _never(segments) is not None or not names.isdisjoint(table("routes")["never"]["query"])


def _never(segments: Iterable[str]) -> _Pattern | None:
    """Return the pattern of paths with a secret that this path begins with."""
    bare = [one for one in segments if not _VERSION.fullmatch(one)]
    for pattern in _secret_paths():
        pairs = zip(pattern, bare, strict=False)
        if len(bare) >= len(pattern) and all(_fits(word, got.lower()) for word, got in pairs):
            return pattern
    return None


def _fits(word: str, got: str) -> bool:
    return word[0] == "{" or word == got


@cache
def _secret_paths() -> tuple[_Pattern, ...]:
    return tuple(tuple(path.split("/")[1:]) for path in table("routes")["never"]["paths"])


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
def rows() -> Mapping[tuple[str, _Pattern], tuple[OperationClass, str]]:
    """Return the table: class and family by method and the segments of a path."""
    return {
        (method, tuple(segments)): (OperationClass(does), family["name"])
        for family in table("routes")["family"]
        for row, does in family["rows"]
        for method, *segments in _alternatives(row)
    }


def _alternatives(row: str) -> Iterable[tuple[str, ...]]:
    """Return method and segments of each row that a line of the table stands for."""
    methods, path = row.split(" ")
    return product(*(part.split("|") for part in (methods, *path.split("/")[1:])))


@cache
def _by_length() -> dict[tuple[str, int], list[_Pattern]]:
    """Return the patterns for a method and length, those with most literal words first."""
    grouped: dict[tuple[str, int], list[_Pattern]] = {}
    for method, pattern in rows():
        grouped.setdefault((method, len(pattern)), []).append(pattern)
    for patterns in grouped.values():
        patterns.sort(key=lambda one: sum(word.startswith("{") for word in one))
    return grouped


@cache
def _open_ended() -> dict[str, list[_Pattern]]:
    """Return the patterns for a method whose last place takes all that follows, longest first."""
    grouped: dict[str, list[_Pattern]] = {}
    for method, pattern in sorted(rows(), key=lambda row: -len(row[1])):
        if pattern[-1] == "{path}":
            grouped.setdefault(method, []).append(pattern)
    return grouped


@cache
def _words() -> frozenset[str]:
    """Return every literal word of the table and every known object type."""
    literal = {word for _, pattern in rows() for word in pattern if not word.startswith("{")}
    return frozenset(literal | set(table("routes")["types"]["known"]))


def _best(method: str, bare: tuple[str, ...]) -> tuple[_Pattern | None, tuple[str, ...]]:
    """Return the pattern of a path, and the path in as many parts as the pattern has."""
    for pattern in _by_length().get((method, len(bare)), ()):
        if _is_like(bare, pattern):
            return pattern, bare
    for pattern in _open_ended().get(method, ()):
        last = len(pattern) - 1
        folded = (*bare[:last], "/".join(bare[last:]))
        if len(bare) > last and _is_like(folded, pattern):
            return pattern, folded
    return None, bare


def _is_like(bare: tuple[str, ...], pattern: _Pattern) -> bool:
    pairs = zip(pattern, bare, strict=True)
    return all(word == got or (word[0] == "{" and got) for word, got in pairs)


def _safe(bare: tuple[str, ...], pattern: _Pattern | None, *, keep_ids: bool) -> Iterator[str]:
    """Yield each segment, or its placeholder if it may not be written down."""
    for position, got in enumerate(bare):
        place = pattern[position] if pattern else "{}"
        known = pattern is None and got in _words()
        is_id = keep_ids and place in _KEEPS_IDS and _ID.fullmatch(got)
        is_type = place in ("{type}", "{other}") and _is_type(got)
        yield got if place == got or known or is_id or is_type else place


@cache
def object_types() -> frozenset[str]:
    """Return every object type that HubSpot itself names; no portal's own names or numbers."""
    fixed = {row[1] for _, row in rows() if row[0] == "crm" and len(row) > 1}
    types = table("routes")
    return frozenset(fixed | {"custom", *types["types"]["known"], *types["names"]})


def is_object_type(name: str) -> bool:
    """
    Say whether HubSpot itself names an object type so, in whichever case.

    >>> is_object_type("contacts"), is_object_type("p_acme_corp")
    (True, False)
    """
    return name.isascii() and name.lower() in object_types()


def spellings(name: str) -> frozenset[str]:
    """
    Return how paths and records name an object type, in small letters; none for what is none.

    >>> sorted(spellings("deal"))
    ['0-3', 'deal', 'deals']
    """
    given = name.lower()
    names: Mapping[str, str] = table("routes")["names"]
    plain = names.get(given, given)
    if not (is_object_type(plain) or _is_type(plain)):
        return frozenset()
    return frozenset({given, plain, *(one for one, meant in names.items() if meant == plain)})


def _is_type(text: str) -> bool:
    return text in table("routes")["types"]["known"] or _CUSTOM.fullmatch(text) is not None


def _object_type(bare: tuple[str, ...], pattern: _Pattern) -> str | None:
    """Return the object type by name, whichever of its ids or names the path used."""
    if "{type}" not in pattern:
        if pattern[0] == "crm" and len(pattern) > 1:
            return pattern[1]
        area: str | None = table("routes")["areas"].get(pattern[0])
        return area
    got = bare[pattern.index("{type}")]
    name: str = table("routes")["names"].get(got, got)
    return name if _is_type(name) else "custom"


def _object_id(safe: list[str], pattern: _Pattern) -> str | None:
    if "{id}" not in pattern:
        return None
    got = safe[pattern.index("{id}")]
    return got if _ID.fullmatch(got) else None
