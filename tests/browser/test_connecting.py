"""Connecting in a real browser: HubSpot's page, the way back, and what the page says then."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from hsagency import connecting
from hsagency.connecting import Attempt
from hsagency.errors import ConnectingError, ConsentTimedOut, HsAgencyError
from tests.browser.test_consent import FAINT, FLAWS
from tests.connecting.offices import Office, office

pytestmark = pytest.mark.needs("chromium")


@dataclass
class Desk:
    """An office, a window, and whoever waits for the browser meanwhile."""

    office: Office
    window: Any

    def open(self, attempt: Attempt) -> Page:
        page: Page = self.window.new_page()
        page.goto(attempt.door)
        return page

    def finish(self, attempt: Attempt, **options: Any) -> tuple[threading.Thread, list[object]]:
        """Wait for the browser in a thread, as the command line does in its own."""
        ended: list[object] = []

        def wait() -> None:
            try:
                ended.append(connecting.finish(attempt, **options))
            except HsAgencyError as error:
                ended.append(error)

        thread = threading.Thread(target=wait)
        thread.start()
        return thread, ended


@pytest.fixture
def desk(browser, tmp_path: Path) -> Iterator[Desk]:
    browser.window.route("http://localhost:*/**", lambda route: route.continue_())
    with office(tmp_path / "workspace") as one:
        yield Desk(one, browser.window)
        assert browser.refused == []


def agree(page: Page, name: str) -> None:
    page.get_by_label(name).check()
    page.get_by_role("button", name="Connect app").click()


def flawless(page: Page) -> None:
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        for width in (320, 900):
            page.set_viewport_size({"width": width, "height": 700})
            assert page.evaluate(FLAWS) == []
            assert page.evaluate(FAINT) == []


def test_a_portal_is_connected_and_the_page_says_so(desk: Desk) -> None:
    name = desk.office.sandbox.portals[1].name
    said: list[str] = []
    with desk.office.start(client="beta") as attempt:
        page = desk.open(attempt)
        page.on("console", lambda message: said.append(message.text))
        thread, ended = desk.finish(attempt)
        agree(page, name)
        page.get_by_role("heading", name="Connected").wait_for()
        thread.join()
    (done,) = ended
    assert isinstance(done, connecting.Connected)
    text = page.locator("main").inner_text()
    for part in (name, "beta", str(desk.office.portal(1)), "Config + Audit", "the terminal"):
        assert part in text
    assert not page.locator(".waiting").is_visible()
    assert "code" not in page.url
    assert said == []
    flawless(page)
    assert desk.office.works("beta")


def test_the_page_waits_while_a_person_confirms(desk: Desk) -> None:
    asked, answered = threading.Event(), threading.Event()

    def confirm(found):
        asked.set()
        answered.wait(30)
        return found.slug

    with desk.office.start() as attempt:
        page = desk.open(attempt)
        thread, ended = desk.finish(attempt, confirm=confirm)
        agree(page, desk.office.sandbox.portals[0].name)
        page.get_by_role("heading", name="Asking HubSpot whose account this is").wait_for()
        assert asked.wait(30)
        answered.set()
        page.get_by_role("heading", name="Connected").wait_for()
        thread.join()
    assert isinstance(ended[0], connecting.Connected)


def test_a_denial_is_said_on_the_page(desk: Desk) -> None:
    with desk.office.start() as attempt:
        page = desk.open(attempt)
        thread, ended = desk.finish(attempt)
        page.get_by_role("button", name="Cancel").click()
        page.get_by_role("heading", name="Nothing was connected").wait_for()
        thread.join()
    assert "somebody said no" in page.locator("main").inner_text()
    assert isinstance(ended[0], ConnectingError)
    flawless(page)


def test_the_wrong_account_is_named_on_the_page(desk: Desk) -> None:
    wrong, right = desk.office.portal(1), desk.office.portal(0)
    with desk.office.start(client="acme-corp", portal=right) as attempt:
        page = desk.open(attempt)
        thread, ended = desk.finish(attempt)
        agree(page, desk.office.sandbox.portals[1].name)
        page.get_by_role("heading", name="Nothing was connected").wait_for()
        thread.join()
    text = page.locator("main").inner_text()
    assert str(wrong) in text
    assert f"pick portal {right}" in text
    assert text.count("Nothing was connected") == 1
    assert isinstance(ended[0], ConnectingError)
    assert desk.office.agency.slugs() == []


def test_a_browser_that_is_closed_ends_in_the_time_running_out(desk: Desk) -> None:
    with desk.office.start() as attempt:
        page = desk.open(attempt)
        thread, ended = desk.finish(attempt, seconds=1)
        page.close()
        thread.join()
    assert isinstance(ended[0], ConsentTimedOut)
    assert "It may have been closed" in str(ended[0])


def test_a_forged_answer_in_the_browser_is_refused_and_the_wait_goes_on(desk: Desk) -> None:
    with desk.office.start() as attempt:
        thread, ended = desk.finish(attempt)
        forged: Page = desk.window.new_page()
        forged.goto(f"http://localhost:{desk.office.port}/oauth/callback?code=x&state=forged")
        assert "it still waits" in forged.locator("main").inner_text()
        flawless(forged)
        page = desk.open(attempt)
        agree(page, desk.office.sandbox.portals[0].name)
        page.get_by_role("heading", name="Connected").wait_for()
        thread.join()
    assert isinstance(ended[0], connecting.Connected)
