"""
A test certificate authority, and the certificates that a sandbox shows over HTTPS.

The authority is new for every server and lives in memory. Its certificate is written into a
folder of the user's own; a private key is on disk for the moment in which OpenSSL reads it.
"""

from __future__ import annotations

import shutil
import ssl
import tempfile
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from hsagency.errors import SandboxError

try:
    import trustme
except ImportError as error:
    raise SandboxError(
        "HTTPS needs the library trustme, which is not installed; the sandbox was not started.",
        hint="Install it: pip install trustme.",
    ) from error

Variant: TypeAlias = Literal["good", "expired", "not-yet-valid", "wrong-name", "untrusted"]

# A star stands for one name below a name of two parts: OpenSSL takes no *.localhost.
NAMES = ("127.0.0.1", "::1", "localhost", "*.hubapi.localhost", "*.hubspot.localhost")
WRONG_NAME = "api.hubapi.example"
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Identity:
    """What a server proves itself with, and what its callers are to trust."""

    context: ssl.SSLContext = field(repr=False)
    ca_pem: str = field(repr=False)
    ca_file: Path

    def forget(self) -> None:
        """Remove the file; twice is fine."""
        shutil.rmtree(self.ca_file.parent, ignore_errors=True)


def make_identity(variant: Variant = "good") -> Identity:
    """Make an authority and a certificate; who trusts the authority refuses all but a good one."""
    if variant not in get_args(Variant):
        raise SandboxError(
            f"There is no certificate {variant!r}; the sandbox was not started.",
            hint=f"Choose one of {', '.join(get_args(Variant))}.",
        )
    authority = trustme.CA()
    signer = trustme.CA() if variant == "untrusted" else authority
    # Real time, not the sandbox's: it is the callers who look.
    starts, ends = _valid(variant, datetime.now(UTC))
    names = (WRONG_NAME,) if variant == "wrong-name" else NAMES
    certificate = signer.issue_cert(*names, not_before=starts, not_after=ends)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    pem = authority.cert_pem.bytes()
    file = Path(tempfile.mkdtemp(prefix="hsagency-sandbox-")) / "ca.pem"  # mkdtemp: 0700
    file.touch(mode=0o600)  # whoever trusts it need not ask who else could have written it
    file.write_bytes(pem)
    return Identity(context, pem.decode("ascii"), file)


def _valid(variant: Variant, now: datetime) -> tuple[datetime, datetime]:
    if variant == "expired":
        return now - 30 * _DAY, now - _DAY
    if variant == "not-yet-valid":
        return now + _DAY, now + 30 * _DAY
    return now - _DAY, now + 30 * _DAY
