"""
The parent's side of the warm processes: start a few, hand each one task at a time, stop them.

Made by hand rather than with `multiprocessing`, whose children import the caller's main
module again: a script without the usual guard would start itself over.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Self

_SERVE: Final = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from hsagency.reports.worker import serve; serve()"
)


class Worker:
    """One warm process."""

    def __init__(self) -> None:
        flags = ["-E"] if sys.flags.ignore_environment else []
        path = [str(Path(one).absolute()) for one in sys.path]  # "" would move to another folder
        self._process = subprocess.Popen(  # noqa: S603 - this very Python, no shell
            [sys.executable, "-P", *flags, "-c", _SERVE, json.dumps(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            env=_environment(),
            start_new_session=True,  # Ctrl-C is for this process, which stops that one
        )

    def run(self, task: Mapping[str, Any]) -> str:
        """Run a task and say how its process ended: nothing, if well."""
        line = json.dumps({**task, "parent": os.getpid()}) + "\n"
        try:
            _pipe(self._process.stdin).write(line.encode())
            answer = _pipe(self._process.stdout).readline()
        except BrokenPipeError:
            answer = b""
        return str(json.loads(answer)["ended"]) if answer else "the process that made it ended"

    @property
    def alive(self) -> bool:
        """Whether it can take another task."""
        return self._process.poll() is None

    def stop(self) -> None:
        """End the process, and with it what it is running."""
        with contextlib.suppress(BrokenPipeError):
            _pipe(self._process.stdin).close()
        self._process.terminate()
        self._process.wait()
        _pipe(self._process.stdout).close()


class Workers:
    """A few warm processes, each used by one thread at a time."""

    def __init__(self, count: int) -> None:
        self._all = [Worker() for _ in range(count)]
        self._idle: queue.SimpleQueue[Worker] = queue.SimpleQueue()
        self._stopped = False
        for worker in self._all:
            self._idle.put(worker)

    def run(self, task: Mapping[str, Any]) -> str:
        """Run a task in whichever process is free and say how that ended."""
        worker = self._idle.get()
        try:
            return "it was stopped" if self._stopped else worker.run(task)
        finally:
            usable = worker.alive or self._stopped
            self._idle.put(worker if usable else self._another())

    def _another(self) -> Worker:
        worker = Worker()
        self._all.append(worker)
        return worker

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopped = True
        for worker in self._all:
            worker.stop()


def _environment() -> dict[str, str]:
    """
    Return the environment without what makes a Python run files of the folder it is in.

    A json.py that lies there, in a folder of downloads say, is nobody's to run: not here, and
    not in a kernel that is started from here.
    """
    folders = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    fixed = os.pathsep.join(one for one in folders if Path(one).is_absolute())
    kept = {name: one for name, one in os.environ.items() if name != "PYTHONSTARTUP"}
    return {**kept, "PYTHONPATH": fixed, "PYTHONSAFEPATH": "1"}


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    if pipe is None:  # pragma: no cover - both were asked for
        raise RuntimeError("this process was started without pipes")
    return pipe
