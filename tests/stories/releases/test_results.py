"""What came of a canary and of an A/B test, as numbers and as a page."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.clocks import Hands
from tests.stories.serving.log import NOW, prediction, write

from everloop import wiring
from everloop.cli.application import main
from everloop.core.models import ModelVersion
from everloop.core.releases import Release
from everloop.core.runs import Environment, Recipe, Run
from everloop.core.serving import Field, Form
from everloop.dashboard import release as page
from everloop.flows import states
from everloop.flows.project import Project
from everloop.flows.releases import deploying, looking, results
from everloop.flows.releases.planning import Wishes
from everloop.flows.serving import labels, recording
from everloop.settings import folder_settings
from everloop.store import models

FIELDS = (Field("country", "category", ("DE", "FR")), Field("value", "number"))
FORM = Form("native", "a test", "classification", ("no", "yes"), FIELDS)
WISHES = Wishes(
    measures={"accuracy": 0.5}, steps=(0.1, 0.4), dwell=60.0, hourly=1e6, longest=1e6, label_delay=0.0
)


@pytest.fixture
def clock() -> Hands:
    return Hands(NOW, 0.001)


@pytest.fixture
def project(tmp_path: Path, clock: Hands) -> Iterator[Project]:
    """Two versions, of which the first is champion; neither has a file, as nobody is asked here."""
    opened = wiring.connect(folder_settings(tmp_path, {"tracking": {"enabled": False}}), clock)
    with opened.store.writing() as tx:
        for number in ("1.0.0", "1.1.0"):
            models.add_run(tx, run(number))
            made = ModelVersion("m", number, f"run_{number}", "", "", NOW, "a test", form=FORM)
            models.add_model_version(tx, made)
        states.promote_now(tx, opened, made_first(tx), "the first")
    yield opened
    opened.close()


def made_first(tx: Any) -> ModelVersion:
    found = models.find_model_version(tx, "m", "1.0.0")
    assert found is not None
    return found


def run(number: str) -> Run:
    return Run(
        f"run_{number}", "m", "outside", "", "", Recipe("y"), "classification", ("country", "value"),
        ("no", "yes"), 1, 1, 0, {}, Environment("3", "linux", {}), "", "skops", "", "", NOW, 1.0,
    )  # fmt: skip


def answer(project: Project, release: Release, clock: Hands, many: int, seed: int) -> pd.DataFrame:
    """Requests that the arms answer by their shares; the candidate is worse in FR. All are labelled."""
    chance = np.random.default_rng(seed)
    entry = deploying.standing(project, "m", "prod").traffic
    assert entry is not None
    arms = [arm for arm in entry.arms if arm.weight]
    drawn = chance.choice(len(arms), many, p=[arm.weight / 10_000 for arm in arms])
    rows, lines = [], []
    for number, at in enumerate(drawn):
        arm, country = arms[at], str(chance.choice(["DE", "FR"]))
        right = chance.random() < (0.5 if (arm.version, country) == ("1.1.0", "FR") else 0.8)
        name = f"{seed}_{number:06}"
        told = prediction(
            number, prediction_id=name, at=clock.at.isoformat(timespec="microseconds"), model="m",
            version=arm.version, variant=arm.name, prediction="yes", confidence=0.8,
            probabilities={"no": 0.2, "yes": 0.8}, release_id=release.release_id, unit=f"{seed}{number:015x}",
            inputs={"country": country, "value": 1.0},
        )  # fmt: skip
        clock.ahead += timedelta(milliseconds=100)
        lines.append(json.dumps(told, separators=(",", ":")).encode() + b"\n")
        rows.append({"arm": arm.name, "country": country, "right": right, "id": name})
    write(project, b"".join(lines))
    recording.record(project)
    items = [labels.LabelItem(row["id"], "yes" if row["right"] else "no") for row in rows]
    labels.add(project, items)
    return pd.DataFrame(rows)


def run_canary(project: Project, clock: Hands) -> tuple[Release, pd.DataFrame]:
    asked = deploying.Request("m@1.1.0", strategy="canary", reason="a trial", wishes=WISHES)
    release = deploying.deploy(project, asked)
    told = []
    for seed in range(1, 4):
        told.append(answer(project, release, clock, 1_500, seed))
        release, _ = looking.look(project, release.release_id)
        if release.status != "running":
            break
    return release, pd.concat(told)


def test_the_course_the_split_and_the_segments(project: Project, clock: Hands) -> None:
    release, told = run_canary(project, clock)
    found = results.document(project, release)
    assert [point.at for point in found.course] == sorted(point.at for point in found.course)
    assert found.look is not None
    assert found.course[-1].intervals == found.look.intervals
    shares = [each.shares for each in found.split]
    assert shares[0] == {"canary": 0.1, "control": 0.1, "champion": 0.8}
    assert shares[1]["canary"] == 0.4
    by_hand = told[told.arm != "champion"].groupby(["country", "arm"]).right.agg(["mean", "count"])
    assert {each.value for each in found.segments} == {"DE", "FR"}
    assert found.segments[0].value == "FR"
    for each in found.segments:
        new, old = by_hand.loc[(each.value, "canary")], by_hand.loc[(each.value, "control")]
        assert (each.rows, each.control_rows) == (new["count"], old["count"])
        assert each.difference == pytest.approx(new["mean"] - old["mean"])
        error = sum(one["mean"] * (1 - one["mean"]) / (one["count"] - 1) for one in (new, old)) ** 0.5
        assert each.high - each.low == pytest.approx(2 * 1.96 * error, rel=1e-3)


def test_the_conclusion_is_told_in_words(project: Project, clock: Hands) -> None:
    release, _ = run_canary(project, clock)
    running = results.document(project, release).conclusion
    assert running.startswith(("It is on its way. ", "1.1.0 was "))
    if release.status == "running":
        release = deploying.abort(project, release.release_id, "enough was seen")
        assert results.document(project, release).conclusion == "It was aborted. Enough was seen"


def test_the_page_has_its_figures_and_needs_no_network(project: Project, clock: Hands) -> None:
    release, _ = run_canary(project, clock)
    found = results.document(project, release)
    assert set(page.figures(found)) == {"interval-0", "split", "segments"}
    text = page.render(found)
    before = text.split("<script>")[0]
    assert "http:" not in before
    assert "https:" not in before
    for name in ("interval-0", "split", "segments"):
        assert f'id="{name}"' in before
    assert "country = FR" in text


def test_the_page_is_written_by_the_command(
    project: Project, clock: Hands, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    release, _ = run_canary(project, clock)
    root = project.settings.root
    (root / "everloop.yaml").write_text("tracking: {enabled: false}\n")
    monkeypatch.chdir(root)
    with pytest.raises(SystemExit) as left:
        main(["release", "report", release.release_id, "--to", "r.html", "--json"])
    assert left.value.code == 0
    told = json.loads(capsys.readouterr().out)
    assert Path(told["report"]) == root / "r.html"
    assert told["results"]["segments"][0]["value"] == "FR"
    assert (root / "r.html").read_text().startswith("<!doctype html>")


def test_of_many_looks_some_are_shown_and_the_newest_among_them(project: Project, clock: Hands) -> None:
    release, _ = run_canary(project, clock)
    with project.store.writing() as tx:
        (first, *_) = states.releases.list_looks(tx, release.release_id)
        count = len(states.releases.list_looks(tx, release.release_id))
        for number in range(count + 1, 1_000):
            look = first.__class__(**{**first.__dict__, "sequence": number})
            states.releases.add_look(tx, look)
        shown = [look.sequence for look in states.releases.some_looks(tx, release.release_id, 100)]
    assert shown[-1] == 999
    assert 90 <= len(shown) <= 101
    assert len(set(np.diff(shown))) == 1
