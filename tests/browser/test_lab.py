"""A notebook opened and run by `hsagency lab`, as an analyst does, with the network refused."""

from __future__ import annotations

import re
import secrets
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hsagency.agency import Agency
from hsagency.audit.importing import import_file
from tests.commands import command, environment

pytestmark = pytest.mark.needs("chromium")

DATA = Path(__file__).parents[1] / "data"
TABLES = ".jp-OutputArea-output .hsa-table"
PICTURES = ".jp-OutputArea-output .hsa-chart img"


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[str]:
    root = tmp_path / "workspace"
    with Agency.create(root, store="age:credentials") as agency:
        import_file(agency.writer, DATA / "legacy-audit-snake.jsonl")
    port, key = free_port(), secrets.token_hex(8)
    started = command(
        [
            *("lab", "--workspace", root, "--no-browser"),
            *(f"--port={port}", f"--IdentityProvider.token={key}"),
        ]
    )
    with (tmp_path / "lab.log").open("wb") as log:
        server = subprocess.Popen(started, cwd=tmp_path, env=environment(), stdout=log, stderr=log)
        try:
            wait_for(f"http://127.0.0.1:{port}/api", server)
            yield f"http://127.0.0.1:{port}/lab/tree/notebooks/{{}}?token={key}&reset"
        finally:
            server.terminate()
            server.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(url: str, server: subprocess.Popen[bytes]) -> None:
    while server.poll() is None:
        try:
            with urllib.request.urlopen(url):
                return
        except urllib.error.HTTPError as error:
            error.close()
            return
        except OSError:
            time.sleep(0.1)
    raise AssertionError("JupyterLab ended")


def run_all(window: Any) -> None:
    """Run all cells once the kernel is there: before, JupyterLab would ask which one to take."""
    window.get_by_text("Python 3 (ipykernel) | Idle").wait_for(timeout=60_000)
    prompt = window.locator(".jp-CodeCell .jp-InputPrompt").first
    while not re.fullmatch(r"\[[\d*]+\]:", prompt.inner_text().strip()):
        # While it is still settling, the command may get lost.
        window.get_by_role("menuitem", name="Run", exact=True).click()
        window.get_by_text("Run All Cells", exact=True).click()
        window.wait_for_timeout(1000)


def test_a_notebook_runs_top_to_bottom_and_shows_its_charts(lab: str, browser: Any) -> None:
    window = browser.window.new_page()
    window.set_viewport_size({"width": 1200, "height": 4000})  # every cell is on screen
    window.goto(lab.format("04-compliance.ipynb"))
    window.wait_for_selector(".jp-NotebookPanel .jp-Cell", timeout=60_000)
    run_all(window)
    window.wait_for_function(f"document.querySelectorAll({PICTURES!r}).length == 2", timeout=60_000)
    widths = window.locator(PICTURES).evaluate_all(
        "all => Promise.all(all.map(one => one.decode().then(() => one.naturalWidth)))"
    )
    assert min(widths) > 400
    window.wait_for_function(f"document.querySelectorAll({TABLES!r}).length == 5", timeout=60_000)
    assert "No client was named: this is acme-corp." in window.locator(".jp-Notebook").inner_text()
    assert not window.locator("[data-mime-type='application/vnd.jupyter.stderr']").count()
    assert not window.get_by_text("Would you like to").count()  # no question about news
    assert browser.refused == []
