"""The notebook on off-boarding shows a plan, and applies it once it is given its digest."""

from __future__ import annotations

import subprocess
import sys

from hsagency import removal
from tests.support import Connected, assert_no_tokens, tokens_of


def papermill(fleet: Connected, *, fails: bool = False, **parameters: str) -> str:
    root = fleet.agency.workspace.root
    command = [sys.executable, "-m", "papermill", "notebooks/06-offboarding.ipynb", "out.ipynb"]
    options = [part for name, value in parameters.items() for part in ("-p", name, value)]
    ran = subprocess.run([*command, *options], cwd=root, capture_output=True, check=False)
    assert (ran.returncode != 0) is fails, ran.stderr.decode()
    return (root / "out.ipynb").read_text("utf-8")


def test_as_it_stands_the_notebook_asks_who_is_meant(fleet: Connected) -> None:
    shown = papermill(fleet, fails=True)
    assert "Name the client: nobody is removed by default" in shown
    assert removal.plan(fleet.agency, "acme-corp").digest not in shown


def test_with_a_client_the_notebook_shows_a_plan_and_does_nothing(fleet: Connected) -> None:
    shown = papermill(fleet, client="beta-inc")
    assert removal.plan(fleet.agency, "beta-inc").digest in shown
    assert "Nothing was done. To remove beta-inc" in shown
    assert fleet.agency.slugs() == ["acme-corp", "beta-inc"]


def test_with_the_digest_the_notebook_removes_the_client(fleet: Connected) -> None:
    plan = removal.plan(fleet.agency, "beta-inc")
    shown = papermill(fleet, client="beta-inc", digest=plan.digest)
    assert "certificate.html" in shown
    assert fleet.agency.slugs() == ["acme-corp"]
    root = fleet.agency.workspace.root
    assert_no_tokens([root / "out.ipynb"], tokens_of(fleet.sandbox))
