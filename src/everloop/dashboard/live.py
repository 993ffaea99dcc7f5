"""The live page of a server: traffic, latency, versions, recent predictions."""

from __future__ import annotations

from markupsafe import escape

_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>%s · Everloop</title>
<pre id="data"></pre><script>
async function look() {
  const r = await fetch('/dashboard/data');
  data.textContent = JSON.stringify(await r.json(), null, 2); }
look(); setInterval(look, 2000);</script></html>"""


def page(project: str) -> str:
    """The HTML of the page of a project."""
    return _PAGE % escape(project)
