"""Pages of HTML that need nothing else, on no network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from everloop.core import unseen

Filters = Mapping[str, Callable[[Any], str]]


def render(template: str, filters: Filters, **values: Any) -> str:
    """A page with plots: its script and styles are inside."""
    script = Markup(get_plotlyjs())  # noqa: S704 (the library's own file)
    return plain(template, filters, script=script, **values)


def plain(template: str, filters: Filters, **values: Any) -> str:
    """A page: its styles are inside."""
    environment = Environment(
        loader=PackageLoader("everloop.dashboard"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_seen,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(filters)
    made: str = environment.get_template(template).render(**values)
    return made


def _seen(value: Any) -> Any:
    """A name with characters that turn the direction of writing would turn the sentence around it."""
    return unseen.escaped(value) if isinstance(value, str) and not isinstance(value, Markup) else value
