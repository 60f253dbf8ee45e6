"""
Reports: notebooks run for each client and turned into files that a client can be sent.

Promised: a page loads nothing from any network, names no other client, holds no secret and
no path of this machine, and is whole or not there. Not promised: that a notebook of your own
says what is true.
"""

from __future__ import annotations

from hsagency.reports.fleet import fleet_csv
from hsagency.reports.making import find_notebook
from hsagency.reports.notebook import run_notebook
from hsagency.reports.run import ReportResult, report, single
from hsagency.reports.selection import Selection, choose
from hsagency.reports.tables import Table, table

__all__ = [
    "ReportResult",
    "Selection",
    "Table",
    "choose",
    "find_notebook",
    "fleet_csv",
    "report",
    "run_notebook",
    "single",
    "table",
]
