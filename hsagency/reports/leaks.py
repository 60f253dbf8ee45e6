"""
A last look at what is about to be saved: no token, and nothing of another client.

Looked for are the shapes of secrets, and the slugs and portal ids of the other clients as
whole words. Words that the notebook itself uses, and those of the client's own records, are
no evidence of a leak: a client may well be called "contacts". Names of people, and other
clients' portals under another name than their slug, are not recognised.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from html.parser import HTMLParser
from typing import Any, Final

from hsagency.portals import redact

_IDENTITY: Final = re.compile(r"AGE-SECRET-KEY-1[0-9A-Z]*", re.IGNORECASE)
_WORD: Final = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_NUMBER: Final = re.compile(r"(?<![\d.])(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)")
# A shorter number may as well be a count of something, unless it is called a portal's.
_TELLING: Final = 7
_CALLED: Final = re.compile(r"portal\D{0,12}(\d+)", re.IGNORECASE)
# Attributes and keys of a chart's form rather than of its content.
_FORM: Final = {"class", "style", "scope", "src", "config", "$schema", "type", "mark", "format"}


def words(text: str) -> set[str]:
    """Return the words of a text, slugs whole."""
    return set(_WORD.findall(text.lower()))


def redacted(text: str) -> str:
    """Return a text without anything of a secret's shape: tokens, and identities of age."""
    return _IDENTITY.sub("AGE-SECRET-KEY-…", redact(text))


def leaks(page: str, *, others: Mapping[str, Iterable[int]], harmless: Iterable[str]) -> list[str]:
    """
    Name what must not be in a page: other clients by slug, with their portal ids.

    The secret itself is not repeated. An empty list says that nothing was recognised.
    """
    text = "\n".join(content(page))
    found = ["something of a secret's shape"] if redacted(page + text) != page + text else []
    present = words(text) - set(harmless)
    numbers = {digits.replace(",", "") for digits in _NUMBER.findall(text)}
    ids = {one for one in numbers if len(one) >= _TELLING} | set(_CALLED.findall(text))
    for slug, portal_ids in sorted(others.items()):
        if slug in present:
            found.append(f"the client {slug}")
        found += [f"portal {one} of the client {slug}" for one in portal_ids if str(one) in ids]
    return found


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
        self.found += [value for name, value in attrs if value and name not in _FORM]

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
