"""
A credential value that does not print, pickle, copy open or serialise.

It keeps a token out of logs, reprs, tracebacks and notebooks by accident. It does not keep
it from code of the same user that asks for it: `reveal()` is public, and grep finds it.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from typing import NoReturn


class Secret:
    """
    A credential value; `reveal()` is the only way to read it.

    >>> f"token={Secret('pat-na1-0000')}"
    'token=Secret(…)'
    """

    __slots__ = ("_reveal",)

    def __init__(self, value: str) -> None:
        # Inside a function, so that what lists attributes (debuggers, inspectors) shows no value.
        self._reveal: Callable[[], str] = lambda: value

    def reveal(self) -> str:
        """Return the value, for the wire or a secret store and nothing else."""
        return self._reveal()

    @property
    def fingerprint(self) -> str:
        """
        Sixteen hex digits that name the value without telling it.

        A token holds 122 random bits, so a cut hash of it cannot be reversed by guessing.
        """
        return hashlib.sha256(b"hsagency fingerprint\0" + self._bytes()).hexdigest()[:16]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._bytes(), other._bytes())

    def __hash__(self) -> int:
        return hash((Secret, self.fingerprint))

    def __bool__(self) -> bool:
        return bool(self.reveal())

    def __repr__(self) -> str:
        return "Secret(…)"

    def __format__(self, spec: str) -> str:
        return format(repr(self), spec)

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: object) -> Secret:
        # dataclasses.asdict copies deeply; the copy must stay shut.
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("A Secret is not pickled: read it again from the credential store.")

    def __getstate__(self) -> NoReturn:
        self.__reduce__()

    def _bytes(self) -> bytes:
        # A strict codec's error would hold the value.
        return self.reveal().encode("utf-8", "surrogatepass")
