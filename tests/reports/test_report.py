"""Reports of many clients: whole or not there, each on its own, and nothing of the others."""

from __future__ import annotations

import os
import re
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from hsagency import reports
from hsagency.agency import Agency
from hsagency.errors import BadSlug, ReportError, UsageError
from hsagency.periods import Period
from hsagency.reports.leaks import content, words
from hsagency.reports.making import NOTEBOOKS, vocabulary, words_of_notebook
from hsagency.settings import shipped
from tests.commands import environment

DATA = Path(__file__).parents[1] / "data"
AddCell = Callable[[str, str], None]


def statuses(results: list[reports.ReportResult]) -> dict[str, str]:
    return {one.slug: one.status for one in results}


def everything_under(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_a_compliance_report_is_a_page_and_the_expected_csv(made: Any) -> None:
    result = made.results["compliance", "acme-corp"]
    folder = made.agency.workspace.reports / "acme-corp" / "2026-05"
    assert result.status == "ok", result.error
    assert result.files == (folder / "compliance.html", folder / "compliance.csv")
    expected = DATA / "legacy-audit-camel.acme-corp.2026-05.csv"
    assert (folder / "compliance.csv").read_bytes() == expected.read_bytes()
    page = made.page("compliance", "acme-corp")
    for expected_words in (
        "Northwind Agency",
        "acme-corp (portal 12345678)",
        "2026-05-01 to 2026-05-31",
    ):
        assert expected_words in page
    assert "UTC days" in page
    assert "3 malformed lines were left out." in page
    assert "2,614" in page


def test_a_quota_report_is_a_page(made: Any) -> None:
    [page] = made.results["quota", "acme-corp"].files
    assert page == made.agency.workspace.reports / "acme-corp" / "2026-05" / "quota.html"
    assert "2,614" in made.page("quota", "acme-corp")


def test_results_come_in_the_order_asked_for_and_know_only_their_own_client(made: Any) -> None:
    slugs = ["gamma-llc", "acme-corp", "beta-inc"]
    assert list(made.results) == [
        (kind, slug) for kind in ("quota", "compliance") for slug in slugs
    ]
    for kind, slug in made.results:
        page = made.page(kind, slug)
        assert slug in page
        assert not [other for other in slugs if other != slug and other in page]


def test_a_report_says_no_word_of_its_own_that_another_client_may_be_called(made: Any) -> None:
    """A client called "horizon" must not stop the reports of all the others."""
    for kind, slug in made.results:
        usual = words_of_notebook(shipped("notebooks") / NOTEBOOKS[kind])
        body = made.page(kind, slug).partition("<main>")[2].partition("</main>")[0]
        said = words("\n".join(content(body))) - usual - vocabulary() - words(slug)
        assert [
            one for one in said if not re.fullmatch(r"[\d-]+|[-\dt]+|(data-)?[\da-f]+", one)
        ] == []


def test_what_is_written_is_for_this_user_alone(made: Any) -> None:
    for path in made.results["compliance", "acme-corp"].files:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_page_says_nothing_of_the_run_or_the_machine(made: Any) -> None:
    page = made.page("quota", "acme-corp")
    assert "papermill" not in page
    assert "chosen =" not in page
    assert str(made.agency.workspace.root) not in page
    assert str(Path.home()) not in page


@pytest.mark.parametrize("kind", ["quota", "compliance"])
def test_a_page_loads_nothing(kind: str, made: Any) -> None:
    page = made.page(kind, "acme-corp")
    assert "default-src 'none'" in page
    assert page.count("sha256-") == 2
    assert "unsafe-eval" not in page
    assert not re.findall(r"<(?:link|iframe|object|embed|base)\b", page)
    assert not re.findall(r"\b(?:src|href|action)=[\"']?(?:https?:)?//", page)
    assert "@import" not in page
    assert page.count("window.vegaEmbed=") == 1


def test_an_empty_period_gives_a_page_that_says_so(agency: Agency) -> None:
    period = Period.of(month="2025-01")
    [result] = reports.report(agency, "compliance", ["acme-corp"], period)
    assert result.status == "empty"
    page, table = result.files
    said = page.read_text("utf-8")
    assert "Nothing to report" in said
    assert "2025-01-01 to 2025-01-31" in said
    assert "2026-04-29 22:51:05 to 2026-06-03" in said
    assert table.read_text("utf-8").count("\n") == 1


def test_a_notebook_that_fails_or_crashes_stops_no_other(
    agency: Agency, may: Period, add_cell: AddCell
) -> None:
    add_cell("03-quota.ipynb", "1 / 0 if client == 'acme-corp' else None")
    add_cell(
        "03-quota.ipynb",
        "import os, signal\nos.kill(os.getpid(), 9 if client == 'beta-inc' else 0)",
    )
    results = reports.report(agency, "quota", ["acme-corp", "beta-inc", "gamma-llc"], may)
    assert statuses(results) == {"acme-corp": "failed", "beta-inc": "failed", "gamma-llc": "ok"}
    assert "ZeroDivisionError" in results[0].error
    assert "signal 9" in results[1].error
    assert results[0].files == results[1].files == ()
    assert everything_under(agency.workspace.reports) == {"gamma-llc/2026-05/quota.html"}


def test_a_notebook_that_never_ends_is_stopped_with_all_it_started(
    agency: Agency, may: Period, add_cell: AddCell, tmp_path: Path
) -> None:
    mark = tmp_path / "pid"
    add_cell(
        "03-quota.ipynb",
        "import pathlib, subprocess\n"
        "started = subprocess.Popen(['sleep', '600'])\n"
        f"pathlib.Path({str(mark)!r}).write_text(str(started.pid))\n"
        "started.wait()",
    )
    [result] = reports.report(agency, "quota", ["acme-corp"], may, timeout=4)
    assert result.status == "failed"
    assert "too long" in result.error
    assert not is_running(int(mark.read_text()))


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        return not Path("/proc/self/stat").exists()
    return state != "Z"


def test_a_failing_report_leaves_the_one_from_before(
    agency: Agency, may: Period, add_cell: AddCell
) -> None:
    folder = agency.workspace.reports / "acme-corp" / "2026-05"
    folder.mkdir(parents=True)
    for name in ("compliance.html", "compliance.csv"):
        (folder / name).write_text("from before")
    add_cell("04-compliance.ipynb", "raise ValueError('no')")
    [result] = reports.report(agency, "compliance", ["acme-corp"], may)
    assert result.status == "failed"
    assert {path.read_text() for path in folder.iterdir()} == {"from before"}
    assert len(everything_under(folder)) == 2


def test_a_page_that_would_name_another_client_or_the_machine_is_not_saved(
    agency: Agency, may: Period, add_cell: AddCell
) -> None:
    add_cell(
        "03-quota.ipynb",
        "import altair, polars\n"
        "names = polars.DataFrame({'n': agency.audit.recorded()})\n"
        "chart = altair.Chart(names).mark_point().encode(x='n:N')\n"
        "{'acme-corp': chart, 'beta-inc': 'portal 12345678', 'gamma-llc': agency}[client]",
    )
    results = reports.report(agency, "quota", agency.audit.recorded(), may, processes=1)
    assert set(statuses(results).values()) == {"failed"}
    assert "the client beta-inc" in results[0].error
    assert "portal 12345678 of the client acme-corp" in results[1].error
    assert "a folder of this machine" in results[2].error
    assert everything_under(agency.workspace.reports) == set()


def test_a_token_is_neither_saved_nor_repeated(
    agency: Agency, may: Period, add_cell: AddCell
) -> None:
    add_cell(
        "03-quota.ipynb",
        "token = 'pat-na1-' + '01234567-89ab-cdef-0123-456789abcdef'\n"
        "if client == 'acme-corp':\n    raise ValueError(token)\nprint(token)",
    )
    results = reports.report(agency, "quota", ["acme-corp", "beta-inc"], may, processes=1)
    assert statuses(results) == {"acme-corp": "failed", "beta-inc": "failed"}
    assert "ValueError: pat-… " in results[0].error
    assert "secret's shape" in results[1].error
    assert "89ab-cdef" not in results[0].error + results[1].error
    assert everything_under(agency.workspace.reports) == set()


def test_an_unknown_client_fails_alone_and_names_no_other(agency: Agency) -> None:
    told: list[object] = []

    @contextmanager
    def progress(what, total):
        told.append((what, total))
        yield told.append

    period = Period.of(month="2025-01")
    results = reports.report(
        agency, "quota", ["acme-corb", "acme-corp"], period, progress=progress, processes=1
    )
    assert statuses(results) == {"acme-corb": "failed", "acme-corp": "empty"}
    assert "acme-corb" in results[0].error
    assert "beta-inc" not in results[0].error
    assert told == [("quota reports", 2), 1, 1]  # a failed one is done, too


def test_a_slug_that_is_none_is_refused_before_anything_starts(agency: Agency, may: Period) -> None:
    with pytest.raises(BadSlug):
        reports.report(agency, "quota", ["../elsewhere"], may)


def test_the_kernel_engine_gives_the_same_page(made: Any, agency: Agency, may: Period) -> None:
    [result] = reports.report(agency, "compliance", ["acme-corp"], may, engine="kernel")
    assert result.status == "ok", result.error
    pages = (result.files[0].read_text("utf-8"), made.page("compliance", "acme-corp"))
    one, other = (re.sub(r"made \d{4}-\d\d-\d\d \d\d:\d\d", "", page) for page in pages)
    assert one == other


def test_no_clients_are_no_reports(agency: Agency, may: Period) -> None:
    assert reports.report(agency, "quota", [], may) == []


def test_a_format_that_a_report_has_not_is_refused(agency: Agency, may: Period) -> None:
    with pytest.raises(UsageError, match="quota report cannot be made as csv"):
        reports.single(agency, "quota", "acme-corp", may, "csv")


def test_a_single_document_is_returned_and_nothing_written(agency: Agency, may: Period) -> None:
    table = reports.single(agency, "compliance", "acme-corp", may, "csv")
    assert table == (DATA / "legacy-audit-camel.acme-corp.2026-05.csv").read_bytes()
    assert everything_under(agency.workspace.reports) == set()


def test_a_single_report_of_nothing_says_so(agency: Agency) -> None:
    page = reports.single(agency, "quota", "acme-corp", Period.of(month="2025-01"))
    assert b"Nothing to report" in page


def test_a_single_report_that_fails_raises(agency: Agency, may: Period, add_cell: AddCell) -> None:
    add_cell("03-quota.ipynb", "raise ValueError('a\\nb \\x1b[2J\\x9b31m\\u202e c')")
    with pytest.raises(ReportError, match=r"ValueError: a b \[2J 31m c"):
        reports.single(agency, "quota", "acme-corp", may)


def test_a_script_without_a_main_guard_may_make_reports(agency: Agency, tmp_path: Path) -> None:
    """A process pool that imports the caller's script again would start it over."""
    # Whatever lies in the folder it is started from is not run.
    elsewhere = tmp_path / "downloads"
    elsewhere.mkdir()
    for name in ("json", "orjson", "signal", "ipykernel_launcher"):
        (elsewhere / f"{name}.py").write_text("raise SystemExit('ran what lay around')")
    script = tmp_path / "script.py"
    script.write_text(
        "from hsagency import Agency, Period, reports\n"
        f"agency = Agency.open({str(agency.workspace.root)!r})\n"
        "period = Period.of(month='2025-01')\n"
        "print([one.status for one in reports.report(agency, 'quota', ['acme-corp'], period)])\n"
    )
    ran = subprocess.run(
        [sys.executable, script],
        cwd=elsewhere,
        env={**environment(), "PYTHONSTARTUP": "json.py"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.stdout, ran.stderr) == ("['empty']\n", "")


def test_an_interrupted_run_leaves_no_process_and_no_file(
    agency: Agency, add_cell: AddCell, tmp_path: Path
) -> None:
    mark = tmp_path / "pid"
    add_cell(
        "03-quota.ipynb",
        f"import os, pathlib, time\npathlib.Path({str(mark)!r}).write_text(str(os.getpid()))\n"
        "time.sleep(600)",
    )
    code = (
        "import signal\nfrom hsagency import Agency, Period, reports\n"
        # A job in the background may have been told to ignore interrupts.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        f"agency = Agency.open({str(agency.workspace.root)!r})\n"
        "reports.report(agency, 'quota', agency.audit.recorded(), Period.of(month='2026-05'))\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE) as process:
        while not (mark.exists() and mark.read_text()):
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, said = process.communicate()
    assert said.decode().splitlines()[-1] == "KeyboardInterrupt"
    assert not is_running(int(mark.read_text()))
    assert everything_under(agency.workspace.reports) == set()
