"""
Connecting a portal over OAuth: a person says yes on HubSpot's page, and we keep what that gave.

    attempt = connecting.start(agency, client="acme-corp", portal=12345678)
    webbrowser.open(attempt.door)
    print(connecting.finish(attempt).said())

`start` checks everything that could be wrong and listens; `finish` waits for the browser, trades
what it brought, asks HubSpot whose it is, has it confirmed, and stores it by way of onboarding.
What is not stored is given back (`Attempt.give_up`), and every way out says whether something
was connected. A form that must not wait takes the same steps one by one:

    attempt.came(0.5)                whether the browser, or `take`, has brought an answer
    attempt.take(address)            the address the browser was led to, where it cannot reach us
    found = attempt.found()          whose portal it is, and under which slug it would be kept
    attempt.store(found, slug=...)   keep it;  or  attempt.give_up("...")  to give it back
    attempt.close()                  stop listening; `finish`, or a `with` block, does it

    connecting.preflight(agency, ...)   what must be so before the browser opens, all at once
    connecting.prepare(agency, ...)     write what HubSpot is to be told of our app
    connecting.set_up(agency, ...)      keep the app's id and secret, and check them with HubSpot
    connecting.start(agency, client=slug, again=True)     reconnect over OAuth
    connecting.replace_token(agency, slug, token)         reconnect with a static token

    setup.py      our own app: its metadata, its secret      asking.py     the address, state, PKCE
    preflight.py  prerequisites, slots, installs             listening.py  the callback on localhost
    attempts.py   start, finish and the steps between        pages.py      what the browser shows
    trading.py    what came back, judged; given back         slugs.py      a slug from a name
    replacing.py  reconnecting, and what it ended

A forged or repeated answer is refused and the wait goes on. It cannot be told from here whether
a person closed the page: then nothing comes, and the time runs out.
"""

from __future__ import annotations

from hsagency.connecting.attempts import Attempt, finish, start
from hsagency.connecting.listening import PortTaken
from hsagency.connecting.preflight import Installs, NotReady, Preflight, Requirement, preflight
from hsagency.connecting.replacing import Connected, replace_token
from hsagency.connecting.setup import PORT, Prepared, check_client_id, prepare, reuse, set_up
from hsagency.connecting.slugs import proposed_slug
from hsagency.connecting.trading import Found

__all__ = [
    "PORT",
    "Attempt",
    "Connected",
    "Found",
    "Installs",
    "NotReady",
    "PortTaken",
    "Preflight",
    "Prepared",
    "Requirement",
    "check_client_id",
    "finish",
    "preflight",
    "prepare",
    "proposed_slug",
    "replace_token",
    "reuse",
    "set_up",
    "start",
]
