"""
The consent page in a real browser, by keyboard alone, with the network refused (facts 6).

Where the page leads rests on documents alone; what it looks like and how it is used is the
sandbox's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from playwright.sync_api import Page

from hsagency.sandbox import Sandbox, SandboxServer, serve
from hsagency.sandbox.oauth.apps import App

pytestmark = pytest.mark.needs("chromium")

READ = "crm.objects.contacts.read"
CUSTOM = "crm.objects.custom.read"
FOCUSED = "document.activeElement"
# What every page must have, each with a word for what is missing.
FLAWS = """() => {
    const flaws = [];
    const said = (one) => one.labels?.length || one.textContent.trim() || one.ariaLabel;
    if (document.documentElement.lang !== 'en') flaws.push('lang');
    if (!document.title.trim()) flaws.push('title');
    if (document.querySelectorAll('h1').length !== 1) flaws.push('h1');
    if (document.querySelectorAll('main').length !== 1) flaws.push('main');
    for (const one of document.querySelectorAll('input, button, select'))
        if (!said(one)) flaws.push(`a ${one.localName} without a label`);
    for (const one of document.querySelectorAll('fieldset'))
        if (!one.querySelector(':scope > legend')) flaws.push('a group without a legend');
    const ids = [...document.querySelectorAll('[id]')].map((one) => one.id);
    if (new Set(ids).size !== ids.length) flaws.push('an id twice');
    for (const one of document.querySelectorAll('[aria-labelledby], [aria-describedby]'))
        for (const name of ['aria-labelledby', 'aria-describedby'])
            for (const id of (one.getAttribute(name) || '').split(' ').filter(Boolean))
                if (!ids.includes(id)) flaws.push(`${name} ${id} is not there`);
    const levels = [...document.querySelectorAll('h1, h2, h3')].map((one) => +one.localName[1]);
    if (levels.some((level, n) => level > (levels[n - 1] || 0) + 1)) flaws.push('a level is left out');
    if (document.querySelectorAll('script, iframe, img').length) flaws.push('foreign content');
    if (document.documentElement.scrollWidth > innerWidth) flaws.push('wider than the window');
    return flaws;
}"""
# The contrast of each text with what is behind it, as WCAG counts it.
FAINT = """() => {
    const parts = (color) => color.match(/[\\d.]+/g).map(Number);
    const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
        .map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
        .reduce((sum, v, n) => sum + v * [0.2126, 0.7152, 0.0722][n], 0);
    const behind = (one) => {
        for (let at = one; at; at = at.parentElement) {
            const color = parts(getComputedStyle(at).backgroundColor);
            if (color.length === 3 || color[3] > 0) return color;
        }
        return [255, 255, 255];
    };
    return [...document.querySelectorAll('body *')]
        .filter((one) => [...one.childNodes].some((n) => n.nodeType === 3 && n.data.trim()))
        .filter((one) => {
            const [a, b] = [light(parts(getComputedStyle(one).color)), light(behind(one))];
            return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05) < 4.5;
        })
        .map((one) => one.outerHTML);
}"""


class Callback(HTTPServer):
    """The app's own server on localhost, which keeps what browsers bring."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Arrival)
        self.brought: list[dict[str, list[str]]] = []
        self.uri = f"http://localhost:{self.server_address[1]}/callback"


class _Arrival(BaseHTTPRequestHandler):
    server: Callback

    def do_GET(self) -> None:
        where = urlsplit(self.path)
        if where.path == "/callback":
            self.server.brought.append(parse_qs(where.query))
        self.send_response(200 if where.path == "/callback" else 404)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<title>Back at the app</title>")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@dataclass
class Install:
    """An app that asks, and the browser of the person who is asked."""

    server: SandboxServer
    callback: Callback
    app: App
    window: Any
    asked_for: list[str] = field(default_factory=list)

    @property
    def sandbox(self) -> Sandbox:
        return self.server.sandbox

    def link(self, path: str = "/oauth/authorize", **changes: str) -> str:
        params = {
            "client_id": self.app.client_id,
            "redirect_uri": self.callback.uri,
            "scope": f"oauth {READ}",
            "optional_scope": CUSTOM,
            "state": "s-1",
        }
        return f"{self.server.url}{path}?{urlencode(params | changes)}"

    def open(self, **changes: str) -> Page:
        page: Page = self.window.new_page()
        page.on("request", lambda request: self.asked_for.append(request.url))
        page.goto(self.link(**changes))
        return page


@pytest.fixture
def callback() -> Iterator[Callback]:
    server = Callback()
    thread = Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def install(browser, callback: Callback) -> Iterator[Install]:
    sandbox = Sandbox(portals=8, contacts=3)
    app = sandbox.register_app(
        "Campaign Planner", redirect_uris=[callback.uri], required=[READ], optional=[CUSTOM]
    )
    # The guard of the other tests knows 127.0.0.1 only; an app's callback is at localhost.
    browser.window.route("http://localhost:*/**", lambda route: route.continue_())
    with serve(sandbox) as server:
        yield Install(server, callback, app, browser.window)
        assert browser.refused == []


def until(page: Page, press: str, found: Callable[[Page], bool]) -> None:
    """Press a key until it has led where it should."""
    for _ in range(30):
        page.keyboard.press(press)
        if found(page):
            return
    raise AssertionError(f"{press} never led there")


