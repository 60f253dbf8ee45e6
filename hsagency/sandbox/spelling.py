"""Names as JSON spells them (retryAfter), in the ledger's file too, and as Python and TOML do."""

from __future__ import annotations

import re


def camel(name: str) -> str:
    """
    Return a name of Python's as JSON spells it.

    >>> camel("retry_after")
    'retryAfter'
    """
    return re.sub(r"_([a-z])", lambda found: found[1].upper(), name)


def snake(word: str) -> str:
    """
    Return a word of JSON as Python spells it.

    >>> snake("retryAfter")
    'retry_after'
    """
    return re.sub(r"(?<=[a-z])[A-Z]", lambda found: "_" + found[0].lower(), word)
