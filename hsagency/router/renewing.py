"""Another access token, where HubSpot did not accept the one that a call was made with."""

from __future__ import annotations

from hsagency.errors import VerificationError
from hsagency.portals import CredentialKind
from hsagency.router.parts import Parts
from hsagency.transport import USED, Call


def renewed(parts: Parts, call: Call) -> bool:
    """
    Say whether another access token is there than the one that HubSpot did not accept.

    Over OAuth one may be withdrawn before its time. Where none is to be had, what follows from
    that is done; where our app is refused, or nobody answers, nothing is said of the portal.
    """
    granted, used = call.connection, call.request.extensions.get(USED)
    if granted is None or granted.kind is not CredentialKind.OAUTH or not isinstance(used, str):
        return False
    try:
        return parts.refresher.renew(granted, refused=used)
    except VerificationError:
        return False
