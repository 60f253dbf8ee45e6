"""The names that `import hsagency` offers, and what it costs to ask for none of them."""

from __future__ import annotations

import json
import subprocess
import sys

import hsagency

HEAVY = {"httpx", "polars", "altair", "papermill", "pydantic", "keyring", "IPython", "click"}


def constants_classes_others(name: str) -> tuple[bool, bool, str]:
    """Sort as the linter does."""
    return not name.isupper(), not name[0].isupper(), name


def test_the_public_names_are_sorted_and_can_be_imported() -> None:
    assert list(hsagency.__all__) == sorted(set(hsagency.__all__), key=constants_classes_others)
    missing = [name for name in hsagency.__all__ if not hasattr(hsagency, name)]
    assert missing == []


def test_the_public_names_are_listed_for_completion() -> None:
    assert set(hsagency.__all__) <= set(dir(hsagency))


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    assert not hasattr(hsagency, "agencies")


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = "import sys, json, hsagency; print(json.dumps(sorted(sys.modules)))"
    command = [sys.executable, "-c", code]
    loaded = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    assert "hsagency" in loaded
    assert HEAVY & set(loaded) == set()
    assert [name for name in loaded if name.startswith("hsagency.")] == []
