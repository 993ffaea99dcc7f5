"""What production remembers: a day of releases, any moment of it, and each answer back to the raw data."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from tests.clocks import Hands
from tests.stories.serving.log import NOW, prediction, write
from tests.stories.serving.server import BODY, Server, check_problem, iris_project, running

from everloop import ModelMonitor, ModelRegistry, PredictionLog, wiring
from everloop.cli.application import main
from everloop.core.errors import Invalid, NotFound, UnknownModel
from everloop.core.monitoring import Checked, Result
from everloop.data.examples.iris import iris
from everloop.flows import models, outside, states, watch
from everloop.flows.project import Project
from everloop.flows.releases import deploying, looking, memory
from everloop.flows.releases.planning import Wishes
from everloop.flows.serving import labels, recording
from everloop.settings import load_settings
from everloop.store import history as events
from everloop.store import monitors

BEGINS = NOW.replace(hour=10, minute=0)


def newer(project: Project) -> None:
    """Register another model on the same data, as 1.1.0."""
    frame = iris().to_pandas()
    fitted = LogisticRegression(C=0.1, max_iter=500).fit(frame.drop(columns="species"), frame["species"])
    data_version = models.find(project, "iris@1.0.0").version.data_version
    features = [name for name in frame.columns if name != "species"]
    origin = outside.Origin(data_version, {"accuracy": 0.9}, "species", features)
    assert outside.register(project, "iris", fitted, origin, version="1.1.0").version == "1.1.0"


def canary(project: Project) -> str:
    wishes = Wishes(measures={}, steps=(0.05, 0.5), dwell=3_600.0, hourly=10_000.0)
    asked = deploying.Request("iris@1.1.0", strategy="canary", reason="a smoother one", wishes=wishes)
    return deploying.deploy(replace(project, user="ann"), asked).release_id


def o_clock(hour: int, minute: int = 0) -> datetime:
    return BEGINS.replace(hour=hour, minute=minute)


@pytest.fixture
def day(trained: Project, clock: Hands) -> Project:
    """10:00 a canary, 11:00 widened, 12:00 rolled back as it fails; 13:00 deployed, 14:00 gone back."""
    newer(trained)
    clock.at = o_clock(10)
    release_id = canary(trained)
    clock.at = o_clock(11)
    with trained.store.writing() as tx:
        states.widen(tx, trained, deploying.find(trained, release_id), 1, "it looks well")
    write(trained, failures(release_id, 12))
    recording.record(trained)
    clock.at = o_clock(12)
    assert looking.look(trained, release_id)[1].verdict == "roll_back"
    clock.at = o_clock(13)
    deploying.deploy(replace(trained, user="ben"), deploying.Request("iris@1.1.0", reason="it is mended"))
    clock.at = o_clock(14)
    deploying.rollback(replace(trained, user="cat"), "iris", reason="it is not")
    clock.at = o_clock(15)
    return trained


def failures(release_id: str, many: int) -> bytes:
    shared = {"model": "iris", "version": "1.1.0", "variant": "canary", "release_id": release_id}
    told = {"kind": "failed", "request_id": "r", "error": "it broke"}
    return b"".join(
        json.dumps(
            {
                "failure_id": f"fail_{n}_{release_id}",
                "at": o_clock(11, 30).isoformat(),
                **shared,
                "unit": f"{n:016x}",
                **told,
            },
            separators=(",", ":"),
        ).encode()
        + b"\n"
        for n in range(many)
    )


def test_at_any_time_of_the_day_it_is_known_what_served(day: Project) -> None:
    told = [
        [(arm.arm, arm.version, arm.share) for arm in memory.at(day, "iris", moment).arms]
        for moment in (o_clock(9, 59), *(o_clock(hour, 30) for hour in range(10, 15)))
    ]
    alone = [("champion", "1.0.0", 1.0)]
    assert told == [
        alone,
        [("canary", "1.1.0", 0.05), ("control", "1.0.0", 0.05), ("champion", "1.0.0", 0.9)],
        [("canary", "1.1.0", 0.5), ("control", "1.0.0", 0.5)],
        alone,
        [("champion", "1.1.0", 1.0)],
        alone,
    ]


def test_a_moment_comes_with_who_and_why_and_where_from(day: Project) -> None:
    first = models.find(day, "iris@1.0.0").version
    then = memory.at(day, "iris", o_clock(10, 30))
    assert (then.by, then.strategy, then.champion) == ("ann", "canary", "1.0.0")
    assert o_clock(10) < then.since < o_clock(10) + timedelta(seconds=1)
    arms = {arm.arm: arm for arm in then.arms}
    assert arms["control"].run_id == first.run_id
    assert arms["control"].data_version == first.data_version
    assert arms["control"].gate == first.tags["gate"]
    assert arms["canary"].gate == "made outside of everloop"
    assert then.reference == first.data_version
    back = memory.at(day, "iris", o_clock(14, 30))
    assert (back.by, back.reason, back.strategy) == ("cat", "it is not", "direct")
    vetoed = memory.at(day, "iris", o_clock(12, 30))
    assert "12 units" in vetoed.reason


def test_the_look_then_is_the_newest_until_then(day: Project, clock: Hands) -> None:
    clock.at = o_clock(16)
    release_id = canary(day)
    for hour in (17, 18):
        clock.at = o_clock(hour)
        write(day, failures(release_id, hour - 16))
        recording.record(day)
        looking.look(day, release_id)
    clock.at = o_clock(19)
    looks = [memory.at(day, "iris", o_clock(hour, 30)).look for hour in (16, 17, 18)]
    assert [look and look.at.hour for look in looks] == [None, 17, 18]


def test_what_was_measured_is_told_as_it_was_known_then(day: Project, clock: Hands) -> None:
    clock.at = o_clock(15)
    watch.record_metrics(day, "iris", {"accuracy": 0.9}, model_version="1.0.0")
    named = watch.set_reference(day, "iris", iris().slice(0, 90))
    clock.at = o_clock(16)
    watch.record_metrics(day, "iris", {"accuracy": 0.8}, rows=50)
    clock.at = o_clock(18)
    before, between, after = (memory.at(day, "iris", o_clock(hour, 30)) for hour in (14, 15, 16))
    data_version = models.find(day, "iris@1.0.0").version.data_version
    assert [then.reference for then in (before, between, after)] == [data_version, named, named]
    shown = [{one.name: one.value for one in then.metrics}.get("accuracy") for then in (between, after)]
    assert shown == [0.9, 0.8]
    deploying.deploy(day, deploying.Request("iris@1.1.0"))
    clock.at = o_clock(19)
    assert memory.at(day, "iris", o_clock(18, 30)).reference == data_version


def test_what_is_known_of_a_moment_is_of_what_served_then(day: Project) -> None:
    first = models.find(day, "iris@1.0.0").version
    before, mended = (memory.at(day, "iris", moment) for moment in (o_clock(9, 59), o_clock(13, 30)))
    assert [arm.held_out for arm in before.arms] == [first.metrics]
    assert [arm.held_out for arm in mended.arms] == [{"accuracy": 0.9}]
    assert (before.metrics, mended.metrics) == ((), ())


def test_what_labels_said_by_then_is_told(day: Project, clock: Hands) -> None:
    for number in range(4):
        told = prediction(number, at=o_clock(10, number).isoformat(), prediction="setosa")
        write(day, json.dumps(told, separators=(",", ":")).encode() + b"\n")
    recording.record(day)
    clock.at = o_clock(16)
    labels.add(day, [labels.LabelItem(f"pred_{n:06}", ("setosa", "virginica")[n % 2]) for n in range(3)])
    clock.at = o_clock(18)
    labels.add(day, [labels.LabelItem("pred_000001", "setosa")])
    clock.at = o_clock(20)
    moments = (o_clock(15, 30), o_clock(16, 30), o_clock(18, 30))
    found = [memory.at(day, "iris", moment).live for moment in moments]
    assert [[(one.version, one.metric, one.labelled, one.predictions) for one in live] for live in found] == [
        [], [("1.0.0", "accuracy", 3, 4)], [("1.0.0", "accuracy", 3, 4)],
    ]  # fmt: skip
    assert [live[0].score for live in found[1:]] == [pytest.approx(2 / 3), 1.0]
    assert memory.at(day, "iris", o_clock(13, 30)).live == ()  # 1.1.0 served, which said nothing


def test_what_the_monitors_had_checked_by_then_is_told(day: Project) -> None:
    def check(version: str, hour: int) -> Checked:
        moved = Result("data", "petal_length", "ks", fired=True, message="petal_length has moved")
        begun, ended = o_clock(hour), o_clock(hour + 1)
        return Checked("iris", version, "answers", begun, ended, ended, 100, (moved,))

    with day.store.writing() as tx:
        for version, hour in (("1.0.0", 7), ("1.0.0", 8), ("1.1.0", 8), ("1.0.0", 9)):
            monitors.add_check(tx, check(version, hour))
    assert memory.at(day, "iris", o_clock(9, 59)).checks == (check("1.0.0", 8),)
    assert {one.version for one in memory.at(day, "iris", o_clock(10, 30)).checks} == {"1.0.0", "1.1.0"}


def test_what_is_not_known_is_said(day: Project, clock: Hands) -> None:
    with pytest.raises(NotFound, match=r"Nothing of iris was in staging at 2026-11-21 10:00:00 UTC"):
        memory.at(day, "iris", o_clock(10), "staging")
    with pytest.raises(NotFound) as early:
        memory.at(day, "iris", o_clock(1), "production")
    assert early.value.remedy.startswith("The first came at 2026-11-21 09:30")
    with pytest.raises(Invalid, match="is still to come"):
        memory.at(day, "iris", clock.at + timedelta(seconds=1))
    with pytest.raises(Invalid, match="has no time zone"):
        memory.at(day, "iris", o_clock(10).replace(tzinfo=None))
    with pytest.raises(UnknownModel, match="'irsi'"):
        memory.at(day, "irsi", o_clock(10))
    with pytest.raises(NotFound, match="no prediction 'pred_x'"):
        memory.explain(day, "pred_x")


def test_what_was_promoted_before_releases_were_kept_is_known(project: Project, clock: Hands) -> None:
    details = {"version": "0.9.0", "reason": "a good one", "environment": "prod"}
    with project.store.writing() as tx:
        events.append(tx, "iris", "promoted", "iris@0.9.0", at=clock.at, by="dan", details=details)
    clock.at = o_clock(12)
    then = memory.at(project, "iris", o_clock(11))
    assert (then.champion, then.by, then.reason, then.strategy) == ("0.9.0", "dan", "a good one", None)
    assert [(arm.arm, arm.version, arm.share) for arm in then.arms] == [("champion", "0.9.0", 1.0)]


def test_the_history_tells_each_change_with_its_numbers(day: Project) -> None:
    found = memory.history(day, "iris", "prod")
    told = [(event.kind, event.by, event.at.hour) for event in found]
    user = day.user
    assert told == [
        ("promoted", user, 9),
        ("released", "ann", 10),
        ("shifted", "ann", 10),
        ("shifted", user, 11),
        ("rolled_back", user, 12),
        ("released", "ben", 13),
        ("promoted", "ben", 13),
        ("rolled_back", "cat", 14),
    ]
    assert [event.kind for event in found if "look" in event.details] == ["rolled_back"]
    look: Any = found[4].details["look"]
    assert look["verdict"] == "roll_back"
    (failed,) = [check for check in look["checks"] if check["name"] == "failed"]
    assert failed["vetoes"]
    assert failed["evidence"] >= failed["needed"]
    assert found[4].details["release_id"] == found[1].details["release_id"]
    assert "it is mended" in found[6].summary
    assert memory.history(day, "iris", "staging") == []
    assert memory.history(day, "iris", "production", limit=2) == found[-2:]
    everything = [event.kind for event in memory.history(day, "iris")]
    assert {"decided", "trained", "registered"} <= set(everything)


def test_the_release_to_one_environment_is_not_in_the_history_of_another(day: Project) -> None:
    deploying.deploy(day, deploying.Request("iris@1.1.0", "staging"))
    assert [event.kind for event in memory.history(day, "iris", "staging")] == ["released", "promoted"]
    assert len(memory.history(day, "iris", "prod")) == 8


def test_an_answer_of_a_worker_that_lags_behind_is_explained_by_what_it_knew(
    day: Project, clock: Hands
) -> None:
    release_id = canary(day)
    narrow = clock.at
    clock.at = o_clock(16)
    with day.store.writing() as tx:
        states.widen(tx, day, deploying.find(day, release_id), 1, "wider")
    just_after = clock.at.isoformat(timespec="microseconds")
    shared = {
        "at": just_after,
        "version": "1.1.0",
        "variant": "canary",
        "release_id": release_id,
        "unit": "a",
    }
    for number, share in enumerate((0.05, 0.5)):
        write(
            day,
            json.dumps(prediction(number, **shared, probability=share), separators=(",", ":")).encode()
            + b"\n",
        )
    recording.record(day)
    late, wide = (memory.explain(day, f"pred_{number:06}") for number in (0, 1))
    assert (late.step, wide.step) == (1, 2)
    assert late.traffic is not None
    assert wide.traffic is not None
    assert late.traffic.at < narrow < wide.traffic.at


# -- a real server -----------------------------------------------------------------------------------------


@contextmanager
def opened(folder: Path) -> Iterator[Project]:
    project = wiring.connect(load_settings(folder / "everloop.yaml"))
    try:
        yield project
    finally:
        project.close()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, dict[str, dict[str, Any]]]]:
    """A server of a canary of 30 %, and an answer of each arm by its name."""
    folder = tmp_path_factory.mktemp("memory")
    iris_project(folder)
    with opened(folder) as project:
        newer(project)
        wishes = Wishes(measures={}, steps=(0.3,), dwell=86_400.0, hourly=10_000.0)
        asked = deploying.Request("iris@1.1.0", strategy="canary", reason="a trial", wishes=wishes)
        deploying.deploy(replace(project, user="ann"), asked)
    answers: dict[str, dict[str, Any]] = {}
    with running(folder) as server:
        for _ in range(200):
            answer = server.predict(BODY).json
            answers.setdefault(answer["variant"], answer)
        yield server, answers


def test_an_answer_of_each_arm_is_explained(served: tuple[Server, dict[str, dict[str, Any]]]) -> None:
    server, answers = served
    assert answers.keys() == {"canary", "control", "champion"}
    with opened(server.folder) as project:
        recording.record(project)
        canary_id = answers["canary"]["prediction_id"]
        labels.add(project, [labels.LabelItem(canary_id, "setosa"), labels.LabelItem(canary_id, "virginica")])
        for arm, answer in answers.items():
            found = memory.explain(project, answer["prediction_id"])
            version = "1.1.0" if arm == "canary" else "1.0.0"
            assert found.prediction.variant == arm
            assert found.prediction.probability == pytest.approx(0.4 if arm == "champion" else 0.3)
            assert found.prediction.prediction == answer["prediction_name"]
            assert found.release is not None
            assert (found.release.by, found.release.reason, found.step) == ("ann", "a trial", 1)
            assert found.traffic is not None
            assert (arm, version) in [(each.name, each.version) for each in found.traffic.arms]
            assert found.lineage is not None
            assert found.lineage.version.version == version
            assert found.lineage.run is not None
            assert found.lineage.run.run_id == found.lineage.version.run_id
            assert found.lineage.data[0].version_id == found.lineage.version.data_version
            assert found.lineage.source is not None
            assert found.lineage.source.endswith("iris.csv")
        labelled = memory.explain(project, canary_id)
        assert [label.label for label in labelled.labels] == ["setosa", "virginica"]
        assert labelled.prediction.label == "virginica"
        assert [each.version for each in labelled.lineage.parents] == ["1.0.0"]  # type: ignore[union-attr]


def test_the_memory_is_asked_over_http(served: tuple[Server, dict[str, dict[str, Any]]]) -> None:
    server, answers = served
    with opened(server.folder) as project:
        recording.record(project)
        now = project.clock.now().isoformat().replace("+00:00", "Z")
    history = server.ask("GET", "/models/iris/history?environment=prod&limit=2").json
    assert [event["kind"] for event in history["events"]] == ["released", "shifted"]
    then = server.ask("GET", f"/models/iris/at?time={now}").json
    assert [(arm["arm"], arm["share"]) for arm in then["arms"]] == [
        ("canary", 0.3), ("control", 0.3), ("champion", 0.4),
    ]  # fmt: skip
    told = server.ask("GET", f"/predictions/{answers['canary']['prediction_id']}/explanation").json
    assert told["lineage"]["version"]["version"] == "1.1.0"
    check_problem(server.ask("GET", "/predictions/pred_none/explanation"), 404)
    check_problem(server.ask("GET", "/models/none/history"), 404)
    check_problem(server.ask("GET", "/models/iris/at?time=2020-01-01T00:00:00Z"), 404)
    assert server.ask("GET", "/models/iris/at?time=now").json["arms"] == then["arms"]
    check_problem(server.ask("GET", "/models/iris/at?time=2h"), 404)
    check_problem(server.ask("GET", "/models/iris/at?time=soon"), 400)


def test_the_memory_is_asked_on_the_command_line_and_from_python(
    served: tuple[Server, dict[str, dict[str, Any]]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    server, answers = served
    monkeypatch.chdir(server.folder)
    prediction_id = answers["canary"]["prediction_id"]

    def said(*arguments: str) -> str:
        with pytest.raises(SystemExit) as left:
            main(arguments)
        assert left.value.code == 0
        return capsys.readouterr().out

    assert "canary with probability 0.3, step 1 of 1" in said("explain", prediction_id)
    assert json.loads(said("explain", prediction_id, "--json"))["step"] == 1
    shown = said("model", "at", "0m")
    assert "0.3" in shown
    assert "1.1.0" in shown
    assert json.loads(said("model", "at", "0m", "--json"))["champion"] == "1.0.0"
    lines = said("history", "iris", "--env", "prod")
    assert "released" in lines
    assert "trained" not in lines
    assert "no release of 'iris' to staging" in said("history", "iris", "--env", "staging")
    log, registry, monitor = PredictionLog(), ModelRegistry(), ModelMonitor()
    try:
        assert log.explain(prediction_id).prediction.version == "1.1.0"
        moment = pd.Timestamp.now("UTC").to_pydatetime()
        assert registry.at(moment).champion == "1.0.0"
        assert [event.kind for event in monitor.events("prod", limit=1)] == ["shifted"]
    finally:
        for each in (log, registry, monitor):
            each.close()
