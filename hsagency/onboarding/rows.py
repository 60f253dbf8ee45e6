"""
A client list as rows: read once, judged line by line, nothing echoed that may be a token.

What is accepted as a list, see `lists`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from hsagency.auth import Authorisation
from hsagency.errors import BadSlug, BadToken, OnboardingError, UsageError
from hsagency.onboarding.lists import lines_of
from hsagency.portals import (
    ClientSlug,
    ConnectionType,
    CredentialKind,
    PortalId,
    looks_like_token,
    parse_choice,
    parse_portal_id,
    parse_slug,
    parse_token,
)
from hsagency.secret import Secret

COLUMNS: Final = {
    "clientslug": "clientSlug",
    "portaltoken": "portalToken",
    "expectedportalid": "expectedPortalId",
    "portalid": "expectedPortalId",
    "kind": "kind",
    "connectiontype": "connectionType",
    "displayname": "displayName",
    "tier": "tier",
}
"""Accepted column names, in any case, and what they mean."""

NEW_KEY: Final = (
    "A new one is made by a super admin, or a user with Developer tools access, in HubSpot > "
    "Development > Keys > Service keys (private apps cannot be made since 26 October 2026)."
)
"""How the client makes a credential today; said wherever one has to be replaced."""

TIERS: Final = ("free", "starter", "professional", "enterprise")
_KINDS: Final = tuple(kind for kind in CredentialKind if kind is not CredentialKind.OAUTH)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """
    One client to connect, as somebody asked for it; nothing of it is proven yet.

    `token` is what HubSpot is asked with, and `kept` what the store is to keep, which is the
    same but over OAuth. With `retype` its connection type takes the place of the stored one's.
    Where nobody `stated` a type, a client that was removed comes back as what it was.
    """

    line: int
    slug: ClientSlug
    token: Secret
    expected: PortalId | None
    kind: CredentialKind = CredentialKind.STATIC
    connection_type: ConnectionType = ConnectionType.CONFIG_AND_AUDIT
    display_name: str | None = None
    tier: str | None = None
    authorisation: Authorisation | None = None
    retype: bool = False
    stated: bool = True

    @property
    def kept(self) -> Secret:
        """What the store is to keep."""
        return self.authorisation.kept() if self.authorisation else self.token

    @property
    def key(self) -> Secret:
        """What names the credential in the index and in records."""
        return self.authorisation.key if self.authorisation else self.token

    @property
    def what(self) -> str:
        """What the credential is called where a person reads of it."""
        return "authorisation" if self.authorisation else "token"


@dataclass(frozen=True, slots=True, kw_only=True)
class BadRow:
    """A row that was not taken: which line, why, and what to do."""

    line: int
    slug: str
    cause: str
    hint: str = ""

    @classmethod
    def of(cls, wrong: Iterable[tuple[str, str]], *, line: int, slug: str) -> Self:
        """Return a row with everything that is wrong with it: each cause, and what to do."""
        said = [(cause.rstrip("."), hint) for cause, hint in wrong]
        causes = "; ".join(dict.fromkeys(cause for cause, _ in said))
        hints = " ".join(dict.fromkeys(hint for _, hint in said if hint))
        return cls(line=line, slug=slug, cause=causes, hint=hints)


def read_list(source: bytes | str | Path) -> bytes:
    """
    Return the content of a client list, given as a path or as the content itself.

    Raises `UsageError` if there is no such file, or it cannot be read.
    """
    if isinstance(source, bytes):
        return source
    try:
        return Path(source).expanduser().read_bytes()
    except (OSError, ValueError, RuntimeError) as error:
        why = getattr(error, "strerror", None) or "that is no path"
    # A list given as text by mistake is full of tokens, so neither it nor the cause is repeated.
    named = str(source)
    named = f" {named}" if named.isprintable() and not _may_hold_token(named) else ""
    raise UsageError(
        f"The client list{named} cannot be read ({why}); nothing was onboarded.",
        hint="Name a CSV file; the content itself is given as bytes.",
    )


def read_rows(
    content: bytes, *, connection_type: ConnectionType | None = None
) -> tuple[list[Row], list[BadRow]]:
    """
    Return the rows of a client list and those that cannot be rows, with line numbers.

    `connection_type` is for rows that name none: config_and_audit, or for a client that was
    removed what it was, unless it is given. Raises `OnboardingError` if the list as a
    whole cannot be read.
    """
    lines = lines_of(content)
    columns = _columns(next(lines, None))
    good: list[Row] = []
    bad: list[BadRow] = []
    for line, cells in lines:
        one = _row(line, cells, columns, connection_type)
        if isinstance(one, Row):
            good.append(one)
        else:
            bad.append(one)
    return _without_duplicates(good, bad)


def _columns(header: tuple[int, list[str]] | None) -> list[str]:
    """Return what each column means, from the header line."""
    if header is None:
        raise OnboardingError("The client list is empty; nothing was onboarded.", hint=_HEADER)
    found = []
    for name in _without_empty_end(header[1]):
        meaning = COLUMNS.get(name.lower())
        if meaning is None:
            named = repr(name) if _is_harmless(name) else "(not shown)"
            raise OnboardingError(
                f"Line {header[0]}: unknown column {named}; nothing was onboarded.",
                hint=_HEADER,
            )
        if meaning in found:
            raise OnboardingError(
                f"Two columns mean {meaning}; nothing was onboarded.", hint="Keep one of them."
            )
        found.append(meaning)
    for needed in ("clientSlug", "portalToken"):
        if needed not in found:
            raise OnboardingError(
                f"The column {needed} is missing; nothing was onboarded.", hint=_HEADER
            )
    return found


_HEADER: Final = (
    "The first line must be clientSlug,portalToken,expectedPortalId and, if wanted, "
    "kind,connectionType,displayName,tier."
)


def _row(
    line: int, cells: list[str], columns: list[str], connection_type: ConnectionType | None
) -> Row | BadRow:
    if len(cells) > len(columns):
        cells = [*cells[: len(columns)], *_without_empty_end(cells[len(columns) :])]
    field = dict(zip(columns, cells, strict=False))
    slug = shown(field.get("clientSlug", ""))
    if len(cells) != len(columns):
        cause = f"the line has {len(cells)} fields and the header {len(columns)}"
        return BadRow(line=line, slug=slug, cause=cause, hint="Quote fields that hold a separator.")
    given: dict[str, Callable[[], object]] = {
        "slug": lambda: client_slug(field.get("clientSlug", "")),
        "token": lambda: client_token(field.get("portalToken", "")),
        "expected": lambda: _portal(field),
        "kind": lambda: _kind(field.get("kind", "")),
        "connection_type": lambda: _type(
            field.get("connectionType", ""), connection_type or ConnectionType.CONFIG_AND_AUDIT
        ),
        "display_name": lambda: _label(field.get("displayName", "")),
        "tier": lambda: _tier(field.get("tier", "")),
    }
    values: dict[str, Any] = {}
    wrong: list[tuple[str, str]] = []
    for name, read in given.items():
        try:
            values[name] = read()
        except UsageError as error:
            wrong.append((error.message, error.hint))
    if wrong:
        return BadRow.of(wrong, line=line, slug=slug)
    stated = connection_type is not None or bool(field.get("connectionType"))
    return Row(line=line, stated=stated, **values)


def _without_empty_end(cells: list[str]) -> list[str]:
    """Drop the empty cells that spreadsheets leave at the end of lines."""
    end = len(cells)
    while end and not cells[end - 1]:
        end -= 1
    return cells[:end]


def client_slug(given: str) -> ClientSlug:
    """Return a client slug; raises `BadSlug`, also for a token in its place."""
    if not _is_harmless(given):  # a token is a well-formed slug
        raise BadSlug("What stands in the slug's place is not shown, as it may be a token.")
    if not given:
        raise BadSlug("The client slug is missing.")
    return parse_slug(given)


def client_token(given: str) -> Secret:
    """Return a token of the right shape; raises `BadToken` with how to make a new one."""
    token = Secret(given.strip())
    try:
        parse_token(token)
    except BadToken:
        what = "This is not a HubSpot token" if token else "The token is missing"
        raise BadToken(f"{what}.", hint=f"{BadToken.hint} {NEW_KEY}") from None
    return token


# Broader than a token's shape: also without its beginning, or with a word processor's hyphens.
_UUID: Final = re.compile(r"[0-9a-f]{8}[\W_][0-9a-f]{4}[\W_][0-9a-f]{4}", re.IGNORECASE)


def _may_hold_token(text: str) -> bool:
    return looks_like_token(text) or _UUID.search(text) is not None


def _is_harmless(text: str) -> bool:
    return len(text) <= 63 and text.isprintable() and not _may_hold_token(text)


def shown(text: str) -> str:
    """Return a text as a message may repeat it: never what may be a token."""
    return text if _is_harmless(text) else "(not shown)"


def _choice(given: str, *, what: str) -> str:
    """Return what was given, or raise without repeating what may be a token."""
    if not _is_harmless(given):
        raise UsageError(f"The {what} is not shown, as it may be a token.", hint=_HEADER)
    return given


def _portal(field: dict[str, str]) -> PortalId | None:
    given = _choice(field.get("expectedPortalId", ""), what="portal id")
    return parse_portal_id(given) if given else None


def _kind(given: str) -> CredentialKind:
    if not given:
        return CredentialKind.STATIC
    given = _choice(given, what="kind of credential").lower()
    kind = parse_choice(CredentialKind, given, what="kind of credential")
    if kind not in _KINDS:
        raise UsageError(
            "A client list holds static tokens; OAuth portals are connected one by one.",
            hint=f"Choose one of {', '.join(_KINDS)}.",
        )
    return kind


def _type(given: str, default: ConnectionType) -> ConnectionType:
    if not given:
        return default
    given = _choice(given, what="connection type").lower()
    return parse_choice(ConnectionType, given, what="connection type")


def _label(given: str) -> str | None:
    if not given:
        return None
    if _may_hold_token(given):
        raise UsageError("The display name is not shown, as it may be a token.", hint=_HEADER)
    if len(given) > 100 or not given.isprintable():
        raise UsageError(
            "The display name is too long or holds line breaks or control characters.",
            hint="Up to 100 printable characters.",
        )
    return given


def _tier(given: str) -> str | None:
    tier = _choice(given, what="tier").lower()
    if tier and tier not in TIERS:
        raise UsageError(f"{given!r} is not a tier.", hint=f"Choose one of {', '.join(TIERS)}.")
    return tier or None


def _without_duplicates(rows: list[Row], bad: list[BadRow]) -> tuple[list[Row], list[BadRow]]:
    """Refuse rows that contradict each other: which of them is meant, only a person knows."""
    refused = dict(_clashes(rows))
    bad = [*bad, *refused.values()]
    return [row for row in rows if row.line not in refused], sorted(bad, key=lambda one: one.line)


def _clashes(rows: Iterable[Row]) -> Iterator[tuple[int, BadRow]]:
    """Yield what is wrong with each row of a clash; of several reasons the last one counts."""
    groups: dict[str, dict[object, list[Row]]] = {"portal": {}, "token": {}, "slug": {}}
    for row in rows:
        groups["token"].setdefault(row.token.fingerprint, []).append(row)
        groups["slug"].setdefault(row.slug, []).append(row)
        if row.expected is not None:
            groups["portal"].setdefault(row.expected, []).append(row)
    for what, same in ((what, same) for what, found in groups.items() for same in found.values()):
        repeated = all(_same(one, same[0]) for one in same)
        for row in same[1:] if repeated else same:
            others = [one for one in same if one is not row]
            yield row.line, _clash(what, row, others, repeated=repeated)


def _same(one: Row, other: Row) -> bool:
    return (one.slug, one.token, one.expected) == (other.slug, other.token, other.expected)


def _clash(what: str, row: Row, others: list[Row], *, repeated: bool) -> BadRow:
    if repeated:
        cause, hint = f"repeats line {others[0].line}", "Remove one of the two."
    elif what == "slug":
        lines = ", ".join(str(other.line) for other in others)
        cause = f"the slug stands more than once, with other values: also on line {lines}"
        hint = "Keep one line for each client."
    else:
        where = ", ".join(f"{other.slug} (line {other.line})" for other in others)
        cause = f"one {what} under two slugs: {row.slug} and {where}"
        hint = "One portal, one slug, one token: keep the line that is right."
    return BadRow(line=row.line, slug=row.slug, cause=cause, hint=hint)
