"""The report is one page that says what happened and asks no network for anything."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from everloop.core.decisions import Decision, Drift
from everloop.dashboard import report as page
from everloop.flows.report import Report

from .makers import point, story

_LOADING = {"src", "href", "srcset", "data", "action", "poster", "background"}


class Elements(HTMLParser):
    """Tags with attributes, the text outside of scripts and styles, and the scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text, self.styles = "", ""
        self.scripts: list[str] = []
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside = tag
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            self.scripts[-1] += data
        elif self._inside == "style":
            self.styles += data
        else:
            self.text += data

    @property
    def figures(self) -> dict[str, object]:
        found = re.search(r"const figures = (.*);", self.scripts[-1])
        assert found
        drawn: dict[str, object] = json.loads(found[1])
        return drawn

    @property
    def words(self) -> str:
        return " ".join(self.text.split())


def outside(elements: Elements) -> list[str]:
    """What the page would load from elsewhere."""
    found = [
        f"<{tag} {name}={value}>"
        for tag, attributes in elements.tags
        for name, value in attributes.items()
        if name in _LOADING and not (value or "").startswith(("data:", "#"))
    ]
    return found + re.findall(r"@import[^;]*|url\([^)]*\)", elements.styles)


@pytest.fixture(scope="module")
def drawn() -> Elements:
    return Elements(page.render(story()))


def test_it_loads_nothing_from_elsewhere(drawn: Elements) -> None:
    assert outside(drawn) == []
    policy = next(a["content"] for t, a in drawn.tags if t == "meta" and "http-equiv" in a)
    assert policy
    assert "default-src 'none'" in policy
    assert "http" not in policy


def test_a_page_that_loads_something_would_be_noticed() -> None:
    text = '<script src="https://cdn/x.js"></script><style>@import "y"; a { b: url(//z) }</style>'
    assert len(outside(Elements(text))) == 3


def test_plotly_is_inside_once(drawn: Elements) -> None:
    assert len(drawn.scripts) == 2
    assert drawn.scripts[0].count("plotly.js v") == 1


def test_it_says_what_happened(drawn: Elements) -> None:
    assert (
        "6 turns on 150 rows in the end: 3 trainings, 2 promotions, 1 challenger refused by the gate. "
        "Champion now: late@1.0.2."
    ) in drawn.words


def test_it_says_whether_retraining_paid_also_when_it_did_not(drawn: Elements) -> None:
    assert (
        "Mean log loss over 5 turns (lower is better): 0.5380 for what served, 0.5400 for the first version"
    ) in drawn.words
    assert (
        "Where a later version served (2 turns), it did better in 1 (by up to 0.040) and worse in 1 "
        "(by up to 0.030)."
    ) in drawn.words


def test_every_figure_has_its_place(drawn: Elements) -> None:
    places = {attributes.get("id") for tag, attributes in drawn.tags if tag == "div"}
    assert set(drawn.figures) == {"performance", "gains", "drift", "gate", "rows"} == places - {None}


def test_pictures_are_inside_and_have_titles(drawn: Elements) -> None:
    pictures = [attributes for tag, attributes in drawn.tags if tag == "img"]
    assert [p["alt"] for p in pictures] == ["What the model looks at", "ROC curve"]
    assert all((p["src"] or "").startswith("data:image/png;base64,iVBOR") for p in pictures)


def test_decisions_and_lineage_can_be_read(drawn: Elements) -> None:
    assert "1.0.1: better by -0.03" in drawn.words
    assert "log_loss is fine." in drawn.words
    assert "everloop runs reproduce run_abc" in drawn.words
    assert "from shop.csv" in drawn.words


def test_the_first_version_alone_is_compared_with_nothing() -> None:
    report = story(points=story().points[:3])
    assert page.gain_in_words(report) == []
    assert "Did retraining pay?" not in Elements(page.render(report)).text


def test_a_model_without_turns_has_a_page() -> None:
    empty = Report("shop", "late", "late", story().made_at, "log_loss", True, None)
    elements = Elements(page.render(empty))
    assert "No turn has ended yet." in elements.words
    assert elements.figures == {}


def test_stopped_turns_are_told() -> None:
    report = story(
        points=(*story().points, point(6, status="stopped", decision=None, findings=("age is text",)))
    )
    words = Elements(page.render(report)).words
    assert "1 turn stopped because the data broke their contract." in words
    assert "contract: age is text" in words


def test_what_users_name_cannot_become_code() -> None:
    evil = "</script><script>alert(1)</script>"
    last = replace(
        story().points[-1],
        decision=Decision("keep", evil),
        drift=Drift(1.0, evil, {evil: 1.0}, 9),
        findings=(evil,),
    )
    report = story(model=evil, project=evil, target=evil, points=(*story().points[:-1], last))
    elements = Elements(page.render(report))
    assert len(elements.scripts) == 2
    assert evil in elements.text
    heat = elements.figures["drift"]
    assert evil in json.dumps(heat)
