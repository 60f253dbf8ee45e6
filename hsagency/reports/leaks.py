"""
A last look at what is about to be saved: no token, and nothing of another client.

Looked for are the shapes of secrets, a UUID on its own (it may be all of a token but its first
letters), and the slugs and portal ids of the other clients: a slug as a word, in any case and
with any dash, and from six letters on inside a longer word too. Words that the notebook itself
uses are no evidence of a leak: a client may well be called "contacts". Names of people, and
other clients' portals under another name than their slug, are not recognised.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from html.parser import HTMLParser
from typing import Any, Final

from hsagency.portals import redact

_IDENTITY: Final = re.compile(r"AGE-SECRET-KEY-1[0-9A-Z]*", re.IGNORECASE)
_UUID: Final = re.compile(r"(?<![0-9a-f])[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}(?![0-9a-f])")
_WORD: Final = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_DASH: Final = re.compile("[\u2010-\u2015\u2212\ufe58\ufe63\uff0d]")
_UNSEEN: Final = re.compile("[\u00ad\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]")
_LONG: Final = 6  # a shorter slug may as well be a part of any word
_NUMBER: Final = re.compile(r"(?<![\d.])(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)")
# A shorter number may as well be a count of something, unless it is called a portal's.
_TELLING: Final = 7
_CALLED: Final = re.compile(r"portal\D{0,12}(\d+)", re.IGNORECASE)
# Attributes and keys of a chart's form rather than of its content.
_FORM: Final = {
    *("class", "style", "scope", "src", "config", "$schema", "type", "mark", "format"),
    *("direction", "orient", "anchor"),
}


def words(text: str) -> set[str]:
    """Return the words of a text, slugs whole, and what is joined by underscores also as one."""
    flat = folded(text)
    return {*_WORD.findall(flat), *_WORD.findall(flat.replace("_", "-"))}


def folded(text: str) -> str:
    """Return a text in small letters, with plain dashes and without what is not seen."""
    plain = _UNSEEN.sub("", unicodedata.normalize("NFKC", text)).casefold()
    return _DASH.sub("-", plain)


def redacted(text: str) -> str:
    """Return a text without anything of a secret's shape: tokens, and identities of age."""
    return _IDENTITY.sub("AGE-SECRET-KEY-…", redact(text))


def one_line(text: str) -> str:
    """Return a text in one line, without what would steer a terminal."""
    return " ".join("".join(one if one.isprintable() else " " for one in text).split())


def leaks(page: str, *, others: Mapping[str, Iterable[int]], harmless: Iterable[str]) -> list[str]:
    """
    Name what must not be in a page: other clients by slug, with their portal ids.

    The secret itself is not repeated. An empty list says that nothing was recognised.
    """
    text = "\n".join(content(page))
    found = ["something of a secret's shape"] if _secret(page) or _secret(text) else []
    if _UUID.search(folded(text)):
        found.append("a UUID, which may be a token's")
    allowed = set(harmless)
    present = words(text) - allowed
    numbers = {digits.replace(",", "") for digits in _NUMBER.findall(text)}
    ids = {one for one in numbers if len(one) >= _TELLING} | set(_CALLED.findall(text))
    for slug, portal_ids in sorted(others.items()):
        if slug in present or (slug not in allowed and _is_inside(slug, present)):
            found.append(f"the client {slug}")
        found += [f"portal {one} of the client {slug}" for one in portal_ids if str(one) in ids]
    return found


def _secret(text: str) -> bool:
    flat = folded(text)
    return redacted(text) != text or redacted(flat) != flat


def _is_inside(slug: str, present: set[str]) -> bool:
    return len(slug) >= _LONG and any(slug in word for word in present)


def content(page: str) -> list[str]:
    """Return what a page says: its text, its charts' data and its attributes."""
    reader = _Content()
    reader.feed(page)
    reader.close()
    return reader.found


class _Content(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        del tag
        for name, value in attrs:
            if value and name not in _FORM:
                # What draws pictures gives their elements random names.
                self.found.append(_UUID.sub("", value) if name in ("id", "for") else value)

    def handle_data(self, data: str) -> None:
        try:
            chart = json.loads(data) if data.startswith("{") else None
        except ValueError:
            chart = None
        self.found += [data] if chart is None else _said(chart)


def _said(value: Any) -> Iterator[str]:
    """Yield the texts and numbers of a chart, but not the words of its form."""
    if isinstance(value, dict):
        for name, one in value.items():
            if name not in _FORM:
                yield from _said(one)
    elif isinstance(value, list):
        for one in value:
            yield from _said(one)
    else:
        yield str(value)
