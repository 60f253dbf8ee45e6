"""Both locks satisfy pyproject.toml, are checked by hash, and name no place to fetch from."""

from __future__ import annotations

import re
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
RUNTIME = ROOT / "requirements.lock"
TEST = ROOT / "tests" / "requirements.lock"

HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")
PLACE = re.compile(r"://|@|--(?!hash=)|\.(?:org|com|net|io|dev)\b")


@dataclass(frozen=True, slots=True)
class Pin:
    """One line of a lock: a name, its only version, and where that holds."""

    name: str
    version: Version
    marker: str


def pins(lock: str) -> Iterator[Pin]:
    """Read a lock strictly: every entry is one pinned version followed by its hashes."""
    for entry in re.split(r"\n(?=\S)", lock.strip()):
        first, *hashes = [line.removesuffix("\\").strip() for line in entry.split("\n")]
        requirement = Requirement(first)
        (only,) = requirement.specifier
        if only.operator != "==" or not hashes or not all(map(HASH.fullmatch, hashes)):
            raise ValueError(f"not pinned and hashed: {first}")
        marker = str(requirement.marker or "")
        yield Pin(canonicalize_name(requirement.name), Version(only.version), marker)


def unsatisfied(requirements: Iterable[str], *, lock: str) -> list[str]:
    """Name every requirement that some pinned version does not satisfy, or nothing pins."""
    versions = defaultdict(set)
    for pin in pins(lock):
        versions[pin.name].add(pin.version)
    return [
        line
        for line in requirements
        if (wanted := Requirement(line))
        and not (
            (found := versions.get(canonicalize_name(wanted.name)))
            and all(wanted.specifier.contains(version, prereleases=True) for version in found)
        )
    ]


def test_the_lock_satisfies_pyproject() -> None:
    wanted = PROJECT["project"]["dependencies"]
    assert unsatisfied(wanted, lock=RUNTIME.read_text("utf-8")) == []


def test_the_test_lock_satisfies_pyproject_and_the_build() -> None:
    wanted = [
        *PROJECT["project"]["dependencies"],
        *PROJECT["dependency-groups"]["test"],
        *PROJECT["build-system"]["requires"],
    ]
    assert unsatisfied(wanted, lock=TEST.read_text("utf-8")) == []


def test_the_test_lock_holds_all_that_users_get_in_the_same_versions() -> None:
    ours = {(pin.name, pin.version) for pin in pins(RUNTIME.read_text("utf-8"))}
    theirs = {(pin.name, pin.version) for pin in pins(TEST.read_text("utf-8"))}
    assert ours <= theirs


@pytest.mark.parametrize("path", [RUNTIME, TEST], ids=["runtime", "test"])
def test_a_lock_names_no_place_to_fetch_from(path: Path) -> None:
    lines = path.read_text("utf-8").splitlines()
    assert [line for line in lines if PLACE.search(line)] == []


@pytest.mark.parametrize("path", [RUNTIME, TEST], ids=["runtime", "test"])
def test_a_lock_installs_one_version_at_a_time(path: Path) -> None:
    """Several versions of a package are each for other platforms or Pythons."""
    entries = list(pins(path.read_text("utf-8")))
    assert len({(pin.name, pin.marker) for pin in entries}) == len(entries)


HASHED = "    --hash=sha256:" + "0" * 64


def test_a_version_that_is_too_old_or_missing_is_named() -> None:
    lock = f"httpx==0.27.0 \\\n{HASHED}\nPolars==2.1.0 \\\n{HASHED} \\\n{HASHED}\n"
    wanted = ["httpx>=0.28", "polars>=2.1", "keyring>=25"]
    assert unsatisfied(wanted, lock=lock) == ["httpx>=0.28", "keyring>=25"]


@pytest.mark.parametrize(
    "lock", ["httpx==0.28.1\n", f"httpx>=0.28.1 \\\n{HASHED}\n", f"httpx==0.28.1 \\\n{HASHED}0\n"]
)
def test_an_entry_without_its_pin_or_hash_is_refused(lock: str) -> None:
    with pytest.raises(ValueError, match="not pinned and hashed"):
        list(pins(lock))
