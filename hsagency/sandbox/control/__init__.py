"""The control API of a sandbox: what its calls are, what they ask for, and rules from files."""

from __future__ import annotations

from hsagency.sandbox.control.calls import table

__doc__ = f"""
The sandbox's own API under /_sandbox/: faults, clock, tokens, apps and the ledger, over HTTP.

{table()}

`portal` is a client slug or a portal id; `portalId` is another word for it. Tokens and scopes are
those of the portal's newest credential, or of the app in `appId`.

Every request needs the server's control key in `X-Sandbox-Key`: a page open in a browser on this
machine can reach loopback too. Bodies are JSON objects. What is refused is a 400 that says why in
`error`, and nothing was changed. Nothing here is HubSpot's, and the ledger leaves it out.
"""
