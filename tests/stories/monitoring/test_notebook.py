"""Answers of the Python API show themselves in a notebook, and are written as pages."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import yaml
from tests.servers import chromium
from tests.stories.monitoring import shop as shops
from tests.stories.monitoring.shop import BEGIN, MODEL, Shop

from everloop import DriftDetectionError, DriftDetector, ModelMonitor, ModelMonitoring, MonitoringError
from everloop.core.errors import NotFound
from everloop.data.examples.customers import customers
from everloop.flows.monitoring import comparing

EVIL = "<img src=x onerror=\"document.title='hacked'\">"
LEVEL = "<b>'\"&amp;</b><script>document.title='hacked'</script>"


def seen(found: Any) -> str:
    """What a notebook asks for."""
    html: str = found._repr_html_()
    assert "<script" not in html
    return html


@pytest.fixture(scope="module")
def moved() -> tuple[pa.Table, pa.Table]:
    return customers(3_000, 7), customers(1_000, 8, drift=0.8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shop whose prices rose on the third day."""
    made = tmp_path_factory.mktemp("shop")
    shop = Shop(made)
    shop.serve(2)
    shop.serve(2, lambda table: customers(table.num_rows, 99, drift=0.8))
    shop.look()
    shop.close()
    (made / "everloop.yaml").write_text(yaml.safe_dump(shops.settings()))
    return made


def test_drift_shows_what_fired(moved: tuple[pa.Table, pa.Table], tmp_path: Path) -> None:
    found = DriftDetector().detect_data_drift(*moved)
    html = seen(found)
    fired = [each for each in found["results"] if each.fired]
    assert f"<b>{len(fired)} of {len(found['results'])}</b>" in html
    assert "drift detected" in html
    assert ">yes<" in html
    for each in fired:
        assert f"data {each.subject}" in html or each.family != "data"
    page = tmp_path / "cell.html"
    page.write_text(f"<!doctype html><meta charset='utf-8'>{html}")
    drawn = chromium.dump_dom(page)
    assert "monthly_fee" in drawn
    assert chromium.screenshot(page, tmp_path / "cell.png", height=900).stat().st_size > 10_000


def test_it_is_a_dict_all_the_same(moved: tuple[pa.Table, pa.Table]) -> None:
    found = DriftDetector().detect_model_drift({"accuracy": 0.9}, {"accuracy": 0.7})
    assert json.loads(json.dumps(found)) == found
    assert "accuracy" in seen(found)
    assert "0.2222" in seen(found)


def test_all_at_once_shows_its_parts(moved: tuple[pa.Table, pa.Table]) -> None:
    detector = DriftDetector()
    detector.register("mine", lambda before, now: {"drift_detected": False, "why": EVIL})
    html = seen(detector.check_drift(*moved, {"f1": 0.9}, {"f1": 0.9}))
    for words in ("data drift", "model drift", "things that were checked fired", "custom", "mine", "&lt;img"):
        assert words in html
    assert EVIL not in html


def test_errors_and_calls_show_themselves(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert "alarms" in seen(DriftDetector().detect_concept_drift([0, 1] * 200, [1] * 200))
    monitoring = ModelMonitoring()
    monitoring.track_prediction("elsewhere", 0.15, False, EVIL)
    told = seen(monitoring.get_metrics("elsewhere"))
    assert "total predictions" in told
    assert EVIL not in told
    assert "unknown" in seen(monitoring.check_health("elsewhere"))
    monitor = ModelMonitor(model=MODEL)
    monitor.set_reference(customers(500, 1).to_pandas())
    assert "support_calls" in seen(monitor.compute_drift(customers(500, 2, drift=0.8).to_pandas()))


def test_a_window_is_reported(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    monitoring = ModelMonitoring()
    found = monitoring.report(MODEL, to="page.html")
    html = seen(found)
    assert found["rows"] == shops.ROWS
    assert found["ranking"]
    for words in (MODEL, "things that were checked fired", "moves the answers by", "open alert"):
        assert words in html
    assert "Usual and now" in (folder / "page.html").read_text()

    before = monitoring.report(MODEL, until=BEGIN + timedelta(days=1))
    assert before["windows"] == 1
    assert "<b>0 of" in seen(before)
    with pytest.raises(NotFound):
        monitoring.report(MODEL, until=BEGIN)
    with pytest.raises(MonitoringError, match="no time zone"):
        monitoring.report(MODEL, until=datetime(2026, 3, 3))


def test_two_tables_are_a_page(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    before = pa.table(
        {EVIL: rng.normal(size=600), "count": rng.poisson(1, 600), "level": ["plain", LEVEL] * 300}
    )
    now = pa.table(
        {
            EVIL: rng.normal(3, size=500),
            "count": rng.poisson(2, 500),
            "level": [LEVEL, LEVEL, "plain", LEVEL, LEVEL] * 100,
        }
    )
    page = tmp_path / "compared.html"
    found = DriftDetector().detect_data_drift(before, now, to=page)
    assert found["drift_detected"]
    assert EVIL not in page.read_text()
    drawn = chromium.dump_dom(page)
    head = drawn.split("<script>")[0]
    body = head.split("<body>")[1]
    headings = re.findall("<h3>(.*?)</h3>", body)
    assert [each[:4] for each in headings] == ["&lt;", "leve", "coun"]  # the largest effect first
    assert drawn.count("main-svg") >= 2 * len(headings)
    assert "<title>reference data and current data · compared</title>" in drawn
    assert "<img" not in body
    assert "&lt;img" in seen(found)


def test_a_number_of_few_values_is_drawn_value_by_value(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    found = comparing.beside(rng.poisson(1, 2_000), rng.poisson(2, 1_000) + 1, 0.05)
    [shape] = found.shapes
    assert shape.names[:3] == ("0", "1", "2")
    assert shape.names[-1].startswith("over ")
    assert shape.usual[0] == pytest.approx(0.37, abs=0.05)
    assert shape.now[0] == 0
    assert sum(shape.now) == pytest.approx(1)


def test_what_cannot_be_compared_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(DriftDetectionError):
        DriftDetector().detect_data_drift(
            pa.table({"a": [1.0]}).slice(1), pa.table({"a": [1.0]}), to=tmp_path / "x"
        )
    assert not (tmp_path / "x").exists()


def test_pictures_are_loaded_when_they_are_asked_for() -> None:
    code = (
        "import sys; from everloop import DriftDetector, ModelMonitoring; "
        "found = DriftDetector().detect_model_drift({'a': 1.0}, {'a': 0.5}); found._repr_html_(); "
        "print('plotly' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout == "False\n", done.stderr
