"""
What forwarders have on disk about themselves: `state/forwarders/NAME.json`.

Where each stands in every journal, how much it has handed over, and why it is not getting on.
It is replaced as a whole, so that a crash leaves this or the one before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson

from hsagency.audit.evidence import is_log
from hsagency.audit.forwarding.following import Cursor
from hsagency.audit.forwarding.tape import Position
from hsagency.durable import (
    make_private_dir,
    read_regular,
    unreadable,
    write_private,
)
from hsagency.errors import CorruptFile, NewerSchema
from hsagency.settings import Workspace

SCHEMA: Final = 1
LONGEST: Final = 60.0
"""Seconds, at most, between two tries of a destination that raises."""

Cursors = dict[str, dict[str, Cursor]]  # by client and slot


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a forwarder is not getting on."""

    message: str
    since: str
    tries: int

    def wait(self) -> float:
        """Return after how many seconds to try again."""
        return min(LONGEST, 2.0 ** min(self.tries - 1, 10))


@dataclass(frozen=True, slots=True)
class State:
    """What a forwarder has on disk about itself."""

    cursors: Cursors = field(default_factory=dict)
    durable: bool = False
    delivered: int = 0  # handed over in all, with what was handed over again
    damaged: int = 0  # lines passed over because they are no records
    at: str | None = None
    trouble: Trouble | None = None


def load(path: Path) -> State:
    """Read a forwarder's state; none yet is one that begins at the beginning."""
    try:
        data = orjson.loads(read_regular(path))
        if data["schema"] > SCHEMA:
            raise NewerSchema(
                f"{path} has schema {data['schema']}; this hsagency reads up to {SCHEMA}.",
                hint="Use the later hsagency that wrote it.",
            )
        trouble = data["error"]
        return State(
            cursors=_cursors(data["clients"]),
            durable=bool(data["durable"]),
            delivered=int(data["delivered"]),
            damaged=int(data["damaged"]),
            at=data["at"],
            trouble=trouble and Trouble(trouble["message"], trouble["since"], trouble["tries"]),
        )
    except FileNotFoundError:
        return State()
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CorruptFile(
            f"The state {path} of a forwarder cannot be read. Nothing was forwarded.",
            hint="Move that file away; everything is then forwarded again from the beginning.",
        ) from error


def save(path: Path, state: State) -> None:
    """Write a forwarder's state, so that a crash leaves this or the one before."""
    clients = {
        slug: {slot: _document(one) for slot, one in cursors.items()}
        for slug, cursors in state.cursors.items()
    }
    trouble = state.trouble
    document = {
        "schema": SCHEMA,
        "at": state.at,
        "durable": state.durable,
        "delivered": state.delivered,
        "damaged": state.damaged,
        "error": trouble
        and {"message": trouble.message, "since": trouble.since, "tries": trouble.tries},
        "clients": clients,
    }
    make_private_dir(path.parent)
    write_private(path, orjson.dumps(document, option=orjson.OPT_INDENT_2))


def _document(cursor: Cursor) -> dict[str, object]:
    told = {call: list(upto) for call, upto in cursor.told.items()}
    return {"segment": cursor.at.segment, "offset": cursor.at.offset, "told": told}


def _cursors(clients: Mapping[str, Any]) -> Cursors:
    return {
        slug: {
            slot: Cursor(
                Position(int(one["segment"]), int(one["offset"])),
                {call: Position(*map(int, upto)) for call, upto in one["told"].items()},
            )
            for slot, one in slots.items()
        }
        for slug, slots in clients.items()
    }


def recorded(audit: Path) -> list[str]:
    """Return everybody who has a log, sealed or not, the agency's own too."""
    try:
        return sorted(one.name for one in audit.iterdir() if is_log(one))
    except OSError as error:
        raise unreadable(audit, error) from error


def folder(workspace: Workspace) -> Path:
    """Return where a workspace keeps these files."""
    return workspace.state / "forwarders"
