"""
Everything at once that can be wrong with a workspace, each with what to do.

    machine.py   disk, permissions, the audit log, time zones
    store.py     the credential store, and whether it holds what the index names
    hubspot.py   the way to HubSpot, the clock beside HubSpot's, our OAuth app
    unused.py    what was authorised and not used for long
    sunset.py    what of HubSpot's ends: API versions and kinds of credentials in use

Nothing is repaired, and one examination that fails never stops the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

import polars as pl

from hsagency.agency import Agency
from hsagency.doctor import hubspot, machine, store, sunset, unused
from hsagency.doctor.finding import Finding, Level
from hsagency.errors import HsAgencyError
from hsagency.portals import redact
from hsagency.progress import Progress, silent

__all__ = ["FINDINGS", "Finding", "Level", "examine", "frame"]

FINDINGS: Final[Mapping[str, pl.DataType]] = {
    "subject": pl.String(),
    "level": pl.String(),
    "finding": pl.String(),
    "advice": pl.String(),
}
"""Columns and types of the frame of findings; level is ok, unknown, warning or problem."""

Examination = Callable[[Agency], Iterable[Finding]]
_HERE: Final[Mapping[str, Examination]] = {
    "disk": machine.disk,
    "permissions": machine.permissions,
    "plain tokens": machine.plain_tokens,
    "audit log": machine.audit_log,
    "time zones": machine.time_zones,
    "store": store.examine,
    "connections": machine.connections,
    "authorisations": unused.authorisations,
    "API versions": sunset.versions,
    "credentials": sunset.credentials,
}
_THERE: Final[Mapping[str, Examination]] = {
    "network": hubspot.network,
    "OAuth app": hubspot.app,
}


def examine(agency: Agency, *, offline: bool = False, progress: Progress = silent) -> list[Finding]:
    """
    Examine a workspace, and return what was found, in the order of the list above.

    `offline` leaves out what asks HubSpot: the way there, the clock and our app. What is asked
    is on record in the agency's own log, and names no client; reading which API versions were
    called is a reading of the log. Secrets are read and compared, and told to nobody.
    """
    examinations = _HERE if offline else {**_HERE, **_THERE}
    found: list[Finding] = []
    with progress("examining", len(examinations)) as step:
        for subject, examination in examinations.items():
            found += _examined(agency, subject, examination)
            step(1)
    return found


def frame(findings: Iterable[Finding]) -> pl.DataFrame:
    """Return findings as a frame, one row each (columns and types: `FINDINGS`)."""
    rows = [
        {
            "subject": one.subject,
            "level": one.level.value,
            "finding": one.said,
            "advice": one.advice or None,
        }
        for one in findings
    ]
    return pl.DataFrame(rows, schema=FINDINGS)


def _examined(agency: Agency, subject: str, examination: Examination) -> list[Finding]:
    try:
        return [*examination(agency)]
    except HsAgencyError as error:
        said, advice = error.message, error.hint
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        said, advice = f"The system refused it: {error.strerror}{where}.", "See to that first."
    return [Finding(subject, Level.PROBLEM, redact(said), redact(advice))]
