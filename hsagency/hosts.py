"""
Where the calls of a connection go: HubSpot, one of its data centres, or a sandbox.

What HubSpot answers, and what stands in a file, can choose a data centre and nothing else: no
word of theirs leads to a host that is not HubSpot's own.
"""

from __future__ import annotations

import ipaddress
import re
from functools import cache, lru_cache
from typing import Any, Final, TypeGuard
from urllib.parse import urlsplit

import httpx

from hsagency.data import table
from hsagency.errors import CorruptFile, UsageError

_SANDBOX: Final = "hubapi.localhost"  # names below localhost lead nowhere else (RFC 6761)


@lru_cache(maxsize=1024)  # taking an address apart costs 20 microseconds
def host_of(api_base: str, routed_to: str | None = None) -> httpx.URL:
    """
    Return the base address of a connection's calls.

    `api_base` is a sandbox's address, or empty for HubSpot; `routed_to` the data centre that a
    488 named, if one did. A sandbox plays the data centres under names of this machine's own.
    Raises `UsageError` or `CorruptFile` for what is neither.

    >>> host_of("", "eu1"), host_of("http://127.0.0.1:8000", "eu1")
    (URL('https://api-eu1.hubapi.com'), URL('http://api-eu1.hubapi.localhost:8000'))
    """
    base = httpx.URL(parse_api_base(api_base) or f"https://{_hosts()['general']['host']}")
    if routed_to is None:
        return base
    if not is_data_centre(routed_to):
        raise CorruptFile(
            "What is stored as the data centre of a portal is not the name of one. "
            "Nothing was sent.",
            hint="Remove routedTo from this connection in connections.json, or restore a backup.",
        )
    name = _name_of(routed_to)
    if not api_base:
        return base.copy_with(host=name)
    general = _hosts()["general"]["host"]
    return base if name == general else base.copy_with(host=f"{name.split('.')[0]}.{_SANDBOX}")


def is_data_centre(name: object) -> TypeGuard[str]:
    """Say whether this can be the name of a data centre, such as eu1."""
    return isinstance(name, str) and re.fullmatch(_hosts()["others"]["name"], name) is not None


def is_loopback(host: str) -> bool:
    """Say whether a host's name is this machine's, and leads to no other."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def parse_api_base(address: str) -> str:
    """
    Return the address of a loopback sandbox as connections store it; empty means HubSpot.

    Raises `UsageError` for any address that is not this machine's own, so that a token can
    not be sent elsewhere by a slip of the keyboard.

    >>> parse_api_base("http://127.0.0.1:8000/")
    'http://127.0.0.1:8000'
    """
    if not address:
        return ""
    hint = "Only a sandbox on this machine can stand in for HubSpot: --api http://127.0.0.1:PORT."
    try:
        parts = urlsplit(address)
        port = parts.port
        name = "127.0.0.1" if parts.hostname == "localhost" else parts.hostname or ""
        loopback = ipaddress.ip_address(name).is_loopback
    except ValueError:
        raise UsageError(
            "The API address is not a sandbox's; nothing was done.", hint=hint
        ) from None
    bare = parts.path in ("", "/") and not (parts.query or parts.fragment or "@" in parts.netloc)
    if not (loopback and bare and port and parts.scheme in ("http", "https")):
        raise UsageError("The API address is not a sandbox's; nothing was done.", hint=hint)
    return f"{parts.scheme}://{f'[{name}]' if ':' in name else name}:{port}"


def _name_of(data_centre: str) -> str:
    known = {row["name"]: row["host"] for row in _hosts()["data_centre"]}
    return str(known.get(data_centre) or _hosts()["others"]["host"].format(name=data_centre))


@cache
def _hosts() -> dict[str, Any]:
    return table("hosts")
