"""Who opens the live page sees what the server does, in a real browser, and nothing of theirs runs in it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow as pa
import pytest
from tests.servers import chromium
from tests.stories.serving.server import FLOWER, PATIENCE, Server, iris_project, running, write_project

from everloop.data import writing
from everloop.flows import turn

HACK = "document.title='hacked'"
FEATURE = f'</script><img src=x onerror="{HACK}">'
CLASS = f"<script>{HACK}</script>"
LEVEL = f"'\"><svg onload={HACK}>"
REQUEST = f"<img src=x onerror={HACK}>"
PROJECT = f"<b>bold</b>{{{{7*7}}}}<script>{HACK}</script>"
VOID = {"meta", "link", "br", "img", "input"}


class Page(HTMLParser):
    """The elements of a page, and the text that a reader sees."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: dict[str, int] = {}
        self.attributes: list[tuple[str, str | None]] = []
        self.links: list[str] = []
        self.text = ""
        self._hidden = 0
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags[tag] = self.tags.get(tag, 0) + 1
        self.attributes += attributes
        self.links += [value or "" for name, value in attributes if name == "href" and tag == "a"]
        self._hidden += tag in ("script", "style")

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag in ("script", "style")

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.text += f"{data} "


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder: Path = tmp_path_factory.mktemp("dashboard")
    iris_project(folder)
    with running(folder) as started:
        yield started


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A project whose names are all made to break a page."""
    folder: Path = tmp_path_factory.mktemp("hostile")
    rows = 300
    table = pa.table(
        {
            FEATURE: [float(n % 7) for n in range(rows)],
            "level": [LEVEL if n % 2 else "plain" for n in range(rows)],
            "kind": [CLASS if n % 2 else "other" for n in range(rows)],
        }
    )
    (folder / "rows.csv").write_bytes(writing.to_bytes(table, ".csv"))
    model = {"data": {"path": "rows.csv"}, "target": "kind", "training": {"model_type": "logistic"}}
    project = write_project(folder, project=PROJECT, models={"m": model})
    try:
        done = turn.run(project, "m")
        assert done.model_version == "1.0.0", done
    finally:
        project.close()
    with running(folder) as started:
        asked = {"features": {FEATURE: 3.0, "level": LEVEL}}
        answer = started.predict(asked, x_request_id=REQUEST)
        assert answer.status == 200, answer.body
        assert answer.json["prediction_name"] == CLASS
        told = {"labels": [{"prediction_id": answer.json["prediction_id"], "label": CLASS}]}
        assert started.ask("POST", "/labels", told).status == 200
        assert started.ask("POST", "/trigger_retrain", {"reason": REQUEST}).status == 202
        assert started.predict({"features": {}}, f"/models/{quote(CLASS)}/predict").status == 404
        yield started


def data(server: Server, enough: Callable[[dict[str, Any]], object], query: str = "") -> dict[str, Any]:
    """What the page is told, as soon as it is enough."""
    until = time.monotonic() + PATIENCE
    while True:
        answer = server.ask("GET", f"/dashboard/data{query}")
        assert answer.status == 200
        found: dict[str, Any] = answer.json
        if enough(found):
            return found
        assert time.monotonic() < until, found
        time.sleep(0.1)


def opened(server: Server) -> Page:
    return Page(chromium.dump_dom(f"http://{server.address}/dashboard"))


def test_before_the_first_prediction_it_says_so_and_after_it_shows_it(server: Server) -> None:
    data(server, lambda d: d["number"] > 1)
    page = opened(server)
    assert "No predictions yet" in page.text
    assert "nothing yet" in page.text
    assert "champion" in page.text
    assert re.search(r"\bserving\b", page.text)
    for _ in range(20):
        assert server.predict({"features": FLOWER}, x_request_id="seen-1").status == 200
    assert server.predict({"features": FLOWER[:2]}).status == 422
    data(server, lambda d: d["recent"] and any(p["classes"] for p in d["points"]))
    page = opened(server)
    assert "No predictions yet" not in page.text
    assert "seen-1" in page.text
    assert "setosa" in page.text
    assert "422" in page.text
    assert page.tags["svg"] >= 6
    assert page.tags["path"] >= 8
    assert "predictions/history?request_id=seen-1" in page.links
    assert "predictions/history?model=iris&version=1.0.0" in page.links
    assert "no data" not in page.text


def test_what_it_links_to_is_there(server: Server) -> None:
    assert server.predict({"features": FLOWER}).status == 200
    data(server, lambda d: d["recent"])
    links = {link for link in opened(server).links if "://" not in link}
    assert len(links) > 8
    for link in sorted(links):
        assert server.ask("GET", f"/{link}").status == 200, link


def test_nothing_that_came_from_somebody_runs_in_it(hostile: Server) -> None:
    data(hostile, lambda d: d["recent"] and any(p["classes"] for p in d["points"]) and d["jobs"])
    page = opened(hostile)
    for said in (PROJECT, CLASS, LEVEL, REQUEST, FEATURE):
        assert said[:18] in page.text, said
    assert "hacked" not in re.sub(re.escape(HACK), "", page.text)
    assert "49" not in page.text.split("Everloop")[0]
    assert "img" not in page.tags
    assert "b" not in page.tags or page.tags["b"] >= 9  # those of the tiles, none of the project's name
    assert page.tags["script"] == 1
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert not [link for link in page.links if link.lower().startswith(("javascript:", "data:"))]


def test_its_policy_lets_only_its_own_script_run_and_lets_it_ask_nobody_else(server: Server) -> None:
    first, second = (server.ask("GET", "/dashboard") for _ in range(2))
    policy = first.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'nonce-")
    assert "unsafe" not in policy
    assert "connect-src 'self'" in policy
    nonce = re.search(r"script-src 'nonce-(\w{32})'", policy)
    assert nonce is not None
    assert f'<script nonce="{nonce[1]}">' in first.body.decode()
    assert nonce[1] not in second.headers["content-security-policy"]
    text = first.body.decode()
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", text)
    assert len(text) < 60_000


def test_the_page_asks_only_for_what_is_new(server: Server) -> None:
    whole = data(server, lambda d: d["number"] > 2)
    assert [p["n"] for p in whole["points"]] == list(range(1, whole["number"] + 1))
    later = data(server, lambda d: True, f"?since={whole['number'] - 1}")
    assert later["points"][0]["n"] == whole["number"]
    restarted = data(server, lambda d: True, "?since=1000000")
    assert restarted["restarted"]
    assert restarted["points"]


def test_an_unknown_model_shows_the_default_one(server: Server) -> None:
    assert data(server, lambda d: True, "?model=nobody")["model"] == "iris"
    assert server.ask("GET", f"/dashboard/data?model={'x' * 101}").status == 422
    assert server.ask("GET", "/dashboard/data?since=-1").status == 422


def test_in_the_dark_and_on_a_phone_it_is_drawn(server: Server, tmp_path: Path) -> None:
    data(server, lambda d: d["number"] > 1)
    wide = chromium.screenshot(f"http://{server.address}/dashboard", tmp_path / "wide.png", height=1200)
    narrow = chromium.screenshot(
        f"http://{server.address}/dashboard", tmp_path / "narrow.png", width=500, height=1200
    )
    assert wide.stat().st_size > 30_000
    assert narrow.stat().st_size > 20_000
    assert server.ask("GET", "/", headers={}).headers["location"] == "/dashboard"
