"""What a sandbox says of itself at a command line, so that each advised command can be typed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from shlex import join, quote
from typing import TYPE_CHECKING

from hsagency.sandbox.control.api import KEY_HEADER, PREFIX
from hsagency.sandbox.serving.server import SandboxServer

if TYPE_CHECKING:
    from hsagency.sandbox.serving.tls import Variant


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a command line asked for; `program` and `command` are how it is typed here."""

    portals: int
    contacts: int
    seed: int
    csv: Path | None
    faults: Path | None
    ledger: Path | None
    tls: Variant | None
    at: str | None
    speed: float | None
    limits: bool
    program: str
    command: str

    def again(self, *, port: str) -> str:
        """Return the whole command that serves the same fleet at the same address."""
        given: Mapping[str, object] = {
            "--portals": self.portals,
            "--contacts": self.contacts,
            "--seed": self.seed,
            "--port": port,
            "--tls": self.tls,
            "--at": self.at,
            "--speed": self.speed,
            "--faults": self.faults,
        }
        words = [
            word
            for option, value in given.items()
            if value is not None
            for word in (option, str(value))
        ]
        if not self.limits:
            words.append("--no-limits")
        return f"{self.command} {join(words)}"


def essentials(server: SandboxServer) -> tuple[str, str]:
    """Return where the fleet is, and the way to the control API."""
    return (
        f"{len(server.sandbox.portals)} simulated portals at {server.url}",
        f"Control API: {server.url}{PREFIX}  {KEY_HEADER}: {server.control_key}",
    )


def banner(server: SandboxServer, asked: Asked) -> Iterator[str]:
    """Yield everything that a person wants to know of a server that has just been started."""
    address, control = essentials(server)
    if asked.csv is not None:
        yield f"Client list: {asked.csv}"
    yield address
    # where the certificate is not a good one, nobody can be onboarded
    if asked.csv is not None and asked.tls in (None, "good"):
        yield f"Make a workspace for them: {asked.program} init my-agency"
        if asked.tls is not None:
            setting = rf"""printf '[network]\nca_bundle = "%s"\n' {quote(str(server.ca_file))}"""
            yield f"Trust its authority there: {setting} >> my-agency/hsagency.toml"
        onboard = join(["onboard", str(asked.csv), "--api", server.url])
        yield f"Onboard them: {asked.program} {onboard} --workspace my-agency"
    yield f"To come back to this address later: {asked.again(port=server.url.rpartition(':')[2])}"
    yield "Tokens and records start afresh then: what was rotated or written is gone."
    if asked.tls is not None:
        yield f"Certificate: {asked.tls}; {_trust(server.ca_file, tls=asked.tls)}"
    yield from _unusual(server, asked)
    yield control
    yield "Stop it with Ctrl-C."


def _trust(file: Path, *, tls: Variant) -> str:
    if tls == "untrusted":
        return f"it is signed by another authority than the one in {file}"
    return (
        f"to trust its authority: ca_bundle under [network] in hsagency.toml, curl --cacert {file}, "
        f"or SSL_CERT_FILE={file}"
    )


def _unusual(server: SandboxServer, asked: Asked) -> Iterator[str]:
    speed = asked.speed if asked.speed is not None else 0.0 if asked.at else None
    now = server.sandbox.clock.now().isoformat(timespec="seconds")
    if speed == 0:
        yield f"Clock: stands still at {now}, so that what a limit counts never ends; see --speed"
    elif speed is not None:
        yield f"Clock: runs from {now}, {speed:g} seconds in every second"
    if not asked.limits:
        yield "Limits: none; no call is one too many"
    if asked.faults is not None:
        yield f"Faults in force: {len(server.sandbox.faults)}"
    if asked.ledger is not None:
        yield f"Ledger: {asked.ledger}"
