"""``everloop simulate``: what would have been decided on a real small past, and a year from a seed."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from tests.stories.loop.town import MODEL, Town, as_ever, turned
from tests.stories.test_cli import everloop

from everloop.core.errors import Invalid
from everloop.flows.loop import simulating
from everloop.retraining import triage
from everloop.retraining.simulation.world import Climate
from everloop.settings.retraining import Retraining

BEGIN = datetime(2026, 3, 2, tzinfo=UTC)
DAYS, CHANGED, ROWS = 60, 35, 120


def table() -> pa.Table:
    """Of the days from the 35th on another feature decides."""
    draw = np.random.default_rng(3)
    X = draw.normal(size=(DAYS * ROWS, 3))
    day = np.repeat(np.arange(DAYS), ROWS)
    score = np.where(day < CHANGED, 2 * X[:, 0], 2 * X[:, 1])
    late = draw.random(len(X)) < 1 / (1 + np.exp(-score))
    at = [BEGIN + timedelta(seconds=86_400 * k / ROWS) for k in range(len(X))]
    named = {f"x{k}": X[:, k] for k in range(3)}
    return pa.table({"at": pa.array(at, pa.timestamp("us", "UTC")), **named, "late": late.tolist()})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    there = tmp_path_factory.mktemp("simulated")
    pq.write_table(table(), there / "rows.parquet")
    model = {
        "data": {"path": "rows.parquet"},
        "target": "late",
        "time_column": "at",
        "retraining": {"new_labels": 200, "try_data": False},
    }
    tree = {"models": {"late": model}, "tracking": {"enabled": False}}
    (there / "everloop.yaml").write_text(yaml.safe_dump(tree))
    return there


def kept(folder: Path) -> dict[str, bytes]:
    """All files but the database, whose content is told by its rows."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and ".db" not in path.name
    }


def test_what_a_policy_would_have_done_with_the_model_s_data(folder: Path) -> None:
    before = kept(folder)
    done = everloop(
        folder, "simulate", "late", "--since", "2026-03-22", "--compare", "--plot", "p.png",
        "--set", "models.late.retraining.cooldown=2d", "--json",
    )  # fmt: skip
    assert done.code == 0, done.err
    found = done.json["simulated"]
    ours, present, weekly, never = found["policies"]
    names = [each["name"] for each in found["policies"]]
    assert names == ["these settings", "present settings", "every week", "never"]
    assert never["trainings"] == 0
    assert never["gain"] == 0
    assert weekly["trainings"] == 5  # days 0, 7 … 35 of 40, the first of them the first model
    assert 1 <= ours["trainings"] <= 12
    assert ours["loss"] < never["loss"] - 0.1
    assert ours["gain"] == pytest.approx(never["loss"] - ours["loss"])
    changed = BEGIN + timedelta(days=CHANGED)
    promoted = [datetime.fromisoformat(each) for each in ours["promoted_on"]]
    assert changed < promoted[0] < changed + timedelta(days=8)
    retrained = [each for each in ours["decisions"] if each["action"] == "retrain"]
    assert any(each["code"] == "changed_world" for each in retrained)
    assert all(each["reason"] and each["evidence"] for each in ours["decisions"])
    assert present["considered"] > 0
    assert found["labelled"] == 40 * ROWS
    assert sum(day["rows"] for day in ours["days"]) == found["labelled"]
    picture = folder / "p.png"
    assert picture.read_bytes().startswith(b"\x89PNG")
    picture.unlink()
    assert kept(folder) == before
    for listed in ("runs", "models", "decisions"):
        assert not next(iter(everloop(folder, listed, "list", "--json").json.values()))


def test_the_same_is_told_in_words(folder: Path) -> None:
    done = everloop(folder, "simulate", "late", "--since", "2026-03-25", "--until", "2026-04-20")
    assert done.code == 0, done.err
    assert "2026-03-25 to 2026-04-20" in done.out
    assert "your settings" in done.out
    assert "There is no model yet" in done.out
    assert "gained on never" in done.out


def test_trainings_are_limited_and_it_is_said(folder: Path) -> None:
    told = ("simulate", "late", "--since", "2026-03-22", "--trainings", "1")
    done = everloop(folder, *told)
    assert done.code == 0, done.err
    assert "more often than --trainings allows" in done.out
    found = json.loads(everloop(folder, *told, "--json").out)["simulated"]
    assert found["policies"][0]["trainings"] == 1


@pytest.mark.parametrize("held", ["budget=1", "cooldown=20d"])
def test_the_first_model_was_not_trained_by_the_loop(folder: Path, held: str) -> None:
    """As in production after ``everloop run``: neither the budget nor the cooldown counts it."""
    told = ("simulate", "late", "--since", "2026-04-04", "--until", "2026-04-16")
    rules = [f"--set=models.late.retraining.{each}" for each in ("cooldown=0s", held)]
    done = everloop(folder, *told, *rules, "--json")
    assert done.code == 0, done.err
    (ours, _) = done.json["simulated"]["policies"]
    first, *later = [each for each in ours["decisions"] if each["action"] == "retrain"]
    assert first["code"] == "no_model"
    assert (ours["trainings"], len(later)) == (1, 1)
    looked = {each["check"]: each["message"] for each in later[0]["evidence"]}
    assert looked["cooldown"] == "The loop has not trained it before."
    assert looked["budget"].startswith("Trainings by the loop in the last 30 days: 0 of ")


