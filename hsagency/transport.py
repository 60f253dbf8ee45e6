"""
The path of one call: guard, record, credential, wire; one class each.

    Guard       refuses what must not leave, and records the refusal
    Recorder    makes the intent durable, sends, records the outcome
    Bearer      puts the credential on a copy of the request, to the pinned host
    (wire)      httpx.HTTPTransport, built by hsagency.client alone

What the caller holds (its request, the response, an exception) never holds the credential:
only the copy that `Bearer` makes does, and it is dropped with its traceback.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, NoReturn

import httpx
import orjson

from hsagency.audit.journal import AuditWriter
from hsagency.audit.record import Event, Origin, Outcome, is_purpose, outcome_of
from hsagency.errors import AuditError, CallRefused, HsAgencyError
from hsagency.halt import Halt
from hsagency.portals import ClientSlug, ConnectionType, PortalId
from hsagency.routes import OperationClass, Touched, refusal, secret_in_url, touched
from hsagency.secret import Secret

Prove = Callable[[OperationClass], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """What a portal client is bound to, for as long as it lives."""

    client_slug: ClientSlug  # whose journal its calls are recorded in
    portal_id: PortalId | None  # nobody's yet while a credential is being judged
    connection_type: ConnectionType
    host: httpx.URL
    fingerprint: str
    generation: int
    purpose: str
    candidate_slug: ClientSlug | None = None

    def describe(self, request: httpx.Request, call: Touched) -> dict[str, object]:
        """Return the fields that every record of a call starts with."""
        return {
            "callId": secrets.token_hex(16),
            "attempt": 1,
            "portalId": self.portal_id,
            "clientSlug": self.client_slug,
            "method": request.method,
            "path": call.template,
            "operationClass": call.operation_class,
            "objectType": call.object_type,
            "objectId": call.object_id,
            "purpose": request.extensions.get("purpose", self.purpose),
            "credentialFingerprint": self.fingerprint,
            "credentialGeneration": self.generation,
            "candidateSlug": self.candidate_slug,
            "origin": Origin.WITNESSED,
        }


def _what(request: httpx.Request) -> Touched:
    url = request.url
    path = url.raw_path.partition(b"?")[0].decode("ascii")
    return touched(request.method, path, url.query.decode("ascii"))


class Guard(httpx.BaseTransport):
    """
    Lets a call pass to the pinned host only, with nothing of the caller's that could steer it.

    Raises `CallRefused` before a byte leaves; the refusal is a record of its own.
    """

    def __init__(
        self,
        inner: httpx.BaseTransport,
        *,
        binding: Binding,
        writer: AuditWriter,
        halt: Halt,
        prove: Prove | None = None,
    ) -> None:
        self._inner, self._binding, self._writer = inner, binding, writer
        self._halt, self._prove = halt, prove

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request that may leave, or refuse it."""
        call = _what(request)
        try:
            self._halt.check()
            self._refuse_if(_misdirected(request, self._binding.host))
            self._refuse_if(_steering(request, self._binding.host))
            self._refuse_if(_mislabelled(request))
            if not (call.operation_class is OperationClass.UNCLASSIFIED and _allowed(request)):
                self._refuse_if(refusal(self._binding.connection_type, call), hint=_WIDEN)
        except CallRefused as error:
            self._record(request, call, error)
            raise
        if self._prove is not None:
            self._prove(call.operation_class)
        return self._inner.handle_request(request)

    def close(self) -> None:
        """Close the way out."""
        self._inner.close()

    def _refuse_if(self, reason: str | None, *, hint: str = "") -> None:
        if reason is not None:
            slug = self._binding.candidate_slug or self._binding.client_slug
            raise CallRefused(f"Refused for {slug}: {reason}. Nothing was sent.", hint=hint)

    def _record(self, request: httpx.Request, call: Touched, error: CallRefused) -> None:
        fields = self._binding.describe(request, call)
        if not _is_label(fields["purpose"]):
            fields["purpose"] = self._binding.purpose
        if _misdirected(request, self._binding.host):
            fields["path"] = "{elsewhere}"  # another host's address is not ours to write down
        outcome = {"event": Event.REFUSED, "outcome": Outcome.REFUSED, "reason": error.message}
        self._writer.append(self._binding.client_slug, {**fields, **outcome})


