"""The live page of a server: one HTML file that asks the server it came from, and nobody else.

What it shows (names, inputs, labels) came from anybody: the script writes it as text, never as HTML.
"""

from __future__ import annotations

from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined, Template


def page(project: str, nonce: str) -> str:
    """The HTML of the page of a project; ``nonce`` lets its own script and styles run, and no other."""
    return _template().render(project=project, nonce=nonce)


def policy(nonce: str) -> str:
    """The Content-Security-Policy of the page."""
    return (
        f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("everloop.dashboard"), autoescape=True, undefined=StrictUndefined
    )
    return environment.get_template("live.html")
