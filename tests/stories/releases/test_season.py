"""A canary over the real flights, with labels a day late: a subtly worse version is rolled back, an equal one
is promoted, and both can say why."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.stories.releases.season import EQUAL, GOOD, WORSE, Season, accuracy

from everloop.core.releases import BUCKETS, Release
from everloop.dashboard.release import figures, render
from everloop.flows import states
from everloop.flows.releases import deploying, results
from everloop.flows.releases.planning import Wishes

DAY = 86_400.0
WISHES = Wishes(measures={"accuracy": 0.02}, steps=(0.1, 0.5), dwell=DAY, longest=90 * DAY)


@pytest.fixture
def season(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Season:
    """Two weeks of flights have been answered by 1.0.0 alone."""
    monkeypatch.setattr(states, "token", lambda: "a salt that is always the same")
    made = Season(tmp_path)
    for _ in made.days(14):
        pass
    return made


def deployed(season: Season, version: str) -> Release:
    request = deploying.Request(f"late@{version}", strategy="canary", wishes=WISHES)
    release = deploying.deploy(season.project, request)
    assert release.status == "running"
    assert release.plan.hourly == pytest.approx(38, abs=2)  # flights an hour, as seen
    assert DAY <= release.plan.label_delay <= 2 * DAY
    said = " ".join(release.plan.detects)
    assert "a drop of accuracy by 0.02 is found within" in said
    return release


def test_a_subtly_worse_version_is_rolled_back_and_says_why(season: Season) -> None:
    assert accuracy(WORSE, 60) - accuracy(GOOD, 60) == pytest.approx(-0.02, abs=0.003)
    release, looks = season.follow(deployed(season, WORSE), 75)
    assert release.status == "rolled_back"
    assert "Proven worse than the control: accuracy" in release.outcome
    (last,) = looks[-1].intervals
    assert last.high < 0
    assert last.low < -0.02 < last.high
    assert {look.verdict for look in looks[:-1]} == {"hold", "advance"}
    _nothing_of_it_is_left(season)
    _is_told(season, release, tmp="worse")


def test_an_equal_version_is_promoted_and_says_why(season: Season) -> None:
    assert accuracy(EQUAL, 60) == pytest.approx(accuracy(GOOD, 60), abs=0.003)
    release, looks = season.follow(deployed(season, EQUAL), 75)
    assert release.status == "promoted"
    assert "Proven, and no guardrail was touched: accuracy" in release.outcome
    (last,) = looks[-1].intervals
    assert last.low > -0.02
    assert all(interval.high > 0 for look in looks for interval in look.intervals)
    standing = deploying.standing(season.project, "late", "prod")
    assert standing.traffic is not None
    assert standing.traffic.champion == EQUAL
    _is_told(season, release, tmp="equal")
    assert deploying.rollback(season.project, "late") == (EQUAL, GOOD)


def _nothing_of_it_is_left(season: Season) -> None:
    standing = deploying.standing(season.project, "late", "prod")
    assert standing.release is None
    assert standing.traffic is not None
    assert [(arm.version, arm.weight) for arm in standing.traffic.arms] == [(GOOD, BUCKETS)]


def _is_told(season: Season, release: Release, tmp: str) -> None:
    """In words and in pictures."""
    found = results.document(season.project, release)
    page = render(found)
    assert release.outcome.split(":")[0] in found.conclusion
    assert {"interval-0", "split"} <= figures(found).keys()
    assert "plotly" in page.lower()
    (season.project.settings.root / f"{tmp}.html").write_text(page)
