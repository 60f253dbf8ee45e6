"""
What every test gets: a scrubbed environment, a home of its own, and an honest list of tools.

A test that needs a tool of the machine says `@pytest.mark.needs("chromium")`. Where the tool
is missing the test is deselected and named at the end; `--require-all` makes that an error.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import hypothesis
import pytest

# A busy machine is not a failing law, and nothing here is timed.
hypothesis.settings.register_profile("hsagency", deadline=None)
hypothesis.settings.load_profile("hsagency")

AMBIENT = ("HUBSPOT_", "HSAGENCY_", "KEYRING_", "PYTHON_KEYRING_", "JUPYTER_", "XDG_")
PROXIES = {"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "FTP_PROXY", "NO_PROXY"}
OTHERS = {"DBUS_SESSION_BUS_ADDRESS", "IPYTHONDIR", "GNUPGHOME", "COLUMNS", "FORCE_COLOR"}

DESELECTED = pytest.StashKey[dict[str, list[str]]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--require-all",
        action="store_true",
        help="refuse to run when a tool that some test needs is missing",
    )


@pytest.hookimpl(trylast=True)  # after -k and -m: only what would run has needs
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    lacking = {item: missing for item in items if (missing := missing_tools(item))}
    if lacking and config.getoption("--require-all"):
        tools = ", ".join(sorted({tool for missing in lacking.values() for tool in missing}))
        raise pytest.UsageError(
            f"--require-all: {tools} not found here, so {len(lacking)} tests could not run; "
            "nothing was run."
        )
    by_tools = config.stash.setdefault(DESELECTED, {})
    for item, missing in lacking.items():
        by_tools.setdefault(", ".join(missing), []).append(item.nodeid)
    if lacking:
        config.hook.pytest_deselected(items=list(lacking))
        items[:] = [item for item in items if item not in lacking]


def missing_tools(item: pytest.Item) -> list[str]:
    tools = {tool for mark in item.iter_markers("needs") for tool in mark.args}
    return sorted(tool for tool in tools if not is_there(tool))


def is_there(tool: str) -> bool:
    return bool(PROBES[tool]()) if tool in PROBES else shutil.which(tool) is not None


@cache
def small_disks() -> bool:
    """Tell whether a process here can mount a small disk that only it sees."""
    if shutil.which("unshare") is None:
        return False
    mount = ("mount", "-t", "tmpfs", "-o", "size=64k", "none", tempfile.gettempdir())
    command = ["unshare", "--map-root-user", "--mount", *mount]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


# What is no program on the path.
PROBES: dict[str, Callable[[], object]] = {
    "small-disks": small_disks,
    "root": lambda: os.geteuid() == 0,
}


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for tools, tests in sorted(terminalreporter.config.stash.get(DESELECTED, {}).items()):
        terminalreporter.write_line(
            f"deselected, because {tools} is not here: {', '.join(tests)}", yellow=True
        )


@pytest.fixture(autouse=True, scope="session")
def _scrubbed_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Cover fixtures of a wider scope than one test."""
    with pytest.MonkeyPatch.context() as patch:
        scrub(patch, home=tmp_path_factory.mktemp("session-home"))
        yield


@pytest.fixture(autouse=True)
def _scrubbed(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Let no test, and no process it starts, see this machine's settings or its home."""
    scrub(monkeypatch, home=tmp_path_factory.mktemp("home"))


def scrub(patch: pytest.MonkeyPatch, *, home: Path) -> None:
    for name in list(os.environ):
        if name.startswith(AMBIENT) or name.upper() in PROXIES or name in OTHERS:
            patch.delenv(name)
    patch.setenv("HOME", str(home))
    for name in ("CONFIG", "DATA", "STATE", "CACHE"):
        patch.setenv(f"XDG_{name}_HOME", str(home / f".{name.lower()}"))
    runtime = home / "run"
    runtime.mkdir(mode=0o700)
    patch.setenv("XDG_RUNTIME_DIR", str(runtime))
