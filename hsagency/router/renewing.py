"""Another access token, where HubSpot did not accept the one that a call was made with."""

from __future__ import annotations

from contextlib import suppress

from hsagency.errors import AppMisconfigured, NoOAuthApp, PortalUnreachable, UnexpectedAnswer
from hsagency.portals import Connection, CredentialKind
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


def confirm(parts: Parts, connection: Connection) -> None:
    """
    Raise `AuthorisationEnded` where a portal no longer lets us in, though its token still lives.

    Of a static credential there is nothing to ask; what our app and the network have to do with
    it is told by the call that comes next.
    """
    if connection.kind is CredentialKind.OAUTH:
        with suppress(AppMisconfigured, NoOAuthApp, PortalUnreachable, UnexpectedAnswer):
            parts.refresher.confirm(connection)
