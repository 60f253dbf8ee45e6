"""
Who a portal client speaks for, from one call to the next.

A client is handed out for a slug and its portal. The index is looked at for every attempt, so
that a new credential generation, another connection type, a removal or a stop counts at the
next one in every process, without a signal and without a restart. A call in flight ends on the
credential that it began with.
"""

from __future__ import annotations

from functools import partial

from hsagency.errors import ClientClosed
from hsagency.hosts import host_of
from hsagency.portals import Connection
from hsagency.router.channels import Channels
from hsagency.router.parts import Parts, refuse_unless_same
from hsagency.stopping import refuse_if_stopped
from hsagency.transport import Binding, Grant, Identify


class Grants:
    """
    The grants of one client: made anew when the connection changed, else the same.

    `while_stopped` is for the one who finds out whether a stopped portal works again.
    """

    def __init__(
        self,
        parts: Parts,
        channels: Channels,
        connection: Connection,
        *,
        purpose: str,
        while_stopped: bool = False,
    ) -> None:
        self._parts, self._channels = parts, channels
        self._handed, self._purpose, self._while_stopped = connection, purpose, while_stopped
        self._last: Grant | None = None

    @property
    def binding(self) -> Binding:
        """What the client is bound to when it is handed out."""
        return binding(self._handed, self._purpose, self._parts.identify)

    def now(self) -> Grant:
        """Return the grant of this moment; raises `ClientClosed` or `PortalStopped`."""
        connection = self._stored()
        last = self._last
        if last is None or last.connection is not connection:
            opened = self._channels.open(connection)
            while not opened.is_of(connection):  # it has changed since it was looked up
                connection = self._stored()
                opened = self._channels.open(connection)
            last = self._last = Grant(
                binding=binding(connection, self._purpose, self._parts.identify),
                way=opened.channel.way,
                connection=connection,
                recheck=partial(self._recheck, connection),
            )
        return last

    def _stored(self) -> Connection:
        slug = self._handed.client_slug
        connection = refuse_unless_same(self._handed, self._parts.stored(slug))
        if not self._while_stopped:
            refuse_if_stopped(connection)
        return connection

    def _recheck(self, granted: Connection) -> None:
        """Raise where a call that waited since it was granted may no longer leave."""
        if self._stored().connection_type is not granted.connection_type:
            raise ClientClosed(
                f"The connection type of {granted.client_slug} was changed while the call waited. "
                "Nothing was sent.",
                hint="Make it again: the next call goes by the new type.",
            )


def binding(connection: Connection, purpose: str, identify: Identify) -> Binding:
    """Return what calls of a connection are bound to, as it is now."""
    return Binding(
        client_slug=connection.client_slug,
        portal_id=connection.portal_id,
        connection_type=connection.connection_type,
        host=host_of(connection.api_base),
        fingerprint=connection.fingerprint,
        generation=connection.generation,
        purpose=purpose,
        identify=identify,
    )
