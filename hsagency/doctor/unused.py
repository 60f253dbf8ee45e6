"""Which portals nobody called for so long that what they authorised may be over (features F49)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from hsagency.agency import Agency
from hsagency.data import table
from hsagency.doctor.finding import Finding, Level
from hsagency.portals import CredentialKind


def authorisations(agency: Agency) -> Iterator[Finding]:
    """
    Say which OAuth connections have not been proven for long.

    Each proof needs a token that lives, so that what was authorised was used at most half an
    hour before it.
    """
    subject, now = "authorisations", agency.writer.now()
    rules = table("oauth")["lifetime"]
    most = timedelta(days=rules["unused_days"])
    over_oauth = [one for one in agency.connections().values() if one.kind is CredentialKind.OAUTH]
    unused = False
    for one in over_oauth:
        last = one.proof.at if one.proof else one.last_rotated_at
        if now - last > most:
            unused = True
            yield Finding(
                subject,
                Level.WARNING,
                f"{one.client_slug} was last used {(now - last).days} days ago; "
                f"{rules['unused_why']}.",
                f"Use it once, which is enough: hsagency verify {one.client_slug}",
            )
    if not unused:
        said = "Each was used lately." if over_oauth else "No portal is connected over OAuth."
        yield Finding(subject, Level.OK, said)
