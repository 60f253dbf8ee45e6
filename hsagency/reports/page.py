"""
The page around a report: one HTML file that asks nothing of any network.

Its policy forbids every request and every script but the two it names by their hash: the
drawing library, put in once, and the lines that start it. So whatever a record or a name
might hold, nothing in the page can run it or send it anywhere.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from html import escape
from typing import Any, Final

from hsagency import __version__
from hsagency.settings import shipped

VEGA_LITE: Final = "6.4"
"""The version that Altair writes; asking Altair would cost a second of imports here."""

# Every chart stands there as a picture; where scripts run, the live chart takes its place.
_START: Final = """
for (const box of document.querySelectorAll(".hsa-chart")) {
  const live = document.createElement("div");
  const spec = JSON.parse(box.querySelector("script").textContent);
  window.vegaEmbed(live, spec, {actions: false, renderer: "svg", ast: true}).then(() => {
    box.querySelector("img").replaceWith(live);
    box.dataset.drawn = "live";
  });
}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heading:
    """What a page says above and below its content."""

    title: str
    client: str
    period: str
    agency: str
    made_at: datetime


def body_of(notebook: Any) -> str:
    """
    Return what a notebook shows, as HTML without its code: its text and its outputs.

    nbconvert's own templates would parse and print every table once more, which is half the
    time of a report, and put a frame around each cell that a page like this has no use for.
    """
    from nbconvert.filters import markdown2html

    parts = []
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            parts.append(str(markdown2html(cell.source)))
        elif cell.cell_type == "code":
            parts += [_shown(output) for output in cell.outputs]
    return "\n".join(parts)


def _shown(output: Any) -> str:
    """Return the richest form of an output that a page without scripts of its own can show."""
    data = output.get("data") or {"text/plain": output.get("text", "")}
    if "text/html" in data:
        return str(data["text/html"])
    if "image/svg+xml" in data:
        return _picture("image/svg+xml", base64.b64encode(data["image/svg+xml"].encode()).decode())
    for kind in ("image/png", "image/jpeg"):
        if kind in data:
            return _picture(kind, data[kind].replace("\n", ""))
    return f"<pre>{escape(data.get('text/plain', ''))}</pre>"


def _picture(kind: str, encoded: str) -> str:
    return f'<p><img alt="A picture without a description" src="data:{kind};base64,{encoded}"></p>'


def page(heading: Heading, body: str) -> str:
    """Return a whole page."""
    scripts = [library(), _START] if 'class="hsa-chart"' in body else []
    title = f"{heading.title}: {heading.client}, {heading.period}"
    by = f"{heading.agency} · " if heading.agency else ""
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{_policy(scripts)}">
<meta name="referrer" content="no-referrer">
<title>{escape(title)}</title>
<style>{_style()}</style>
</head>
<body>
<header>
<p class="by">{escape(heading.agency)}</p>
<h1>{escape(heading.title)}</h1>
<p class="client">{escape(heading.client)}</p>
<p class="period">{escape(heading.period)}</p>
</header>
<main>
{body}
</main>
<footer>{escape(by)}made {heading.made_at:%Y-%m-%d %H:%M} UTC with hsagency {__version__}
from the audit log; this page loads nothing from anywhere.</footer>
{"".join(f'<script type="module">{script}</script>' for script in scripts)}
</body>
</html>
"""


def _policy(scripts: list[str]) -> str:
    hashes = (
        base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts
    )
    allowed = " ".join(f"'sha256-{one}'" for one in hashes) or "'none'"
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; "
        "img-src data:; font-src data:; base-uri 'none'; form-action 'none'"
    )


@cache
def _style() -> str:
    return (shipped("templates") / "report.css").read_text("utf-8")


@cache
def library() -> str:
    """
    Return the JavaScript that draws charts, without anything from the network.

    Making it takes a second, so it is made once.
    """
    import vl_convert

    script = vl_convert.javascript_bundle("window.vegaEmbed=vegaEmbed;", vl_version=VEGA_LITE)
    return str(script).replace("</script", "<\\/script")
