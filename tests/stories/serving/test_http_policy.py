"""What breaks a contract is warned of, refused or let through, as the settings say; and what is masked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from everloop.data import writing
from everloop.flows import turn

from .server import Server, running, write_project

ROW = {"age": 30.0, "city": "Rome", "member": True}
RULES: dict[str, Any] = {
    "columns": {
        "age": {"type": "float64", "minimum": 0, "maximum": 120, "severity": "error"},
        "city": {"type": "string", "allowed": ["Rome", "Oslo"], "severity": "error"},
    }
}
POLICIES: dict[str, dict[str, Any]] = {
    "strict": {"missing": "refuse", "range": "refuse", "category": "refuse", "extra": "refuse"},
    "warning": {"missing": "warn", "range": "warn", "category": "warn", "extra": "warn"},
    "open": {"missing": "allow", "range": "allow", "category": "allow", "extra": "allow"},
}
WRONG: dict[str, tuple[str, Any]] = {
    "missing": ("age", None),
    "range": ("age", 130.0),
    "category": ("city", "Bonn"),
    "extra": ("town", "Bonn"),
}


def _people() -> pa.Table:
    ages = [20 + at * 37 % 6000 / 100 for at in range(1500)]
    return pa.table(
        {
            "age": ages,
            "city": ["Rome" if at % 3 else "Oslo" for at in range(1500)],
            "member": [at % 2 == 0 for at in range(1500)],
            "buys": ["yes" if age > 45 else "no" for age in ages],
        }
    )


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("policy")
    (folder / "people.parquet").write_bytes(writing.to_bytes(_people(), ".parquet"))
    models: dict[str, Any] = {
        name: {
            "data": {"path": "people.parquet"}, "target": "buys",
            "training": {"model_type": "hist_gradient_boosting"},
            "contract": RULES, "serving": {"inputs": inputs},
        }
        for name, inputs in POLICIES.items()
    }  # fmt: skip
    models["open"]["serving"]["mask"] = {"city": "hide", "age": "hash"}
    models["selecting"] = {**models["open"], "serving": {"feedback": {"answers": ["no"], "hold_out": 0.5}}}
    project = write_project(folder, models=models)
    try:
        for name in models:
            turn.run(project, name)
    finally:
        project.close()
    with running(folder) as server:
        yield server
        assert "Traceback" not in server.errors


def _logged(folder: Path, prediction_id: str) -> dict[str, Any]:
    for file in folder.rglob("*.jsonl"):
        for line in file.read_text().splitlines():
            found: dict[str, Any] = json.loads(line)
            if found.get("prediction_id") == prediction_id:
                return found
    raise AssertionError(f"{prediction_id} is not in the log")


@pytest.mark.parametrize("what", WRONG)
def test_refused(server: Server, what: str) -> None:
    name, value = WRONG[what]
    answer = server.predict({"features": ROW | {name: value}}, "/models/strict/predict")
    assert answer.status == 422
    (wrong,) = answer.json["errors"]
    assert wrong["field"] == name
    assert wrong["allowed"]


@pytest.mark.parametrize("what", WRONG)
def test_warned_of_in_the_answer_the_log_and_the_protocol(server: Server, what: str) -> None:
    name, value = WRONG[what]
    answer = server.predict({"features": ROW | {name: value}}, "/models/warning/predict")
    assert answer.status == 200, answer.body
    (warning,) = answer.json["warnings"]
    assert warning.startswith(f"{name}: ")
    assert _logged(server.folder, answer.json["prediction_id"])["warnings"] == [warning]
    batch = server.predict({"instances": [ROW, ROW | {name: value}, ROW]}, "/models/warning/predict").json
    told = [one.get("warnings", []) for one in batch["predictions"]]
    assert [len(one) for one in told] == [0, 1, 0]
    if what in ("range", "category"):
        kinds = {"age": ("FP64", 30.0), "city": ("BYTES", "Rome"), "member": ("BOOL", True)}
        tensors = [
            {"name": key, "shape": [1], "datatype": kind, "data": [value if key == name else usual]}
            for key, (kind, usual) in kinds.items()
        ]
        inferred = server.predict({"inputs": tensors}, "/v2/models/warning/infer").json
        assert inferred["parameters"]["warnings"].startswith(f"{name}: ")


@pytest.mark.parametrize("what", WRONG)
def test_let_through(server: Server, what: str) -> None:
    name, value = WRONG[what]
    answer = server.predict({"features": ROW | {name: value}}, "/models/open/predict")
    assert answer.status == 200, answer.body
    assert "warnings" not in answer.json


@pytest.mark.parametrize("value", ["30", True, [30], {"a": 1}, 1e39])
@pytest.mark.parametrize("model", POLICIES)
def test_what_no_policy_lets_through(server: Server, model: str, value: Any) -> None:
    answer = server.predict({"features": ROW | {"age": value}}, f"/models/{model}/predict")
    assert answer.status == 422
    assert answer.json["errors"][0]["field"] == "age"


@pytest.mark.parametrize("value", ["yes", 2, "true", [], 0.5])
def test_a_boolean_is_true_or_false(server: Server, value: Any) -> None:
    answer = server.predict({"features": ROW | {"member": value}}, "/models/open/predict")
    assert answer.status == 422
    assert answer.json["errors"][0]["allowed"] == "true or false"


def test_names_in_any_order_and_values_in_that_of_the_model(server: Server) -> None:
    answers = [
        server.predict({"features": features}, "/models/strict/predict").json["probabilities"]
        for features in (ROW, dict(reversed(ROW.items())), list(ROW.values()))
    ]
    assert answers[0] == answers[1] == answers[2]


def test_masked_in_the_log_and_the_history_but_not_in_what_the_model_sees(server: Server) -> None:
    rows = [ROW, ROW | {"age": 31.0}, ROW | {"age": 60.0, "city": "Oslo"}, ROW | {"age": None}]
    open_, strict = (
        server.predict({"instances": rows[:3]}, f"/models/{name}/predict").json["predictions"]
        for name in ("open", "strict")
    )
    assert [one["prediction"] for one in open_] == [one["prediction"] for one in strict] == [0, 0, 1]
    logged = [_logged(server.folder, one["prediction_id"])["inputs"] for one in open_]
    again = server.predict({"features": rows[0]}, "/models/open/predict").json
    missed = server.predict({"features": rows[3]}, "/models/open/predict").json
    assert {one["city"] for one in logged} == {"***"}
    hashed = [one["age"] for one in logged]
    assert all(one.startswith("sha256:") for one in hashed)
    assert len(set(hashed)) == 3
    assert logged[0]["member"] is True
    assert _logged(server.folder, again["prediction_id"])["inputs"]["age"] == hashed[0]
    assert _logged(server.folder, missed["prediction_id"])["inputs"]["age"] is None
    for file in server.folder.rglob("predictions/**/*.jsonl"):
        for line in file.read_text().splitlines():
            if json.loads(line)["model"] == "open":
                assert "Rome" not in line
    wanted = {one["prediction_id"] for one in [*open_, again, missed]}
    found = _history(server, wanted)
    assert {one["inputs"]["city"] for one in found} == {"***"}
    assert {one["inputs"]["age"] for one in found} == {*hashed, None}


def _history(server: Server, wanted: set[str]) -> list[dict[str, Any]]:
    """The rows of predictions, as soon as they are recorded."""
    for _ in range(400):
        page = server.ask("GET", "/predictions/history?limit=1000").json["history"]
        found = [one for one in page if one["prediction_id"] in wanted]
        if len(found) == len(wanted):
            return found
    raise AssertionError("not recorded")


def test_who_asks_is_told_which_rows_are_held_out_and_the_history_knows(server: Server) -> None:
    """Somebody of 30 buys nothing; where that is told, nothing is offered, so nobody sees it."""
    batch = {"instances": [ROW, ROW | {"age": 70.0}] * 20}
    answered = server.predict(batch, "/models/selecting/predict").json["predictions"]
    told = {one["prediction_id"]: one.get("hold_out", False) for one in answered}
    answers = {one["prediction_id"]: one["prediction_name"] for one in answered}

    found = _history(server, {*told})
    marks = {one["prediction_id"]: (one["selection"], one["inclusion"]) for one in found}
    for name, held in told.items():
        if held:
            assert marks[name] == ("hold_out", 0.5 if answers[name] == "no" else 1.0)
        else:
            assert marks[name] == (("decided", 0.0) if answers[name] == "no" else ("seen", 1.0))
    assert {*told.values()} == {True, False}
