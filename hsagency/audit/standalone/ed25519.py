"""Ed25519 signatures (RFC 8032), checked in plain Python."""

from __future__ import annotations

import hashlib
from typing import Tuple

# A point is (X, Y, Z, T) with x = X/Z, y = Y/Z and x * y = T/Z.
Point = Tuple[int, int, int, int]
P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT_OF_MINUS_ONE = pow(2, (P - 1) // 4, P)


def add(one: Point, other: Point) -> Point:
    """Return the sum of two points."""
    a = (one[1] - one[0]) * (other[1] - other[0]) % P
    b = (one[1] + one[0]) * (other[1] + other[0]) % P
    c, d = 2 * D * one[3] * other[3] % P, 2 * one[2] * other[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def decode(encoded: bytes) -> Point | None:
    """Return the point that 32 bytes stand for, or nothing if they stand for none."""
    number = int.from_bytes(encoded, "little")
    odd, y = number >> 255, number & (2**255 - 1)
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT_OF_MINUS_ONE % P
    if y >= P or (x * x - square) % P or (x == 0 and odd):
        return None
    x = x if x % 2 == odd else P - x
    return x, y, 1, x * y % P


def verifies(public: bytes, signature: bytes, message: bytes) -> bool:
    """Say whether an Ed25519 signature is one of this message under this public key."""
    key = decode(public) if len(public) == 32 and len(signature) == 64 else None
    base = decode((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))
    s = int.from_bytes(signature[32:], "little")
    if key is None or base is None or s >= ORDER:
        return False
    hashed = hashlib.sha512(signature[:32] + public + message).digest()
    h = int.from_bytes(hashed, "little") % ORDER
    minus = (P - key[0], key[1], 1, P - key[3])
    terms = ((0, 1, 1, 0), base, minus, add(base, minus))
    total = terms[0]  # becomes s * base - h * key, which must be the first half of the signature
    for bit in range(252, -1, -1):
        total = add(add(total, total), terms[(s >> bit & 1) + 2 * (h >> bit & 1)])
    inverse = pow(total[2], P - 2, P)
    x, y = total[0] * inverse % P, total[1] * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little") == signature[:32]
