"""MLflow is told everything once, however often the courier dies while telling it."""

from __future__ import annotations

import itertools
import json
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from tests.stories.mlflow.deliveries import FEATURES, run_document, version_document

from everloop.core.errors import ExperimentError, FileMissing

START = 1_357_034_400_000  # 2013-01-01T10:00:00Z in milliseconds


class Killed(BaseException):
    """Stands for ``kill -9``: nothing of ours may catch it."""


def deliver(tracker: Any, name: str, model: tuple[bytes, str], **changes: Any) -> None:
    """One turn's entries, in the order of the outbox."""
    tracker.record_run(*run_document(name, model, **changes))
    tracker.record_version(version_document(name))
    tracker.set_alias({"model": name, "alias": "champion", "version": "1.0.0"})


@contextmanager
def reading(uri: str) -> Iterator[Any]:
    """MLflow's own client, as any user has it, with MLflow's own warnings left out."""
    import mlflow

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = mlflow.get_tracking_uri()
        mlflow.set_tracking_uri(uri)
        try:
            yield mlflow.MlflowClient(tracking_uri=uri, registry_uri=uri)
        finally:
            mlflow.set_tracking_uri(before)


def end_state(uri: str, name: str) -> dict[str, Any]:
    """Everything MLflow holds of one experiment and its model, without ids that are drawn anew."""
    with reading(uri) as client:
        experiment = client.get_experiment_by_name(name)
        runs = client.search_runs([experiment.experiment_id], run_view_type=3)
        models = client.search_logged_models([experiment.experiment_id])
        versions = client.search_model_versions(f"name = '{name}'")
        return {
            "experiment": dict(experiment.tags),
            "runs": [_run(client, run) for run in runs],
            "models": [
                (m.name, str(m.status), m.params, m.model_type, m.tags | {"mlflow.modelVersions": ...},
                 sorted((each.key, each.value, each.step) for each in m.metrics))
                for m in models
            ],
            "versions": [(str(v.version), v.tags, v.description, v.status, v.aliases) for v in versions],
            "links": [json.loads(m.tags.get("mlflow.modelVersions", "[]")) for m in models],
            "aliases": {a: str(v) for a, v in client.get_registered_model(name).aliases.items()},
        }  # fmt: skip


def _run(client: Any, run: Any) -> dict[str, Any]:
    run = client.get_run(run.info.run_id)
    history = {key: client.get_metric_history(run.info.run_id, key) for key in run.data.metrics}
    return {
        "info": (run.info.run_name, run.info.status, run.info.start_time, run.info.end_time),
        "params": run.data.params,
        "tags": {key: value for key, value in run.data.tags.items() if key != "mlflow.user"},
        "latest": run.data.metrics,
        "history": {k: [(m.step, m.timestamp, m.value) for m in points] for k, points in history.items()},
        "files": _files(client, run.info.run_id, None),
        "outputs": len(run.outputs.model_outputs),
    }


def _files(client: Any, run: str, path: str | None) -> list[tuple[str, int]]:
    found = client.list_artifacts(run, path)
    below = [_files(client, run, item.path) for item in found if item.is_dir]
    sizes = [(item.path, item.file_size) for item in found if not item.is_dir]
    return sorted([*sizes, *itertools.chain.from_iterable(below)])


def test_what_is_recorded_once_is_there(
    open_tracker: Any, folder: str, pipeline: Any, model: tuple[bytes, str]
) -> None:
    tracker = open_tracker(folder)
    deliver(tracker, "late", model)
    state = end_state(tracker.uri, "late")
    (run,) = state["runs"]
    assert run["info"] == ("first", "FINISHED", START, START + 9000)
    assert run["params"]["C"] == "1.0"
    assert len(run["params"]["grid"]) == 6000
    assert len(run["params"]) == 132
    assert run["tags"]["everloop.run_id"] == "run_late"
    assert run["tags"]["mlflow.source.git.commit"] == "abc123"
    assert run["history"]["cv/accuracy"] == [(0, START, 0.9), (2, START + 2, 0.92)]
    assert len(run["history"]["steps"]) == 1200
    assert run["latest"]["accuracy"] == 0.91, "the held-out value, not a fold's, is the latest"
    assert "auc" not in run["latest"]
    assert [name for name, _ in run["files"]] == ["config.json", "files/recipe.json", "plots/roc.png"]
    assert state["aliases"] == {"champion": "1"}
    (version,) = state["versions"]
    assert version[1]["everloop.version"] == "1.0.0"
    assert version[1]["everloop.run_id"] == "run_late"
    assert version[1]["everloop.data_version"] == "d1"
    assert state["models"][0][1] == "READY"
    _predicts_like(tracker.uri, "models:/late@champion", pipeline)


