"""Rules and dashboards: promtool is content, and every query finds something in a real Prometheus."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from scripts import make_dashboards
from tests.servers import prometheus
from tests.servers.prometheus import Prometheus
from tests.stories.alerts.incidents import checked, drift, take, worse
from tests.stories.serving.releasing import two_versions
from tests.stories.serving.server import FLOWER, Server, running

from everloop.core.monitoring import Checked, Family
from everloop.store import monitors
from everloop.wiring import open_project

DEPLOY = make_dashboards.FOLDER.parent
RULES = DEPLOY / "prometheus" / "rules.yml"
FLOWERS = {"setosa": FLOWER, "versicolor": [5.9, 2.8, 4.3, 1.3], "virginica": [6.7, 3.0, 5.2, 2.3]}
TEST = {
    "model": "iris", "version": "2.0.0", "strategy": "ab", "measures": {"accuracy": 0.2}, "hourly": 50_000,
    "arms": {"red": {"version": "2.0.0", "share": 0.5}}, "unit": "request", "longest": "7d",
}  # fmt: skip


def dashboards() -> list[Any]:
    return [json.loads(text) for _, text in make_dashboards.files()]


def queries() -> list[str]:
    """All of them as Grafana would send them, those of variables too."""
    found = []
    for dashboard in dashboards():
        asked = [
            re.fullmatch(r"label_values\((\w+), (\w+)\)", v["query"]) for v in dashboard["templating"]["list"]
        ]
        found += [f'{one[1]}{{{one[2]}!=""}}' for one in asked if one is not None]
        found += [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    return [text.replace("$__rate_interval", "10s").replace("$model", ".*") for text in found]


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def test_the_dashboards_are_made_of_their_source() -> None:
    made = dict(make_dashboards.files())
    assert {path: path.read_text() for path in made} == made, "python -m scripts.make_dashboards"
    assert set(make_dashboards.FOLDER.glob("*.json")) == set(made)
    titles = [dashboard["title"] for dashboard in dashboards()]
    assert len(titles) == 5
    assert not [text for text in queries() if "$" in text]


def test_promtool_accepts_the_rules_and_their_tests_pass() -> None:
    assert "SUCCESS" in prometheus.judged("check rules --lint=all --lint-fatal", RULES)
    assert "SUCCESS" in prometheus.judged("check config", RULES.with_name("prometheus.yml"))
    assert "SUCCESS" in prometheus.judged("test rules", RULES.with_name("rules.test.yml"))


def test_every_rule_is_tested_and_says_what_to_do() -> None:
    tests = RULES.with_name("rules.test.yml").read_text()
    assert not [rule for rule in rules() if (rule.get("alert") or rule["record"]) not in tests]
    for rule in rules():
        if "alert" in rule:
            assert rule["labels"]["severity"] in ("warning", "critical")
            assert set(rule["annotations"]) == {"summary", "remedy"}


def test_a_wrong_rule_is_noticed(tmp_path: Path) -> None:
    wrong = tmp_path / "rules.yml"
    wrong.write_text(RULES.read_text().replace("> 0.05", "> 0.5"))
    tests = tmp_path / "rules.test.yml"
    tests.write_text(RULES.with_name("rules.test.yml").read_text())
    with pytest.raises(AssertionError, match="EverloopErrors"):
        prometheus.judged("test rules", tests)


# -- a real Prometheus -------------------------------------------------------------------------------------


def findings() -> list[Checked]:
    """Checks of every family, as of a moment ago."""
    now = datetime.now(UTC)
    families: tuple[Family, ...] = ("data", "joint", "quality", "prediction", "estimated")
    results = [replace(drift(f"about_{family}"), family=family) for family in families]
    measured = replace(worse(), low=0.58, high=0.64)
    shared = {"since": now - timedelta(hours=1), "until": now, "at": now}
    return [
        replace(checked(*results), **shared),
        replace(checked(measured, kind="labels"), **shared),
    ]


@contextmanager
def traffic(server: Server) -> Iterator[None]:
    """Predictions and their labels, good requests and bad ones, until the end."""
    end = threading.Event()

    def send() -> None:
        while not end.wait(0.02):
            for truth, flower in FLOWERS.items():
                told = server.predict({"features": flower}).json
                server.ask(
                    "POST", "/labels", {"labels": [{"prediction_id": told["prediction_id"], "label": truth}]}
                )
            server.predict({"features": FLOWER[:3]})

    sender = threading.Thread(target=send)
    sender.start()
    try:
        yield
    finally:
        end.set()
        sender.join()


@pytest.fixture(scope="module")
def scraped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    folder = tmp_path_factory.mktemp("dashboards")
    two_versions(folder, release={"burn_in": 2}, serving={"retrain": False})
    project = open_project(folder=folder)
    with project.store.writing() as tx:
        for check in findings():
            monitors.add_check(tx, check)
    take(project, worse())
    project.close()
    with running(folder) as server:
        started = server.ask("POST", "/deployments", TEST)
        assert started.status == 201, started.body
        with traffic(server), prometheus.scraping(server.address, RULES) as scraped:
            scraped.wait_for("everloop_release_difference")
            yield scraped


@pytest.mark.parametrize("query", queries())
def test_a_query_of_a_dashboard_finds_something(scraped: Prometheus, query: str) -> None:
    found = scraped.wait_for(query)
    assert all(value == value for _, value in found), f"not a number: {found}"


@pytest.mark.parametrize("rule", [rule["record"] for rule in rules() if "record" in rule])
def test_a_recording_rule_records_something(scraped: Prometheus, rule: str) -> None:
    assert scraped.wait_for(rule)


def test_the_alert_of_an_incident_fires(scraped: Prometheus) -> None:
    (found,) = scraped.wait_for('ALERTS{alertname="EverloopIncident", alertstate="firing"}')
    assert found[0]["model"] == "iris"
