"""One portal, asked in process."""

from __future__ import annotations

import json
from typing import Any

from hsagency.sandbox import Request, Sandbox


class Asking:
    """Asks the first portal; each call comes two seconds after the last, so no limit is met."""

    def __init__(self, sandbox: Sandbox, *, index: int = 0) -> None:
        self.sandbox = sandbox
        self._token = sandbox.portals[index].token

    def __call__(self, method: str, target: str, body: object = None) -> tuple[int, Any]:
        """Return the status and the JSON of the answer."""
        self.sandbox.clock.advance(2)
        request = Request.parse(
            method,
            target,
            headers=[("authorization", f"Bearer {self._token}")],
            body=b"" if body is None else json.dumps(body).encode(),
        )
        reply = self.sandbox.handle(request)
        return reply.status, json.loads(reply.body) if reply.body else None
