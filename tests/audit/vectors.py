"""The worked examples of the record format, as the writer's own code makes them."""

from __future__ import annotations

import base64
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hsagency.audit import chain, register
from hsagency.audit.record import encode
from hsagency.audit.register import Head, Kind, Signer, encode_line

SLUG = "example-client"
AT = "2026-10-14T12:00:00.000000Z"
# RFC 8032, 7.1, test 1: known to everybody, so it signs nothing but examples.
RFC_SECRET = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"
_WHO = {"actor": "hsagency/0", "user": "example", "host": "example", "runId": "00"}
_RECORDS = (
    {"event": "audit.opened", "segment": "000-000001"},
    {"event": "call.started", "callId": "0" * 32, "method": "GET", "path": "/crm/v3/objects/x"},
    {"event": "call.finished", "callId": "0" * 32, "statusCode": 200, "reason": 'ä "}'},
)


def vectors() -> dict[str, Any]:
    """Return a segment, a register and a checkpoint, with every step written out."""
    private = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(RFC_SECRET))
    public = private.public_key().public_bytes_raw()
    signer = Signer(register.key_id(public), private.sign)
    hashed = chain.genesis("000-000001.jsonl")
    steps, size = [], 0
    for number, fields in enumerate(_RECORDS, start=1):
        common = {"schema": 1, "seq": number, "event": fields["event"], "ts": AT}
        body = encode({**common, "clientSlug": SLUG, **_WHO, **fields})
        line, following = chain.link(hashed, body)
        step = {"previous": hashed, "body": body.decode(), "hash": following}
        steps.append({**step, "line": line.decode()})
        hashed, size = following, size + len(line)
    head = Head("000-000001", len(steps), size, hashed)
    lines: list[bytes] = []
    written = ((Kind.IDLE, signer), (Kind.IDLE, None), (Kind.CLOSED, None), (Kind.RETIRED, signer))
    for number, (kind, one) in enumerate(written, start=1):
        previous = register.digest(lines[-1]) if lines else register.genesis(SLUG)
        until = AT if kind is Kind.RETIRED else None
        place = {"kind": kind, "slug": SLUG, "ts": AT, "signer": one, "until": until}
        lines.append(encode_line(head, seq=number, previous=previous, **place))
    checkpoint = encode_line(head, kind=Kind.CHECKPOINT, slug=SLUG, ts=AT, signer=signer)
    return {
        "schema": 1,
        "segment": {
            "file": "000-000001.jsonl",
            "hash0": chain.genesis("000-000001.jsonl"),
            "records": steps,
        },
        "register": {
            "clientSlug": SLUG,
            "previousOfFirst": register.genesis(SLUG),
            "lines": [
                {
                    "line": one.decode(),
                    "signedPart": register.signed_part(one).decode(),
                    "digest": register.digest(one),
                }
                for one in lines
            ],
        },
        "checkpoint": {
            "line": checkpoint.decode(),
            "signedPart": register.signed_part(checkpoint).decode(),
        },
        "key": {
            "note": "the key pair of RFC 8032, 7.1, test 1",
            "secretKey": base64.b64encode(bytes.fromhex(RFC_SECRET)).decode(),
            "publicKey": base64.b64encode(public).decode(),
            "key": register.key_id(public),
        },
    }
