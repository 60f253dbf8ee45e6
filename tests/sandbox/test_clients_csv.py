"""The list of clients that a sandbox writes for onboarding; nothing here is HubSpot's."""

import csv
from pathlib import Path

import pytest

from hsagency.errors import SandboxError
from hsagency.sandbox import Sandbox, bad_rows, write_clients_csv

HEADER = "clientSlug,portalToken,expectedPortalId,kind,displayName,tier"
DETAILS = "/account-info/2026-09/details"


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_list_onboards_every_portal(sandbox: Sandbox, inside, tmp_path: Path) -> None:
    path = tmp_path / "clients.csv"
    write_clients_csv(sandbox, path)
    assert path.read_text().splitlines()[0] == HEADER
    rows = read(path)
    assert [row["clientSlug"] for row in rows] == [p.client_slug for p in sandbox.portals]
    for row in rows:
        details = inside(sandbox, row["portalToken"]).get(DETAILS).json()
        assert str(details["portalId"]) == row["expectedPortalId"]
        assert details["portalName"] == row["displayName"]


def test_only_its_owner_reads_the_list_and_nothing_is_left_beside_it(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    path = tmp_path / "clients.csv"
    for _ in range(2):  # the same list again is no conflict
        write_clients_csv(sandbox, path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_holds_something_else_is_left_alone(sandbox: Sandbox, tmp_path: Path) -> None:
    path = tmp_path / "clients.csv"
    path.write_text("somebody's real clients")
    with pytest.raises(SandboxError, match="left alone"):
        write_clients_csv(sandbox, path)
    assert path.read_text() == "somebody's real clients"
    write_clients_csv(sandbox, path, replace=True)
    assert len(read(path)) == 3


def test_a_folder_that_is_not_there_is_named(sandbox: Sandbox, tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match="nowhere"):
        write_clients_csv(sandbox, tmp_path / "nowhere" / "clients.csv")


def test_the_bad_rows_are_one_dead_token_and_one_of_another_portal(
    sandbox: Sandbox, inside, tmp_path: Path
) -> None:
    unknown, mismatch = bad_rows(sandbox)
    assert inside(sandbox, unknown["portalToken"]).get(DETAILS).status_code == 401
    got = inside(sandbox, mismatch["portalToken"]).get(DETAILS).json()["portalId"]
    assert str(got) != mismatch["expectedPortalId"]
    path = tmp_path / "clients.csv"
    write_clients_csv(sandbox, path, bad_rows=[unknown, mismatch])
    for column in ("clientSlug", "portalToken", "expectedPortalId"):
        assert len({row[column] for row in read(path)}) == 5  # nothing but HubSpot shows them up


def test_the_bad_rows_are_the_same_for_the_same_seed() -> None:
    one, two, other = (Sandbox(portals=2, seed=seed) for seed in (4, 4, 5))
    assert bad_rows(one) == bad_rows(two) != bad_rows(other)
