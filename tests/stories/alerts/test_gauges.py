"""What monitors found, open alerts and releases that run, as Prometheus is told."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from tests.clocks import Hands
from tests.servers import prometheus
from tests.stories.alerts.incidents import NOON, checked, drift, project, take, worse

from everloop.api.office import monitored
from everloop.api.office.metrics import _Collected
from everloop.api.office.monitored import Monitored
from everloop.core.errors import Unavailable
from everloop.core.monitoring import Checked
from everloop.flows.project import Project
from everloop.store import monitors

Samples = dict[str, dict[tuple[str, ...], float]]


def record(here: Project, *checks: Checked) -> None:
    with here.store.writing() as tx:
        for check in checks:
            assert monitors.add_check(tx, check)


def page(here: Project, of: Monitored | None = None) -> bytes:
    registry = CollectorRegistry()
    registry.register(_Collected(asyncio.run((of or Monitored(here)).metrics())))
    return generate_latest(registry)


def samples(text: bytes) -> Samples:
    found: Samples = {}
    for family in text_string_to_metric_families(text.decode()):
        for one in family.samples:
            found.setdefault(one.name, {})[tuple(one.labels.values())] = one.value
    return found


def test_results_are_told_with_their_bounds(tmp_path: Path) -> None:
    here = project(tmp_path)
    unable = replace(drift("odd"), fired=False, unable=True)
    record(here, checked(drift("age", low=0.18, high=0.24, usual=0.02), unable))
    record(here, checked(worse(), kind="labels", hour=-5))
    text = page(here)
    assert prometheus.complaints(text) == ""
    found = samples(text)
    age = ("data", "iris", "ks", "age", "1.0.0")
    by = {tuple(sorted(key)): value for key, value in found["everloop_monitor_value"].items()}
    assert by[tuple(sorted(age))] == 0.21
    for name, value in (("fired", 1.0), ("usual", 0.02), ("low", 0.18), ("high", 0.24)):
        values = {tuple(sorted(key)): v for key, v in found[f"everloop_monitor_{name}"].items()}
        assert values[tuple(sorted(age))] == value
    assert sum(found["everloop_monitor_fired"].values()) == 2
    assert len(found["everloop_monitor_fired"]) == 3
    at = found["everloop_monitor_last_check_timestamp_seconds"]
    assert sorted(at.values()) == [(NOON - timedelta(hours=5)).timestamp(), NOON.timestamp()]
    assert sorted(found["everloop_monitor_unable"].values()) == [0.0, 1.0]
    assert set(found["everloop_monitor_rows"].values()) == {1000.0}
    assert found["everloop_monitor_left_out"] == {(): 0.0}


def test_only_the_newest_check_of_versions_in_use_is_told(tmp_path: Path) -> None:
    here = project(tmp_path)
    record(here, checked(drift("old"), hour=0), checked(drift("new"), hour=1))
    record(here, checked(drift("gone"), hour=-24 * 8, version="0.9.0"))
    assert {key for keys in samples(page(here))["everloop_monitor_fired"] for key in keys} & {
        "old",
        "gone",
    } == set()


def test_series_are_bounded_and_those_that_fired_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(monitored, "MOST", 3)
    here = project(tmp_path)
    calm = [replace(drift(f"calm_{n}"), fired=False) for n in range(10)]
    record(here, checked(*calm, drift("a"), drift("b")))
    found = samples(page(here))
    assert len(found["everloop_monitor_fired"]) == 3
    assert sum(found["everloop_monitor_fired"].values()) == 2
    assert found["everloop_monitor_left_out"] == {(): 10.0}


def test_alerts_are_told_by_level_also_when_there_are_none(tmp_path: Path) -> None:
    here = project(tmp_path, channels={"team": "cloudevents+http://127.0.0.1:9/"})
    take(here, worse())
    found = samples(page(here))
    opened = {tuple(sorted(key)): value for key, value in found["everloop_alerts_open"].items()}
    assert opened[("critical", "iris")] == 1
    assert sum(opened.values()) == 1
    assert len(opened) == 6  # two models, three levels
    assert found["everloop_alert_messages_waiting"] == {(): 1.0}
    assert found["everloop_alert_messages_given_up"] == {(): 0.0}


def test_names_that_are_odd_are_told_well(tmp_path: Path) -> None:
    here = project(tmp_path)
    record(here, checked(drift('the "best"\ncolumn\\')))
    text = page(here)
    assert prometheus.complaints(text) == ""
    assert any('the "best"\ncolumn\\' in key for key in samples(text)["everloop_monitor_value"])


class Broken:
    """A store that does not answer."""

    def reading(self) -> Any:
        raise Unavailable("The database does not answer.")


def test_while_the_database_is_away_the_last_is_told(tmp_path: Path) -> None:
    clock = Hands(NOON)
    here = project(tmp_path, clock)
    record(here, checked(drift("age")))
    of = Monitored(here)
    before = samples(page(here, of))
    of._project = replace(here, store=Broken())  # type: ignore[arg-type]
    clock.at = NOON + timedelta(minutes=1)
    assert samples(page(here, of)) == before
    of._project = here
    clock.at = NOON + timedelta(minutes=2)
    after = samples(page(here, of))
    assert after["everloop_database_read_timestamp_seconds"] == {
        (): (NOON + timedelta(minutes=2)).timestamp()
    }


def test_it_is_read_every_few_seconds_at_most(tmp_path: Path) -> None:
    clock = Hands(NOON)
    here = project(tmp_path, clock)
    of = Monitored(here)
    page(here, of)
    record(here, checked(drift("age")))
    assert "everloop_monitor_fired" not in samples(page(here, of))
    clock.at = NOON + timedelta(seconds=monitored.EVERY)
    assert "everloop_monitor_fired" in samples(page(here, of))