_WIDEN: Final = (
    "If the call is meant, the connection needs another type; an unclassified call also needs "
    "extensions={'purpose': NAME, 'allow_unclassified': True} and a config_and_audit connection."
)
_STEERING: Final = ("authorization", "cookie", "proxy-authorization", "x-hubspot-portal-id")


def _misdirected(request: httpx.Request, host: httpx.URL) -> str | None:
    """Return why the address is not one on the pinned host."""
    url = request.url
    if (url.scheme, url.host, url.port) != (host.scheme, host.host, host.port):
        return "the address is on another host than this portal's"
    if url.userinfo or b"@" in url.raw_path.split(b"/")[1]:
        return "the address carries credentials or an @ where the host ends"
    return None


def _steering(request: httpx.Request, host: httpx.URL) -> str | None:
    """Return which part of the request would decide where, or as whom, it goes."""
    for name in _STEERING:
        if name in request.headers:
            return f"the caller set the {name} header"
    given = request.headers.get_list("host")
    if given and given != [host.netloc.decode("ascii")]:
        return "the caller set the host header"
    path = request.url.raw_path.partition(b"?")[0].decode("ascii")
    if "//" in path or "\\" in path or any(one in path.lower() for one in ("%2f", "%5c", "%00")):
        return "the path could be read in two ways"
    if any(one in (".", "..") for one in path.lower().replace("%2e", ".").split("/")):
        return "the path could be read in two ways"
    if secret_in_url(path, request.url.query.decode("ascii")):
        return "this endpoint carries a secret in the URL; use the form body of its successor"
    return None


def _mislabelled(request: httpx.Request) -> str | None:
    if not _is_label(request.extensions.get("purpose", "interactive")):
        return "a purpose is up to 64 letters, digits, spaces or . : / + -"
    return None


def _is_label(purpose: object) -> bool:
    return isinstance(purpose, str) and is_purpose(purpose)


def _allowed(request: httpx.Request) -> bool:
    return "purpose" in request.extensions and request.extensions.get("allow_unclassified") is True


class Recorder(httpx.BaseTransport):
    """Makes a record durable before each attempt and adds another when its headers arrive."""

    def __init__(
        self, inner: httpx.BaseTransport, *, binding: Binding, writer: AuditWriter, halt: Halt
    ) -> None:
        self._inner, self._binding = inner, binding
        self._writer, self._halt = writer, halt

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request between two records."""
        call = self._binding.describe(request, _what(request))
        self._append({"event": Event.STARTED, **call}, durable=True)  # raises: nothing is sent
        started = time.perf_counter_ns()
        try:
            self._halt.check()  # somebody may have halted the fleet while the disk was busy
            response = self._inner.handle_request(request)
        # Whatever interrupted it, the call may have reached HubSpot all the same.
        except BaseException as error:
            self._append(_ended(call, started, error=error), durable=False)
            raise
        try:
            self._append(_ended(call, started, response=response), durable=False)
            self._explain(call, response)
        except AuditError as error:
            response.close()
            _outcome_lost(error)
        except BaseException:
            response.close()
            raise
        return response

    def close(self) -> None:
        """Close the way out."""
        self._inner.close()

    def _append(self, fields: Mapping[str, object], *, durable: bool) -> None:
        self._writer.append(self._binding.client_slug, fields, durable=durable)

    def _explain(self, call: Mapping[str, object], response: httpx.Response) -> None:
        """Add what HubSpot names as the cause of an error, which only the body says."""
        if response.status_code < 400 or "json" not in response.headers.get("content-type", ""):
            return
        found = _cause(response.read())
        if found:
            detail = {"event": Event.DETAIL, "callId": call["callId"], **found}
            self._append(detail, durable=False)


def _ended(
    call: Mapping[str, object],
    started: int,
    *,
    response: httpx.Response | None = None,
    error: BaseException | None = None,
) -> dict[str, object]:
    ended: dict[str, object] = {
        "event": Event.FINISHED,
        "callId": call["callId"],
        "portalId": call["portalId"],
        "durationMs": round((time.perf_counter_ns() - started) / 1e6),
        "outcome": Outcome.UNKNOWN,
    }
    if isinstance(error, HsAgencyError):  # stopped here: nothing left
        return {**ended, "outcome": Outcome.REFUSED, "reason": error.message}
    if error is not None:
        return {**ended, "error": type(error).__name__}
    if response is not None:
        ended["statusCode"] = response.status_code
        ended["outcome"] = outcome_of(response.status_code)
        headers = response.headers
        ended["rateLimitRemaining"] = _number(headers.get("x-hubspot-ratelimit-daily-remaining"))
        ended["rateLimitDaily"] = _number(headers.get("x-hubspot-ratelimit-daily"))
        ended["correlationId"] = _word(headers.get("x-hubspot-correlation-id"))
    return ended


def _number(header: str | None) -> int | None:
    """Return a header's number; absent or unreadable is not zero."""
    return int(header) if header and header.isascii() and header.isdigit() else None


