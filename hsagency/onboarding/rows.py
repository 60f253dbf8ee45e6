"""
A client list as rows: read once, judged line by line, nothing echoed that may be a token.

Accepted: UTF-8 with or without byte-order mark, any line ends, commas, semicolons or tabs,
quoted fields, blank lines, and comments that start with `#`.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from hsagency.errors import OnboardingError, UsageError
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

TIERS: Final = ("free", "starter", "professional", "enterprise")
_KINDS: Final = tuple(kind for kind in CredentialKind if kind is not CredentialKind.OAUTH)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One client to connect, as somebody asked for it; nothing of it is proven yet."""

    line: int
    slug: ClientSlug
    token: Secret
    expected: PortalId | None
    kind: CredentialKind = CredentialKind.STATIC
    connection_type: ConnectionType = ConnectionType.CONFIG_AND_AUDIT
    display_name: str | None = None
    tier: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BadRow:
    """A row that was not taken: which line, why, and what to do."""

    line: int
    slug: str
    cause: str
    hint: str = ""


def read_rows(
    content: bytes, *, connection_type: ConnectionType = ConnectionType.CONFIG_AND_AUDIT
) -> tuple[list[Row], list[BadRow]]:
    """
    Return the rows of a client list and those that cannot be rows, with line numbers.

    `connection_type` is for rows that name none. Raises `OnboardingError` if the list as a
    whole cannot be read.
    """
    lines = _lines(content)
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


def _lines(content: bytes) -> Iterator[tuple[int, list[str]]]:
    """Yield line numbers and cells, without blank lines and comments."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise OnboardingError(
            "The client list is not UTF-8; nothing was onboarded.",
            hint="Save it as 'CSV UTF-8' and try again.",
        ) from None
    head = next((one for one in text.splitlines() if one.strip() and one.lstrip()[0] != "#"), "")
    delimiter = max(",;\t", key=head.count)
    reader = csv.reader(text.splitlines(keepends=True), delimiter=delimiter, strict=True)
    last = 0
    try:
        for cells in reader:
            line, last = last + 1, reader.line_num
            stripped = [cell.strip() for cell in cells]
            if any(stripped) and not stripped[0].startswith("#"):
                yield line, stripped
    except csv.Error:
        raise OnboardingError(
            f"Line {last + 1} of the client list is not CSV; nothing was onboarded.",
            hint="A quote is opened and not closed there, or a quoted field has text after it.",
        ) from None


def _columns(header: tuple[int, list[str]] | None) -> list[str]:
    """Return what each column means, from the header line."""
    if header is None:
        raise OnboardingError("The client list is empty; nothing was onboarded.", hint=_HEADER)
    found = []
    for name in header[1]:
        meaning = COLUMNS.get(name.lower())
        if meaning is None:
            shown = repr(name) if _is_harmless(name) else "(not shown)"
            raise OnboardingError(
                f"Line {header[0]}: there is no column {shown}; nothing was onboarded.",
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
    line: int, cells: list[str], columns: list[str], connection_type: ConnectionType
) -> Row | BadRow:
    field = dict(zip(columns, cells, strict=False))
    given = field.get("clientSlug", "")
    slug = given if _is_harmless(given) else "(not shown)"
    if len(cells) != len(columns):
        cause = f"the line has {len(cells)} fields and the header {len(columns)}"
        return BadRow(line=line, slug=slug, cause=cause, hint="Quote fields that hold a separator.")
    try:
        token = Secret(field.get("portalToken", ""))
        parse_slug(given)
        parse_token(token)
        return Row(
            line=line,
            slug=ClientSlug(given),
            token=token,
            expected=_portal(field),
            kind=_kind(field.get("kind", "")),
            connection_type=_type(field.get("connectionType", ""), connection_type),
            display_name=_label(field.get("displayName", "")),
            tier=_tier(field.get("tier", "")),
        )
    except UsageError as error:
        return BadRow(line=line, slug=slug, cause=error.message.rstrip("."), hint=error.hint)


def _is_harmless(text: str) -> bool:
    return len(text) <= 63 and text.isprintable() and not looks_like_token(text)


def _portal(field: dict[str, str]) -> PortalId | None:
    given = field.get("expectedPortalId", "")
    if looks_like_token(given):
        raise UsageError("A token stands in the portal id's column.", hint=_HEADER)
    return parse_portal_id(given) if given else None


def _kind(given: str) -> CredentialKind:
    if not given:
        return CredentialKind.STATIC
    kind = parse_choice(CredentialKind, given, what="kind of credential")
    if kind not in _KINDS:
        raise UsageError(
            "A client list holds static tokens; OAuth portals are connected one by one.",
            hint=f"Choose one of {', '.join(_KINDS)}.",
        )
    return kind


def _type(given: str, default: ConnectionType) -> ConnectionType:
    return parse_choice(ConnectionType, given, what="connection type") if given else default


def _label(given: str) -> str | None:
    if not given:
        return None
    if len(given) > 100 or not given.isprintable() or looks_like_token(given):
        raise UsageError("The display name is no name.", hint="Up to 100 printable characters.")
    return given


def _tier(given: str) -> str | None:
    if given and given.lower() not in TIERS:
        shown = repr(given) if _is_harmless(given) else "(not shown)"
        raise UsageError(f"{shown} is not a tier.", hint=f"Choose one of {', '.join(TIERS)}.")
    return given.lower() or None


def _without_duplicates(rows: list[Row], bad: list[BadRow]) -> tuple[list[Row], list[BadRow]]:
    """Refuse rows that contradict each other: which of them is meant, only a person knows."""
    refused = dict(_clashes(rows))
    bad = [*bad, *refused.values()]
    return [row for row in rows if row.line not in refused], sorted(bad, key=lambda one: one.line)


def _clashes(rows: Iterable[Row]) -> Iterator[tuple[int, BadRow]]:
    groups: dict[tuple[str, object], list[Row]] = defaultdict(list)
    for row in rows:
        groups["token", row.token.fingerprint].append(row)
        groups["slug", row.slug].append(row)
        if row.expected is not None:
            groups["portal", row.expected].append(row)
    for (what, _), same in groups.items():
        if len(same) == 1:
            continue
        repeated = all(_same(one, same[0]) for one in same)
        for row in same[1:] if repeated else same:
            others = [one for one in same if one is not row]
            yield row.line, _clash(what, row, others, repeated=repeated)


def _same(one: Row, other: Row) -> bool:
    return (one.slug, one.token, one.expected) == (other.slug, other.token, other.expected)


def _clash(what: str, row: Row, others: list[Row], *, repeated: bool) -> BadRow:
    where = ", ".join(f"{other.slug} (line {other.line})" for other in others)
    cause = {
        "slug": f"the slug stands more than once: also on {where}",
        "token": f"one token under two slugs: {row.slug} and {where}",
        "portal": f"one portal under two slugs: {row.slug} and {where}",
    }[what]
    hint = (
        "Keep one line for each client." if what == "slug" else "One portal, one slug, one token."
    )
    if repeated:
        cause, hint = f"repeats line {others[0].line}", "Remove one of the two."
    return BadRow(line=row.line, slug=row.slug, cause=cause, hint=hint)
