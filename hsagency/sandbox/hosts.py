"""Which hosts are answered for: this machine's, and in this process HubSpot's as well."""

from __future__ import annotations

import re

_NAME, _PORT = r"(?:[a-z0-9_-]+\.)*", r"(?::[0-9]{0,5})?"
# Names below localhost lead nowhere else either (RFC 6761). A full stop after a name only says
# that it is whole.
_HERE = re.compile(
    rf"(?:127\.0\.0\.1|\[::1\]|{_NAME}localhost\.?){_PORT}", re.IGNORECASE | re.ASCII
)
_HUBSPOT = re.compile(rf"{_NAME}(?:hubapi|hubspot)\.com\.?{_PORT}", re.IGNORECASE | re.ASCII)


def is_here(host: str) -> bool:
    """
    Whether a host, with its port if it has one, is this machine and nothing else.

    A page in a browser reaches loopback under any name that its owner has lead there.
    """
    return _HERE.fullmatch(host) is not None


def is_hubspots(host: str) -> bool:
    """Whether a host, with its port if it has one, is where HubSpot answers."""
    return _HUBSPOT.fullmatch(host) is not None
