"""A model's life, turn by turn, on the real parts: store, blobs, training, gate."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from everloop import wiring
from everloop.core.errors import (
    ConstantTarget,
    Corrupt,
    ExperimentError,
    FileMissing,
    InvalidSettings,
    Refused,
    TimedOut,
    Unavailable,
    UnknownColumn,
    UnknownModel,
    WrongType,
)
from everloop.core.turns import TurnSummary
from everloop.data.examples.customers import customers
from everloop.data.examples.iris import iris
from everloop.flows import (
    agreed,
    contracts,
    data,
    delivery,
    health,
    history,
    models,
    reproduction,
    runs,
    status,
    turn,
)
from everloop.flows.project import Project
from everloop.flows.releases import deploying
from everloop.settings import load_settings

Open = Callable[..., Project]


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest) -> str | None:
    return None if request.param == "sqlite" else str(request.getfixturevalue("postgres_database"))


@pytest.fixture
def open_project(tmp_path: Path) -> Iterator[Open]:
    opened: list[Project] = []

    def make(model: dict[str, Any] | None = None, **sections: Any) -> Project:
        settings: dict[str, Any] = {
            "models": {"churn": {"data": {"path": "data.csv"}, "target": "churned", **(model or {})}},
            **sections,
        }
        config = tmp_path / "everloop.yaml"
        config.write_text(json.dumps(settings))
        project = wiring.connect(load_settings(config, variables={}))
        opened.append(project)
        return project

    yield make
    for project in opened:
        project.close()


def take(project: Project, table: object, **options: Any) -> TurnSummary:
    return turn.run(project, "churn", source=table, **options)


def grown(first: pa.Table, *more: pa.Table) -> pa.Table:
    return pa.concat_tables([first, *more])


def test_a_life(open_project: Open, store_url: str | None) -> None:
    """First model; nothing new; fresh rows that are fine; a changed recipe; a worse one refused."""
    project = open_project(store={"url": store_url} if store_url else {})
    start = customers(rows=1500, seed=1)

    first = take(project, start)
    assert (first.retrained, first.promoted, first.model_version) == (True, True, "1.0.0")
    assert first.decision is not None
    assert first.decision.reason == "There is no model yet."
    assert first.accuracy == pytest.approx(0.86, abs=0.05)

    again = take(project, start)
    assert (again.retrained, again.model_version) == (False, "1.0.0")
    assert again.data_version == first.data_version
    assert again.accuracy == first.accuracy, "measured on the same held-out rows"

    fresh = take(project, grown(start, customers(rows=400, seed=2)))
    assert not fresh.retrained
    assert fresh.data_version != first.data_version
    measured = [
        m for m in history.metrics(project, "churn", "accuracy") if m["data_version"] == fresh.data_version
    ]
    assert [m["rows"] for m in measured] == [400], "the champion is measured on the fresh rows"

    worse = open_project({"training": {"model_type": "dummy"}}, store={"url": store_url} if store_url else {})
    refused = take(worse, grown(start, customers(rows=400, seed=2)))
    assert (refused.retrained, refused.promoted) == (True, False)
    assert (refused.registered, refused.model_version) == ("1.1.0", "1.0.0")
    assert refused.verdict is not None
    assert "worse" in refused.verdict.reason
    assert {m.version.version: m.aliases for m in models.list_models(worse, "churn")} == {
        "1.0.0": ("champion",),
        "1.1.0": ("challenger",),
    }
    settled = take(worse, grown(start, customers(rows=400, seed=2)))
    assert not settled.retrained, "a refused change is not tried again and again"

    kinds = [event.kind for event in history.events(project, "churn")]
    assert kinds[:6] == ["validated", "decided", "trained", "judged", "registered", "promoted"]
    assert [t.status for t in status.recent(project, "churn")] == ["done"] * 5


def test_worse_performance_retrains_and_a_better_model_replaces_the_champion(open_project: Open) -> None:
    """The world changes: what made customers leave before does not any more."""
    project = open_project({"monitoring": {"accuracy_min_threshold": 0.8, "drift_threshold": None}})
    rng = np.random.default_rng(0)

    def world(rows: int, sign: int) -> pd.DataFrame:
        x = rng.normal(size=(rows, 3))
        late = sign * x[:, 0] + rng.normal(scale=0.5, size=rows) > 0
        return pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "c": x[:, 2], "churned": late.astype(int)})

    before, after = world(600, 1), world(3000, -1)
    take(project, before)
    changed = take(project, pd.concat([before, after], ignore_index=True))
    assert changed.decision is not None
    assert "under the smallest accepted value 0.8" in changed.decision.reason
    assert (changed.retrained, changed.promoted, changed.model_version) == (True, True, "1.0.1")
    lineage = models.trace(project, "churn")
    assert [parent.version for parent in lineage.parents] == ["1.0.0"]
    assert [version.sequence for version in lineage.data] == [2, 1]
    assert len(lineage.promotions) == 1


def test_drift_over_the_limit_retrains(open_project: Open) -> None:
    project = open_project({"monitoring": {"drift_threshold": 0.5}})
    start = customers(rows=800, seed=1).to_pandas()
    take(project, start)
    moved = start.assign(monthly_fee=start.monthly_fee * 4)
    found = take(project, pd.concat([start, moved], ignore_index=True))
    assert found.decision is not None
    assert "largest in 'monthly_fee'" in found.decision.reason


def test_a_broken_contract_stops_the_turn_and_says_where(open_project: Open) -> None:
    project = open_project({"contract": {"columns": {"monthly_fee": {"minimum": 0, "maximum": 500}}}})
    good = customers(rows=300, seed=1).to_pandas()
    take(project, good)
    bad = good.copy()
    bad.loc[[3, 7], "monthly_fee"] = -5.0
    stopped = take(project, bad)
    assert stopped.status == "stopped"
    assert not stopped.retrained
    assert stopped.model_version == "1.0.0"
    finding = stopped.findings[0]
    assert finding["rows"] == (3, 7)
    assert "monthly_fee" in finding["message"]
    assert history.events(project, "churn")[-1].summary.startswith("contract broken")
    assert take(project, good).status == "done", "the broken version is not what later data are compared with"


def test_a_schema_in_python_sees_the_data_as_loading_gives_them(open_project: Open) -> None:
    """What another program wrote for pandas, and pandas cannot use, is left out there and here."""
    project = open_project({"contract": "rules.py:schema"})
    (project.settings.root / "rules.py").write_text(
        "import pandera.pandas as pandera\n"
        "fee = pandera.Column(checks=pandera.Check.le(500))\n"
        "schema = pandera.DataFrameSchema({'monthly_fee': fee})\n"
    )
    good = customers(rows=300, seed=1)
    level = pa.DictionaryArray.from_arrays(pa.array([1] * 300, pa.int8()), pa.array(["b", "b"]))
    odd = good.append_column("level", level).replace_schema_metadata({"pandas": b"{broken"})
    assert take(project, odd).status == "done"
    place = odd.column_names.index("monthly_fee")
    fees = pa.array([5e3] * 300)
    assert take(project, odd.set_column(place, "monthly_fee", fees)).status == "stopped"
    far = good.append_column("far", pa.array([1] * 300, pa.timestamp("us", "Mars/Olympus")))
    with pytest.raises(WrongType, match="Column 'far'") as told:
        agreed.check_python(project, "rules.py:schema", far)
    assert "contract in everloop.yaml" in told.value.remedy


def test_an_inferred_contract_stops_a_vanished_column_until_it_is_accepted(open_project: Open) -> None:
    project = open_project()
    whole = customers(rows=400, seed=1)
    take(project, whole)
    narrow = whole.drop_columns(["autopay"])
    stopped = take(project, narrow)
    assert stopped.status == "stopped"
    assert "autopay" in stopped.findings[0]["message"]

    contracts.adopt(project, "churn", stopped.data_version)
    accepted = take(project, narrow)
    assert accepted.decision is not None
    assert "autopay" in accepted.decision.reason
    assert (accepted.registered, accepted.promoted) == ("2.0.0", False), (
        "the interface changed: a person decides"
    )
    assert accepted.verdict is not None
    assert "promote it by hand" in accepted.verdict.reason
    deploying.deploy(project, deploying.Request("churn@2.0.0", reason="the column is gone for good"))
    assert models.find(project, "churn").version.version == "2.0.0"


def test_iris_reaches_96_percent(open_project: Open) -> None:
    project = open_project({"target": "species", "training": {"model_type": "random_forest"}})
    found = take(project, iris())
    assert found.accuracy is not None
    assert found.accuracy >= 0.96


def test_regression_time_split_and_group_split(open_project: Open) -> None:
    rng = np.random.default_rng(3)
    frame = pd.DataFrame(
        {
            "when": pd.date_range("2026-01-01", periods=600, freq="h"),
            "shop": rng.choice(["a", "b", "c", "d", "e", "f", "g", "h"], 600),
            "size": rng.normal(10, 2, 600),
        }
    )
    frame["churned"] = 3 * frame["size"] + rng.normal(size=600)
    timed = open_project(
        {"task": "regression", "time_column": "when", "training": {"model_type": "linear", "split": "time"}}
    )
    found = take(timed, frame)
    assert found.metrics["r2"] > 0.9
    assert found.accuracy is None
    run = runs.find(timed, str(found.run_id))
    assert run.recipe.split.column == "when"
    assert "when" not in run.features

    grouped = open_project(
        {"task": "regression", "group_column": "shop", "exclude": ["when"],
         "training": {"model_type": "linear", "split": "group"}}
    )  # fmt: skip
    assert take(grouped, frame).retrained


def test_the_users_own_estimator_is_kept_with_its_source(open_project: Open, tmp_path: Path) -> None:
    code = tmp_path / "mine.py"
    code.write_text(
        "from sklearn.linear_model import LogisticRegression\n"
        "class Mine(LogisticRegression):\n    '''My own.'''\n"
        "def make(C=1.0):\n    return Mine(C=C, max_iter=300)\n"
    )
    project = open_project({"training": {"model_type": "mine.py:make", "params": {"C": 0.5}}})
    found = take(project, customers(rows=400, seed=1))
    run = runs.find(project, str(found.run_id))
    assert run.artifact_format == "cloudpickle"
    code.write_text("def make(C=1.0):\n    raise RuntimeError('another file by now')\n")
    again = reproduction.reproduce(project, run.run_id)
    assert again.identical, "reproduced from the source that was kept"


def test_a_run_is_reproduced_to_the_last_bit(open_project: Open) -> None:
    project = open_project({"training": {"model_type": "random_forest", "cross_validation": 3}})
    found = take(project, customers(rows=500, seed=1, missing=0.1))
    result = reproduction.reproduce(project, str(found.run_id))
    assert result.identical
    assert result.equal
    assert runs.find(project, str(found.run_id)).series["cv_accuracy"]


def test_a_metric_that_was_changed_afterwards_is_noticed(
    open_project: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = open_project()
    run_id = str(take(project, customers(rows=300, seed=1)).run_id)
    known = runs.find(project, run_id)
    better = replace(known, metrics={**known.metrics, "accuracy": 0.999})
    monkeypatch.setattr(runs, "find", lambda *_: better)
    result = reproduction.reproduce(project, run_id)
    assert not result.identical, "the predictions are the same, what is said of them is not"
    assert not result.equal
    assert result.metrics["accuracy"] == (0.999, known.metrics["accuracy"])


def test_business_amounts_give_value_and_roi(open_project: Open) -> None:
    amounts = {"true_positive": 80, "false_positive": -20, "false_negative": -50}
    project = open_project({"business": amounts, "gate": {"metric": "net_value"}})
    found = take(project, customers(rows=1000, seed=1))
    assert {"net_value", "roi", "best_threshold"} <= set(found.metrics)
    assert found.verdict is not None
    assert "net value" in found.verdict.reason


def test_damaged_content_is_never_returned(open_project: Open) -> None:
    project = open_project()
    found = take(project, customers(rows=300, seed=1))
    version = data.find(project, found.data_version)
    packs = [entry.key for entry in project.data.entries() if entry.key.endswith(".pack")]
    assert packs
    for key in packs:
        path = Path(project.data.where(key))
        content = bytearray(path.read_bytes())
        content[len(content) // 3] ^= 1
        path.write_bytes(bytes(content))
    with pytest.raises(Corrupt):
        data.load(project, version)


def test_a_champion_whose_file_is_damaged_is_replaced(open_project: Open) -> None:
    """It can neither serve nor be compared: what is trained next is a first model again."""
    project = open_project()
    found = take(project, customers(rows=300, seed=1))
    run = runs.find(project, str(found.run_id))
    model = Path(project.artifacts.where(run.artifact))
    model.write_bytes(model.read_bytes()[:-1])
    with pytest.raises(Corrupt, match="damaged"):
        runs.load_model(project, run)
    assert [check.ok for check in health.champions(project)] == [False]
    replaced = take(project, customers(rows=300, seed=1))
    assert replaced.decision is not None
    assert "cannot be read" in replaced.decision.reason
    assert (replaced.promoted, replaced.model_version) == (True, "1.0.1")
    assert [check.ok for check in health.champions(project)] == [True]
    assert not take(project, customers(rows=300, seed=1)).retrained


def test_bad_input_is_explained_and_changes_nothing(open_project: Open) -> None:
    project = open_project()
    take(project, customers(rows=300, seed=1))
    before = (data.list_versions(project), models.list_models(project), runs.list_runs(project))
    with pytest.raises(FileMissing, match=r"data\.csv"):
        turn.run(project, "churn")
    with pytest.raises(UnknownModel, match="Did you mean 'churn'"):
        turn.run(project, "chrun")
    for model, error in (
        ({"target": "churnd"}, UnknownColumn),
        ({"gate": {"slices": ["contry"]}}, UnknownColumn),
        ({"gate": {"metric": "acuracy"}}, InvalidSettings),
        ({"exclude": ["pln"]}, UnknownColumn),
        ({"training": {"model_type": "logistc"}}, InvalidSettings),
        ({"monitoring": {"metric": "acuracy"}}, InvalidSettings),
    ):
        with pytest.raises(error, match="Did you mean"):
            take(open_project(model), customers(rows=300, seed=1))
    assert (data.list_versions(project), models.list_models(project), runs.list_runs(project)) == before


def test_a_constant_target_fails_the_turn_and_the_next_one_is_free(open_project: Open) -> None:
    project = open_project()
    table = customers(rows=200, seed=1).to_pandas().assign(churned=0)
    with pytest.raises(ConstantTarget):
        take(project, table)
    failed = status.recent(project)[0]
    assert failed.status == "failed"
    assert failed.steps[-1].status == "failed"
    assert "churned" in str(failed.error)
    assert take(project, customers(rows=200, seed=1)).promoted


def test_unavailable_things_are_tried_again_and_others_not(
    open_project: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = open_project(pipeline={"retries": 2})
    calls: list[int] = []
    register = data.register

    def shaky(*args: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) < 3:
            raise Unavailable("The network folder is away.", remedy="Wait.")
        return register(*args, **options)

    pauses: list[float] = []
    monkeypatch.setattr(type(project.clock), "sleep", lambda self, seconds: pauses.append(seconds))
    monkeypatch.setattr(data, "register", shaky)
    assert take(project, customers(rows=200, seed=1)).promoted
    assert (len(calls), pauses) == (3, [0.5, 1.0])


def test_a_step_over_its_time_is_given_up(open_project: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    project = open_project(pipeline={"timeout": 0.2})
    waited: list[Any] = []

    def endless(*args: Any, **options: Any) -> Any:
        waited.append(1)
        import time

        time.sleep(2)

    monkeypatch.setattr(data, "register", endless)
    with pytest.raises(TimedOut, match=r"'version' took longer than 0\.2 s"):
        take(project, customers(rows=200, seed=1))
    assert waited


class Ledger:
    """A tracker that remembers, and fails as it is told."""

    def __init__(self, *failures: Exception | None) -> None:
        self.failures = list(failures)
        self.taken: list[str] = []

    def _take(self, what: str) -> str:
        failure = self.failures.pop(0) if self.failures else None
        if failure:
            raise failure
        self.taken.append(what)
        return what

    def record_run(self, document: Any, files: Any) -> str:
        assert set(document["files"]) <= set(files)
        return self._take("run")

    def record_version(self, document: Any) -> str:
        return self._take(f"version {document['version']}")

    def set_alias(self, document: Any) -> None:
        self._take(f"alias {document['alias']} {document['version']}")


def test_delivery_keeps_order_over_failures(open_project: Open) -> None:
    """What the ledger gets is what it would have got without failures, in the same order."""
    project = open_project()
    take(project, customers(rows=300, seed=1))
    away = Unavailable("The server is away.", remedy="Wait.")
    ledger = Ledger(None, away)
    opened = with_tracker(project, ledger)
    first = delivery.deliver(opened)
    assert (first.delivered, first.waiting, first.problem) == (1, 2, "The server is away. Wait.")
    second = delivery.deliver(opened)
    assert (second.delivered, second.waiting) == (2, 0)
    assert ledger.taken == ["run", "version 1.0.0", "alias champion 1.0.0"]
    assert delivery.deliver(opened).delivered == 0


def test_an_entry_refused_for_good_lets_the_others_pass(open_project: Open) -> None:
    project = open_project()
    take(project, customers(rows=300, seed=1))
    ledger = Ledger(ExperimentError("The server refuses this run.", remedy="Look at it."))
    found = delivery.deliver(with_tracker(project, ledger))
    assert (found.delivered, found.rejected, found.waiting) == (2, 1, 0)


def with_tracker(project: Project, ledger: Ledger) -> Project:
    from dataclasses import replace

    return replace(project, open_tracker=lambda: ledger)


def test_tracking_switched_off_spools_nothing(open_project: Open) -> None:
    project = open_project(tracking={"enabled": False})
    take(project, customers(rows=200, seed=1))
    assert status.undelivered(project) == 0


def test_histories_are_written_as_files(open_project: Open, tmp_path: Path) -> None:
    project = open_project(paths={"monitoring": "monitoring"})
    take(project, customers(rows=200, seed=1))
    take(project, grown(customers(rows=200, seed=1), customers(rows=100, seed=2)))
    metrics = json.loads((tmp_path / "monitoring" / "metrics_history.json").read_text())
    drift = json.loads((tmp_path / "monitoring" / "drift_history.json").read_text())
    assert {"accuracy", "roc_auc"} <= {entry["name"] for entry in metrics["history"]}
    assert [entry["name"] for entry in drift["history"]] == ["drift_score"]


# -- the rules of production -------------------------------------------------------------------------------


def ruled(open_project: Open, **rules: Any) -> Project:
    """With a champion from before there were rules, on two features only; a next turn has all."""
    before = open_project({"features": ["support_calls", "weekly_hours"]})
    assert take(before, customers(rows=800, seed=1)).promoted
    return open_project(environments={"prod": rules})


def test_a_version_that_passed_the_gate_waits_for_its_approval(open_project: Open) -> None:
    project = ruled(open_project, approval="model owner")
    found = take(project, customers(rows=800, seed=1), force=True)
    assert found.verdict is not None
    assert found.verdict.promote
    assert (found.status, found.promoted, found.model_version) == ("done", False, "1.0.0")
    way = "everloop release approve churn --role 'model owner'"
    assert found.held == f"It waits for the approval of 'model owner': {way}"
    release = deploying.of_model(project, "churn")
    assert (release.version, release.strategy, release.status) == (found.registered, "direct", "waiting")
    assert models.find(project, "churn@challenger").version.version == found.registered

    again = take(project, customers(rows=800, seed=1), force=True)
    assert (again.status, again.promoted) == ("done", False)

    deploying.approve(project, release.release_id, "model owner")
    assert models.find(project, "churn").version.version == found.registered


def test_a_version_that_passed_the_gate_goes_the_way_that_production_asks_for(open_project: Open) -> None:
    project = ruled(open_project, after="staging")
    found = take(project, customers(rows=800, seed=1), force=True)
    assert found.verdict is not None
    assert found.verdict.promote
    assert (found.status, found.promoted, found.model_version) == ("done", False, "1.0.0")
    spec = f"churn@{found.registered}"
    assert found.held.startswith(f"{spec} may not come to prod: in staging nothing is current.")
    assert found.held.endswith(f"everloop deploy {spec} --env staging")
    assert found.held in history.events(project, "churn")[-1].summary
    with pytest.raises(Refused, match="in staging nothing is current"):
        deploying.deploy(project, deploying.Request(spec))
    deploying.deploy(project, deploying.Request(spec, "staging"))
    deploying.deploy(project, deploying.Request(spec))
    assert models.find(project, "churn").version.version == found.registered


def test_a_first_version_is_under_the_rules_as_well(open_project: Open) -> None:
    project = open_project(environments={"prod": {"approval": "owner"}})
    found = take(project, customers(rows=800, seed=1))
    assert (found.promoted, found.model_version) == (False, None)
    assert "everloop release approve churn --role owner" in found.held
