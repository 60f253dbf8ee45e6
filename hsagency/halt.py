"""
The fleet-wide halt: one file that stops every call of every process until a person clears it.

It is set when a live connection turns out to reach another portal than its own. Reading it
costs two looks at the file system a call; a file that cannot be read counts as set, and so
does a folder that is gone: a halt may have gone with it. Whoever changes it holds a lock, so that
an alarm that comes while a person lifts the halt is not lifted with it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import orjson

from hsagency.durable import locked, make_private_dir, read_regular, write_private
from hsagency.errors import Conflict, Halted, NotStopped, UsageError

RESUME: Final = "hsagency resume --fleet --reason TEXT"
"""The command that lifts the halt."""


class Halt:
    """The halt of one workspace."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._name, self._folder = os.fspath(path), os.fspath(path.parent)

    def check(self) -> None:
        """Raise `Halted` while the fleet is halted."""
        if self._is_set():
            raise Halted(
                f"The fleet is halted: {self.reason()} Nothing was sent.", hint=self.advice()
            )

    def reason(self) -> str | None:
        """Return why the fleet is halted, every alarm in turn, or nothing if it is not."""
        if not self._is_set():
            return None
        if not self._path.parent.exists():
            return "its folder is gone, and with it whether it was halted."
        said = self._said()
        first = str(said.get("reason", "the reason could not be read."))
        return " And then: ".join([first, *_texts(said.get("more"))])

    def advice(self) -> str:
        """Return where a person finds the cause, and what lifts the halt."""
        looks = [f"hsagency audit tail {slug}" for slug in self.logs()[:3]]
        looks += ["hsagency audit activity", "hsagency portals"]
        return f"Find the cause first ({', '.join(looks)}); then: {RESUME}"

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
        """
        Halt the fleet, or add another reason to why it is.

        Time and correlation id stay the first one's. `slug` is the client whose log has it too.
        """
        make_private_dir(self._path.parent)
        with self._alone():
            said = self._said()
            if not self._is_set():
                said = {"schema": 1, "reason": reason, "since": at}
                if correlation_id is not None:
                    said["correlationId"] = correlation_id
            elif not said:
                return  # what is not to be read is left for a person to look at
            elif reason not in (said.get("reason"), *_texts(said.get("more"))):
                said["more"] = [*_texts(said.get("more")), reason]
            if slug and slug not in _texts(said.get("logs")):
                said["logs"] = [*_texts(said.get("logs")), slug]
            write_private(self._path, orjson.dumps(said, option=orjson.OPT_INDENT_2))

    def logs(self) -> list[str]:
        """Return the clients in whose logs the halt is on record, and its end belongs."""
        return _texts(self._said().get("logs"))

    def content(self) -> bytes:
        """Return the file as it is, for `clear`; nothing where there is none to be read."""
        try:
            return read_regular(self._path)
        except OSError:
            return b""

    def clear(self, *, reason: str, expect: bytes | None = None) -> str:
        """
        Resume, and return what the halt was for.

        `expect` is the `content` that was looked at. Raises `NotStopped` if there is no halt,
        `UsageError` without a reason, and `Conflict` where another alarm came meanwhile.
        """
        if not reason.strip():
            raise UsageError("Resuming needs a reason; nothing was changed.")
        with self._alone():
            halted_for = self.reason()
            if halted_for is None:
                raise NotStopped("The fleet is not halted; nothing was changed.")
            if expect is not None and self.content() != expect:
                raise Conflict(
                    f"There was another alarm meanwhile; the fleet stays halted: {halted_for}",
                    hint=self.advice(),
                )
            make_private_dir(self._path.parent)
            self._path.unlink(missing_ok=True)
        return halted_for

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep others from changing the file; no lock to be had is no reason not to halt."""
        with ExitStack() as held:
            with suppress(OSError):
                held.enter_context(locked(self._path.with_suffix(".lock")))
            yield

    def _said(self) -> dict[str, object]:
        """Return what the file says; nothing if there is none, or none that can be read."""
        try:
            said = orjson.loads(self.content())
        except ValueError:
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


def _texts(value: object) -> list[str]:
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []
