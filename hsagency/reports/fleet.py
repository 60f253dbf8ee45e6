"""One compliance CSV over all clients, for the agency alone."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from hsagency.agency import Agency
from hsagency.audit import lake
from hsagency.audit.lake.steady import steadily
from hsagency.compliance import evidence, summary, to_csv, within
from hsagency.durable import make_private_dir, write_private
from hsagency.errors import NothingToReport
from hsagency.periods import Period
from hsagency.portals import AGENCY
from hsagency.reports.making import CSV

README = "README.txt"


def fleet_csv(agency: Agency, period: Period) -> Path:
    """
    Write `reports/_fleet/<period>/compliance.csv` and beside it a text that marks it internal.

    Calls that judged a key before it was stored belong to no connection and are not in it; the
    text counts them. Raises `NothingToReport` if no client has a record in the period.
    """

    def look() -> tuple[lake.Reading, pl.DataFrame]:
        reading = lake.read(agency.workspace.audit, agency.audit.recorded())
        return reading, summary(within(reading.calls, period))

    reading, counted = steadily(look)
    if not counted.height:
        raise NothingToReport(
            f"The audit log holds no record of any client from {period}; nothing was written.",
            hint="hsagency audit tail shows what there is.",
        )
    folder = make_private_dir(agency.workspace.reports / "_fleet" / period.label)
    write_private(folder / README, _readme(agency, reading, period, counted).encode())
    write_private(folder / CSV, to_csv(counted).encode())
    return folder / CSV


def _readme(agency: Agency, reading: lake.Reading, period: Period, counted: pl.DataFrame) -> str:
    rested_on = evidence(reading, period, judging=agency.audit.read(AGENCY))
    name = agency.workspace.settings.agency.name
    lines = [
        "INTERNAL: compliance.csv names every client. Do not send it to any of them.",
        "What a client may have is in the folder named after that client.",
        "",
        *([f"Agency: {name}"] if name else []),
        f"Clients: {counted['client_slug'].n_unique()}; rows: {counted.height:,}",
        *(
            f"{what}: {value}"
            for what, value in rested_on.frame().unique(maintain_order=True).iter_rows()
        ),
    ]
    return "\n".join(lines) + "\n"
