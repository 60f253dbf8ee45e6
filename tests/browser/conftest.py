"""A real browser that reaches this machine and nothing else."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from playwright.sync_api import BrowserContext, Route, sync_playwright

OPTIONS = (
    *("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
)
HERE = ("file:", "data:", "blob:", "http://127.0.0.1:")


@dataclass
class Browser:
    """One window of a browser far west of Greenwich, and every request it was refused."""

    window: BrowserContext
    refused: list[str] = field(default_factory=list)

    def guard(self, route: Route) -> None:
        if route.request.url.startswith(HERE):
            route.continue_()
        else:
            self.refused.append(route.request.url)
            route.abort()


@pytest.fixture
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=executable(), args=list(OPTIONS))
        window = chromium.new_context(
            viewport={"width": 900, "height": 1000}, timezone_id="America/Los_Angeles"
        )
        opened = Browser(window)
        window.route("**/*", opened.guard)
        yield opened
        window.close()
        chromium.close()


def executable() -> str:
    found = shutil.which("chromium")
    assert found is not None
    return found