def _predicts_like(uri: str, address: str, pipeline: Any) -> None:
    import mlflow

    with reading(uri):
        loaded = mlflow.pyfunc.load_model(address)
        native = mlflow.sklearn.load_model(address)
        requirements = Path(mlflow.pyfunc.get_model_dependencies(address)).read_text()
        assert (loaded.predict(FEATURES) == pipeline.predict(FEATURES)).all()
        assert (native.predict_proba(FEATURES) == pipeline.predict_proba(FEATURES)).all()
    assert loaded.metadata.signature.inputs.input_names() == list(FEATURES)
    assert len(loaded.input_example) == 3
    flavour = loaded.metadata.flavors["sklearn"]
    assert flavour["serialization_format"] == "skops"
    assert "everloop==" in requirements, "its own transformer is inside"
    assert "scikit-learn==" in requirements


def test_twice_delivered_is_once(open_tracker: Any, folder: str, model: tuple[bytes, str]) -> None:
    tracker = open_tracker(folder)
    deliver(tracker, "twice", model)
    once = end_state(tracker.uri, "twice")
    before = dict(os.environ)
    tracker.record_version(version_document("twice"))
    deliver(open_tracker(folder), "twice", model)
    assert dict(os.environ) == before, "the settings for MLflow hold only while it is spoken to"
    assert end_state(tracker.uri, "twice") == once


SMALL: dict[str, Any] = {"series": {"accuracy": [0.5, 0.7]}, "params": {"C": 1.0}}


