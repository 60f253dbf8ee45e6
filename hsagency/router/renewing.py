"""Another access token, where HubSpot did not accept the one that a call was made with."""

from __future__ import annotations

from hsagency.portals import CredentialKind
from hsagency.router.parts import Parts
from hsagency.transport import USED, Call


def renewed(parts: Parts, call: Call) -> bool:
    """
    Say whether another access token is there than the one that HubSpot did not accept.

    Over OAuth one may be withdrawn before its time; a static credential has no other. Raises
    `AuthorisationEnded` where the portal no longer lets us in, of which what follows was done,
    and `AppMisconfigured` or `PortalUnreachable`, which say nothing of the portal.
    """
    granted, used = call.connection, call.request.extensions.get(USED)
    if granted is None or granted.kind is not CredentialKind.OAUTH or not isinstance(used, str):
        return False
    return parts.refresher.renew(granted, refused=used)
