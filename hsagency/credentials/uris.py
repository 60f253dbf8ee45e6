"""How a store is named in settings: `scheme:path?option=value`, never with a credential in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from hsagency.errors import NoStore


@dataclass(frozen=True, slots=True)
class StoreUri:
    """
    The parts of a store's URI.

    >>> StoreUri.parse("age:credentials").path
    'credentials'
    """

    text: str
    scheme: str
    path: str
    options: Mapping[str, str]

    @classmethod
    def parse(cls, text: str) -> StoreUri:
        """Split a URI; one with a host, a user, a fragment or a doubled option is refused."""
        parts = _split(text)
        # The text is not repeated in any message: what is refused here may hold a password.
        if parts is None or parts.netloc or parts.fragment or "@" in text:
            raise NoStore(
                "The store's URI has a host, a user or a fragment, which no store here takes.",
                hint="Write it like keyring: or age:credentials, without //, @ and #.",
            )
        options = _options(parts.query)
        return cls(text, parts.scheme, unquote(parts.path), options)

    def allow(self, *known: str) -> None:
        """Refuse options that the backend does not know: one that is ignored would mislead."""
        if not self.options.keys() <= set(known):
            raise NoStore(
                f"The store {self.scheme}: was given an option that it does not have.",
                hint=f"It takes: {', '.join(known) or 'none'}.",
            )


def _split(text: str) -> SplitResult | None:
    try:
        return urlsplit(text) if text.isprintable() else None
    except ValueError:
        return None


def _options(query: str) -> dict[str, str]:
    pairs = parse_qsl(query, keep_blank_values=True)
    options = dict(pairs)
    if len(options) != len(pairs) or (query and not pairs):
        raise NoStore("The store's URI has an option twice, or one without a name.")
    return options
