"""Who follows the link in a message sees the alert as a page; the live page shows how the monitors are."""

from __future__ import annotations

import re
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest
import yaml
from tests.clocks import Hands
from tests.servers import chromium
from tests.stories.alerts.incidents import NOON, checked, drift, project, take, worse
from tests.stories.monitoring import shop as shops
from tests.stories.monitoring.shop import MODEL, Shop
from tests.stories.serving.server import PATIENCE, Server, running
from tests.stories.serving.test_dashboard import Page

from everloop.core.monitoring import Result
from everloop.dashboard import alert as pages
from everloop.data.examples.customers import customers
from everloop.flows.alerts import closing, showing
from everloop.flows.monitoring import glancing
from everloop.store import alerts, monitors
from everloop.wiring import open_project

BROWSER = {"accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"}
EVIL = "<img src=x onerror=\"document.title='hacked'\">"
UNABLE = Result("check", "check", "check", False, f"The data are gone {EVIL}", unable=True)


def keep(here: Any, *results: Result, **more: Any) -> None:
    """A check as it is stored."""
    with here.store.writing() as tx:
        assert monitors.add_check(tx, checked(*results, **more))


# -- the page of an alert ----------------------------------------------------------------------------------


def test_a_page_tells_all_of_an_incident(tmp_path: Path) -> None:
    here = project(tmp_path, channels={"team": "json://127.0.0.1:1"})
    take(here, drift("age"), drift(EVIL, level="critical"), damage="40 wrong answers a day")
    [alert] = take(here, worse(), drift("age"), hour=1, proposal="Repair what feeds 'age' first.")
    file = tmp_path / "alert.html"
    file.write_text(pages.render(alert, showing.timeline(here, alert)))
    page = Page(chromium.dump_dom(file))
    for words in (
        *("40 wrong answers a day", "Repair what feeds 'age' first.", "accuracy fell to 0.61"),
        *("2 Mar 2026 11:00", "2 Mar 2026 13:00", "team (critical)", "opened: critical", EVIL[:10]),
        *("2 windows", "a message was sent", f"everloop alerts close {alert.alert_id}"),
    ):
        assert words in page.text, words
    assert "img" not in page.tags
    assert "script" not in page.tags
    reports = [each for each in page.links if "report" in each]
    assert len(reports) == 2
    assert "until=2026-03-02T13%3A00%3A00Z" in reports[0]
    assert "closed" not in page.text
    here.close()


def test_a_closed_one_says_by_whom(tmp_path: Path) -> None:
    here = project(tmp_path)
    [alert] = take(here, worse())
    done = closing.close(here, alert.alert_id, "a known holiday")
    text = Page(pages.render(done, showing.timeline(here, done))).text
    assert "a known holiday" in text
    assert "closed" in text
    assert "not known" in text  # nobody said what the damage is
    assert "to close it" not in text
    here.close()


# -- how the monitors are ----------------------------------------------------------------------------------


def test_states(tmp_path: Path) -> None:
    here = project(tmp_path, Hands(NOON))

    def states() -> dict[str, tuple[str, str]]:
        return {each["model"]: (each["state"], each["why"]) for each in glancing.glance(here)}

    assert states() == dict.fromkeys(("iris", "flights"), ("waiting", "no window is over yet"))
    keep(here)
    assert states()["iris"] == ("quiet", "")
    keep(here, UNABLE, hour=1)
    assert states()["iris"] == ("quiet", "1 could not be checked")
    keep(here, drift("age"), drift("fee", level="warning"), hour=2)
    assert states()["iris"] == ("findings", "data fee, data age")
    take(here, drift("age"), worse(), hour=2)
    [line] = [each for each in glancing.glance(here) if each["model"] == "iris"]
    assert [each["level"] for each in line["alerts"]] == ["critical"]
    assert line["rows"] == 1000
    assert states()["flights"][0] == "waiting"
    here.close()


def test_nothing_that_could_be_checked_is_told(tmp_path: Path) -> None:
    here = project(tmp_path, Hands(NOON))
    window = checked(UNABLE)
    with here.store.writing() as tx:
        monitors.add_check(tx, type(window)(**{**vars(window), "results": (UNABLE,)}))
    [line] = [each for each in glancing.glance(here) if each["model"] == "iris"]
    assert line["state"] == "cannot run"
    assert line["why"].startswith("The data are gone")
    here.close()


