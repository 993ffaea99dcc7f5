"""Browsers ask for HTML, everyone else for JSON."""

from __future__ import annotations

import pytest

from everloop.api.media import wants_page


@pytest.mark.parametrize(
    ("accept", "page"),
    [
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", True),
        ("text/html", True),
        ("Text/HTML;level=1;Q=0.4", True),
        ("text/html;q=0.9, application/json;q=0.2", True),
        ("", False),
        ("*/*", False),
        ("text/*", False),
        ("application/json", False),
        ("application/json, text/html", False),
        ("application/*, text/html;q=0.9", False),
        ("text/html;q=0", False),
        ("text/html;q=0.000, */*", False),
        ("nonsense;;q=,,;", False),
    ],
)
def test_who_gets_a_page(accept: str, page: bool) -> None:
    assert wants_page(accept) is page
