"""What never changes: a change makes another in its place, which knows the one before."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """A thing as it is since its last change; `before` is what it was until then."""

    created_at: str
    updated_at: str
    before: Self | None = field(default=None, repr=False)

    def seen(self, as_of: str | None) -> Self | None:
        """Return it as a reader that lags behind sees it, one change back at most."""
        return self if as_of is None or self.updated_at <= as_of else self.before
