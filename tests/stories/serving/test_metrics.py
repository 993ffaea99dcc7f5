"""A server tells Prometheus, and whoever asks for JSON, what it does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.servers import prometheus
from tests.stories.serving.server import FLOWER, Server, iris_project, running


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder: Path = tmp_path_factory.mktemp("metrics")
    iris_project(folder)
    with running(folder) as started:
        for _ in range(5):
            assert started.predict({"features": FLOWER}).status == 200
        assert started.predict({"instances": [[6.7, 3.0, 5.2, 2.3]] * 3}).status == 200
        assert started.predict({"features": FLOWER[:3]}).status == 422
        assert started.predict({"features": FLOWER}, "/models/nobody/predict").status == 404
        for shop, value in (('the "best"\nshop', 2), ('the "best"\nshop', 3), ("another", 1)):
            told = {"name": "orders_total", "value": value, "kind": "counter", "labels": {"shop": shop}}
            assert started.ask("POST", "/business_metrics", told).status == 200
        yield started


def samples(server: Server) -> dict[str, list[tuple[dict[str, str], float]]]:
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    text = server.ask("GET", "/prometheus_metrics").body.decode()
    for family in text_string_to_metric_families(text):
        for one in family.samples:
            found.setdefault(one.name, []).append((one.labels, one.value))
    return found


def until_recorded(server: Server, rows: int) -> dict[str, list[tuple[dict[str, str], float]]]:
    while True:
        found = samples(server)
        if found["everloop_predictions_recorded_total"][0][1] >= rows:
            return found


def test_promtool_has_nothing_to_complain_of(server: Server) -> None:
    until_recorded(server, 8)
    answer = server.ask("GET", "/prometheus_metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert prometheus.complaints(answer.body) == ""
    assert "no help text" in prometheus.complaints(b"something 1\n")


def test_a_real_prometheus_scrapes_it(server: Server) -> None:
    until_recorded(server, 8)
    with prometheus.scraping(server.address) as scraped:
        found = scraped.wait_for("sum by (status) (everloop_prediction_requests_total)")
        assert {labels["status"]: value for labels, value in found} == {"200": 6, "422": 1, "404": 1}
        assert scraped.query('up{job="everloop"}')[0][1] == 1
        assert scraped.query("everloop_model_version_serves == 1")[0][0]["version"] == "1.0.0"
        quantile = scraped.query(
            "histogram_quantile(0.5, sum by (le) (everloop_prediction_latency_seconds_bucket))"
        )
        assert 0 < quantile[0][1] < 10
        orders = scraped.query('everloop_business_orders_total{shop!="another"}')
        assert [(labels["shop"], value) for labels, value in orders] == [('the "best"\nshop', 5.0)]


def test_what_is_counted(server: Server) -> None:
    found = until_recorded(server, 8)
    assert found["everloop_predictions_total"] == [
        ({"model": "iris", "version": "1.0.0", "variant": "champion"}, 8.0)
    ]
    by_class = {labels["prediction"]: value for labels, value in found["everloop_predictions_by_class_total"]}
    assert by_class == {"setosa": 5.0, "virginica": 3.0}
    assert found["everloop_prediction_latency_seconds_count"] == [({"model": "iris"}, 7.0)]
    sums = {labels["field"]: value for labels, value in found["everloop_feature_value_sum"]}
    assert sums["sepal_length"] == pytest.approx(5 * 5.1 + 3 * 6.7)
    assert {value for _, value in found["everloop_feature_value_count"]} == {8.0}
    assert found["everloop_workers_ready"][0][1] == 1
    processes = {labels["process"] for labels, _ in found["everloop_process_memory_bytes"]}
    assert processes == {"office", "worker-0"}
    for name in ("everloop_host_memory_available_bytes", "everloop_host_disk_free_bytes"):
        assert found[name][0][1] > 0
    assert found["everloop_requests_in_flight"][0][1] >= 0
    assert found["everloop_prediction_log_backlog_bytes"][0][1] >= 0


def test_names_keep_to_the_convention(server: Server) -> None:
    text = server.ask("GET", "/prometheus_metrics").body.decode()
    for family in text_string_to_metric_families(text):
        assert family.name.startswith("everloop_")
        assert family.documentation
        assert not family.name.endswith(("_ms", "_milliseconds", "_percent", "_mb"))
        for one in family.samples:
            assert one.name.endswith("_total") == (family.type == "counter")


def test_json_has_requests_latency_and_use_per_model(server: Server) -> None:
    told: dict[str, Any] = server.ask("GET", "/metrics", headers={"Accept": "application/json"}).json
    assert told["request_count"] == 8
    assert told["error_count"] == 2
    assert told["model_usage"] == {"iris": 7}
    assert 0 < told["average_latency"] < 10
    assert told["models"]["iris"]["status"] == {"200": 6, "422": 1}
    assert told["workers"] == {"ready": 1, "wanted": 1, "restarts": 0}
    assert 0 <= told["host"]["cpu_percent"] <= 100
    text = server.ask("GET", "/metrics", headers={"Accept": "text/plain"})
    assert text.headers["content-type"].startswith("text/plain")
    assert b"everloop_predictions_total" in text.body


@pytest.mark.parametrize(
    ("told", "status"),
    [
        ({"name": "no spaces", "value": 1}, 422),
        ({"name": "orders_total", "value": 1, "kind": "gauge", "labels": {"shop": "x"}}, 409),
        ({"name": "falls_total", "value": -1, "kind": "counter"}, 400),
        ({"name": "labelled", "value": 1, "labels": {"__name__": "x"}}, 400),
        ({"name": "long", "value": 1, "labels": {"shop": "x" * 101}}, 400),
    ],
)
def test_a_business_metric_that_is_none_is_refused(server: Server, told: dict[str, Any], status: int) -> None:
    assert server.ask("POST", "/business_metrics", told).status == status
