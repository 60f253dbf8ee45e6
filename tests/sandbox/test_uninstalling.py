"""Apps that leave a portal, by themselves or taken out by its people (facts 1.7)."""

from __future__ import annotations

from collections import Counter

import pytest

from hsagency.errors import SandboxError
from tests.sandbox.apps import (
    CALLBACK,
    READ,
    UNINSTALL,
    Developer,
    refused,
)


@pytest.mark.parametrize("path", [UNINSTALL, "/appinstalls/v3/external-install"])
def test_an_app_uninstalls_itself(developer: Developer, path: str) -> None:
    """Facts 1.7; that its access tokens end at once is an assumption."""
    issued = developer.install()
    mine = {"authorization": f"Bearer {issued['access_token']}"}
    answer = developer.client.delete(path, headers=mine)
    assert (answer.status_code, answer.content) == (204, b"")
    refused(developer.refresh(issued["refresh_token"]), "BAD_REFRESH_TOKEN")
    after = developer.call(issued["access_token"])
    assert (after.status_code, after.json()["category"]) == (401, "INVALID_AUTHENTICATION")
    assert developer.install()["refresh_token"] != issued["refresh_token"]


def test_uninstalling_takes_an_app_out_of_one_portal_only(quick: Developer) -> None:
    first, second = quick.install(0), quick.install(1)
    quick.sandbox.uninstall(first["hub_id"], quick.app.client_id)
    refused(quick.refresh(first["refresh_token"]), "BAD_REFRESH_TOKEN")
    assert quick.refresh(second["refresh_token"]).status_code == 200
    with pytest.raises(SandboxError, match="no such app"):
        quick.sandbox.uninstall(first["hub_id"], quick.app.client_id)


def test_uninstalling_leaves_the_portals_other_apps_alone(quick: Developer) -> None:
    app = quick.sandbox.register_app("Other", redirect_uris=[CALLBACK], required=[READ])
    other = Developer(app, quick.client, quick.sandbox)
    mine, theirs = quick.install(), other.install()
    quick.sandbox.uninstall(mine["hub_id"], quick.app.client_id)
    assert other.call(theirs["access_token"]).status_code == 200
    assert other.refresh(theirs["refresh_token"]).status_code == 200


def test_uninstalling_takes_the_codes_along(quick: Developer) -> None:
    quick.install()
    code = quick.code()
    quick.sandbox.uninstall(quick.sandbox.portals[0].portal_id, quick.app.client_id)
    refused(quick.exchange(code), "BAD_AUTH_CODE")


def test_a_static_token_uninstalls_nothing(quick: Developer) -> None:
    """The status is an assumption."""
    issued, own = quick.install(), quick.sandbox.portals[0].token
    answer = quick.client.delete(UNINSTALL, headers={"authorization": f"Bearer {own}"})
    assert answer.status_code == 403
    assert quick.refresh(issued["refresh_token"]).status_code == 200


def test_an_access_token_can_be_ended_before_its_time(quick: Developer) -> None:
    issued = quick.install()
    quick.sandbox.end_access(issued["access_token"])
    answer = quick.call(issued["access_token"])
    assert (answer.status_code, answer.json()["category"]) == (401, "INVALID_AUTHENTICATION")
    assert quick.refresh(issued["refresh_token"]).status_code == 200
    for other in ("nobody's", quick.sandbox.portals[0].token):
        with pytest.raises(SandboxError, match="nothing was ended"):
            quick.sandbox.end_access(other)


def test_the_security_history_tells_of_installs_and_uninstalls(quick: Developer) -> None:
    """Facts 1.4; one install however often it is confirmed. From documents alone."""
    portal = quick.sandbox.portals[0]
    quick.install()
    quick.install()
    quick.sandbox.uninstall(portal.portal_id, quick.app.client_id)
    found = quick.call(portal.token, "/account-info/2026-09/activity/security?limit=200").json()
    mine = [e["type"] for e in found["results"] if e.get("objectId") == str(quick.app.app_id)]
    assert Counter(mine) == {"INSTALL_INTEGRATION": 1, "UNINSTALL_INTEGRATION": 1}
