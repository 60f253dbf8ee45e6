"""The way to HubSpot, the clock beside HubSpot's, and our OAuth app."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from datetime import timedelta
from typing import Final

import httpx

from hsagency.agency import Agency
from hsagency.client import Channel, Ways
from hsagency.connecting.preflight import installs
from hsagency.doctor.finding import Finding, Level
from hsagency.errors import AppMisconfigured, NoOAuthApp
from hsagency.hosts import host_of
from hsagency.portals import AGENCY, ConnectionType, CredentialKind
from hsagency.secret import Secret
from hsagency.transport import Binding, Form
from hsagency.transport.clock import MOST_APART, difference
from hsagency.verifier import API_VERSION, answerer, on_the_way

_PATIENCE: Final = 5.0
_NOBODY: Final = "nobody"  # in the place of a credential's fingerprint


def network(agency: Agency) -> Iterator[Finding]:
    """Say whether HubSpot, or the sandbox, can be reached, and whether the clocks agree."""
    bases = sorted({one.api_base for one in agency.connections().values()} or {""})
    for api_base in bases:
        yield from _reached(agency, api_base)


def _reached(agency: Agency, api_base: str) -> Iterator[Finding]:
    """Ask for an account's details with no credential: any answer shows that the way is open."""
    subject, who, host = "network", answerer(api_base), host_of(api_base)
    channel = Channel(
        host=host,
        credential=lambda: Form({}),
        writer=agency.writer,
        halt=agency.halt,
        wire=agency.network.wire(host),
    )
    binding = Binding(
        client_slug=AGENCY,
        portal_id=None,
        connection_type=ConnectionType.AUDIT_ONLY,
        host=host,
        fingerprint=_NOBODY,
        generation=0,
        purpose="doctor",
    )
    try:
        with channel.client(binding=binding, ways=Ways(patience=_PATIENCE)) as client:
            response = client.get(f"/account-info/{API_VERSION}/details")
    except httpx.HTTPError as error:
        known = on_the_way(error, who=who)
        said = known.message if known else f"{host.host} did not answer ({type(error).__name__})."
        advice = known.hint if known else "Check the network, and [network] in hsagency.toml."
        yield Finding(subject, Level.PROBLEM, said, advice)
        return
    finally:
        channel.close()
    yield Finding(subject, Level.OK, f"{who[:1].upper()}{who[1:]} answers at {host.host}.")
    apart = difference(response.headers, agency.writer.now())
    if apart is None:
        yield Finding("clock", Level.UNKNOWN, f"{who[:1].upper()}{who[1:]} told no time.")
    elif abs(apart) > MOST_APART:
        way = "ahead of" if apart > timedelta() else "behind"
        yield Finding(
            "clock",
            Level.PROBLEM,
            f"This machine's clock is {abs(round(apart.total_seconds()))} seconds {way} that of "
            f"{who}, and the times in the audit log with it.",
            "Have this machine set its clock by a time server.",
        )
    else:
        yield Finding("clock", Level.OK, f"It agrees with that of {who}.")


def app(agency: Agency) -> Iterator[Finding]:
    """Say whether HubSpot knows our app as it is set up here, and how many portals it may have."""
    subject = "OAuth app"
    over_oauth = [one for one in agency.connections().values() if one.kind is CredentialKind.OAUTH]
    for api_base in sorted({one.api_base for one in over_oauth} | {""}):
        mine = any(one.api_base == api_base for one in over_oauth)
        try:
            kept = agency.apps.read(api_base)
        except NoOAuthApp as error:
            if mine:
                yield Finding(subject, Level.PROBLEM, error.message, error.hint)
            elif not over_oauth:
                yield Finding(subject, Level.OK, "None is set up, and no portal needs one.")
            continue
        try:
            desk = agency.desk(api_base)
            desk.introspect(Secret(secrets.token_hex(16)))  # no token at all: only the app counts
        except AppMisconfigured as error:
            yield Finding(subject, Level.PROBLEM, error.message, error.hint)
            continue
        who = answerer(api_base)
        said = f"{who[:1].upper()}{who[1:]} knows it as it is set up here"
        used = installs(kept, agency.index.read())
        if used.shortage:
            yield Finding(subject, Level.WARNING, f"{said}. {used.shortage}", used.cure)
        else:
            yield Finding(
                subject, Level.OK, f"{said}; {used.used} of {used.most} installs are used."
            )
