"""
One OAuth connection by a real browser: from the start of the command to what is stored.

Chromium is there already and opens the address as soon as the command prints it; the person
clicks at once. What is counted ends when the command does, with everything stored and the page
told.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import BrowserContext, sync_playwright

from hsagency import connecting
from hsagency.agency import Agency
from hsagency.sandbox import Sandbox, serve
from hsagency.secret import Secret
from tests.benchmarks.measuring import line
from tests.browser.conftest import OPTIONS, executable
from tests.connecting.offices import free_port

RUNS = 5


def prepared(root: Path, url: str, sandbox: Sandbox) -> None:
    """Make a workspace with an app that the sandbox knows."""
    with Agency.create(root, store="age:credentials") as agency:
        made = connecting.prepare(agency, api=url, port=free_port())
        app = sandbox.register_app(
            "Agency",
            redirect_uris=[made.redirect_uri],
            required=[*made.required],
            optional=[*made.optional],
        )
        secret = Secret(app.client_secret)
        connecting.set_up(agency, made, client_id=app.client_id, client_secret=secret)


def connect(
    root: Path, url: str, window: BrowserContext, number: int, portal_id: int
) -> tuple[float, float, float]:
    """Return the seconds until all is done, until the address, and of the command's processor."""
    before = os.times()
    args = ["connect", "--api", url, "--yes", "--portal", str(portal_id)]
    args += ["--no-browser", "--workspace", str(root)]
    started = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-m", "hsagency.cli", *args],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        address = next(said.strip() for said in process.stderr if said.startswith("http"))
        shown = time.perf_counter() - started
        page = window.new_page()
        page.goto(address)
        page.locator("input[type=radio]").nth(number).check()
        page.get_by_role("button", name="Connect app").click()
        page.get_by_role("heading", name="Connected").wait_for()
        _, errors = process.communicate()
        took = time.perf_counter() - started
        page.close()
    if process.returncode:
        raise SystemExit(errors)
    after = os.times()
    own = after.children_user + after.children_system
    return took, shown, own - before.children_user - before.children_system


def main() -> None:
    with (
        tempfile.TemporaryDirectory() as name,
        serve(sandbox := Sandbox(portals=RUNS, contacts=10)) as server,
        sync_playwright() as playwright,
    ):
        root = Path(name) / "workspace"
        prepared(root, server.url, sandbox)
        chromium = playwright.chromium.launch(executable_path=executable(), args=list(OPTIONS))
        window = chromium.new_context()
        portals = [one.portal_id for one in sandbox.portals]
        took = sorted(
            connect(root, server.url, window, number, portals[number]) for number in range(RUNS)
        )
        chromium.close()
    whole = [round(one[0], 2) for one in took]
    line(
        "one OAuth connection by a real browser",
        median_seconds=whole[RUNS // 2],
        worst_seconds=whole[-1],
        until_the_address=round(took[RUNS // 2][1], 2),
        processor=round(took[RUNS // 2][2], 2),
        runs=RUNS,
    )


if __name__ == "__main__":
    main()
