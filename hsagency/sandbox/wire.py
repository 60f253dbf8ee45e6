"""What goes in and out of the simulated HubSpot: an HTTP request and a reply, however carried."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from math import isfinite
from typing import Any, Literal, TypeAlias
from urllib.parse import parse_qsl, unquote

Drop: TypeAlias = Literal["before", "after"]
JsonObject: TypeAlias = dict[str, Any]
Headers: TypeAlias = tuple[tuple[str, str], ...]
# How the body's end is told: by its length, by a last chunk, or by the end of the connection.
Framing: TypeAlias = Literal["length", "chunked", "none"]
# The longest request target, in bytes. HubSpot says only that a URL can be too long; this is what
# the network in front of it takes.
TARGET_MAX = 16_384
METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})
# How deep a body may be nested: the sandbox's own choice, far from where Python gives up.
DEPTH_MAX = 100
_PIECES = 10


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it came over the wire; the path is still percent-encoded."""

    method: str
    path: str = field(repr=False)  # it and the query may hold tokens
    query: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)

    @classmethod
    def parse(
        cls, method: str, target: str, *, headers: Iterable[tuple[str, str]] = (), body: bytes = b""
    ) -> Request:
        """Take the request target apart, and fold header names to lower case."""
        path, _, query = target.partition("?")
        return cls(
            method=method,
            path=path,
            query=tuple(parse_qsl(query, keep_blank_values=True)) if query else (),
            headers={name.lower(): value for name, value in headers},
            body=body,
        )

    @property
    def segments(self) -> tuple[str, ...]:
        """The decoded parts of the path; a slash inside a part was %2F."""
        parts = self.path.strip("/").split("/")
        return tuple(unquote(part) if "%" in part else part for part in parts)

    def param(self, name: str) -> str | None:
        """The last value of a query parameter, which is the one HubSpot goes by."""
        return next((value for key, value in reversed(self.query) if key == name), None)

    def params(self, name: str) -> list[str]:
        """All values of a query parameter, whether repeated or separated by commas."""
        found = (value.split(",") for key, value in self.query if key == name)
        return [part.strip() for parts in found for part in parts if part.strip()]


@dataclass(frozen=True, slots=True)
class Reply:
    """
    What the carrier has to do: answer after `delay` seconds, or drop the connection.

    With `drop` nothing is sent: "before" means that the request had no effect, "after" that it
    had, and that `status` is what the caller never learned; `reset` drops it with a reset. `cut` is
    how many bytes of the body are sent before the connection is closed; `drip` spreads the body
    over so many seconds.
    """

    status: int
    headers: Headers = field(default=(), repr=False)  # Location may hold a code
    body: bytes = field(default=b"", repr=False)
    drop: Drop | None = None
    delay: float = 0.0
    cut: int | None = None
    drip: float = 0.0
    reset: bool = False
    framing: Framing = "length"

    @property
    def bare(self) -> bool:
        """Whether an answer with this status never has a body, nor a length."""
        return self.status in {204, 304}


def pieces(body: bytes) -> list[bytes]:
    """Take a body apart, as it comes when it drips or is sent in chunks."""
    size = max(1, -(-len(body) // _PIECES))
    return [body[start : start + size] for start in range(0, len(body), size)]


def target_too_long() -> Reply:
    """Return the answer to a request whose target is longer than `TARGET_MAX`."""
    page = b"<html><head><title>414 URI Too Long</title></head><body></body></html>"
    return Reply(414, headers=(("Content-Type", "text/html;charset=utf-8"),), body=page)


class ApiError(Exception):
    """
    HubSpot's refusal of a request; becomes the error envelope and never leaves the sandbox.

    HubSpot treats every field of the envelope as optional, so `category` may be missing and
    `extra` holds what only some refusals carry. With `html` the answer is a page instead.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        category: str | None = None,
        headers: Headers = (),
        html: bool = False,
        **extra: object,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.category = status, message, category
        self.headers, self.html, self.extra = headers, html, extra

    def envelope(self, correlation_id: str) -> JsonObject:
        """Return the body of the answer."""
        body: JsonObject = {
            "status": "error",
            "message": self.message,
            "correlationId": correlation_id,
        }
        if self.category is not None:
            body["category"] = self.category
        if "policyName" in self.extra:  # only rate limit refusals name the request twice
            body["requestId"] = correlation_id
        return body | self.extra


def encode(content: JsonObject) -> bytes:
    """Write a JSON body as HubSpot does: compact, UTF-8; half a surrogate pair becomes `?`."""
    return _ENCODER.encode(content).encode(errors="replace")


def parsed(body: bytes) -> object:
    """Read a body that must be JSON."""
    try:
        content = _DECODER.decode(body.decode(json.detect_encoding(body), "surrogatepass"))
    except (ValueError, RecursionError) as error:
        raise invalid("Invalid input JSON on line 1, column 1: the body is not JSON") from error
    if body.count(b"[") + body.count(b"{") > DEPTH_MAX and _too_deep(content):
        raise invalid(f"Invalid input JSON: nested more than {DEPTH_MAX} levels deep")
    return content


def _finite(text: str) -> float:
    """Read a number; what JSON has no number for is an error, in whatever way it is written."""
    number = float(text)
    if not isfinite(number):
        raise ValueError
    return number


def _too_deep(content: object) -> bool:
    """Whether something lies deeper than may be; whoever answers goes down into it again."""
    level = [content]
    for _ in range(DEPTH_MAX):
        inside: list[object] = []
        for one in level:
            if isinstance(one, dict):
                inside += one.values()
            elif isinstance(one, list):
                inside += one
        level = inside
    return any(isinstance(one, dict | list) for one in level)


def decode(body: bytes) -> JsonObject:
    """Read a body that must be a JSON object."""
    content = parsed(body)
    if not isinstance(content, dict):
        raise invalid("Invalid input JSON on line 1, column 1: expected an object")
    return content


def stamp(at: datetime) -> str:
    """Write a time as HubSpot does: UTC, milliseconds, Z."""
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


_DECODER = json.JSONDecoder(parse_float=_finite, parse_constant=_finite)
_ENCODER = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def is_number(text: str) -> bool:
    """Whether a text is a plain whole number of HubSpot's size."""
    return text.isascii() and text.isdigit() and len(text) < 19


def not_found(message: str = "resource not found") -> ApiError:
    """Return the 404 for a thing that is not there, on a path that is."""
    return ApiError(404, message, category="OBJECT_NOT_FOUND")


def not_simulated(what: str) -> ApiError:
    """Return the 404 for what HubSpot has and the sandbox leaves out."""
    # HubSpot answers some unknown paths with a page and others with nothing at all.
    return ApiError(404, f"Not Found (the sandbox does not simulate {what})", html=True)


def invalid(message: str, *, errors: list[JsonObject] | None = None) -> ApiError:
    """Return the refusal of a request that does not say what it should."""
    refusal = ApiError(400, message, category="VALIDATION_ERROR")
    if errors is not None:
        refusal.extra["errors"] = errors
    return refusal