def on(text: str) -> Callable[[Page], bool]:
    return lambda page: page.evaluate(f"{FOCUSED}.textContent") == text


def test_an_account_is_picked_and_connected_by_keyboard(install: Install) -> None:
    """Facts 6; from documents alone: a code and the same state come back."""
    page = install.open()
    portals = install.sandbox.portals
    until(page, "Tab", lambda page: page.evaluate(f"{FOCUSED}.type") == "radio")
    page.keyboard.press("Space")
    page.keyboard.press("ArrowDown")
    picked = page.evaluate("document.querySelector(':checked').value")
    assert picked == str(portals[1].portal_id)
    until(page, "Tab", on("Connect app"))
    page.keyboard.press("Enter")
    page.wait_for_url(f"{install.callback.uri}**")
    (brought,) = install.callback.brought
    assert brought.keys() == {"code", "state"}
    assert brought["state"] == ["s-1"]
    assert [entry.status for entry in install.sandbox.ledger(portals[1].portal_id)] == [302]


def test_cancel_leads_back_without_an_account(install: Install) -> None:
    """Facts 6; from documents alone: a redirect with an error."""
    page = install.open()
    until(page, "Tab", on("Cancel"))
    page.keyboard.press("Enter")
    page.wait_for_url(f"{install.callback.uri}**")
    (brought,) = install.callback.brought
    assert brought["error"] == ["access_denied"]
    assert brought["state"] == ["s-1"]


def test_without_an_account_the_browser_asks_for_one(install: Install) -> None:
    """An assumption."""
    page = install.open()
    until(page, "Tab", on("Connect app"))
    page.keyboard.press("Enter")
    assert page.evaluate("document.querySelector('input').validity.valueMissing")
    assert page.evaluate(f"{FOCUSED}.type") == "radio"
    assert install.callback.brought == []


def test_what_an_account_cannot_grant_is_said_and_another_can_be_picked(install: Install) -> None:
    """Facts 6; from documents alone. How the page says it is an assumption."""
    professional, enterprise = install.sandbox.portals[:2]
    page = install.open(scope=f"oauth {READ} {CUSTOM}", optional_scope="")
    page.get_by_label(professional.name).check()
    page.get_by_role("button", name="Connect app").click()
    alert = page.get_by_role("alert")
    assert professional.name in alert.inner_text()
    assert page.get_by_label(professional.name).is_checked()
    assert page.evaluate(FLAWS) == []
    page.get_by_label(enterprise.name).check()
    page.get_by_role("button", name="Connect app").click()
    page.wait_for_url(f"{install.callback.uri}**")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_can_be_read_and_used_by_everybody(install: Install, scheme) -> None:
    professional = install.sandbox.portals[0]
    page = install.open()
    page.emulate_media(color_scheme=scheme)
    for width in (320, 480, 1280):
        page.set_viewport_size({"width": width, "height": 800})
        for changes in ({}, {"client_id": "nobody"}, {"scope": f"oauth {READ} {CUSTOM}"}):
            page.goto(install.link(**changes))
            if "scope" in changes:
                page.get_by_label(professional.name).check()
                page.get_by_role("button", name="Connect app").click()
                assert page.get_by_role("alert").is_visible()
            assert page.evaluate(FLAWS) == []
            assert page.evaluate(FAINT) == []


def test_the_focus_is_always_seen(install: Install) -> None:
    page = install.open()
    seen = []
    for _ in range(3):
        page.keyboard.press("Tab")
        style = f"getComputedStyle({FOCUSED}.closest('label') || {FOCUSED})"
        assert page.evaluate(f"{style}.outlineStyle") == "solid"
        assert page.evaluate(f"parseFloat({style}.outlineWidth)") >= 2
        seen.append(page.evaluate(f"{FOCUSED}.localName"))
    assert seen == ["input", "button", "button"]


def test_the_page_asks_nobody_for_anything(install: Install) -> None:
    said: list[str] = []
    page = install.window.new_page()
    page.on("console", lambda message: said.append(message.text))
    page.on("request", lambda request: install.asked_for.append(request.url))
    page.goto(install.link())
    page.wait_for_load_state("networkidle")
    assert [url for url in install.asked_for if not url.startswith("data:")] == [install.link()]
    assert said == []
    assert len(install.sandbox.ledger(None)) == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_an_account_not_chosen_yet_does_not_look_as_if_it_could_not_be(
    install: Install, scheme
) -> None:
    """The rim of each choice stands out from its card as WCAG 1.4.11 wants it: three to one."""
    page = install.open()
    page.emulate_media(color_scheme=scheme)
    rims = page.evaluate(
        """() => {
          const light = (color) => {
            const parts = color.match(/[\\d.]+/g).slice(0, 3).map((part) => part / 255);
            const [r, g, b] = parts.map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
            return 0.2126 * r + 0.7152 * g + 0.0722 * b;
          };
          const card = light(getComputedStyle(document.querySelector("main")).backgroundColor);
          return [...document.querySelectorAll("input[type=radio]")].map((one) => {
            const style = getComputedStyle(one), rim = light(style.borderTopColor);
            const told = [card + 0.05, rim + 0.05];
            return parseFloat(style.borderTopWidth) * (Math.max(...told) / Math.min(...told) >= 3);
          });
        }"""
    )
    assert rims
    assert set(rims) == {2}