def test_what_cannot_be_simulated_is_refused(folder: Path, tmp_path: Path) -> None:
    assert everloop(folder, "simulate", "early").code == 14
    assert everloop(folder, "simulate", "late", "--since", "2027-01-01").code == 27
    assert everloop(folder, "simulate", "--until", "tomorrow").code == 20
    pq.write_table(table().drop(["at"]), tmp_path / "rows.parquet")
    tree = {"models": {"late": {"data": {"path": "rows.parquet"}, "target": "late"}}}
    (tmp_path / "everloop.yaml").write_text(yaml.safe_dump(tree))
    done = everloop(tmp_path, "simulate", "late")
    assert done.code == 20
    assert "time_column" in done.err


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        (
            ("--since", "2026-04-20", "--until", "2026-03-25"),
            20,
            "2026-04-20, is not before its end, 2026-03-25",
        ),
        (("--since", "2027-01-01"), 27, "are until 2026-04-30; the first day is 2027-01-01"),
        (("--delay", "1000d"), 27, "no label is known before the end, 2026-04-30"),
    ],
)
def test_days_without_anything_to_learn_are_named(
    folder: Path, options: tuple[str, ...], code: int, says: str
) -> None:
    done = everloop(folder, "simulate", "late", *options)
    assert (done.code, done.out) == (code, "")
    assert says in done.err


def test_recorded_predictions_are_replayed_with_the_times_at_which_their_labels_came(tmp_path: Path) -> None:
    town = Town(tmp_path, cooldown="1d", new_labels=10_000, try_data=False)
    for day in range(9):
        town.day_of(as_ever if day < 3 else turned, rows=400)
    found = simulating.replay(town.project, MODEL)
    assert "3,600 recorded predictions" in found.source
    assert found.labelled == 3_200  # those of the last day have no label yet
    ours, never = found.policies
    assert ours.promotions > 0
    assert ours.loss is not None
    assert never.loss is not None
    assert ours.loss < never.loss
    codes = [each.code for each in ours.decisions]
    assert codes[0] == "no_model"
    assert "changed_world" in codes
    assert not town.decisions()


def test_a_model_without_labels_and_times_is_refused(tmp_path: Path) -> None:
    town = Town(tmp_path)
    with pytest.raises(Invalid, match="time_column"):
        simulating.replay(town.project, MODEL)


@pytest.mark.parametrize("kind", ["numbers", "three classes"])
def test_other_targets_are_replayed_too(tmp_path: Path, kind: str) -> None:
    rows = table()
    x0, x1 = (np.asarray(rows.column(name)) for name in ("x0", "x1"))
    score = np.where(np.arange(len(x0)) < CHANGED * ROWS, 2 * x0, 2 * x1)
    named = np.array(["low", "middle", "high"])[np.digitize(score, [-1, 1])]
    pq.write_table(
        rows.drop(["late"]).append_column("late", pa.array(score if kind == "numbers" else named)),
        tmp_path / "rows.parquet",
    )
    model = {
        "data": {"path": "rows.parquet"},
        "target": "late",
        "time_column": "at",
        "training": {"model_type": "linear" if kind == "numbers" else "logistic"},
        "retraining": {"try_data": False},
    }
    (tmp_path / "everloop.yaml").write_text(yaml.safe_dump({"models": {"late": model}}))
    done = everloop(tmp_path, "simulate", "late", "--since", "2026-03-25", "--json")
    assert done.code == 0, done.err
    found = done.json["simulated"]
    ours, never = found["policies"]
    assert found["metric"] == ("squared error" if kind == "numbers" else "log loss")
    assert ours["promotions"] > 0
    assert ours["loss"] < 0.9 * never["loss"]


# -- a year from a seed -------------------------------------------------------------------------------------


def test_a_year_from_a_seed_is_the_same_each_time(tmp_path: Path) -> None:
    told = [everloop(tmp_path, "simulate", "--seed", "17", "--until", "60", "--json") for _ in range(2)]
    assert [each.code for each in told] == [0, 0]
    assert told[0].out == told[1].out
    found = told[0].json["simulated"]
    assert found["ok"]
    assert found["days"] == 60
    assert found["killed"] > 0
    shown = everloop(tmp_path, "simulate", "--seed", "17", "--until", "60")
    assert "Every promise was kept." in shown.out


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--until", "0"), "'0' is not the number of a day"),
        (("--until", "366"), "'366' is no day of the year, which has 365"),
        (("--plot", "year.png"), "--plot is of a model's past"),
        (("late", "--plot", "x.txt"), "--plot 'x.txt' is no PNG file"),
        (("late", "--seed", "0"), "--seed is of a made year"),
    ],
)
def test_options_that_would_not_count_are_refused(
    tmp_path: Path, options: tuple[str, ...], says: str
) -> None:
    done = everloop(tmp_path, "simulate", *options)
    assert (done.code, done.out) == (20, "")
    assert says in done.err


def test_a_broken_promise_is_an_error_that_says_how_to_see_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = triage.consider

    def blind(rules, facts, triggers, *, forced=False):  # type: ignore[no-untyped-def]  # as triage.consider
        kept = triage.Facts(**{**facts.__dict__, "broken": (), "retrained": ()})
        return real(rules, kept, triggers, forced=forced)

    rules, rough = Retraining(new_labels=100), Climate(fault=0.2, change=1 / 20)
    found = simulating.year(rules, 3, climate=rough, consider=blind)
    assert found.broken is not None
    assert found.replay == f"everloop simulate --seed 3 --until {found.broken.day}"
    whole = simulating.year
    monkeypatch.setattr(
        simulating, "year", lambda *told, **more: whole(*told, **more, climate=rough, consider=blind)
    )
    done = everloop(tmp_path, "simulate", "--seed", "3", "--set", "retraining.new_labels=100")
    assert done.code == 5
    again = f"everloop simulate --seed 3 --until {found.broken.day} --set retraining.new_labels=100"
    assert again in done.out
