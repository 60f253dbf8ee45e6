"""Everything known of one portal, for a person to read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import click

from hsagency.cli.common import typable
from hsagency.cli.tables import plain
from hsagency.portals import ConnectionType, CredentialKind
from hsagency.scopes import TYPES
from hsagency.words import counted

Said = Mapping[str, Any]

_WIDE: Final = 20  # of names, so that values stand below one another
_MOST: Final = 10  # of what is listed; --json has all


def show_portal(found: Said) -> None:
    """Print what `fleet.details` returns, in the order in which people ask."""
    if found["removed"] is None:
        _connected(found)
    else:
        _removed(found["removed"])
    _line("calls this month", _number(found["callsThisMonth"]))
    _log(found["auditLog"])
    _events(found["activity"])
    _outputs(found["outputs"])
    for one in found["errors"]:
        click.echo(plain(typable(one)), err=True)


def _connected(found: Said) -> None:
    portal, health = found["portal"], found["health"]
    facts = portal["facts"]
    name = facts["name"]["value"] if "name" in facts else portal["clientSlug"]
    click.echo(plain(f"{name} ({portal['clientSlug']}, portal {portal['portalId']})"))
    _line("status", health["status"].replace("_", " "))
    _line("", health["evidence"])
    if health["nextStep"]:
        _line("next step", health["nextStep"])
    _line("connection type", found["may"]["title"])
    _line("  enables", found["may"]["enables"])
    _line("  refuses", found["may"]["refuses"])
    _credential(found["credential"])
    _line("data centre", portal["routedTo"] or portal["hublet"] or "unknown")
    _line("verified", _time(portal["verifiedAt"]) if portal["verifiedAt"] else "never")
    _quota(found["quota"])
    _facts(facts)
    _scopes(found["scopes"])


def _credential(said: Said) -> None:
    age = counted(said["ageDays"], "day")
    kind, generation = CredentialKind(said["kind"]).words, said["generation"]
    _line("credential", f"{kind}, generation {generation}, {age} old, {said['fingerprint']}")
    if said["hint"]:
        _line("", said["hint"])


def _quota(said: Said | None) -> None:
    if said is None or said["remaining"] is None:
        _line("quota left", "unknown: no answer of today told it")
        return
    of = f" of {said['limit']:,}" if said["limit"] is not None else ""
    _line("quota left", f"{said['remaining']:,}{of}, told at {_time(said['asOf'])}")


def _facts(facts: Said) -> None:
    click.echo("facts")
    for name, fact in sorted(facts.items()):
        value = fact["value"]
        if isinstance(value, list):  # the scopes, which are told below, each with what it is for
            continue
        shown = _number(value) if isinstance(value, int) else value
        sure = f", {fact['confidence']} confidence" if fact.get("confidence") else ""
        why = f": {fact['evidence']}" if fact["evidence"] else ""
        words = f"{shown}  ({fact['provenance']} {fact['at'][:10]}{sure}{why})"
        _line(f"  {_spaced(name)}", words)


def _scopes(said: Said | None) -> None:
    if said is None:
        _line("scopes", "unknown: HubSpot has not told them")
        return
    missing = [one for one in said["missing"] if one["required"]]
    absent = len(said["missing"]) - len(missing)
    counts = {
        f"held, as told at {_time(said['at'])}": len(said["held"]),
        "missing that its type needs": len(missing),
        "more that it could use": absent,
        "that it should not hold": len(said["surplus"]),
    }
    _line("scopes", ", ".join(f"{number} {what}" for what, number in counts.items() if number))
    _list("missing", (f"{one['name']}: {one['why']}" for one in missing))
    _list("surplus", (f"{one}: its connection type changes nothing" for one in said["surplus"]))
    unasked = "its connection type does not ask for it"
    _list("held", (f"{one['name']}: {one['why'] or unasked}" for one in said["held"]))


def _list(name: str, values: Iterable[str]) -> None:
    for place, value in enumerate(values):
        _line("" if place else f"  {name}", value)


def _removed(said: Said) -> None:
    name = said["accountName"] or said["clientSlug"]
    click.echo(plain(f"{name} ({said['clientSlug']}, portal {said['portalId']})"))
    _line("status", f"removed at {_time(said['removedAt'])} by {said['removedBy']}")
    if said["nextStep"]:
        _line("", "The removal is not finished: its secrets may still be in the store.")
        _line("next step", said["nextStep"])
    title = TYPES[ConnectionType(said["connectionType"])].title
    kind = CredentialKind(said["kind"]).words
    _line("was", f"{title}, {kind}, since {_time(said['addedAt'])}")
    severed = "HubSpot refuses it" if said["severed"] else "not shown to be refused"
    _line("its credential", said["credential"] or severed)
    click.echo("Kept: that it was there, its audit log, and what was made for it.")


def _log(said: Said | None) -> None:
    if said is None:
        _line("audit log", "none")
        return
    last = f", last at {_time(said['lastSealedAt'])}" if said["lastSealedAt"] else ""
    segments = counted(said["segments"], "segment")
    _line("audit log", f"{segments}, {said['sealed']} sealed{last}; {_size(said['bytes'])}")
    _line("", said["path"])


def _events(events: Sequence[Said] | None) -> None:
    if not events:
        _line("activity", "none on record" if events is not None else "unknown")
        return
    click.echo("activity")
    for one in events:
        words = one["message"] or one["event"]
        click.echo(plain(f"  {_time(one['ts'])}  {words}"))


def _outputs(outputs: Sequence[Said] | None) -> None:
    if not outputs:
        _line("outputs", "none" if outputs is not None else "unknown")
        return
    click.echo(f"outputs ({counted(len(outputs), 'file')})")
    for one in outputs[:_MOST]:
        click.echo(plain(f"  {_time(one['changedAt'])}  {_size(one['bytes']):>8}  {one['path']}"))
    if len(outputs) > _MOST:
        click.echo(f"  and {len(outputs) - _MOST} more (--json lists all)")


def _line(name: str, value: object) -> None:
    click.echo(plain(typable(f"{name:<{_WIDE}}{value}")))


def _number(value: int | None) -> str:
    return "unknown" if value is None else f"{value:,}"


def _time(written: str | None) -> str:
    return "unknown" if written is None else f"{written[:16].replace('T', ' ')} UTC"


def _size(count: int) -> str:
    """
    Return a number of bytes in words.

    >>> _size(999), _size(20480), _size(5 << 20)
    ('999 B', '20 KB', '5.0 MB')
    """
    if count < 1024:
        return f"{count} B"
    return f"{count / 1024:.0f} KB" if count < 1 << 20 else f"{count / (1 << 20):.1f} MB"


def _spaced(name: str) -> str:
    """
    Return a name of JSON as words.

    >>> _spaced("daily_limit"), _spaced("timeZone")
    ('daily limit', 'time zone')
    """
    return "".join(f" {one.lower()}" if one.isupper() else one for one in name).replace("_", " ")
