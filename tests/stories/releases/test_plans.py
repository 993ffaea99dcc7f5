"""What a plan is made of: the pace that was seen, labels that are only supposed, what slow is."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.clocks import Hands
from tests.stories.serving.log import NOW, lines, write
from tests.stories.serving.releasing import NEW, register

from everloop.core.errors import Invalid, Refused
from everloop.core.releases import Release
from everloop.flows.project import Project
from everloop.flows.releases import deploying, planning, showing
from everloop.flows.releases.planning import Wishes
from everloop.flows.serving import recording
from everloop.settings.loading import folder_settings
from everloop.wiring import connect

BEGUN = NOW - timedelta(days=1)  # of what was answered


@pytest.fixture
def seen(trained: Project, clock: Hands) -> Project:
    """Eight minutes ago a hundred requests came, a second apart, three of them to the new version."""
    register(trained)
    write(trained, lines(range(97)) + lines(range(97, 100), version=NEW, latency_ms=35.0))
    recording.record(trained)
    clock.at = BEGUN + timedelta(minutes=8)
    return trained


def planned(project: Project, strategy: str = "canary", **wishes: Any) -> Release:
    asked = Wishes(**({"steps": (0.5,), "dwell": 0.0} if strategy == "canary" else {}) | wishes)
    return deploying.prepare(project, deploying.Request(f"iris@{NEW}", strategy=strategy, wishes=asked))


def set_release(project: Project, **rules: Any) -> Project:
    tree = {
        "models": {"iris": {"data": {"path": "iris.csv"}, "target": "species", "release": rules}},
        "tracking": {"enabled": False},
        "store": {"url": project.settings.store.url},
    }
    return connect(folder_settings(Path(project.settings.root), tree), project.clock)


def test_the_pace_is_that_of_the_time_that_was_seen(seen: Project) -> None:
    past = planning.look_back(seen, "iris", seen.clock.now())
    assert past.requests == 100
    assert past.hourly == pytest.approx(750, rel=0.01)  # 100 in 8 minutes
    release = planned(seen, measures={"share:setosa": 0.2}, longest=86_400.0)
    assert any(
        "as in the last 8 minutes (100 requests); --traffic says" in each for each in release.plan.detects
    )
    release = planned(seen, measures={"share:setosa": 0.2}, longest=86_400.0, hourly=1_000.0)
    assert not any("--traffic" in each for each in release.plan.detects)


def test_of_a_moment_nobody_knows_the_pace(seen: Project, clock: Hands) -> None:
    clock.at = BEGUN + timedelta(seconds=10)
    assert planning.look_back(seen, "iris", clock.now()).seconds == planning.BRIEFLY


def test_what_cannot_finish_at_the_pace_that_was_seen_may_at_another(seen: Project) -> None:
    with pytest.raises(Refused, match="too short a time to prove") as refused:
        planned(seen, measures={"accuracy": 0.001}, longest=86_400.0)
    assert "If more than 750 units an hour will come, say so: --traffic" in refused.value.remedy
    with pytest.raises(Refused) as refused:
        planned(seen, measures={"accuracy": 0.001}, longest=86_400.0, hourly=500.0)
    assert "--traffic" not in refused.value.remedy


def test_labels_that_are_only_supposed_are_told(seen: Project) -> None:
    wishes = {"measures": {"accuracy": 0.1}, "longest": 864_000.0}
    said = "No label has come yet: it is supposed that every unit gets one, "
    assert said + "at once; --label-delay says when." in planned(seen, **wishes).plan.detects
    assert said + "within 1 day." in planned(seen, label_delay=86_400.0, **wishes).plan.detects
    told = planned(seen, **wishes | {"measures": {"share:setosa": 0.2}}).plan.detects
    assert not any("label" in each for each in told)


@pytest.mark.parametrize("measure", ["accuracy", "brier", "confidence", "share:setosa"])
def test_a_margin_beyond_what_a_measure_can_be_is_refused(seen: Project, measure: str) -> None:
    with pytest.raises(Invalid, match=rf"margin of {measure} is 5.*between 0 and 1"):
        planned(seen, measures={measure: 5.0})


def test_slow_is_what_a_client_can_notice(seen: Project) -> None:
    """Half more than a quarter of a millisecond is nothing."""
    release = planned(seen, "blue-green")
    (rail,) = (each for each in release.plan.guardrails if each.event == "slow")
    assert rail.above == pytest.approx(20.2, abs=0.1)
    (said,) = release.plan.detects
    assert said.startswith(
        "Slow is an answer that takes over 20.2 ms: half more than 0.25 ms, in which 95 % of"
    )
    assert "and 20 ms more at least" in said
    assert (
        f"Of {NEW} 95 % took up to 35 ms so far. It would be rolled back: if that is fast enough, set" in said
    )
    words = " ".join(showing.plan_words(release))
    assert (
        "when requests fail for over 1 % of the units (3 at least), answers take over 20.2 ms for over"
        in words
    )


def test_slow_is_half_more_where_that_is_more_than_a_client_notices(seen: Project) -> None:
    write(seen, lines(range(1_000, 9_000), latency_ms=123.4), name="w2-000001.jsonl")
    recording.record(seen)
    seen.clock.sleep(86_400)
    (rail,) = (each for each in planned(seen, "blue-green").plan.guardrails if each.event == "slow")
    assert rail.above == 185


def test_what_slow_is_can_be_said(seen: Project) -> None:
    project = set_release(seen, slow_above=50.0)
    try:
        (said,) = planned(project, "rolling").plan.detects
    finally:
        project.close()
    assert said.startswith("Slow is an answer that takes over 50 ms: as release.slow_above says.")
    assert "rolled back" not in said


def test_a_size_can_be_agreed_on(seen: Project) -> None:
    wishes = {"measures": {"accuracy": 0.02}, "longest": 86_400.0 * 365, "hourly": 10_000.0}
    release = planned(
        seen, "shadow", size=4_000, measures={"share:setosa": 0.1}, longest=86_400.0, hourly=1e4
    )
    assert release.plan.size == 4_000
    assert any("It ends with 4,000 units of an arm" in each for each in release.plan.detects)
    assert any(
        "units of an arm that have their labels" in e
        for e in planned(seen, size=50_000, **wishes).plan.detects
    )
    with pytest.raises(Refused, match="300 units of an arm are too few"):
        planned(seen, size=300, **wishes)
    for size in (0, 99, 10**13):
        with pytest.raises(Invalid, match="units of an arm are agreed on") as refused:
            planned(seen, size=size, **wishes)
        assert "Give 100 (release.burn_in)" in refused.value.remedy
    with pytest.raises(Invalid, match="no measure is compared"):
        planned(seen, size=5_000, hourly=1e4, measures={})
    with pytest.raises(Invalid, match="A blue-green release has no size"):
        planned(seen, "blue-green", size=5_000)
