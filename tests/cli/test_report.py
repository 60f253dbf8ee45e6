"""`hsagency report`: which files it makes, what it prints, and how it ends."""

from __future__ import annotations

import json
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import nbformat
import pytest

from hsagency.agency import Agency
from hsagency.audit.importing import import_file
from tests.commands import run_cli
from tests.fleets import fleet
from tests.support import records

DATA = Path(__file__).parents[1] / "data"
EXPECTED = DATA / "legacy-audit-camel.acme-corp.2026-05.csv"
MAY = ("--month", "2026-05")
SILENT = ("--month", "2025-01")
CLIENTS = ("acme-corp", "beta-inc", "gamma-llc")


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace of three clients who were never onboarded; for looking at only."""
    root = tmp_path_factory.mktemp("imported") / "workspace"
    with Agency.create(root, store="age:credentials", name="Northwind Agency") as agency:
        import_file(agency.writer, DATA / "legacy-audit-camel.jsonl")
    return root


@pytest.fixture
def root(imported: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(imported, tmp_path / "workspace"))


def report(root: Path, *args: str | Path) -> subprocess.CompletedProcess[str]:
    return run_cli(["report", *args], cwd=root)


def made(root: Path) -> set[str]:
    """Return the files below `reports/`."""
    folder = root / "reports"
    return {str(one.relative_to(folder)) for one in folder.rglob("*") if one.is_file()}


def add_one_call(root: Path) -> None:
    """Record one call of one client in the silent month."""
    with Agency.open(root) as agency:
        line = {"event": "call.finished", "callId": "a", "ts": "2025-01-03T00:00:00.000000Z"}
        agency.writer.append("beta-inc", {**line, "outcome": "ok", "method": "GET"})


def is_one_sentence(said: str) -> bool:
    return said.startswith("Error: ") and said.count("\n") == 1 and "Traceback" not in said


def test_a_client_who_was_never_onboarded_has_a_page_and_the_expected_csv(root: Path) -> None:
    done = report(root, "compliance", "acme-corp", *MAY)
    assert (done.returncode, done.stderr) == (0, "")
    names = ["acme-corp/2026-05/compliance.html", "acme-corp/2026-05/compliance.csv"]
    assert done.stdout.splitlines() == [f"reports/{name}" for name in names]
    assert made(root) == set(names)
    assert (root / "reports" / names[1]).read_bytes() == EXPECTED.read_bytes()


def test_a_connected_client_is_named_and_the_calls_that_judged_the_key_are_counted(
    tmp_path: Path,
) -> None:
    with fleet(tmp_path / "workspace", portals=1) as one:
        one.onboard()
        [portal] = one.sandbox.portals
        one.agency.client(portal.client_slug).get("/crm/v3/objects/contacts")
        today = f"{datetime.now(UTC):%Y-%m-%d}"
        period = ("--from", today, "--to", today)
        done = report(one.root, "compliance", portal.client_slug, *period, "--format", "html")
        judging = [line for line in records(one.root, "_agency") if "candidateSlug" in line]
    assert (done.returncode, done.stderr) == (0, "")
    page = (one.root / done.stdout.strip()).read_text("utf-8")
    assert f"{portal.name} ({portal.client_slug}, portal {portal.portal_id})" in page
    calls = {line["callId"] for line in judging}
    assert f'<td style="text-align:left">{len(calls)} (in the agency&#x27;s own log' in page


def test_all_makes_a_report_for_each_and_one_csv_for_the_agency_alone(root: Path) -> None:
    done = report(root, "compliance", "--all", *MAY)
    assert done.returncode == 0, done.stderr
    files = {f"{one}/2026-05/compliance.{kind}" for one in CLIENTS for kind in ("html", "csv")}
    assert set(done.stdout.splitlines()) == {f"reports/{name}" for name in files}
    internal = {"_fleet/2026-05/compliance.csv", "_fleet/2026-05/README.txt"}
    assert made(root) == files | internal
    together = root / "reports" / "_fleet" / "2026-05" / "compliance.csv"
    assert together.read_bytes() == (DATA / "legacy-audit-camel.all.2026-05.csv").read_bytes()
    assert together.with_name("README.txt").read_text("utf-8").startswith("INTERNAL")
    assert done.stderr.endswith(f"{together}\n")


def test_quiet_says_nothing_but_what_was_made(root: Path) -> None:
    add_one_call(root)
    done = report(root, "compliance", "--all", *SILENT, "--format", "csv", "--quiet")
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == len(CLIENTS)
    assert "_fleet/2025-01/compliance.csv" in made(root)


def test_all_of_a_period_without_records_lists_pages_and_makes_no_fleet_csv(root: Path) -> None:
    done = report(root, "compliance", "--all", *SILENT, "--format", "html")
    assert done.returncode == 3
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines] == [
        f"reports/{one}/2025-01/compliance.html" for one in CLIENTS
    ]
    assert all("no records in this period" in line for line in lines)
    assert not (root / "reports" / "_fleet").exists()


def test_all_is_done_when_only_some_have_no_records(root: Path) -> None:
    add_one_call(root)
    done = report(root, "compliance", "--all", *SILENT, "--format", "csv")
    assert done.returncode == 0
    notes = ["no records" in line for line in done.stdout.splitlines()]
    assert notes == [True, False, True]
    together = root / "reports" / "_fleet" / "2025-01" / "compliance.csv"
    assert together.read_text("utf-8").count("\n") == 2


def test_of_clients_that_were_named_none_may_be_empty_unnoticed(root: Path) -> None:
    done = report(root, "quota", "acme-corp", "acme-corp", *SILENT)
    assert done.returncode == 3
    [line] = done.stdout.splitlines()
    assert line.startswith("reports/acme-corp/2025-01/quota.html  (no records in this period")
    assert "Nothing to report" in (root / line.split()[0]).read_text("utf-8")


def test_all_in_a_workspace_without_clients_has_nothing_to_report(tmp_path: Path) -> None:
    Agency.create(tmp_path / "new", store="age:credentials").close()
    for kind in ("quota", "compliance"):
        done = report(tmp_path / "new", kind, "--all", *MAY)
        assert (done.returncode, done.stdout) == (3, "")
        assert is_one_sentence(done.stderr)
        assert "nothing" in done.stderr.lower()
    assert made(tmp_path / "new") == set()


def test_output_to_standard_output_is_the_csv_and_nothing_else(root: Path) -> None:
    done = report(root, "compliance", "acme-corp", *MAY, "--output", "-")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.encode() == EXPECTED.read_bytes()
    assert made(root) == set()


def test_output_into_a_file_is_what_its_name_says(root: Path) -> None:
    page = root.parent / "MAY.HTML"
    done = report(root, "compliance", "acme-corp", *MAY, "--output", page)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", f"Written: {page}\n")
    assert page.read_bytes().startswith(b"<!doctype html>")
    assert made(root) == set()


def test_output_of_nothing_says_so_in_the_file_and_beside_it(root: Path) -> None:
    page = root.parent / "silent.html"
    done = report(root, "quota", "acme-corp", *SILENT, "--output", page)
    assert (done.returncode, done.stdout) == (3, "")
    written, said = done.stderr.splitlines(keepends=True)
    assert written == f"Written: {page}\n"
    assert is_one_sentence(said)
    assert "acme-corp" in said
    assert "Nothing to report" in page.read_text("utf-8")


def test_json_names_every_client_its_files_and_its_error(root: Path) -> None:
    done = report(root, "quota", "acme-corp", "nobody", *SILENT, "--json")
    assert done.returncode == 1
    document = json.loads(done.stdout)
    assert document["schema"] == 1
    good, bad = document["reports"]
    page = root / "reports" / "acme-corp" / "2025-01" / "quota.html"
    assert good == {
        "clientSlug": "acme-corp",
        "status": "empty",
        "files": [str(page)],
        "error": None,
    }
    assert (bad["clientSlug"], bad["status"], bad["files"]) == ("nobody", "failed", [])
    assert "nobody" in bad["error"]


def test_an_unknown_client_fails_and_the_others_are_made(root: Path) -> None:
    done = report(root, "quota", "nobody", "acme-corp", *SILENT)
    assert done.returncode == 1
    assert done.stdout.startswith("reports/acme-corp/2025-01/quota.html")
    assert done.stderr.startswith("nobody: There is no client 'nobody'")
    assert done.stderr.count("\n") == 1


def test_output_of_an_unknown_client_is_refused_and_writes_nothing(root: Path) -> None:
    page = root.parent / "nobody.html"
    done = report(root, "quota", "nobody", *MAY, "--output", page)
    assert (done.returncode, done.stdout) == (1, "")
    assert is_one_sentence(done.stderr)
    assert not page.exists()


def test_a_notebook_that_fails_is_told_in_one_line(root: Path) -> None:
    path = root / "notebooks" / "03-quota.ipynb"
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell("1 / 0"))
    nbformat.write(notebook, path)
    done = report(root, "quota", "acme-corp", *MAY)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("acme-corp: 03-quota.ipynb failed in cell ")
    assert "ZeroDivisionError" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("period", "words"),
    [
        ([], "A period is needed"),
        (["--month", "2026-13"], "'2026-13' is not a month"),
        (["--month", "May 2026"], "'May 2026' is not a month"),
        (["--from", "2026-05-03"], "A period is needed"),
        (["--to", "2026-05-03"], "A period is needed"),
        (["--month", "2026-05", "--from", "2026-05-01"], "A period is needed"),
        ([*MAY, "--from", "2026-05-01", "--to", "2026-05-31"], "A period is needed"),
        (["--from", "2026-05-31", "--to", "2026-05-01"], "before it begins"),
        (["--from", "2026-05-32", "--to", "2026-06-01"], "'2026-05-32' is not a day"),
        (["--from", "1.5.2026", "--to", "2026-06-01"], "'1.5.2026' is not a day"),
    ],
    ids=" ".join,
)
def test_a_period_that_is_none_is_wrong_usage(
    period: list[str], words: str, imported: Path
) -> None:
    refused(imported, "compliance", "acme-corp", *period, words=words)


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["compliance", *MAY], "Name clients, or --all"),
        (["compliance", "acme-corp", "--all", *MAY], "Name clients, or --all"),
        (["usage", "acme-corp", *MAY], "Nothing was done. See: hsagency report --help"),
        (["compliance", "Acme Corp", *MAY], "'Acme Corp' is not a client slug"),
        (["compliance", "../audit", *MAY], "'../audit' is not a client slug"),
        (["compliance", "acme-corp", *MAY, "--format", "pdf"], "'pdf' is not a format"),
        (["compliance", "acme-corp", *MAY, "--format", ","], "A report needs a format"),
        (["quota", "acme-corp", *MAY, "--format", "csv"], "quota report cannot be made as csv"),
        (["quota", "acme-corp", *MAY, "--output", "-"], "quota report cannot be made as csv"),
        (["compliance", "acme-corp", *MAY, "--output", "may.pdf"], "'pdf' is not a format"),
        (["compliance", "acme-corp", *MAY, "--output", "may"], "is not a format"),
        (["compliance", "acme-corp", "beta-inc", *MAY, "--output", "-"], "one client"),
        (["compliance", "--all", *MAY, "--output", "-"], "one client"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_makes_no_sense_is_wrong_usage(args: list[str], words: str, imported: Path) -> None:
    refused(imported, *args, words=words)


def refused(root: Path, *args: str, words: str) -> None:
    before = made(root)
    done = report(root, *args)
    assert (done.returncode, done.stdout) == (2, "")
    assert is_one_sentence(done.stderr)
    assert words in done.stderr
    assert made(root) == before
