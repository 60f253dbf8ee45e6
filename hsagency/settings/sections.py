"""
What `hsagency.toml` says, section by section.

A section knows what its own settings may be; an unknown setting is an error.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Final, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

SCHEMA: Final = 1


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class AgencySettings(_Section):
    """Who runs the workspace, as reports name it."""

    name: str = ""


class ProofSettings(_Section):
    """How long a portal's identity stays proven, by what a call does."""

    read_hours: Annotated[float, Field(gt=0, le=24 * 31)] = 24
    write_minutes: Annotated[float, Field(gt=0, le=24 * 60)] = 15


class AuditSettings(_Section):
    """How the audit log is kept."""

    copy_: Annotated[str, Field(alias="copy", min_length=1)] = "state/heads"


def _months(given: object) -> object:
    if given == "forever" or (type(given) is int and 1 <= given <= 1200):
        return given
    raise ValueError('write a number of months from 1 to 1200, or "forever"')


Months = Annotated[int | Literal["forever"], BeforeValidator(_months)]


class RetentionSettings(_Section):
    """For how many months the audit log is kept: by default, and of single clients."""

    months: Months = "forever"
    clients: dict[Annotated[str, Field(pattern=r"^_?[a-z][a-z0-9-]*$")], Months] = {}

    def of(self, slug: str) -> int | None:
        """Return for how many months a client's log is kept; nothing is for ever."""
        months = self.clients.get(slug, self.months)
        return None if months == "forever" else months


class CompletenessSettings(_Section):
    """What is known of who else calls a portal."""

    only_us: tuple[str, ...] = ()  # portals, by slug, that no other app may use


class ForwardSettings(_Section):
    """Where the log is forwarded to, under a name."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,31}$")]
    to: Literal["stdout", "logging", "sqlite"]
    path: str = ""  # of the SQLite file, from the workspace
    logger: str = "hsagency.calls"
    events: bool = False  # what is not a call, on stdout and in logging too

    @model_validator(mode="after")
    def _with_its_path(self) -> Self:
        if (self.to == "sqlite") != bool(self.path):
            raise ValueError("sqlite needs a path, and nothing else has one")
        return self


class Priority(StrEnum):
    """Who yields when a portal's quota is short: the low first, the critical last."""

    CRITICAL = "critical"
    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"


@dataclass(frozen=True, slots=True)
class Amount:
    """
    A number of calls, or a share of a portal's own limit.

    >>> Amount(share=0.1).of(250_000), Amount(count=50_000).of(None), Amount(share=0.1).of(None)
    (25000, 50000, None)
    """

    count: int | None = None
    share: float | None = None

    def of(self, limit: int | None) -> int | None:
        """Return the number of calls; nothing for a share of a limit that is not known."""
        if self.share is None:
            return self.count
        return None if limit is None else math.ceil(self.share * limit)


def _amount(given: object) -> object:
    if isinstance(given, Amount):
        return given
    if type(given) is int and given >= 0:
        return Amount(count=given)
    share = _SHARE.fullmatch(given) if isinstance(given, str) else None
    if share is not None:
        if float(share[1]) > 100:
            raise ValueError("a share of the limit is at most 100%")
        return Amount(share=float(share[1]) / 100)
    raise ValueError('write a number of calls, or a share of the limit such as "10%"')


_SHARE: Final = re.compile(r"(\d{1,3}(?:\.\d{1,3})?) ?%", re.ASCII)
_Amount = Annotated[Amount, BeforeValidator(_amount)]
_Slug = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*$")]


class ClientQuotaSettings(_Section):
    """What of the quota settings is otherwise for one client; what is absent is as for all."""

    warn_below: _Amount | None = None
    reserve: _Amount | None = None


class QuotaSettings(_Section):
    """When to warn that a portal's day runs out, and what of it is left to the client's apps."""

    warn_below: _Amount = Amount(share=0.1)
    reserve: _Amount = Amount(share=0.01)
    clients: dict[_Slug, ClientQuotaSettings] = {}

    def of(self, slug: str) -> tuple[Amount, Amount]:
        """Return one client's warning threshold and reserve."""
        own = self.clients.get(slug, ClientQuotaSettings())
        return own.warn_below or self.warn_below, own.reserve or self.reserve


def _proxy(given: str) -> str:
    if "@" in given:
        raise ValueError("it holds a user name or a password, which do not belong here")
    found = _PROXY.fullmatch(given)
    if given and not (found and 0 < int(found[1]) < 1 << 16):
        raise ValueError("write it as http://HOST:PORT; there is no other kind of proxy here")
    return given


_PROXY: Final = re.compile(r"http://[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?:(\d{1,5})/?", re.A | re.I)


class NetworkSettings(_Section):
    """How to get out of this network: nothing of it is ever taken from the environment."""

    ca_bundle: str = ""  # authorities to trust beside the public ones: a PEM file
    proxy: Annotated[str, AfterValidator(_proxy)] = ""


def _size(given: object) -> object:
    if given == "unlimited" or (type(given) is int and 1 <= given <= 10_000):
        return given
    raise ValueError('write a number of portals from 1 to 10000, or "unlimited"')


class FleetSettings(_Section):
    """How many portals may be connected at once, as the agency's plan has it."""

    size: Annotated[int | Literal["unlimited"], BeforeValidator(_size)] = "unlimited"

    @property
    def slots(self) -> int | None:
        """The number of portals, or nothing where there is no limit."""
        return None if self.size == "unlimited" else self.size


class Settings(_Section):
    """What `hsagency.toml` says."""

    schema_: Annotated[int, Field(alias="schema", strict=True, ge=1, le=SCHEMA)]
    workspace: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
    store: str
    agency: AgencySettings = AgencySettings()
    proof: ProofSettings = ProofSettings()
    audit: AuditSettings = AuditSettings()
    retention: RetentionSettings = RetentionSettings()
    completeness: CompletenessSettings = CompletenessSettings()
    quota: QuotaSettings = QuotaSettings()
    purposes: dict[str, Priority] = {}
    fleet: FleetSettings = FleetSettings()
    network: NetworkSettings = NetworkSettings()
    forward: tuple[ForwardSettings, ...] = ()

    @field_validator("forward")
    @classmethod
    def _each_by_its_own_name(
        cls, forward: tuple[ForwardSettings, ...]
    ) -> tuple[ForwardSettings, ...]:
        if len({one.name for one in forward}) < len(forward):
            raise ValueError("two tables have the same name")
        return forward
