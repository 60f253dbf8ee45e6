"""`hsagency lab` serves the workspace on this machine, with kernel traffic encrypted."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from hsagency import Agency

KEY = "only-for-this-test"


@pytest.fixture
def lab(tmp_path):
    Agency.create(tmp_path / "agency", store="age:credentials").close()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "hsagency.cli", "lab", "--workspace", str(tmp_path / "agency")]
    options = ["--no-browser", "--port", str(port), f"--IdentityProvider.token={KEY}"]
    with (tmp_path / "lab.log").open("w") as log:
        process = subprocess.Popen([*command, *options], stdout=log, stderr=log)
    with httpx.Client(
        base_url=f"http://127.0.0.1:{port}",
        headers={"Authorization": f"token {KEY}"},
        trust_env=False,
    ) as client:
        wait_for(client)
        yield client
    process.send_signal(signal.SIGTERM)
    process.wait(20)


def wait_for(client: httpx.Client) -> None:
    for _ in range(300):
        try:
            if client.get("/api/status").is_success:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    pytest.fail("JupyterLab did not start")


def test_kernels_talk_encrypted_and_know_their_workspace(lab, tmp_path):
    assert lab.post("/api/kernels", json={"name": "python3"}).status_code == 201
    (connection,) = Path(os.environ["HOME"]).rglob("kernel-*.json")
    written = json.loads(connection.read_text())
    assert written["curve_publickey"]
    assert written["ip"] == "127.0.0.1"
    assert connection.stat().st_mode & 0o077 == 0
    shown = {one["name"] for one in lab.get("/api/contents").json()["content"]}
    assert "notebooks" in shown
    assert "04-compliance.ipynb" in {
        one["name"] for one in lab.get("/api/contents/notebooks").json()["content"]
    }
