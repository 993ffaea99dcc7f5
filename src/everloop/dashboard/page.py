"""Pages of HTML with plots that need nothing else, on no network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs


def render(template: str, filters: Mapping[str, Callable[[Any], str]], **values: Any) -> str:
    """A page: its script and styles are inside."""
    environment = Environment(
        loader=PackageLoader("everloop.dashboard"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(filters)
    script = Markup(get_plotlyjs())  # noqa: S704 (the library's own file)
    page: str = environment.get_template(template).render(script=script, **values)
    return page
