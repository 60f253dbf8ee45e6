"""
What may be written down of a request's address: no credential, wherever in it one was sent.

A secret is known by its name, by where in a path it stands, or by its shape, in whatever letters
and however often percent-encoded. Where in doubt it is hidden: a ledger that says too little is
a nuisance, one that says too much is a leak. Whatever comes, this takes time in proportion to
its length: each pattern is bounded or begins only where what it repeats begins.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

HIDDEN = "(hidden)"
# Words whose values are secrets, without regard to case, dashes and underscores.
NAMES = frozenset(
    {
        "accesstoken", "apikey", "assertion", "authorization", "clientassertion", "clientsecret",
        "code", "codeverifier", "encodedoauthrefreshtoken", "hapikey", "idtoken", "key",
        "oauthrefreshtoken", "password", "refreshtoken", "secret", "signature", "state", "token",
        "tokenkey", "xsandboxkey",
    }
)  # fmt: skip
# A private app's token, a refresh token, what follows "Bearer", and words as long as OAuth's.
_SHAPE = re.compile(
    r"pat-(?:[a-z]+\d+-|[0-9a-f]{8})[\w-]*"
    r"|[a-z]{2}\d{1,3}-[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}"
    r"|(?<=bearer )\s*\S+"
    r"|[\w+=-]{64,}",
    re.IGNORECASE | re.ASCII,
)
# OAuth's codes and the secrets of apps.
_UUID = re.compile(r"[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}", re.IGNORECASE)
# Names and their values inside of another value, such as an address to be sent back to.
_BETWEEN = re.compile(r"([&#;])")
_NAME = re.compile(r"(?<![\w.-])([\w.-]+)=(?=.)", re.ASCII | re.DOTALL)
_PARENTS = frozenset({"access-tokens", "refresh-tokens"})
_SHORTEST = 32  # an app's secret without its dashes
# What sets apart the few paths that are worth a closer look.
_ODD = re.compile(r"[%=]|-tokens/", re.IGNORECASE)
# Words that are encoded more often than this are not read but hidden.
_ROUNDS = 4


def open_path(path: str, *, ids: bool = False) -> str:
    """
    Return a path without its secrets; with `ids` a part that is a UUID is none.

    >>> open_path("/oauth/v1/access-tokens/CN2x")
    '/oauth/v1/access-tokens/(hidden)'
    """
    if not _ODD.search(path) and (len(path) < _SHORTEST or not _looks_secret(path)):
        return path
    parts, parent = path.split("/"), ""
    for place, part in enumerate(parts):
        kept = ids and _UUID.fullmatch(part)
        if _plain(parent) in _PARENTS or (not kept and open_word(part) != part):
            parts[place] = HIDDEN
        parent = part.lower() or parent
    return "/".join(parts)


def open_query(query: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """
    Return a query without its secrets.

    >>> open_query((("limit", "3"), ("tokenKey", "CN2x")))
    (('limit', '3'), ('tokenKey', '(hidden)'))
    """
    return tuple(
        (open_word(name), HIDDEN if _names_secret(name) else _open_value(name, value))
        for name, value in query
    )


def _open_value(name: str, value: str) -> str:
    """Return a value, or what may be told of it; of all UUIDs only an app's id is no secret."""
    return value if name == "client_id" and _UUID.fullmatch(value) else open_word(value)


def open_word(word: str) -> str:
    """Return a word, or what may be told of it."""
    plain = _plain(word)
    if plain is None:
        return HIDDEN
    told = _without_values(plain) if "=" in plain else plain
    told = _UUID.sub(HIDDEN, _SHAPE.sub(HIDDEN, told))
    return word if told == plain else told


def _looks_secret(text: str) -> bool:
    return _SHAPE.search(text) is not None or _UUID.search(text) is not None


def _without_values(text: str) -> str:
    """Hide what follows the name of a secret, up to what ends a value."""
    parts = _BETWEEN.split(text)
    for place, part in enumerate(parts):
        ends = (found.end() for found in _NAME.finditer(part) if _names_secret(found[1]))
        end = next(ends, None)
        if end is not None:
            parts[place] = part[:end] + HIDDEN
    return "".join(parts)


def _names_secret(name: str) -> bool:
    plain = _plain(name)
    return plain is None or plain.lower().replace("_", "").replace("-", "") in NAMES


def _plain(word: str) -> str | None:
    """Return a word decoded to its end, unless somebody went to great lengths to hide it."""
    for _ in range(_ROUNDS):
        decoded = unquote(word) if "%" in word else word
        if decoded == word:
            return word
        word = decoded
    return None
