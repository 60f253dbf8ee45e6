"""A client slug from what HubSpot calls an account."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from typing import Final

from hsagency.portals import ClientSlug, looks_like_token

_MAX: Final = 63
_WITHOUT_MARKS: Final = {"ß": "ss", "æ": "ae", "ø": "o", "œ": "oe", "đ": "d", "ł": "l", "þ": "th"}


def proposed_slug(
    *, name: str | None, domain: str | None, portal_id: int, taken: Collection[str]
) -> ClientSlug:
    """
    Return a slug that is free, from the account's name, else its domain, else its id.

    >>> proposed_slug(name="Café Zoë & Sons", domain=None, portal_id=1, taken=())
    'cafe-zoe-sons'
    >>> proposed_slug(name=None, domain="www.acme.co.uk", portal_id=1, taken={"acme"})
    'acme-2'
    """
    made = _kebab(name or "") or _kebab(_core(domain or "")) or f"portal-{portal_id}"
    free, number = made, 1
    while free in taken:
        number += 1
        end = f"-{number}"
        free = made[: _MAX - len(end)].rstrip("-") + end
    return ClientSlug(free)


def _kebab(text: str) -> str:
    """Return the words of a text as a slug, or nothing where none can be made of it."""
    plain = "".join(_WITHOUT_MARKS.get(one, one) for one in text.lower())
    plain = unicodedata.normalize("NFKD", plain).encode("ascii", "ignore").decode().replace("'", "")
    words = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")
    if words[:1].isdigit():
        words = f"client-{words}"
    words = words[:_MAX].rstrip("-")
    return "" if len(words) < 2 or looks_like_token(words) else words


def _core(domain: str) -> str:
    """Return what names somebody in a domain: without www and what comes behind the name."""
    return domain.lower().removeprefix("www.").partition(".")[0]
