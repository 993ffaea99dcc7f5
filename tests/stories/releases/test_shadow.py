"""A shadow: the candidate sees what the champion is asked, and nobody notices."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from tests.clocks import Hands
from tests.stories.serving.log import prediction, write
from tests.stories.serving.server import Server, iris_project, running

from everloop import wiring
from everloop.core.errors import Refused, Unavailable
from everloop.core.loop import DecisionRecord
from everloop.core.releases import Release
from everloop.dashboard import release as page
from everloop.data.examples.iris import iris
from everloop.flows import models, outside
from everloop.flows.project import Project
from everloop.flows.releases import deploying, looking, observing, results, shadowing
from everloop.flows.releases.planning import Wishes
from everloop.flows.serving import labels, recording
from everloop.settings import load_settings
from everloop.store import loop, observations, shadows
from everloop.store.tables import failures, predictions
from everloop.store.tables import shadows as table

FEATURES = ["sepal_length", "sepal_width", "petal_length", "petal_width"]
WISHES = Wishes(measures={"accuracy": 0.05}, hourly=100_000.0, longest=86_400.0, dwell=0.0, label_delay=0.0)


def frame() -> pd.DataFrame:
    return iris().to_pandas()


def candidate(project: Project, version: str, *, upside_down: bool = False) -> LogisticRegression:
    """Register another model, perhaps one that learnt from labels that are wrong."""
    rows = frame()
    target = rows["species"].map({"setosa": "virginica", "virginica": "setosa", "versicolor": "versicolor"})
    fitted = LogisticRegression(C=0.05, max_iter=500)
    fitted.fit(rows[FEATURES], target if upside_down else rows["species"])
    data_version = models.find(project, "iris@1.0.0").version.data_version
    origin = outside.Origin(data_version, {}, "species", FEATURES)
    outside.register(project, "iris", fitted, origin, version=version)
    return fitted


def shadow(project: Project, version: str = "1.1.0") -> Release:
    return deploying.deploy(project, deploying.Request(f"iris@{version}", strategy="shadow", wishes=WISHES))


def serve(
    project: Project, release: Release, numbers: range, clock: Hands, *, lacking: str | None = None
) -> pd.DataFrame:
    """The champion answers flowers in turn, each fifth without the input ``lacking``, and the answers are
    recorded; returns them with the truth."""
    rows, original = frame(), models.load(project, "iris@1.0.0")
    lines, truth = [], []
    chances = original.predict_proba(rows[FEATURES])
    for number in numbers:
        flower = rows.iloc[number % len(rows)]
        inputs = {name: float(flower[name]) for name in FEATURES}
        said = dict(zip(map(str, original.classes_), chances[number % len(rows)].tolist(), strict=True))
        told = prediction(
            number,
            at=clock.at.isoformat(timespec="microseconds"),
            inputs={**inputs, lacking: None} if lacking and number % 5 == 0 else inputs,
            prediction=max(said, key=lambda name: said[name]),
            confidence=max(said.values()),
            probabilities=said,
            release_id=release.release_id,
            probability=1.0,
            unit=f"{number:016x}",
        )
        clock.ahead += timedelta(milliseconds=10)
        lines.append(json.dumps(told, separators=(",", ":")).encode() + b"\n")
        truth.append({**inputs, "id": told["prediction_id"], "said": told["prediction"], "p": said,
                      "label": flower["species"]})  # fmt: skip
    write(project, b"".join(lines))
    recording.record(project)
    return pd.DataFrame(truth)


def label(project: Project, told: pd.DataFrame) -> None:
    labels.add(project, [labels.LabelItem(one.id, one.label) for one in told.itertuples()])


def said_by_shadow(project: Project, release: Release) -> list[dict[str, Any]]:
    with project.store.reading() as tx:
        return [
            dict(row) for row in tx.rows(table, table.c.release_id == release.release_id, by="prediction_id")
        ]


# -- what the candidate says -------------------------------------------------------------------------------


def test_the_candidate_is_asked_each_request_once(trained: Project, clock: Hands) -> None:
    fitted = candidate(trained, "1.1.0")
    release = shadow(trained)
    told = serve(trained, release, range(300), clock)
    assert shadowing.catch_up(trained, release, shadowing.Kept()) == 300
    assert shadowing.catch_up(trained, release, shadowing.Kept()) == 0
    more = serve(trained, release, range(300, 320), clock)
    kept = shadowing.Kept()
    assert shadowing.catch_up(trained, release, kept) == 20
    assert shadowing.catch_up(trained, release, kept) == 0
    told = pd.concat([told, more], ignore_index=True)
    rows = said_by_shadow(trained, release)
    assert [row["prediction_id"] for row in rows] == list(told.id)
    assert [row["prediction"] for row in rows] == list(fitted.predict(told[FEATURES]))
    chances = fitted.predict_proba(told[FEATURES])
    assert np.allclose([list(json.loads(row["probabilities"]).values()) for row in rows], chances, atol=1e-5)
    before = np.array([list(p.values()) for p in told.p])
    assert np.allclose([row["gap"] for row in rows], np.abs(before - chances).max(axis=1), atol=1e-5)


def test_what_is_recorded_late_is_found(trained: Project, clock: Hands) -> None:
    candidate(trained, "1.1.0")
    release, kept = shadow(trained), shadowing.Kept()
    early = clock.at
    clock.ahead += timedelta(hours=1)
    serve(trained, release, range(5), clock)
    assert shadowing.catch_up(trained, release, kept) == 5
    now, clock.at = clock.at, early + timedelta(minutes=1)
    serve(trained, release, range(5, 8), clock)
    clock.at = now
    assert shadowing.catch_up(trained, release, kept) == 0
    clock.ahead += shadowing.SWEEP
    assert shadowing.catch_up(trained, release, kept) == 3


def test_only_the_champions_answers_under_the_release_count(trained: Project, clock: Hands) -> None:
    candidate(trained, "1.1.0")
    release = shadow(trained)
    at = {"at": clock.at.isoformat(timespec="microseconds")}
    ours = {**at, "release_id": release.release_id, "unit": "aa", "probability": 1.0}
    others = [ours, {**ours, "variant": "rule:champion"}, {**ours, "release_id": "rel_x"}, at]
    for number, changed in enumerate(others):
        write(trained, json.dumps(prediction(number, **changed), separators=(",", ":")).encode() + b"\n")
    recording.record(trained)
    shadowing.catch_up(trained, release, shadowing.Kept())
    assert [row["prediction_id"] for row in said_by_shadow(trained, release)] == ["pred_000000"]


def test_rows_that_the_candidate_refuses_are_told_and_others_answered(trained: Project, clock: Hands) -> None:
    candidate(trained, "1.1.0")
    release = shadow(trained)
    at = clock.at.isoformat(timespec="microseconds")
    for number in range(5):
        inputs = dict.fromkeys(FEATURES, 1.0) | ({"petal_width": None} if number == 3 else {})
        told = prediction(number, at=at, inputs=inputs, release_id=release.release_id, unit=f"{number:016x}")
        write(trained, json.dumps(told, separators=(",", ":")).encode() + b"\n")
    recording.record(trained)
    kept = shadowing.Kept()
    assert [shadowing.catch_up(trained, release, kept) for _ in range(2)] == [5, 0]
    assert len(said_by_shadow(trained, release)) == 4
    with trained.store.reading() as tx:
        (refused,) = tx.rows(failures, by="at")
    assert (refused["kind"], refused["variant"], refused["version"]) == ("refused", "shadow", "1.1.0")
    assert "petal_width" in refused["error"]
    by_name = {each.arm: each for each in observing.seen(trained, release, clock.at)}
    assert by_name["shadow"].events == {"refused": 1}
    assert (by_name["shadow"].units, by_name["paired"].units, by_name["champion"].units) == (5, 4, 5)


@pytest.mark.parametrize("damage", [{"inputs": "not { json"}, {"probabilities": "{"}])
def test_a_request_that_is_damaged_says_nothing_about_the_candidate(
    trained: Project, clock: Hands, damage: dict[str, str]
) -> None:
    candidate(trained, "1.1.0")
    release = shadow(trained)
    told = serve(trained, release, range(20), clock)
    with trained.store.writing() as tx:
        tx.change(predictions, predictions.c.prediction_id == told.id[3], **damage)
    kept = shadowing.Kept()
    assert [shadowing.catch_up(trained, release, kept) for _ in range(2)] == [20, 0]
    report = results.shadow_report(trained, release)
    assert report.looked_at == 19
    said = {row["prediction_id"]: row["gap"] for row in said_by_shadow(trained, release)}
    with trained.store.reading() as tx:
        kinds = [row["kind"] for row in tx.rows(failures, by="at")]
    if "inputs" in damage:
        assert (told.id[3] in said, kinds) == (False, ["damaged"])
    else:
        assert (said[told.id[3]], kinds) == (None, [])
    assert len(report.farthest) > 0


def test_masked_fields_make_a_shadow_impossible(open_project: Any, trained: Project) -> None:
    candidate(trained, "1.1.0")
    model = {"data": {"path": "iris.csv"}, "target": "species"}
    masked = open_project(models={"iris": {**model, "serving": {"mask": {"petal_width": "hash"}}}})
    with pytest.raises(Refused, match=r"hides 'petal_width' there\. Release it by canary"):
        shadow(masked)


# -- what is concluded -------------------------------------------------------------------------------------


def test_the_numbers_are_those_of_the_pairs(trained: Project, clock: Hands) -> None:
    fitted = candidate(trained, "1.1.0")
    release = shadow(trained)
    told = serve(trained, release, range(200), clock)
    label(trained, told[:150])
    shadowing.catch_up(trained, release, shadowing.Kept())
    known = told[:150]
    before, after = known.said == known.label, fitted.predict(known[FEATURES]) == known.label
    by_name = {each.arm: each for each in observing.seen(trained, release, clock.at)}
    difference = after.astype(float) - before.astype(float)
    sums = by_name["paired"].sums["accuracy"]
    assert (sums.units, sums.rows, sums.total) == (150, 150.0, difference.sum())
    assert sums.total_squared == (difference**2).sum()
    assert by_name["champion"].sums["accuracy"].mean == pytest.approx(before.mean())
    assert by_name["shadow"].sums["accuracy"].mean == pytest.approx(after.mean())


def test_an_equal_candidate_is_concluded_and_nothing_changes(trained: Project, clock: Hands) -> None:
    candidate(trained, "1.1.0")
    release = shadow(trained)
    label(trained, serve(trained, release, range(3_000), clock))
    shadowing.catch_up(trained, release, shadowing.Kept())
    clock.ahead += timedelta(hours=2)
    after, look = looking.look(trained, release.release_id)
    assert (after.status, look.verdict) == ("concluded", "promote")
    assert "accuracy" in after.outcome
    assert "everloop deploy iris@1.1.0 --strategy canary" in after.outcome
    assert deploying.standing(trained, "iris", "prod").traffic.champion == "1.0.0"  # type: ignore[union-attr]


@pytest.mark.parametrize(("rollout", "by_hand"), [("shadow-canary", False), ("shadow", True)])
def test_the_canary_that_the_loop_begins_itself_is_asked_of_nobody(
    trained: Project, clock: Hands, rollout: str, by_hand: bool
) -> None:
    candidate(trained, "1.1.0")
    release = shadow(trained)
    decided = DecisionRecord(
        decision_id="dec_1", model="iris", number=1, at=clock.at, action="retrain", code="changed_world",
        reason="It got worse.", changes="", triggers=(), evidence=(), by="loop", champion="1.0.0",
        stage="shadow", rollout=rollout, version="1.1.0", releases=(release.release_id,),
    )  # fmt: skip
    with trained.store.writing() as tx:
        loop.put(tx, decided)
    label(trained, serve(trained, release, range(3_000), clock))
    shadowing.catch_up(trained, release, shadowing.Kept())
    clock.ahead += timedelta(hours=2)
    after, _ = looking.look(trained, release.release_id)
    assert after.status == "concluded"
    assert ("everloop deploy" in after.outcome) == by_hand


def test_a_harmful_candidate_is_found_though_nobody_got_its_answers(trained: Project, clock: Hands) -> None:
    candidate(trained, "1.1.0", upside_down=True)
    release = shadow(trained)
    label(trained, serve(trained, release, range(600), clock))
    shadowing.catch_up(trained, release, shadowing.Kept())
    after, look = looking.look(trained, release.release_id)
    assert (after.status, look.verdict) == ("rolled_back", "roll_back")
    assert look.reason.startswith("Proven worse than the champion: accuracy")


def test_what_is_recorded_tells_beforehand_how_much_the_pairs_spread(trained: Project, clock: Hands) -> None:
    candidate(trained, "1.1.0")
    first = shadow(trained)
    served = serve(trained, first, range(300), clock)
    deploying.abort(trained, first.release_id)
    fitted = models.load(trained, "iris@1.1.0")
    share = (fitted.predict(served[FEATURES]) != served.said).mean()
    found, _ = shadowing.rehearse(trained, first, first.plan)
    assert found == {"accuracy": pytest.approx(max(share, 1 / 300) ** 0.5)}


def test_what_it_could_not_answer_of_what_is_recorded_is_told_beforehand(
    trained: Project, clock: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    candidate(trained, "1.1.0")
    first = shadow(trained)
    told = serve(trained, first, range(200), clock, lacking="petal_length")
    deploying.abort(trained, first.release_id)
    with trained.store.writing() as tx:
        tx.change(predictions, predictions.c.prediction_id == told.id[3], inputs="not { json")
    refused = "Of 199 recorded requests 1.1.0 refused 40 and could not answer 0: "
    second = shadow(trained)
    (said,) = [each for each in second.plan.detects if each.startswith(refused)]
    assert "petal_length" in said
    deploying.abort(trained, second.release_id)

    def broken(*_: Any) -> Any:
        raise Unavailable("The model failed (KeyError: 'x').")

    monkeypatch.setattr(shadowing.Candidate, "ask", broken)
    failed = "Of 199 recorded requests 1.1.0 refused 0 and could not answer 199"
    (said,) = [each for each in shadow(trained).plan.detects if each.startswith(failed)]
    assert "KeyError" in said


def test_of_a_candidate_that_answers_all_that_is_recorded_nothing_is_told(
    trained: Project, clock: Hands
) -> None:
    candidate(trained, "1.1.0")
    first = shadow(trained)
    serve(trained, first, range(200), clock)
    deploying.abort(trained, first.release_id)
    assert not [each for each in shadow(trained).plan.detects if "recorded requests" in each]


# -- what is told of it ------------------------------------------------------------------------------------


def test_the_report_is_what_the_answers_say(trained: Project, clock: Hands) -> None:
    fitted = candidate(trained, "1.1.0")
    release = shadow(trained)
    told = serve(trained, release, range(400), clock)
    label(trained, told[:300])
    shadowing.catch_up(trained, release, shadowing.Kept())
    found = results.shadow_report(trained, release)
    told["new"] = fitted.predict(told[FEATURES])
    before = np.array([list(p.values()) for p in told.p])
    told["gap"] = np.abs(before - fitted.predict_proba(told[FEATURES])).max(axis=1)
    same = told.new == told.said
    assert (found.rows, found.units, found.looked_at) == (400, 400, 400)
    assert found.agreement == pytest.approx(same.mean())
    assert found.gap == pytest.approx(told.gap.mean(), abs=1e-5)
    assert found.gaps[-1] == pytest.approx(told.gap.max(), abs=1e-5)
    pairs = told.groupby(["said", "new"]).size()
    shown = {(old, new): n for old, row in found.confusion.items() for new, n in row.items() if n}
    assert shown == {pair: int(n) for pair, n in pairs.items()}
    assert [each.agreement for each in found.slices] == sorted(each.agreement for each in found.slices)
    change = (told.new == told.label).astype(float) - (told.said == told.label).astype(float)
    parts = pd.qcut(told.petal_length, results.BINS, duplicates="drop")
    by_hand = [
        (len(rows), rows.new.eq(rows.said).mean(), change[rows.index[rows.index < 300]].mean())
        for _, rows in told.groupby(parts, observed=True)
    ]
    reported = [(e.rows, e.agreement, e.difference) for e in found.slices if e.field == "petal_length"]
    assert sorted(map(list, reported)) == [pytest.approx(one) for one in sorted(map(list, by_hand))]
    widest = told.sort_values("gap", ascending=False).head(results.FARTHEST)
    assert [each.gap for each in found.farthest] == pytest.approx(list(widest.gap), abs=1e-5)
    first = told.set_index("id").loc[found.farthest[0].prediction_id]
    assert (found.farthest[0].champion, found.farthest[0].candidate) == (first.said, first.new)
    assert found.farthest[0].inputs == {name: first[name] for name in FEATURES}


def test_inputs_that_are_missing_are_a_slice_of_their_own(
    open_project: Any, trained: Project, clock: Hands
) -> None:
    rows, data = frame(), {"data": {"path": "iris.csv"}, "target": "species"}
    trained = open_project(models={"iris": {**data, "serving": {"inputs": {"missing": "allow"}}}})
    fitted = HistGradientBoostingClassifier(max_iter=5).fit(rows[FEATURES], rows["species"])
    origin = outside.Origin(models.find(trained, "iris@1.0.0").version.data_version, {}, "species", FEATURES)
    outside.register(trained, "iris", fitted, origin, version="1.1.0")
    release = shadow(trained)
    serve(trained, release, range(300), clock, lacking="petal_length")
    shadowing.catch_up(trained, release, shadowing.Kept())
    found = results.document(trained, release)
    assert found.shadow is not None
    lengths = {each.value: each.rows for each in found.shadow.slices if each.field == "petal_length"}
    assert lengths.pop("(missing)") == 60
    assert (len(lengths), sum(lengths.values())) == (5, 240)
    assert "petal_length = (missing)" in page.render(found)


def test_a_shadow_that_has_seen_nothing_has_a_report(trained: Project) -> None:
    candidate(trained, "1.1.0")
    release = shadow(trained)
    found = results.document(trained, release)
    assert found.shadow is not None
    assert (found.shadow.rows, found.shadow.agreement, found.course) == (0, None, ())
    assert "nobody has looked yet" in page.render(found)


def test_the_page_shows_what_differs(trained: Project, clock: Hands) -> None:
    candidate(trained, "1.1.0")
    release = shadow(trained)
    label(trained, serve(trained, release, range(400), clock))
    shadowing.catch_up(trained, release, shadowing.Kept())
    looking.look(trained, release.release_id)
    found = results.document(trained, deploying.find(trained, release.release_id))
    assert set(page.figures(found)) == {"interval-0", "confusion", "slices", "gaps"}
    text = page.render(found)
    assert found.shadow is not None
    assert found.shadow.farthest[0].prediction_id in text
    assert "src=" not in text.split("<script>")[0]


# -- a real server -----------------------------------------------------------------------------------------


@contextmanager
def opened(folder: Path) -> Iterator[Project]:
    project = wiring.connect(load_settings(folder / "everloop.yaml"))
    try:
        yield project
    finally:
        project.close()


def ask(server: Server, many: int) -> list[dict[str, Any]]:
    """What is answered to flowers, without what names the request."""
    rows = frame()[FEATURES].to_numpy().tolist()
    found = []
    for number in range(many):
        answer = server.predict({"features": rows[number % len(rows)]}, X_Request_ID=f"request-{number}")
        assert answer.status == 200
        told = answer.json
        del told["prediction_id"]
        for name in ("release", "probability"):
            told.pop(name, None)
        found.append(told)
    return found


def test_a_candidate_that_ends_its_process_ends_only_its_release(
    trained: Project, clock: Hands, tmp_path: Path
) -> None:
    """It has a process for itself; ours goes on, and what it was asked last is asked once more."""
    flag = tmp_path / "deadly"
    deadly(trained, "1.1.0", flag)
    release = shadow(trained)
    serve(trained, release, range(120), clock)
    kept = shadowing.Kept()
    assert shadowing.catch_up(trained, release, kept) == 120
    serve(trained, release, range(120, 240), clock)
    flag.touch()
    assert shadowing.catch_up(trained, release, kept) == 0
    assert deploying.find(trained, release.release_id).status == "running"
    with trained.store.reading() as tx:
        assert observations.crashes(tx, release.release_id) == {"1.1.0": 1}
    assert shadowing.catch_up(trained, release, shadowing.Kept()) == 0  # by another process
    ended = deploying.find(trained, release.release_id)
    assert (ended.status, ended.outcome) == ("rolled_back", "The model ended its process (code 3), 2 times.")
    assert models.find(trained, "iris").version.version == "1.0.0"
    with pytest.raises(Refused, match=r"1\.1\.0 was asked recorded requests\. The model ended its process"):
        shadow(trained)


def deadly(project: Project, version: str, flag: Path) -> None:
    """Register a model that cannot be compiled, and ends its process as soon as there is a flag."""

    class Deadly(LogisticRegression):  # type: ignore[misc]  # scikit-learn has no types
        def predict_proba(self, rows: Any) -> Any:
            import os

            if flag.exists():
                os._exit(3)
            return super().predict_proba(rows)

    rows = frame()
    fitted = Deadly(max_iter=500).fit(rows[FEATURES], rows["species"])
    data_version = models.find(project, "iris@1.0.0").version.data_version
    outside.register(
        project, "iris", fitted, outside.Origin(data_version, {}, "species", FEATURES), version=version
    )


def test_answers_are_the_same_with_a_shadow_and_it_survives_a_kill(tmp_path: Path) -> None:
    iris_project(tmp_path)
    with opened(tmp_path) as project:
        candidate(project, "1.1.0", upside_down=True)
    with running(tmp_path) as server:
        without = ask(server, 60)
        with opened(tmp_path) as project:
            wishes = Wishes(measures={"confidence": 0.9}, hourly=1e5, longest=86_400.0, dwell=80_000.0)
            asked = deploying.Request("iris@1.1.0", strategy="shadow", wishes=wishes)
            release = deploying.deploy(project, asked)
            one = {"features": [5.1, 3.5, 1.4, 0.2]}
            _until(lambda: server.predict(one).json["release"] == release.release_id)
            assert ask(server, 60) == without
            _until(lambda: len(said_by_shadow(project, release)) > 0)
            keeper = _keeper(server)
            keeper.kill()
            assert ask(server, 60) == without
            _until(lambda: len(said_by_shadow(project, release)) >= 121)
            assert _keeper(server).pid != keeper.pid
            rows = said_by_shadow(project, release)
            assert all(row["latency_ms"] > 0 for row in rows)
            recording.record(project)
            with project.store.reading() as tx:
                assert shadows.waiting(tx, "iris", release.release_id, release.created_at, 10) == []
                answers = tx.count(predictions, predictions.c.release_id == release.release_id)
            assert len(rows) == len({row["prediction_id"] for row in rows}) == answers


def _keeper(server: Server) -> psutil.Process:
    children = psutil.Process(server.process.pid).children(recursive=True)
    (found,) = [child for child in children if "everloop.worker.releases" in child.cmdline()]
    return found


def _until(check: Any) -> None:
    for _ in range(600):
        if check():
            return
        time.sleep(0.1)
    raise AssertionError("it never came")
