"""
What the browser shows when HubSpot's page has led it back: plain HTML, no script, nothing loaded.

Nothing of what came with the address is on it; what HubSpot calls an account is text, never
markup.
"""

from __future__ import annotations

import base64
import hashlib
from html import escape
from typing import Final

_STYLE: Final = """
:root { color-scheme: light dark; --page: #f4f6f8; --card: #fff; --text: #1f2a37; --soft: #52606d;
  --line: #c5ced8; --good: #12663d; --bad: #a1161f; }
@media (prefers-color-scheme: dark) { :root { --page: #12181f; --card: #1b242e; --text: #e8edf2;
  --soft: #a9b6c3; --line: #4a5866; --good: #7fdca8; --bad: #ffb3b3; } }
* { box-sizing: border-box; }
body { margin: 0; padding: 12vh 1rem 3rem; background: var(--page); color: var(--text);
  font: 1rem/1.5 system-ui, sans-serif; }
header, main { max-width: 34rem; margin: 0 auto; }
h1 { margin: 0 0 .75rem; color: var(--soft); font-size: 1rem; font-weight: 600; }
main { padding: 1.75rem; background: var(--card); border: 1px solid var(--line);
  border-radius: .75rem; }
h2 { margin: 0 0 .5rem; font-size: 1.5rem; line-height: 1.25; overflow-wrap: anywhere;
  text-wrap: balance; }
h2.good { color: var(--good); }
h2.bad { color: var(--bad); }
p { margin: 0 0 .75rem; overflow-wrap: anywhere; }
.note { color: var(--soft); font-size: .875rem; }
main section > :last-child { margin-bottom: 0; }
main:has(.outcome) .waiting { display: none; }
@media (max-width: 30rem) { main { padding: 1.25rem; } body { padding-top: 1.5rem; } }
"""
_DIGEST: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

HEADERS: Final = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_DIGEST}'; img-src data:; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
"""What goes with every page: it may load nothing, is kept nowhere and framed by nobody."""

END: Final = "</main></body></html>\n"


def whole(title: str, message: str) -> str:
    """Return a page that says one thing that went wrong."""
    return f"{_begin(title)}{_section(title, message, good=False)}{END}"


def waiting() -> str:
    """Return the beginning of the page of an attempt: what follows is said when it is known."""
    return (
        f"{_begin('Connecting')}"
        '<section class="waiting"><h2>Asking HubSpot whose account this is</h2>'
        "<p>Go back to where you began: what HubSpot says is shown there, and nothing is kept "
        "before you confirm it.</p>"
        '<p class="note">This page says how it ended. You can leave it open.</p></section>'
    )


def outcome(title: str, message: str, *, good: bool) -> str:
    """Return the end of the page of an attempt: what came of it, and where it goes on."""
    note = "You can close this page and go back to the terminal."
    if not good:
        note = "Go back to the terminal, which says the same; this page can be closed."
    return _section(title, message, good=good, note=note) + END


def _section(title: str, message: str, *, good: bool, note: str = "") -> str:
    kind = "good" if good else "bad"
    last = f'<p class="note">{escape(note)}</p>' if note else ""
    return (
        f'<section class="outcome" role="status"><h2 class="{kind}">{escape(title)}</h2>'
        f"{''.join(f'<p>{escape(one)}</p>' for one in message.splitlines())}{last}</section>"
    )


def _begin(title: str) -> str:
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{escape(title)} | hsagency</title><link rel="icon" href="data:,">'
        f"<style>{_STYLE}</style></head><body><header><h1>hsagency</h1></header><main>"
    )
