"""Tables fit the terminal they are shown on, and lose nothing in a file or a pipe."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hsagency.agency import Agency
from hsagency.portals import (
    ClientSlug,
    Connection,
    ConnectionType,
    CredentialKind,
    Fact,
    PortalId,
    Provenance,
)
from tests.commands import on_terminal, run_cli

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)
NAMES = (
    "Acme",
    "A very long company name of the sort that lawyers choose GmbH & Co. KGaA",
    "\u4e16\u754c\u8d38\u6613\u6709\u9650\u516c\u53f8\u4e0a\u6d77\u5206\u516c\u53f8",
    "Evil \x1b[31mred\x07 name\n",
)


def connection(number: int) -> Connection:
    name = Fact(NAMES[number % len(NAMES)], Provenance.FETCHED, NOON)
    return Connection(
        client_slug=ClientSlug(f"client-{'x' * (number % 12)}{number}"),
        portal_id=PortalId(10_000_000 + number),
        connection_type=ConnectionType.CONFIG_AND_AUDIT,
        kind=CredentialKind.SERVICE_KEY,
        generation=1,
        fingerprint=f"{number:016x}",
        added_at=NOON,
        last_rotated_at=NOON,
        facts={"name": name, "daily_limit": replace(name, value=625_000)},
    )


@pytest.fixture(scope="module")
def hundred(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agency]:
    root = tmp_path_factory.mktemp("hundred") / "workspace"
    with Agency.create(root, store="age:credentials") as agency:
        many = [connection(number) for number in range(100)]
        agency.index.write(lambda kept: kept.update({one.client_slug: one for one in many}))
        yield agency


def places(line: str) -> int:
    return sum(2 if unicodedata.east_asian_width(one) in "WF" else 1 for one in line)


@pytest.mark.parametrize("columns", [80, 100, 140, 200])
def test_a_hundred_portals_with_long_names_are_readable(hundred: Agency, columns: int) -> None:
    code, screen = on_terminal(["portals", "--workspace", hundred.workspace.root], columns=columns)
    assert code == 0
    lines = screen.splitlines()
    table = [line for line in lines if not line.startswith(("Too narrow", "Slots: "))]
    assert len(table) == 102
    assert max(places(line) for line in table) <= columns
    for one in hundred.connections().values():
        assert any(line.startswith(f"{one.client_slug} ") for line in table)
        assert any(f" {one.portal_id} " in line for line in table)
    assert "\x1b" not in screen
    assert "\x07" not in screen
    left_out = [line for line in lines if line.startswith("Too narrow to show: ")]
    assert bool(left_out) == (columns < 140)


def test_columns_begin_at_the_same_place_in_every_line(hundred: Agency) -> None:
    done = run_cli(["portals", "--workspace", hundred.workspace.root])
    head, _, *lines = done.stdout.splitlines()
    starts = {places(line.partition(" 100000")[0]) for line in lines if " 100000" in line}
    assert starts == {places(head.partition(" portal id")[0])}


def test_a_pipe_gets_everything(hundred: Agency) -> None:
    done = run_cli(["portals", "--workspace", hundred.workspace.root])
    assert NAMES[1] in done.stdout
    assert done.stdout.splitlines()[0].split()[-1] == "kind"
    assert done.stderr == "Slots: 100 used; the fleet size is unlimited.\n"


def test_json_keeps_names_as_they_are_in_camel_case_with_a_schema(hundred: Agency) -> None:
    answer = json.loads(
        run_cli(["portals", "--json", "--workspace", hundred.workspace.root]).stdout
    )
    assert answer["schema"] == 1
    assert len(answer["portals"]) == 100
    assert {row["accountName"] for row in answer["portals"]} == set(NAMES)
    assert answer["portals"][0]["addedAt"] == "2026-11-02T12:00:00.000000Z"
    assert not [name for name in answer["portals"][0] if "_" in name]


def test_one_portal_is_shown_with_the_source_of_each_fact(hundred: Agency) -> None:
    args = ["portals", "client-3", "--workspace", hundred.workspace.root]
    slug = next(slug for slug in hundred.slugs() if slug.endswith("3"))
    args[1] = slug
    done = run_cli(args)
    assert done.stdout.splitlines()[0].endswith(
        f"({slug}, portal {hundred.connection(slug).portal_id})"
    )
    (limit,) = (line for line in done.stdout.splitlines() if "daily limit" in line)
    assert limit.split(maxsplit=2)[2] == "625,000  (fetched 2026-11-02)"
    answer = json.loads(run_cli([*args, "--json"]).stdout)
    assert answer["portal"]["clientSlug"] == slug
    assert answer["portal"]["facts"]["dailyLimit"]["value"] == 625_000


def test_a_story_goes_on_below(tmp_path: Path) -> None:
    with Agency.create(tmp_path / "workspace", store="age:credentials") as agency:
        message = "word " * 40
        agency.writer.append("_agency", {"event": "audit.note", "message": message})
    code, screen = on_terminal(["audit", "activity", "--workspace", tmp_path / "workspace"])
    assert code == 0
    assert max(map(len, screen.splitlines())) <= 100
    assert screen.count("word") == 40
