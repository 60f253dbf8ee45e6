"""
Run 10-100 HubSpot client portals from JupyterLab: isolated, on the record, answerable.

    from hsagency import Agency

    agency = Agency.open()
    acme = agency.client("acme-corp", purpose="weekly review")
    acme.get("/crm/objects/2026-09/contacts", params={"limit": 10})

Names are loaded when they are first used; importing this package does nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hsagency.agency import Agency
    from hsagency.client import PortalClient
    from hsagency.errors import HsAgencyError
    from hsagency.fleet import FleetInterrupted
    from hsagency.periods import Period
    from hsagency.portals import Connection, ConnectionType, Portal
    from hsagency.secret import Secret
    from hsagency.verifier import FIRST_CONTACT, Identity, verify

__version__ = "0.1.0"

__all__ = [
    "FIRST_CONTACT",
    "Agency",
    "Connection",
    "ConnectionType",
    "FleetInterrupted",
    "HsAgencyError",
    "Identity",
    "Period",
    "Portal",
    "PortalClient",
    "Secret",
    "verify",
]

_HOMES = {
    "Agency": "agency",
    "Connection": "portals",
    "ConnectionType": "portals",
    "FIRST_CONTACT": "verifier",
    "FleetInterrupted": "fleet",
    "HsAgencyError": "errors",
    "Identity": "verifier",
    "Period": "periods",
    "Portal": "portals",
    "PortalClient": "client",
    "Secret": "secret",
    "verify": "verifier",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'hsagency' has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(f"hsagency.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
