"""
What authenticates to a portal over OAuth: what a person authorised, kept fresh.

    apps.py           our own app, as HubSpot knows it; its secret is in the credential store
    authorisation.py  what a person authorised: one secret that holds both tokens
    desk.py           HubSpot's token endpoints: trade, renew, ask about, revoke
    refreshing.py     the access token of this moment, with one renewal at a time

Nothing here sees a request of a caller's, and no token is in a request before its last station.
"""

from __future__ import annotations

from hsagency.auth.apps import Apps, Distribution, OAuthApp
from hsagency.auth.authorisation import Authorisation, key_of
from hsagency.auth.desk import Introspected, Issued, TokenDesk
from hsagency.auth.refreshing import Refresher

__all__ = [
    "Apps",
    "Authorisation",
    "Distribution",
    "Introspected",
    "Issued",
    "OAuthApp",
    "Refresher",
    "TokenDesk",
    "key_of",
]
