"""OAuth apps over the control API; nothing here is HubSpot's."""

from __future__ import annotations

import json
from urllib.parse import urlsplit

import pytest

from hsagency.sandbox import Sandbox, serve
from tests.sandbox.apps import (
    CALLBACK,
    READ,
    Developer,
    planner,
    refused,
)
from tests.sandbox.conftest import Connect


@pytest.fixture
def control(sandbox: Sandbox, over_a_socket: Connect):
    with serve(sandbox) as server:
        client = over_a_socket(sandbox, None)
        client.base_url = f"{server.url}/_sandbox/"
        client.headers["X-Sandbox-Key"] = server.control_key
        yield client


def test_an_app_is_registered_by_a_control_call_and_its_secret_said_once(control, quick) -> None:
    made = control.post(
        "apps", json={"name": "Second", "redirectUris": [CALLBACK], "required": [READ]}
    )
    assert made.status_code == 201
    secret = made.json()["clientSecret"]
    listed = control.get("apps")
    assert secret not in listed.text
    assert [app["name"] for app in listed.json()["apps"]] == ["Planner", "Second"]
    app = quick.sandbox.desk.apps.find(made.json()["clientId"])
    assert app is not None
    developer = Developer(app, quick.client, quick.sandbox)
    assert developer.install()["token_type"] == "bearer"
    assert control.get("apps").json()["apps"][1]["installs"] == 1


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": "A"},
        {"name": 1, "redirectUris": [CALLBACK]},
        {"name": "A", "redirectUris": CALLBACK},
        {"name": "A", "redirectUris": ["http://planner.example"]},
        {"name": "A", "redirectUris": [CALLBACK], "appId": "7"},
        {"name": "A", "redirectUris": [CALLBACK], "distribution": "none"},
        {"name": "A", "redirectUris": [CALLBACK], "color": "red"},
    ],
)
def test_an_app_that_makes_no_sense_is_registered_by_no_control_call(
    control, sandbox, body
) -> None:
    answer = control.post("apps", content=json.dumps(body))
    assert answer.status_code == 400
    assert list(sandbox.desk.apps) == []


def test_uninstalling_ending_and_behaviour_are_control_calls(control, quick: Developer) -> None:
    issued = quick.install()
    assert control.post("apps/end-access", json={"accessToken": issued["access_token"]}).is_success
    assert quick.call(issued["access_token"]).status_code == 401
    assert control.post("apps/behaviour", json={"rotates": True}).json() == {
        "rotates": True,
        "tells": True,
    }
    fresh = quick.refresh(issued["refresh_token"]).json()["refresh_token"]
    assert fresh != issued["refresh_token"]
    gone = {"portalId": issued["hub_id"], "clientId": quick.app.client_id, "hubGone": True}
    assert control.post("apps/uninstall", json=gone).status_code == 200
    refused(quick.refresh(fresh), "BAD_HUB")
    assert control.post("apps/uninstall", json=gone).status_code == 400
    assert control.post("apps/end-access", json={"accessToken": "?"}).status_code == 400


def test_a_page_reached_over_a_socket_leads_to_the_registered_address(
    sandbox, over_a_socket
) -> None:
    developer = planner(sandbox, over_a_socket)
    where = urlsplit(developer.decide().headers["location"])
    assert (where.scheme, where.netloc) == ("http", "localhost:8085")
