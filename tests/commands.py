"""`hsagency` as a person runs it: a real child process, on a pipe or on a terminal."""

from __future__ import annotations

import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from fcntl import ioctl
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def command(args: Sequence[str | Path]) -> list[str]:
    return [sys.executable, "-m", "hsagency.cli", *map(str, args)]


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), **(more or {})}


def run_cli(
    args: Sequence[str | Path],
    *,
    stdin: str | bytes = b"",
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run `hsagency` with these arguments to its end."""
    done = subprocess.run(
        command(args),
        input=stdin.encode() if isinstance(stdin, str) else stdin,
        capture_output=True,
        cwd=cwd,
        env=environment(env),
        timeout=60,
        check=False,
    )
    return subprocess.CompletedProcess(
        done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
    )


@contextmanager
def running_cli(
    args: Sequence[str | Path], *, cwd: Path | None = None, stdin: bytes = b""
) -> Iterator[subprocess.Popen[bytes]]:
    """Start `hsagency`; whatever happens, it is gone afterwards."""
    process = subprocess.Popen(
        command(args),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=cwd,
        env=environment(),
        start_new_session=True,
    )
    try:
        assert process.stdin is not None
        process.stdin.write(stdin)
        process.stdin.close()
        process.stdin = None
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


_INTERRUPT = b"\x03"

# A controlling terminal cannot be had without a moment in the child itself.
_ON_TERMINAL = "import fcntl,os,sys,termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"


def on_terminal(
    args: Sequence[str | Path],
    *,
    columns: int = 100,
    typed: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    more: Mapping[str, str] | None = None,
) -> tuple[int, str]:
    """
    Run `hsagency` on a pseudo-terminal; return its exit code and what the screen got.

    `typed` is what a person types, by the text on the screen that they wait for; `more` is put
    into the environment.
    """
    ours, theirs = pty.openpty()
    try:
        ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _ON_TERMINAL, *command(args)],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            cwd=cwd,
            env=environment({"TERM": "xterm", **(more or {})}),
            start_new_session=True,
        )
        os.close(theirs)
        try:
            screen = _converse(ours, dict(typed or {}))
            return process.wait(60), screen
        finally:
            process.kill()
            process.wait()
    finally:
        os.close(ours)


def _converse(terminal: int, typed: dict[str, str]) -> str:
    screen, deadline, interrupts = b"", time.monotonic() + 60, False
    while time.monotonic() < deadline:
        if not select.select([terminal], [], [], 3)[0]:
            if interrupts:
                os.write(terminal, _INTERRUPT)
            continue
        try:
            more = os.read(terminal, 65536)
        except OSError:  # Linux says so when the other side is gone
            break
        if not more:
            break
        screen += more
        for waited in [one for one in typed if one.encode() in screen]:
            keys = typed.pop(waited).encode()
            os.write(terminal, keys)
            interrupts = keys == _INTERRUPT
    return screen.decode().replace("\r\n", "\n")
