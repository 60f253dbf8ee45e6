"""
The page on which a person lets an app into an account: plain HTML, no script, nothing from outside.

What an app or an account is called is text here, never markup.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from urllib.parse import urlsplit

from hsagency.sandbox.envelopes import HTML, named
from hsagency.sandbox.oauth.permissions import in_words, out_of_reach
from hsagency.sandbox.portals import Portal
from hsagency.sandbox.wire import Headers, Reply

_STYLE = """
:root { color-scheme: light dark; --page: #f4f6f8; --card: #fff; --text: #1f2a37; --soft: #52606d;
  --line: #c5ced8; --accent: #0b5c6b; --on-accent: #fff; --chosen: #e6f3f5; --bad: #a1161f;
  --bad-page: #fdecec; }
@media (prefers-color-scheme: dark) { :root { --page: #12181f; --card: #1b242e; --text: #e8edf2;
  --soft: #a9b6c3; --line: #4a5866; --accent: #7fd3e0; --on-accent: #08262c; --chosen: #173840;
  --bad: #ffb3b3; --bad-page: #3a1b1f; } }
* { box-sizing: border-box; }
body { margin: 0; padding: 1.5rem 1rem 3rem; background: var(--page); color: var(--text);
  font: 1rem/1.5 system-ui, sans-serif; }
header, main, footer { max-width: 40rem; margin: 0 auto; }
header p { margin: 0 0 .75rem; color: var(--soft); font-weight: 600; }
main { padding: 1.75rem; background: var(--card); border: 1px solid var(--line);
  border-radius: .75rem; }
h1 { margin: 0 0 .5rem; font-size: 1.5rem; line-height: 1.25; overflow-wrap: anywhere; }
h2, legend { margin: 0 0 .5rem; padding: 0; font-size: 1.0625rem; font-weight: 650; }
h3 { margin: 1rem 0 .25rem; font-size: 1rem; font-weight: 600; }
.lead { margin: 0 0 1.5rem; color: var(--soft); }
fieldset { margin: 0 0 1.75rem; padding: 0; border: 0; min-width: 0; }
.accounts { max-height: 19.5rem; margin: 0; padding: .25rem; overflow-y: auto; list-style: none;
  border: 1px solid var(--line); border-radius: .5rem; }
.accounts label { display: flex; gap: .75rem; align-items: center; min-height: 3.5rem;
  padding: .375rem .75rem; border-radius: .375rem; cursor: pointer; }
.accounts label:hover, .accounts label:has(:checked) { background: var(--chosen); }
.accounts input { appearance: none; flex: none; width: 1.125rem; height: 1.125rem; margin: 0;
  border: 2px solid var(--soft); border-radius: 50%; background: var(--card); }
.accounts input:checked { border: .375rem solid var(--accent); }
.accounts strong, .accounts small { display: block; line-height: 1.35; overflow-wrap: anywhere; }
.accounts strong { font-weight: 600; }
small, .note { color: var(--soft); font-size: .875rem; }
section ul { margin: 0; padding-left: 1.25rem; }
section li { margin: .25rem 0; overflow-wrap: anywhere; }
.back { margin: 1.5rem 0 0; overflow-wrap: anywhere; }
.actions { display: flex; flex-wrap: wrap; gap: .75rem; margin-top: 1.25rem; }
button { min-height: 2.75rem; padding: .5rem 1.25rem; border: 1px solid var(--accent);
  border-radius: .5rem; background: none; color: var(--accent); font: inherit; font-weight: 600;
  cursor: pointer; }
button[value=connect] { background: var(--accent); color: var(--on-accent); }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
.accounts label:has(:focus-visible) { outline: 3px solid var(--accent); outline-offset: -2px; }
.accounts label:has(:focus-visible) input { outline: none; }
.problem { margin: 0 0 1.25rem; padding: .75rem 1rem; border-left: 4px solid var(--bad);
  border-radius: .25rem; background: var(--bad-page); color: var(--bad); font-weight: 600; }
main > :last-child { margin-bottom: 0; }
footer { margin-top: 1rem; }
@media (max-width: 30rem) { main { padding: 1.25rem; } .actions button { flex: 1 1 100%; } }
"""
_DIGEST = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_TIERS = {"starter": "Starter", "professional": "Professional", "enterprise": "Enterprise"}


@dataclass(frozen=True, slots=True)
class Consent:
    """What a person is asked."""

    app: str
    redirect_uri: str
    accounts: Sequence[Portal]
    required: frozenset[str]
    optional: frozenset[str]

    def page(self, *, chosen: int | None = None, problem: str = "") -> str:
        """Return the page; `problem` says why the last answer did not do."""
        app = escape(self.app)
        back = urlsplit(self.redirect_uri).netloc
        return _page(
            f"Connect {app}",
            f"<h1>Connect {app} to HubSpot</h1>"
            f'<p class="lead">{app} asks for access to one of your accounts.</p>'
            f"{_problem(problem)}"
            '<form method="post">'
            f'<fieldset{_described(problem)}><legend>Choose an account</legend><ul class="accounts">'
            f"{''.join(_account(portal, chosen=chosen) for portal in self.accounts)}"
            "</ul></fieldset>"
            '<section aria-labelledby="permissions">'
            f'<h2 id="permissions">{app} will be able to</h2>{_permissions(self.required)}'
            f"{self._more()}</section>"
            f'<p class="back note">Afterwards you return to {escape(back)}.</p>'
            '<div class="actions">'
            '<button name="decision" value="connect">Connect app</button>'
            '<button name="decision" value="cancel" formnovalidate>Cancel</button>'
            "</div></form>",
        )

    def _more(self) -> str:
        if not self.optional:
            return ""
        return f"<h3>And, where your account has it, to</h3>{_permissions(self.optional)}"


def notice(title: str, message: str) -> str:
    """Return a page that only says something."""
    return _page(escape(title), f"<h1>{escape(title)}</h1><p>{escape(message)}</p>")


def shown(status: int, page: str, *, id_: str, leads_to: str = "") -> Reply:
    """
    Answer with a page that may load nothing and be framed by nobody.

    `leads_to` is where its form may send the browser in the end: browsers check redirects too.
    """
    parts = urlsplit(leads_to)
    onward = f" {parts.scheme}://{parts.netloc}" if leads_to else ""
    policy = (
        f"default-src 'none'; style-src 'sha256-{_DIGEST}'; img-src data:; "
        f"form-action 'self'{onward}; base-uri 'none'; frame-ancestors 'none'"
    )
    headers: Headers = (
        HTML,
        named(id_),
        ("Content-Security-Policy", policy),
        ("X-Content-Type-Options", "nosniff"),
        ("Referrer-Policy", "no-referrer"),
        ("Cache-Control", "no-store"),
    )
    return Reply(status, headers=headers, body=page.encode(errors="replace"))


def _page(title: str, content: str) -> str:
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{title} | Simulated HubSpot</title><link rel="icon" href="data:,">'
        f"<style>{_STYLE}</style></head><body>"
        f"<header><p>Simulated HubSpot</p></header><main>{content}</main>"
        '<footer><p class="note">This is a sandbox: no real account is behind it.</p></footer>'
        "</body></html>\n"
    )


def _problem(problem: str) -> str:
    return f'<p class="problem" id="problem" role="alert">{escape(problem)}</p>' if problem else ""


def _described(problem: str) -> str:
    return ' aria-describedby="problem"' if problem else ""


def _account(portal: Portal, *, chosen: int | None) -> str:
    checked = " checked" if portal.portal_id == chosen else ""
    return (
        f'<li><label><input type="radio" name="portalId" value="{portal.portal_id}" required{checked}>'
        f"<span><strong>{escape(portal.name)}</strong><small>{portal.portal_id} · "
        f"{_TIERS[portal.tier]} · {escape(portal.ui_domain)}</small></span></label></li>"
    )


def _permissions(scopes: Iterable[str]) -> str:
    rare = out_of_reach(scopes, "starter")
    items = sorted(
        f"{escape(in_words(scope))}{' <small>(Enterprise only)</small>' * (scope in rare)}"
        for scope in scopes
    )
    return f"<ul>{''.join(f'<li>{item}</li>' for item in items)}</ul>"