def test_a_window_that_nobody_looks_at_is_late(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    shop.serve(1)
    shop.clock.at = shops.BEGIN + timedelta(days=1, minutes=10)
    assert [each["state"] for each in glancing.glance(shop.project)] == ["waiting"]
    shop.clock.at = shops.BEGIN + timedelta(days=1, hours=1)
    [line] = glancing.glance(shop.project)
    assert line["state"] == "late"
    assert "until 2026-03-03 00:00 UTC is over and was not checked" in line["why"]
    shop.look()
    assert [each["state"] for each in glancing.glance(shop.project)] == ["quiet"]
    shop.close()


# -- a server ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A shop whose prices came in cents for two days, as they were looked at."""
    folder = tmp_path_factory.mktemp("shop")
    days = pytest.MonkeyPatch()
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    days.setattr(Shop, "begin", midnight - timedelta(days=4))
    shop = Shop(folder)
    shop.serve(2)
    shop.serve(2, lambda table: cents(customers(table.num_rows, 99)))
    shop.look()
    shop.close()
    days.undo()
    (folder / "everloop.yaml").write_text(yaml.safe_dump(shops.settings()))
    with running(folder) as started:
        yield started
        assert "Traceback" not in started.errors


def cents(table: Any) -> Any:
    at = table.column_names.index("monthly_fee")
    fees = [each * 100 for each in table.column("monthly_fee").to_pylist()]
    return table.set_column(at, "monthly_fee", [fees])


@pytest.fixture(scope="module")
def alert(server: Server) -> str:
    [found] = server.ask("GET", "/alerts").json["alerts"]
    return str(found["alert_id"])


def shown(server: Server, enough: Callable[[dict[str, Any]], object]) -> None:
    until = time.monotonic() + PATIENCE
    while not enough(server.ask("GET", "/dashboard/data").json):
        assert time.monotonic() < until
        time.sleep(0.2)


def test_a_browser_gets_a_page_and_a_client_json(server: Server, alert: str) -> None:
    page = server.ask("GET", f"/alerts/{alert}", headers=BROWSER)
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    with urllib.request.urlopen(f"http://{server.address}/alerts/{alert}") as answer:
        assert "accept" in answer.headers.get_all("vary")
    for accept in ("*/*", "application/json", "application/json, text/html;q=0.9", "text/html;q=0"):
        answer = server.ask("GET", f"/alerts/{alert}", headers={"accept": accept})
        assert answer.json["alert_id"] == alert, accept
    assert server.ask("GET", f"/alerts/{alert}").json["alert_id"] == alert
    missing = server.ask("GET", "/alerts/alert_nothing", headers=BROWSER)
    assert missing.status == 404


def test_the_page_leads_to_the_report_of_its_window(server: Server, alert: str) -> None:
    address = f"http://{server.address}/alerts/{alert}"
    page = Page(chromium.dump_dom(address))
    assert "comes in another unit" in page.text
    assert "What drift does to the answers" in page.text
    assert "only labels will tell" in page.text
    assert "as usual" not in re.sub("distributed as usual", "", page.text)
    reports = [each for each in page.links if "/report" in each]
    assert reports
    for each in reports:
        report = server.ask("GET", urljoin(address, each).removeprefix(f"http://{server.address}"))
        assert report.status == 200, each
        assert report.headers["content-type"].startswith("text/html")
        assert b"Usual and now" in report.body
    assert server.ask("GET", f"/monitors/{MODEL}/report?until=soon").status == 400
    assert server.ask("GET", "/monitors/nobody/report").status == 404
    assert server.ask("GET", f"/monitors/{MODEL}/report?until=2020-01-01T00:00:00Z").status == 404


def test_the_live_page_shows_monitors_and_alerts(server: Server, alert: str, tmp_path: Path) -> None:
    shown(server, lambda d: d["monitors"])
    page = Page(chromium.dump_dom(f"http://{server.address}/dashboard"))
    assert "findings" in page.text
    assert f"{MODEL}@1.0.0" in page.text
    assert "comes in another unit" in page.text
    assert f"alerts/{alert}" in page.links
    assert f"monitors/{MODEL}/report?version=1.0.0" in page.links
    for width in (1280, 500):
        picture = chromium.screenshot(
            f"http://{server.address}/alerts/{alert}", tmp_path / "alert.png", width=width, height=1500
        )
        assert picture.stat().st_size > 20_000


def test_names_on_the_live_page_are_text(server: Server, alert: str) -> None:
    here = open_project(folder=server.folder)
    try:
        with here.store.writing() as tx:
            alerts.put(tx, replace(alerts.find(tx, alert), title=f"{EVIL}\u202e"))
    finally:
        here.close()
    shown(server, lambda d: d["monitors"][0]["alerts"][0]["title"].startswith(EVIL))
    for address in ("dashboard", f"alerts/{alert}"):
        page = Page(chromium.dump_dom(f"http://{server.address}/{address}"))
        assert rf"{EVIL}\u202e" in page.text
        assert "\u202e" not in page.text
        assert "img" not in page.tags
