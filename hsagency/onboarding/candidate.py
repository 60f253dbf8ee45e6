"""A credential that belongs to nobody yet: a client to ask whose it is, and nothing else."""

from __future__ import annotations

from typing import Final, Self

from hsagency.agency import Agency
from hsagency.client import Channel, Ways
from hsagency.hosts import host_of, is_data_centre
from hsagency.portals import AGENCY, ClientSlug, ConnectionType
from hsagency.secret import Secret
from hsagency.transport import Binding, Call, Grant
from hsagency.verdicts import Fate, Verdict

_PATIENCE: Final = 15.0  # seconds; the other rows of a list wait behind this one


class Candidate:
    """
    Asks with a credential that is being judged; its calls are in the agency's own log.

    `routed_to` is the data centre that HubSpot sent it to, if it did (facts 1.8).
    """

    def __init__(
        self,
        agency: Agency,
        token: Secret,
        *,
        api: str,
        purpose: str,
        slug: ClientSlug | None = None,
    ) -> None:
        self._agency, self._token, self._api = agency, token, api
        self.routed_to: str | None = None
        binding = Binding(
            client_slug=AGENCY,
            portal_id=None,
            connection_type=ConnectionType.AUDIT_ONLY,
            host=host_of(api),
            fingerprint=token.fingerprint,
            generation=0,
            purpose=purpose,
            candidate_slug=slug,
        )
        self._channels = [self._channel()]
        ways = Ways(
            current=lambda: Grant(binding=binding, way=self._channels[-1].way),
            after=self._led,
            patience=_PATIENCE,
        )
        self.client = self._channels[0].client(binding=binding, ways=ways)

    def close(self) -> None:
        """Close the client and its wires."""
        self.client.close()
        for one in self._channels:
            one.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _channel(self) -> Channel:
        agency, host = self._agency, host_of(self._api, self.routed_to)
        return Channel(
            host=host,
            credential=lambda: self._token,
            writer=agency.writer,
            halt=agency.halt,
            wire=agency.network.wire(host),
        )

    def _led(self, call: Call, verdict: Verdict) -> bool:
        """Go where the credential's portal is kept; what else an answer means, `verify` says."""
        del call
        named = verdict.hublet
        if verdict.fate is not Fate.REROUTE or not is_data_centre(named):
            return False
        if host_of(self._api, named) == host_of(self._api, self.routed_to):
            return False
        self.routed_to = named
        self._channels.append(self._channel())
        return True
