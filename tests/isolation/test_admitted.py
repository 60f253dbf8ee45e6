"""
What the threat model does not claim to stop: code of the same user that sets out to steal.

It can ask for the secret as this program does, and it can make calls of its own. These rows hold
the README to that, and show what still holds all the same.
"""

from __future__ import annotations

import gc
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from hsagency.credentials import SecretName
from hsagency.secret import Secret
from tests.isolation.attacking import PATH, Scene

README = Path(__file__).resolve().parents[2] / "README.md"


def asks_the_store(on: Scene) -> str:
    name = SecretName(on.agency.workspace.settings.workspace, on.slug_a, 1)
    return on.agency.store.get(name).reveal()


def asks_what_the_client_asks(on: Scene) -> str:
    """Find the secret among all objects of the process, and ask it."""
    on.a.get(PATH)
    held = [one for one in gc.get_objects() if type(one).__name__ == "function"]
    found = [cell.cell_contents for one in held for cell in one.__closure__ or () if _is_full(cell)]
    secrets = [one for one in found if isinstance(one, Secret)]
    lists = [one for one in found if isinstance(one, list)]
    secrets += [one for each in lists for one in each if isinstance(one, Secret)]
    tokens = {one.reveal() for one in secrets}
    return next(token for token in tokens if token == on.portal_a.token)


def looks_at_the_frames_that_send(on: Scene) -> str:
    """Read the locals of whoever is sending, from within a body on its way."""
    seen: list[str] = []

    def body() -> Iterator[bytes]:
        here = inspect.currentframe()
        while here is not None:
            if "/hsagency/transport/" in here.f_code.co_filename:
                seen.extend(repr(one) for one in here.f_locals.values())
            here = here.f_back
        yield b"{}"

    on.a.post(PATH, content=body())
    token = on.portal_a.token
    return token if any(token in one for one in seen) else ""


def _is_full(cell: object) -> bool:
    try:
        return bool(cell.cell_contents is not None)  # type: ignore[attr-defined]
    except ValueError:
        return False


@pytest.mark.parametrize(
    "steal", [asks_the_store, asks_what_the_client_asks, looks_at_the_frames_that_send]
)
def test_code_of_the_same_user_can_ask_for_the_secret(
    scene: Scene, steal: Callable[[Scene], str]
) -> None:
    assert steal(scene) == scene.portal_a.token
    assert "it can ask for the secret as" in README.read_text()


def test_what_it_then_calls_by_itself_is_not_recorded(scene: Scene) -> None:
    """The log is of calls through a client; calls beside it show in the portal's counts alone."""
    before = len(scene.calls(scene.slug_a))
    headers = {"Authorization": f"Bearer {asks_the_store(scene)}"}
    answer = httpx.get(f"{scene.url}{PATH}", headers=headers, trust_env=False)
    assert answer.status_code == 200
    assert len(scene.calls(scene.slug_a)) == before
    assert scene.sandbox.arrivals[-1].portal_id == scene.portal_a.portal_id


def test_a_transport_put_in_place_of_the_guard_sends_no_credential(scene: Scene) -> None:
    """It leaves no record; but what it sends is nobody's, as from any other program."""
    client = scene.a
    client._path = httpx.HTTPTransport(trust_env=False)
    before = len(scene.calls(scene.slug_a))
    assert client.get(PATH).status_code == 401
    assert len(scene.calls(scene.slug_a)) == before
    assert scene.sandbox.arrivals[-1].portal_id is None
    client._path.close()


def test_the_guard_of_another_client_calls_as_that_client_and_on_its_record(scene: Scene) -> None:
    """Whoever takes B's guard calls B's portal through B's client, whatever it is wrapped in."""
    client, before = scene.a, len(scene.calls(scene.slug_b))
    client._path = scene.b._path
    assert client.get(PATH).status_code == 200
    assert scene.sandbox.arrivals[-1].portal_id == scene.portal_b.portal_id
    (call,) = scene.calls(scene.slug_b)[before:]
    assert (call["portalId"], call["clientSlug"]) == (scene.portal_b.portal_id, scene.slug_b)