@pytest.mark.parametrize("place", ["folder", "server"])
def test_killed_between_any_two_requests_and_delivered_again(
    place: str,
    request: pytest.FixtureRequest,
    open_tracker: Any,
    model: tuple[bytes, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Over SQLite every call of MLflow's client is a place to die, over HTTP every seventh request."""
    uri = open_tracker(request.getfixturevalue(place)).uri
    deliver(open_tracker(uri), f"whole-{place}", model, **SMALL)
    expected = _anonymous(end_state(uri, f"whole-{place}"), f"whole-{place}")
    step = 1 if place == "folder" else 7
    for deadly in itertools.count(0, step):
        name = f"killed-{place}-{deadly}"
        with monkeypatch.context() as patch:
            done = _die_after(deadly, patch, place)
            try:
                deliver(open_tracker(uri), name, model, **SMALL)
            except Killed:
                pass
            else:
                break
            assert done() == deadly
        deliver(open_tracker(uri), name, model, **SMALL)
        assert _anonymous(end_state(uri, name), name) == expected, f"killed after {deadly} requests"
    assert deadly >= 20, "the deliveries made requests to be killed between"


def _die_after(deadly: int, patch: pytest.MonkeyPatch, place: str) -> Callable[[], int]:
    """Let ``deadly`` requests through, then die before the next one; returns how many went through."""
    import mlflow
    import requests

    made = 0

    def counted(original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            nonlocal made
            if made >= deadly:
                raise Killed
            made += 1
            return original(*arguments, **named)

        return call

    if place == "server":
        patch.setattr(requests.Session, "send", counted(requests.Session.send))
    else:
        for name in [name for name in dir(mlflow.MlflowClient) if name.split("_")[0] in VERBS]:
            patch.setattr(mlflow.MlflowClient, name, counted(getattr(mlflow.MlflowClient, name)))
    return lambda: made


VERBS = {"create", "search", "get", "set", "log", "finalize", "delete", "update", "list"}


def _anonymous(state: dict[str, Any], name: str) -> Any:
    """The state with the experiment's name taken out, so that two experiments can be compared."""
    return json.loads(json.dumps(_without_sizes(state), default=str, sort_keys=True).replace(name, "NAME"))


def _without_sizes(state: dict[str, Any]) -> dict[str, Any]:
    runs = [{**run, "files": [path for path, _ in run["files"]]} for run in state["runs"]]
    return {**state, "runs": runs}


def test_a_request_answered_too_late_leaves_no_double(
    open_tracker: Any, folder: str, model: tuple[bytes, str]
) -> None:
    """The server finishes a request after the client gave up, and the repetition has made a second one."""
    from everloop.adapters.mlflow import models, runs

    tracker = open_tracker(folder)
    deliver(tracker, "whole-late", model)
    expected = _anonymous(end_state(tracker.uri, "whole-late"), "whole-late")
    document, _ = run_document("doubled", model)
    experiment = tracker.create_experiment("doubled", document["experiment_tags"])
    with tracker.connection.talk() as client:
        for _ in range(2):
            run = runs.create_run(client, experiment, document)
    tracker.record_run(*run_document("doubled", model))
    with tracker.connection.talk() as client:
        chosen = runs.find_run(client, [experiment], "run_doubled")
        late = client.create_logged_model(
            experiment, source_run_id=run.info.run_id, tags={runs.RUN_TAG: "run_doubled"}
        )
        assert models.find_logged_model(client, experiment, "run_doubled").model_id != late.model_id
        models.ensure_registered_model(client, "default", "doubled")
    tracker.record_version(version_document("doubled"))
    with tracker.connection.talk() as client, tracker.connection.as_default():
        source = client.get_model_version("doubled", 1).source
        client.create_model_version("doubled", source, chosen.info.run_id, {models.VERSION_TAG: "1.0.0"})
    deliver(tracker, "doubled", model)
    state = end_state(tracker.uri, "doubled")
    deleted = state["runs"].pop(0 if not state["runs"][0]["outputs"] else 1)
    assert deleted["info"][1] == "RUNNING"
    assert _anonymous(state, "doubled") == expected


def test_a_real_server_holds_a_model_that_predicts_the_same(
    open_tracker: Any, server: str, pipeline: Any, model: tuple[bytes, str]
) -> None:
    tracker = open_tracker(server)
    assert tracker.check() == f"MLflow {version('mlflow')} at {server}"
    deliver(tracker, "remote", model)
    _predicts_like(server, "models:/remote@champion", pipeline)


def test_aliases_move_and_go(open_tracker: Any, folder: str, model: tuple[bytes, str]) -> None:
    tracker = open_tracker(folder)
    deliver(tracker, "moving", model)
    assert tracker.record_version(version_document("moving", "1.1.0")) == "2"
    tracker.set_alias({"model": "moving", "alias": "champion", "version": "1.1.0"})
    assert end_state(tracker.uri, "moving")["aliases"] == {"champion": "2"}
    for _ in range(2):
        tracker.set_alias({"model": "moving", "alias": "champion", "version": None})
    assert end_state(tracker.uri, "moving")["aliases"] == {}
    with pytest.raises(ExperimentError, match=r"no version 9\.9\.9"):
        tracker.set_alias({"model": "moving", "alias": "champion", "version": "9.9.9"})
    with pytest.raises(ExperimentError, match="reserved"):
        tracker.set_alias({"model": "moving", "alias": "latest", "version": "1.0.0"})


def test_tenants_do_not_see_each_other(open_tracker: Any, folder: str, model: tuple[bytes, str]) -> None:
    default, acme, other = (open_tracker(folder, tenant=name) for name in ("default", "acme", "other"))
    for tracker in (default, acme):
        deliver(tracker, "shared", model)
    assert end_state(default.uri, "shared")["versions"][0][0] == "1"
    with reading(default.uri) as client:
        assert client.get_model_version_by_alias("acme.shared", "champion") is not None
        assert client.get_experiment_by_name("acme/shared") is not None
    assert [each["name"] for each in acme.search_experiments()] == ["shared"]
    assert "acme/shared" not in [each["name"] for each in default.search_experiments()]
    assert len(acme.search_runs()) == 1
    same = {"model": "acme.shared", "alias": "champion"}  # the name that acme's model has in MLflow
    for number in (None, "1.0.0"):
        with pytest.raises(ExperimentError, match="belongs to tenant 'acme'"):
            default.set_alias({**same, "version": number})
    assert other.search_runs() == []
    with pytest.raises(ExperimentError, match="no run run_shared"):
        other.record_version(version_document("shared"))
    default.create_experiment("other/taken")
    with pytest.raises(ExperimentError, match="belongs to tenant 'default'"):
        other.create_experiment("taken")


def test_a_model_that_mlflow_cannot_keep_is_refused_for_good_and_leaves_nothing(
    open_tracker: Any, folder: str, model: tuple[bytes, str]
) -> None:
    tracker = open_tracker(folder)
    document, files = run_document("broken", model)
    with pytest.raises(ExperimentError, match="cannot keep this model"):
        tracker.record_run(document, {**files, document["model"]["file"]: b"not a model"})
    with pytest.raises(ExperimentError, match="lacks"):
        tracker.record_run({**document, "model": None}, {})
    assert [run["status"] for run in tracker.search_runs("run_id='x'")] == []
    with pytest.raises(ExperimentError, match="'started_at' is missing"):
        tracker.record_run({"run_id": "r", "experiment": "broken"}, {})
    with pytest.raises(ExperimentError, match="name of an artifact"):
        tracker.record_run(*run_document("leaving", model, plots=[])[:1], {"../../etc/x": b""} | files)


def test_a_pickle_is_kept_as_a_pickle(open_tracker: Any, folder: str, pipeline: Any) -> None:
    import cloudpickle
    import mlflow

    tracker = open_tracker(folder)
    deliver(tracker, "pickled", (cloudpickle.dumps(pipeline), "cloudpickle"))
    with reading(tracker.uri):
        loaded = mlflow.pyfunc.load_model("models:/pickled@champion")
        assert (loaded.predict(FEATURES) == pipeline.predict(FEATURES)).all()
    assert loaded.metadata.flavors["sklearn"]["serialization_format"] == "cloudpickle"


def test_the_trackers_own_calls(open_tracker: Any, folder: str, tmp_path: Path) -> None:
    tracker = open_tracker(folder, tenant="tenant_123")
    at = "2024-05-01T00:00:00+00:00"
    tags = {"model_type": "classification", "dataset": "tickets_2024"}
    experiment = tracker.create_experiment("tickets", tags)
    assert tracker.create_experiment("tickets", {**tags, "dataset": "tickets_2025"}) == experiment
    tracker.create_experiment("prices", {"model_type": "regression"})
    run = tracker.ensure_run(experiment, "run_a", started_at=at)
    assert tracker.ensure_run(experiment, "run_a", started_at=at) == run
    tracker.log_params(run, {"depth": 10})
    with pytest.raises(ExperimentError, match="depth"):
        tracker.log_params(run, {"depth": 11})
    for _ in range(2):
        tracker.log_metrics(run, {"f1": 0.9, "none": None}, step=1, at=at)
    (tmp_path / "plots").mkdir()
    for name in ("model.joblib", "plots/a.png"):
        (tmp_path / name).write_bytes(b"x")
    tracker.log_artifacts(run, {"model": tmp_path / "model.joblib", "all": str(tmp_path / "plots")})
    with pytest.raises(FileMissing, match="gone"):
        tracker.log_artifacts(run, {"gone": tmp_path / "gone"})
    tracker.end_run(run, ended_at=at)
    found = tracker.search_experiments("model_type='classification'")
    assert [each["name"] for each in found] == ["tickets"]
    assert found[0]["tags"]["dataset"] == "tickets_2025"
    assert len(tracker.search_experiments("tags.model_type LIKE '%ion'")) == 2
    (document,) = tracker.search_runs("metrics.f1 > 0.5 and params.depth = '10'", experiment_ids=[experiment])
    assert document["metrics"] == {"f1": 0.9}
    assert document["status"] == "FINISHED"
    with reading(tracker.uri) as client:
        assert len(client.get_metric_history(run, "f1")) == 1
        assert [path for path, _ in _files(client, run, None)] == ["all/a.png", "model/model.joblib"]
    with pytest.raises(ExperimentError, match="filter"):
        tracker.search_runs("this is no filter")
