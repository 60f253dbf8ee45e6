"""
A simulated HubSpot for rehearsals, tests and demonstrations.

    with serve(Sandbox(portals=3)) as server:       # over a socket, on 127.0.0.1 only
        ...server.url, server.sandbox.portals[0].token

    httpx.Client(transport=sandbox.transport())     # or in this process
"""

from __future__ import annotations

from hsagency.sandbox.clients_csv import bad_rows, write_clients_csv
from hsagency.sandbox.clock import Clock
from hsagency.sandbox.core import Sandbox
from hsagency.sandbox.faults.rules import Fault
from hsagency.sandbox.history.stories import Story
from hsagency.sandbox.history.traffic import History, PastCall
from hsagency.sandbox.ledger import LedgerEntry
from hsagency.sandbox.oauth.apps import App
from hsagency.sandbox.oauth.grants import Challenge
from hsagency.sandbox.oauth.installing import Tokens
from hsagency.sandbox.portals import Credential, Portal
from hsagency.sandbox.serving.running import run
from hsagency.sandbox.serving.server import SandboxServer, serve
from hsagency.sandbox.wire import Reply, Request

__all__ = [
    "App",
    "Challenge",
    "Clock",
    "Credential",
    "Fault",
    "History",
    "LedgerEntry",
    "PastCall",
    "Portal",
    "Reply",
    "Request",
    "Sandbox",
    "SandboxServer",
    "Story",
    "Tokens",
    "bad_rows",
    "run",
    "serve",
    "write_clients_csv",
]
