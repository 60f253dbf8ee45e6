"""Each test of the sandbox says what it rests on: a section of the facts, or nothing of HubSpot's."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

SANDBOX = Path(__file__).resolve().parents[1] / "sandbox"
MODULES = sorted([*SANDBOX.glob("test_*.py"), *SANDBOX.glob("official/test_*.py")])
CITED = re.compile(r"\bfacts \d", re.IGNORECASE)
DENIED = re.compile(r"\b(?:nothing|none)\b[^.;]*HubSpot's|nobody's but ours", re.IGNORECASE)


def says(text: str | None) -> bool:
    words = " ".join((text or "").split())
    return bool(CITED.search(words) or DENIED.search(words))


def test_there_are_modules_to_look_at() -> None:
    assert {path.parent.name for path in MODULES} == {"sandbox", "official"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_a_module_names_its_facts_or_says_that_none_are_hubspots(path: Path) -> None:
    assert says(ast.get_docstring(ast.parse(path.read_text("utf-8"))))


@pytest.mark.parametrize(
    ("text", "enough"),
    [
        ("Owners (facts 5.1).", True),
        ("Facts\n1.5 and 2.1.", True),
        ("A clock; nothing here is HubSpot's.", True),
        ("Nothing here. HubSpot's own words.", False),
        ("In fact 5 of them.", False),
        ("", False),
        (None, False),
    ],
)
def test_what_is_enough_to_say(text: str | None, enough) -> None:
    assert says(text) == enough