def _word(text: object) -> str | None:
    """Return a short machine word, or nothing: free text may quote what was submitted."""
    if (
        isinstance(text, str)
        and len(text) <= 64
        and text.replace("_", "").replace("-", "").isalnum()
    ):
        return text
    return None


def _cause(body: bytes) -> dict[str, str]:
    """Return policy and category of an error body; its messages may quote personal data."""
    try:
        answer = orjson.loads(body)
    except ValueError:
        return {}
    if not isinstance(answer, dict):
        return {}
    words = {name: _word(answer.get(name)) for name in ("policyName", "category", "errorType")}
    return {name: word for name, word in words.items() if word}


def _outcome_lost(error: AuditError) -> NoReturn:
    raise AuditError(
        "The call was sent, but its outcome could not be recorded; the log says 'unknown'. "
        + error.message,
        hint=error.hint,
    ) from error


class Bearer(httpx.BaseTransport):
    """Puts the credential on a copy of each request, addressed to the pinned host."""

    def __init__(
        self, wire: httpx.BaseTransport, *, credential: Callable[[], Secret], host: httpx.URL
    ) -> None:
        self._wire, self._credential, self._host = wire, credential, host

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send the copy; drop cookies from the answer and the copy from any traceback."""
        failure: httpx.HTTPError
        try:
            response = self._wire.handle_request(self._copy(request))
        except httpx.HTTPError as error:
            failure = error
        else:
            # A cookie kept for the next call would be one the guard has to refuse.
            response.headers.pop("set-cookie", None)
            return response
        # The frames below hold the credential in their locals: a verbose traceback shows them.
        failure.__cause__ = failure.__context__ = None
        raise failure.with_traceback(None)

    def close(self) -> None:
        """Close the wire."""
        self._wire.close()

    def _copy(self, request: httpx.Request) -> httpx.Request:
        timeout = request.extensions.get("timeout")
        return httpx.Request(
            request.method,
            request.url.copy_with(
                scheme=self._host.scheme, host=self._host.host, port=self._host.port
            ),
            headers=[
                *((name, value) for name, value in request.headers.raw if name.lower() != b"host"),
                (b"Host", self._host.netloc),
                (b"Authorization", b"Bearer " + self._credential().reveal().encode("ascii")),
            ],
            stream=request.stream,
            # Other extensions let a caller watch (trace) or redirect (target) what is sent.
            extensions={} if timeout is None else {"timeout": timeout},
        )
