"""What a control call asks for: the fields of its JSON body, read with an error for each."""

from __future__ import annotations

from typing import Any

from hsagency.errors import SandboxError
from hsagency.sandbox.wire import JsonObject

# The words by which a portal is named; the second is what answers call its id.
PORTAL = ("portal", "portalId")
# Numbers that JSON can carry without loss.
_MOST = 2**53


class Asked:
    """
    The body of a control call; a field that is read must be right, and no other may be there.

    >>> Asked({"portalId": 7}).whole("portalId")
    7
    """

    def __init__(self, content: JsonObject) -> None:
        self._content = content

    def only(self, *names: str) -> Asked:
        """Refuse fields of other names."""
        unknown = sorted(self._content.keys() - set(names))
        if unknown:
            raise SandboxError(
                f"This call knows no {', '.join(unknown)}; nothing was changed.",
                hint=f"Known: {', '.join(names)}.",
            )
        return self

    def __contains__(self, name: str) -> bool:
        return self._content.get(name) is not None

    def value(self, name: str) -> Any:
        """Return a field as it is; None where it is not there."""
        return self._content.get(name)

    def portal(self) -> int | str:
        """Return the id or the client slug by which a portal is named."""
        found = [self._content[word] for word in PORTAL if word in self]
        if len(found) != 1 or type(found[0]) not in (int, str):
            raise SandboxError(
                "One portal must be named, by its client slug or its id; nothing was changed.",
                hint='For example {"portal": "acme-corp"}.',
            )
        which: int | str = found[0]
        return which

    def whole(self, name: str) -> int:
        """Return a whole number."""
        value: Any = self._content.get(name)
        if type(value) is not int or abs(value) > _MOST:
            raise SandboxError(f"{name} must be a whole number; nothing was changed.")
        return value

    def number(self, name: str) -> float:
        """Return a number."""
        value: Any = self._content.get(name)
        if type(value) not in (int, float) or not abs(value) <= _MOST:
            raise SandboxError(f"{name} must be a number; nothing was changed.")
        return float(value)

    def flag(self, name: str) -> bool:
        """Return true or false; false where nothing is said."""
        value: Any = self._content.get(name, False)
        if not isinstance(value, bool):
            raise SandboxError(f"{name} must be true or false; nothing was changed.")
        return value

    def text(self, name: str) -> str:
        """Return a text."""
        value: Any = self._content.get(name)
        if not isinstance(value, str):
            raise SandboxError(f"{name} must be a text; nothing was changed.")
        return value

    def names(self, name: str) -> list[str]:
        """Return a list of names."""
        value: Any = self._content.get(name)
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            raise SandboxError(f"{name} must be a list of names; nothing was changed.")
        return value
