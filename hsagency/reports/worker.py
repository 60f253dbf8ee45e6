"""
A process that is warm: it has imported what reports need and forks a child for each one.

A report in a fresh process would spend two seconds on imports; a fork of this one spends
none, and is still a process of its own, whose crash or endless loop is one failed report.
Forking is safe here because this process does nothing but import: no query has run in it, so
no thread of the engine holds a lock; a fork after a query would hang. Tasks come in on
standard input, one JSON line each; one JSON line on standard output says how each ended.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Mapping
from typing import Any, NoReturn

import orjson


def serve() -> None:
    """Run tasks until there are no more."""
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent is asked, and then stops us
    answers = os.dup(1)
    os.dup2(2, 1)  # a notebook that writes to standard output must not answer for us
    os.set_inheritable(answers, False)
    _warm_up()
    with contextlib.suppress(SystemExit):
        for line in sys.stdin.buffer:
            task = orjson.loads(line)
            ended = _in_a_child(task) if hasattr(os, "fork") else _in_here(task)
            os.write(answers, orjson.dumps({"ended": ended}) + b"\n")
    os._exit(0)  # nothing is left to tidy up, and a late signal finds nothing to interrupt


def _warm_up() -> None:
    import importlib

    # It costs 0.75 s to import and nothing here checks what it is for: IRIs in JSON schemas.
    sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]
    for name in (
        *("hsagency.reports.making", "hsagency.charts", "hsagency.quota"),
        *("papermill", "nbformat", "nbconvert", "polars", "altair", "vl_convert"),
        *("IPython.core.interactiveshell", "IPython.utils.capture"),
    ):
        importlib.import_module(name)


def _in_a_child(task: Mapping[str, Any]) -> str:
    child = os.fork()
    if child == 0:
        _be_the_child(task)
    deadline = time.monotonic() + float(task["timeout"])
    ended = "it took too long and was stopped"
    try:
        while time.monotonic() < deadline and os.getppid() == task["parent"]:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                child = 0
                return _said(os.waitstatus_to_exitcode(status))
            time.sleep(0.005)
        return ended
    finally:
        if child:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)


def _be_the_child(task: Mapping[str, Any]) -> NoReturn:
    code = 1
    try:
        os.setsid()  # so that whatever the notebook starts can be stopped with it
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.chdir(task["workspace"])
        _make(task, engine=task["engine"])
        code = 0
    finally:
        sys.stdout.flush()
        os._exit(code)


def _in_here(task: Mapping[str, Any]) -> str:
    """Where processes cannot be forked, a kernel keeps the notebooks apart."""
    _make(task, engine="kernel")
    return ""


def _make(task: Mapping[str, Any], *, engine: Any) -> None:
    from hsagency.reports.making import make

    make(task, engine=engine)


def _said(code: int) -> str:
    if code < 0:
        return f"its process was killed by signal {-code}"
    return f"its process ended with code {code}" if code else ""


def _stop(*_: object) -> NoReturn:
    raise SystemExit(0)
