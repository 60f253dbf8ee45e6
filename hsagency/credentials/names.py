"""
What a secret is called: one name per workspace, client, capability and generation.

Two workspaces, two capabilities or two generations never share a name, so that a rotation
can hold the old and the new secret side by side, and a backend's own access rules can be
set per client.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from hsagency.errors import UsageError
from hsagency.portals import AGENCY

_PART = re.compile(r"[a-z0-9][a-z0-9-]{0,62}", re.ASCII)
_GENERATION = re.compile(r"[1-9][0-9]{0,8}", re.ASCII)
_ROOT = "hsagency"


@dataclass(frozen=True, slots=True, order=True)
class SecretName:
    """
    The name of one secret; it holds no secret itself.

    >>> str(SecretName("w1", "acme-corp", 2))
    'hsagency/w1/acme-corp/main/2'
    """

    workspace: str
    slug: str
    generation: int
    capability: str = "main"

    def __post_init__(self) -> None:
        for part in ("workspace", "slug", "capability"):
            if part == "slug" and self.slug == AGENCY:
                continue  # the agency's own secrets, such as the key that signs the log
            if _PART.fullmatch(getattr(self, part)) is None:
                raise _bad(f"The {part} in a secret's name")
        if type(self.generation) is not int or not _GENERATION.fullmatch(str(self.generation)):
            raise _bad("The generation in a secret's name")

    def __str__(self) -> str:
        return f"{_ROOT}/{self.workspace}/{self.slug}/{self.capability}/{self.generation}"

    @property
    def cure(self) -> str:
        """What puts a secret of this kind into the store again, as the beginning of a sentence."""
        if self.slug != AGENCY:
            return f"Connect the client again (hsagency reconnect {self.slug})"
        return "Set up again what it is of (our OAuth app: hsagency connect --setup)"

    @classmethod
    def parse(cls, text: str) -> SecretName:
        """Read the path form; anything that `str` would not have written is refused."""
        root, *parts = text.split("/")
        if root != _ROOT or len(parts) != 4 or not _GENERATION.fullmatch(parts[3]):
            raise _bad("A secret's name")
        workspace, slug, capability, generation = parts
        return cls(workspace, slug, int(generation), capability)


def _bad(what: str) -> UsageError:
    # The text is not repeated: a token pasted in the wrong place would be.
    return UsageError(
        f"{what} is not well formed.",
        hint="Names look like hsagency/WORKSPACE/CLIENT/main/1: lower-case letters, digits, hyphens.",
    )
