"""
The way out of this machine: whom to trust, and through which proxy, as the settings say.

Nothing is taken from the environment: no proxy, no certificate, no .netrc, no file for keys.
"""

from __future__ import annotations

import os
import re
import ssl
import stat
import threading
from functools import cache
from pathlib import Path
from typing import Final

import certifi
import httpx

from hsagency.durable import open_to_read
from hsagency.errors import UsageError
from hsagency.hosts import is_loopback
from hsagency.settings import NetworkSettings
from hsagency.transport.dialling import Proxy
from hsagency.transport.wire import Wire


class Network:
    """
    Makes wires to one host each; they share what they trust, and nothing else.

    The bundle of authorities is read when the first wire over TLS is made.
    """

    def __init__(self, settings: NetworkSettings | None = None, *, folder: Path = Path()) -> None:
        settings = settings or NetworkSettings()
        self._bundle = (
            folder / Path(settings.ca_bundle).expanduser() if settings.ca_bundle else None
        )
        self._proxy = Proxy.at(settings.proxy) if settings.proxy else None
        self._tls: ssl.SSLContext | None = None
        self._lock = threading.Lock()

    def wire(self, host: httpx.URL) -> Wire:
        """
        Return a wire to a host: through the proxy, unless it is this machine's own.

        Raises `UsageError` where the bundle of authorities cannot be used.
        """
        return Wire(
            host,
            tls=self._trust() if host.scheme == "https" else None,
            proxy=None if is_loopback(host.host) else self._proxy,
        )

    def _trust(self) -> ssl.SSLContext:
        with self._lock:
            if self._tls is None:
                self._tls = _context(_authorities(self._bundle) if self._bundle else "")
            return self._tls


@cache  # it costs 17 ms
def _context(more: str) -> ssl.SSLContext:
    """Return what trusts the public authorities and some more, and nobody without a name."""
    # Not ssl.create_default_context: that opens the file that SSLKEYLOGFILE names.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(certifi.where())
    if more:
        context.load_verify_locations(cadata=more)
    context.set_alpn_protocols(["http/1.1"])
    return context


_BEGIN: Final = re.compile(rb"-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----")
_BLOCK: Final = re.compile(
    rb"-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----", re.ASCII
)


def _authorities(file: Path) -> str:
    """Return the certificates in a file, without what is written between them."""
    try:
        with open_to_read(file) as opened:
            seen = os.fstat(opened.fileno())
            folder = file.resolve().parent
            _refuse_foreign(seen, file, writable=stat.S_IWGRP | stat.S_IWOTH)
            of_folder = folder.stat()
            sticky = of_folder.st_mode & stat.S_ISVTX  # where only the owner may replace it
            writable = 0 if sticky else stat.S_IWGRP | stat.S_IWOTH
            _refuse_foreign(of_folder, folder, writable=writable)
            content = opened.read()
    except OSError as error:
        why = error.strerror or "it cannot be read"
        raise _unusable(f"{file} cannot be read ({why}).", hint=_NAME_IT) from error
    blocks = _BLOCK.findall(content)
    if not content.strip():
        raise _unusable(f"{file} is empty.", hint=_EXPORT)
    if not blocks or len(blocks) != len(_BEGIN.findall(content)):
        raise _unusable(f"{file} holds no whole certificates in PEM.", hint=_EXPORT)
    more = b"\n".join(blocks).decode("ascii")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=more)
    except (ssl.SSLError, ValueError) as error:
        raise _unusable(f"{file} holds what is no certificate.", hint=_EXPORT) from error
    return more


def _refuse_foreign(seen: os.stat_result, path: Path, *, writable: int) -> None:
    """Refuse what somebody else could put an authority of their own into."""
    if seen.st_uid not in (0, os.geteuid()):
        raise _unusable(
            f"{path} belongs to another user ({seen.st_uid}), who could add to them.",
            hint="Copy the certificates into the workspace, and name that file.",
        )
    if seen.st_mode & writable:
        raise _unusable(
            f"other users may write to {path}, and could add to them.",
            hint=f"Look what the bundle holds, then close it: chmod go-w '{path}'",
        )


def _unusable(why: str, *, hint: str) -> UsageError:
    said = f"The authorities of [network] ca_bundle cannot be used: {why} Nothing was sent."
    return UsageError(said, hint=hint)


_NAME_IT: Final = (
    "Name the PEM file in hsagency.toml under [network] ca_bundle, from the workspace's folder, "
    "or remove that setting."
)
_EXPORT: Final = (
    "Ask whoever runs this network for their authority's certificate in PEM: it begins with "
    "-----BEGIN CERTIFICATE-----."
)
