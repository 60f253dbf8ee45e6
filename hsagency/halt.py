"""
The fleet-wide halt: one file that stops every call of every process until a person clears it.

It is set when a live connection turns out to reach another portal than its own. Reading it
costs two looks at the file system a call; a file that cannot be read counts as set, and so
does a folder that is gone: a halt may have gone with it.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import orjson

from hsagency.durable import make_private_dir, write_private
from hsagency.errors import Halted, UsageError


class Halt:
    """The halt of one workspace."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._name, self._folder = os.fspath(path), os.fspath(path.parent)

    def check(self) -> None:
        """Raise `Halted` while the fleet is halted."""
        if self._is_set():
            raise Halted(f"The fleet is halted: {self.reason()} Nothing was sent.")

    def reason(self) -> str | None:
        """Return why the fleet is halted, or nothing if it is not."""
        if not self._is_set():
            return None
        if not self._path.parent.exists():
            return "its folder is gone, and with it whether it was halted."
        return str(self._said().get("reason", "the reason could not be read."))

    def since(self) -> datetime | None:
        """Return when the fleet was halted, as far as that can be read."""
        try:
            since = datetime.fromisoformat(str(self._said().get("since")))
        except ValueError:
            return None
        return since.astimezone(UTC) if since.tzinfo is not None else None

    def correlation_id(self) -> str | None:
        """Return HubSpot's name for the answer that the fleet was halted for, where it had one."""
        trace = self._said().get("correlationId")
        return trace if isinstance(trace, str) else None

    def set(
        self, reason: str, *, at: datetime, slug: str = "", correlation_id: str | None = None
    ) -> None:
        """Halt the fleet; the first reason stays. `slug` is the client whose log has it too."""
        said = self._said()
        if self.reason() is None or not self._path.parent.exists():
            make_private_dir(self._path.parent)
            said = {"schema": 1, "reason": reason, "since": at}
            if correlation_id is not None:
                said["correlationId"] = correlation_id
        elif not (said and slug) or slug in self.logs():
            return
        if slug:
            said["logs"] = [*self.logs(), slug]
        write_private(self._path, orjson.dumps(said, option=orjson.OPT_INDENT_2))

    def logs(self) -> list[str]:
        """Return the clients in whose logs the halt is on record, and its end belongs."""
        logs = self._said().get("logs", [])
        return [one for one in logs if isinstance(one, str)] if isinstance(logs, list) else []

    def clear(self, *, reason: str) -> str:
        """Resume, and return what the halt was for; raises `UsageError` if there is none."""
        halted_for = self.reason()
        if halted_for is None:
            raise UsageError("The fleet is not halted; nothing was changed.")
        if not reason.strip():
            raise UsageError("Resuming needs a reason; nothing was changed.")
        make_private_dir(self._path.parent)
        self._path.unlink(missing_ok=True)
        return halted_for

    def _said(self) -> dict[str, object]:
        """Return what the file says; nothing if there is none, or none that can be read."""
        try:
            said = orjson.loads(self._path.read_bytes())
        except (OSError, ValueError):
            return {}
        return said if isinstance(said, dict) else {}

    def _is_set(self) -> bool:
        try:
            os.lstat(self._name)
        except FileNotFoundError:
            return not os.path.isdir(self._folder)  # noqa: PTH112  (once a call)
        except OSError:
            return True  # whether it is there cannot be seen, so it counts as there
        return True
