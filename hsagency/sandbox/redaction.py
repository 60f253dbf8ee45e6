"""
What may be written down of a request's address: no credential, wherever in it one was sent.

A secret is known by its name, by where in a path it stands, or by its shape, in whatever letters
and however often percent-encoded. Where in doubt it is hidden: a ledger that says too little is
a nuisance, one that says too much is a leak.
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
# A name and its value inside of another value, such as an address to be sent back to.
_PAIR = re.compile(r"([\w.-]+)=([^&#;\s]+)", re.ASCII)
_PARENTS = frozenset({"access-tokens", "refresh-tokens"})
_SHORTEST = 40  # a refresh token
# What sets apart the few paths that are worth a closer look.
_ODD = re.compile(r"[%=]|-tokens/", re.IGNORECASE)
# Words that are encoded more often than this are not read but hidden.
_ROUNDS = 4


def open_path(path: str) -> str:
    """
    Return a path without its secrets.

    >>> open_path("/oauth/v1/access-tokens/CN2x")
    '/oauth/v1/access-tokens/(hidden)'
    """
    if not _ODD.search(path) and (len(path) < _SHORTEST or not _SHAPE.search(path)):
        return path
    parts = path.split("/")
    return "/".join(
        HIDDEN if _plain(before) in _PARENTS or open_word(part) != part else part
        for part, before in zip(parts, ("", *(one.lower() for one in parts)), strict=False)
    )


def open_query(query: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """
    Return a query without its secrets.

    >>> open_query((("limit", "3"), ("tokenKey", "CN2x")))
    (('limit', '3'), ('tokenKey', '(hidden)'))
    """
    return tuple(
        (open_word(name), HIDDEN if _names_secret(name) else open_word(value))
        for name, value in query
    )


def open_word(word: str) -> str:
    """Return a word, or what may be told of it."""
    plain = _plain(word)
    if plain is None:
        return HIDDEN
    told = plain
    if "=" in plain:
        told = _PAIR.sub(
            lambda pair: f"{pair[1]}={HIDDEN}" if _names_secret(pair[1]) else pair[0], plain
        )
    told = _SHAPE.sub(HIDDEN, told)
    return word if told == plain else told


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
