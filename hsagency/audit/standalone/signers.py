"""Public keys, told apart by their SHA-256, which people can compare."""

from __future__ import annotations

import hashlib
import re
from typing import Any, Iterable


def fingerprint(public: bytes) -> str:
    """Return the SHA-256 of a public key in groups of four digits."""
    digits = hashlib.sha256(public).hexdigest()
    return " ".join(digits[at : at + 4] for at in range(0, len(digits), 4))


def digits_of(given: str) -> str:
    """Return what somebody typed of a fingerprint as digits; nothing if that names no key."""
    digits = re.sub(r"[\s:]", "", given).lower()
    return digits if re.match(r"[0-9a-f]{16,64}\Z", digits) else ""


def named_among(keys: dict[str, bytes], named: Iterable[str]) -> dict[str, bytes]:
    """Return those of some keys that somebody named by fingerprint, or by its first digits."""
    known = tuple(filter(None, map(digits_of, named)))
    marks = {one: hashlib.sha256(public).hexdigest() for one, public in keys.items()}
    return {one: keys[one] for one, mark in marks.items() if mark.startswith(known)}


def kept_signers(kept: dict[str, Any]) -> list[str]:
    """Return the fingerprints that a kept head names; one of an earlier version names none."""
    said = kept.get("keys")
    found = [one.get("fingerprint") for one in said if isinstance(one, dict)] if said else []
    return [one for one in found if isinstance(one, str) and digits_of(one)]
