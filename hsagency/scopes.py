"""Which scopes a connection type needs, and what a credential's scopes let it do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from hsagency.data import table
from hsagency.portals import ConnectionType, CredentialKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A scope that a connection type asks for, and what for."""

    name: str
    why: str
    required: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TypeWords:
    """A connection type as people choose it."""

    title: str
    enables: str
    refuses: str
    when: str


# Source: the source document on adding a portal; what is refused, the guard of every call does.
TYPES: Final[Mapping[ConnectionType, TypeWords]] = {
    ConnectionType.CONFIG_AND_AUDIT: TypeWords(
        title="Config + Audit",
        enables="Full access: reading and changing configuration and records, and audits of them.",
        refuses="Calls that hsagency does not know, until they are allowed one by one.",
        when="The most common choice: a client whose portal is both set up and audited.",
    ),
    ConnectionType.CONFIG_ONLY: TypeWords(
        title="Config Only",
        enables="Reading and deploying configuration: properties, pipelines, lists, forms, "
        "workflows.",
        refuses="Access to records, people and activity, so that there are no audits; and "
        "deleting, exporting and sending.",
        when="A portal into which things are only deployed.",
    ),
    ConnectionType.AUDIT_ONLY: TypeWords(
        title="Audit Only",
        enables="Reading configuration, records and activity, and audits of them.",
        refuses="Every change: importing, deploying, editing, deleting. And forms, workflows, "
        "tickets and products, as HubSpot has no permission only to read them.",
        when="A prospect, or a client for whom only an audit is run.",
    ),
}


def wanted(connection_type: ConnectionType) -> tuple[Wanted, ...]:
    """Return every scope that a connection type asks for over OAuth, the required ones first."""
    asked = [
        Wanted(name=one["name"], why=one["why"], required=connection_type in _of(one, "required"))
        for one in table("scopes")["scope"]
        if connection_type in (*_of(one, "required"), *_of(one, "optional"))
    ]
    return tuple(sorted(asked, key=lambda one: not one.required))


def missing_scopes(connection_type: ConnectionType, scopes: Iterable[str]) -> dict[str, str]:
    """Return the scopes a connection type needs and a token lacks, with the reason for each."""
    return {one.name: one.why for one in absent_scopes(connection_type, scopes) if one.required}


def absent_scopes(connection_type: ConnectionType, scopes: Iterable[str]) -> tuple[Wanted, ...]:
    """
    Return what a connection type asks for and a token does not hold, required ones first.

    Of those to write with a type needs any one; a token without any lacks the usual one.
    """
    held = {plain_name(scope) for scope in scopes}
    absent = [one for one in wanted(connection_type) if one.name not in held]
    if not surplus_scopes(ConnectionType.AUDIT_ONLY, held):
        usual = _usual_to_write_with(connection_type)
        absent = [
            replace(one, why=_NO_WRITING, required=True) if one.name in usual else one
            for one in absent
        ]
    return tuple(sorted(absent, key=lambda one: not one.required))


_NO_WRITING: Final = "or another scope to write with; without any, only audit_only is of use"


def _usual_to_write_with(connection_type: ConnectionType) -> set[str]:
    rows = table("scopes")["scope"]
    return {one["name"] for one in rows if connection_type in _of(one, "unless_writing")}


def lacking(connection_type: ConnectionType, scopes: Iterable[str]) -> str | None:
    """Return in words which scopes a token lacks for a connection type, if any."""
    missing = missing_scopes(connection_type, scopes)
    why = ", ".join(f"{name} ({reason})" for name, reason in missing.items())
    return f"the token lacks scopes that {connection_type} needs: {why}" if missing else None


def surplus_scopes(connection_type: ConnectionType, scopes: Iterable[str]) -> list[str]:
    """Return the scopes that can change something on a connection that must not."""
    marks = tuple(table("scopes")["surplus"].get(connection_type, ()))
    return [one for one in scopes if marks and plain_name(one).endswith(marks)]


def plain_name(scope: str) -> str:
    """Return a scope's name; HubSpot tells some of a service key with `.v2` behind it."""
    return scope.removesuffix(".v2")


def _of(scope: Mapping[str, list[str]], which: str) -> list[str]:
    return scope.get(which, [])


_PLACES: Final[Mapping[CredentialKind, str]] = {
    CredentialKind.SERVICE_KEY: "to the key, in HubSpot > Development > Keys > Service keys",
    CredentialKind.PRIVATE_APP: "to the app, in HubSpot > Development > Legacy apps",
    CredentialKind.STATIC_APP: "to the app's project, and install it again",
    CredentialKind.STATIC: "to the key or app that the token is of, in HubSpot > Development",
}


def cure(slug: str, kind: CredentialKind) -> str:
    """Return, as a sentence, how a client's credential comes by scopes that it lacks."""
    if kind is CredentialKind.OAUTH:
        return f"To ask for them: hsagency reconnect {slug}"
    return f"Add them {_PLACES[kind]}, then: hsagency verify {slug}"
