"""The README's examples are run as they stand there; its names and links exist."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import textwrap
from datetime import date
from pathlib import Path

import altair as alt
import httpx
import polars as pl
import pytest
from hubspot import HubSpot

from hsagency.demo import run_demo
from hsagency.errors import CallRefused
from hsagency.portals import ConnectionType
from hsagency.sandbox import Sandbox, serve
from hsagency.sandbox.control.fault_files import read_faults
from tests.support import connected

README = (Path(__file__).parents[2] / "README.md").read_text()
PICTURED = date(2026, 11, 20)  # the example asks for the month before
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_the_example_makes_the_chart_in_the_picture(tmp_path, monkeypatch):
    run_demo(tmp_path / "hsagency-demo", portals=1, say=lambda _: None, today=PICTURED)
    monkeypatch.chdir(tmp_path)
    *statements, last = BLOCKS[0].strip().splitlines()
    names: dict[str, object] = {}
    exec("\n".join(statements), names)
    chart = eval(last, names)
    names["agency"].close()  # type: ignore[attr-defined]
    assert isinstance(chart, alt.TopLevelMixin)
    assert "simulated" in chart.to_json().lower()


def test_the_calls_that_are_shown_are_made(tmp_path):
    one, many = (block for block in BLOCKS if "acme.pages(" in block or "agency.map(" in block)
    with connected(tmp_path / "agency", portals=2, contacts=250) as fleet:
        acme = fleet.agency.client("acme-corp", purpose="weekly review")
        names = {"acme": acme, "agency": fleet.agency, "pl": pl}
        exec(one + many, names)
    assert names["deals"].height > 0
    assert {*names["told"]["outcome"]} == {"done"}
    assert names["counts"]["outcome"].to_list() == ["done", "done"]
    assert min(names["counts"]["value"]) >= 250


def test_what_is_shown_of_a_portal_that_was_not_written_to_is_empty_for_it_alone(tmp_path):
    (shown,) = re.findall(r"`(agency\.calls\(.acme-corp.\)\.filter\(.*?\.collect\(\))`", README)
    with connected(tmp_path / "agency", portals=2, contacts=3) as fleet:
        index, names = fleet.agency.index, {"agency": fleet.agency, "pl": pl}
        index.update("acme-corp", generation=1, connection_type=ConnectionType.AUDIT_ONLY)
        acme = fleet.agency.client("acme-corp")
        assert acme.pages("contacts").frame().height == 3
        with pytest.raises(CallRefused):
            acme.batch_create("contacts", [{"email": "a@example.com"}])
        assert eval(shown, names).is_empty()
        index.update("acme-corp", generation=1, connection_type=ConnectionType.CONFIG_AND_AUDIT)
        acme.batch_create("contacts", [{"email": "a@example.com"}])
        assert eval(shown, names).height == 1


def test_an_oauth_app_gets_tokens_in_the_block_of_the_example_before_it():
    before, example = (block for block in BLOCKS if "serve(" in block or "register_app" in block)
    names: dict[str, object] = {"httpx": httpx, "CALLBACK": "http://localhost:8085/callback"}
    exec(before + textwrap.indent(example, "    "), names)
    assert names["tokens"]["hub_id"] == names["portal"].portal_id  # type: ignore[index,attr-defined]


def test_hubspots_own_client_is_pointed_at_it_as_is_shown():
    (shown,) = re.findall(r"`(HubSpot\(.*?\))`", README)
    with serve(Sandbox(portals=1, contacts=1)) as server:
        names = {"HubSpot": HubSpot, "server": server, "portal": server.sandbox.portals[0]}
        page = eval(shown, names).crm.contacts.basic_api.get_page(limit=1)
    assert len(page.results) == 1


@pytest.mark.needs("curl")
def test_the_control_api_is_called_as_is_shown():
    (shown,) = re.findall(r"^curl .*_sandbox/.*$", README, re.MULTILINE)
    with serve(Sandbox(portals=1, contacts=1)) as server:
        portal = server.sandbox.portals[0]
        address = shown.replace("PORT", server.url.rpartition(":")[2])
        words = shlex.split(address.replace("ID", str(portal.portal_id)))
        typed = [word.replace("KEY", server.control_key) for word in words]
        done = subprocess.run(
            [*typed, "--silent", "--noproxy", "*"], capture_output=True, check=True
        )
        assert json.loads(done.stdout)["token"] == server.sandbox.portals[0].token != portal.token


def test_the_faults_that_are_shown_strike_the_tenth_list(tmp_path):
    (example,) = re.findall(r"```toml\n(.*?)```", README, re.DOTALL)
    (tmp_path / "faults.toml").write_text(example, "utf-8")
    sandbox = Sandbox(portals=2, contacts=1)
    for fault in read_faults(tmp_path / "faults.toml", sandbox=sandbox):
        sandbox.faults.add(fault)
    headers = {"authorization": f"Bearer {sandbox.portal('acme-corp').token}"}
    with httpx.Client(
        transport=sandbox.transport(), base_url="https://api.hubapi.com", headers=headers
    ) as client:
        answers = [client.get("/crm/objects/2026-09/contacts") for _ in range(12)]
    assert [one.status_code for one in answers] == [200] * 9 + [429] + [200] * 2
    assert answers[9].headers["retry-after"] == "10"


def test_every_folder_and_module_of_the_layout_exists():
    layout = README.split("## Where everything is")[1].split("```")[1]
    root = Path(__file__).parents[2]
    for name in re.findall(r"[\w]+(?:\.py|/)", layout):
        found = [root / name, root / "hsagency" / name, root / "hsagency" / "audit" / name]
        found.append(root / "tests" / name)
        assert any(one.exists() for one in found), name


@pytest.mark.parametrize("link", re.findall(r"\]\((?!http)([^)#]+)\)", README))
def test_every_link_of_the_readme_leads_somewhere(link):
    assert (Path(__file__).parents[2] / link).exists()
