"""Releases and versions from Python, as users write them; every refusal is a DeploymentError, and itself."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import joblib
import pytest
import sqlalchemy
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from tests.stories.releases.doors import ENVIRONMENTS, change_settings, folder, requests, template
from tests.stories.sdk.examples import execute

import everloop
from everloop import (
    Conflict,
    DeploymentError,
    FileMissing,
    Invalid,
    InvalidSettings,
    MLOpsError,
    ModelDeployment,
    ModelVersioning,
    NotFound,
    Refused,
    UnknownModel,
    UnknownVersion,
    WrongType,
    create_model_deployment,
    create_model_versioning,
)
from everloop.flows.releases import looking
from everloop.wiring import open_project

__all__ = ["folder", "template"]

VERSION = """
db = DatabaseConnection(url)
versioning = ModelVersioning(db, tenant_id="tenant_123")

# Version model
version_id = versioning.version_model(
    model_id="ticket_classifier",
    version="1.0.0",
    model_path="./models/ticket_classifier_v1.joblib",
    metadata={
        "training_date": "2024-01-15",
        "dataset_version": "v2.1",
        "accuracy": 0.95
    }
)

# Get lineage
lineage = versioning.get_lineage("ticket_classifier", version="1.0.0")
print(f"Model lineage: {lineage}")
"""
DEPLOY = """
deployment = ModelDeployment(tenant_id="tenant_123")

# Deploy to production
deployment_info = deployment.deploy_model(
    model_id="ticket_classifier",
    version="VERSION",
    environment="production"
)

print(f"Deployment ID: {deployment_info['deployment_id']}")
print(f"Status: {deployment_info['status']}")
"""
ROLL_BACK = """
deployment.rollback_deployment(deployment_info['deployment_id'])
"""
CATCH = """
try:
    deployment.deploy_model("ticket_classifier", "9.9.9", "production")
except DeploymentError as e:
    print(f"Deployment failed: {e.message}")
"""


@pytest.fixture
def tickets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a project and a model file, as the examples have it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "everloop.yaml").write_text(
        "store: {url: 'sqlite:///metadata.db'}\ntracking: {enabled: false}\n"
    )
    (tmp_path / "models").mkdir()
    joblib.dump(fitted(), "models/ticket_classifier_v1.joblib")
    return tmp_path


@pytest.fixture
def deployment(folder: Path, monkeypatch: pytest.MonkeyPatch) -> ModelDeployment:
    monkeypatch.chdir(folder)
    return ModelDeployment()


def fitted(iterations: int = 50) -> LogisticRegression:
    rows, target = load_iris(return_X_y=True)
    return LogisticRegression(max_iter=iterations, tol=0.1).fit(rows, target)


# -- the examples --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("database", [lambda url: url, sqlalchemy.create_engine, sqlalchemy.make_url])
def test_a_model_is_versioned_deployed_and_rolled_back(
    tickets: Path, capsys: pytest.CaptureFixture[str], database: Any
) -> None:
    names = execute(VERSION, url="sqlite:///metadata.db", DatabaseConnection=database,
                    ModelVersioning=ModelVersioning)  # fmt: skip
    assert names["version_id"] == "ticket_classifier@1.0.0"
    told = names["lineage"]
    assert (told["version"], told["data_version"], told["parents"]) == ("1.0.0", "v2.1", [])
    assert told["estimator"] == "sklearn.linear_model._logistic.LogisticRegression"
    assert told["metadata"]["training_date"] == "2024-01-15"
    assert told["metadata"]["accuracy"] == 0.95

    versioning = names["versioning"]
    path = tickets / "models" / "ticket_classifier_v2.pkl"
    joblib.dump(fitted(80), path)
    assert versioning.version_model("ticket_classifier", "1.1.0", path) == "ticket_classifier@1.1.0"
    listed = versioning.list_versions("ticket_classifier")
    assert [one["version"] for one in listed] == ["1.0.0", "1.1.0"]
    assert versioning.get_version("ticket_classifier", "1.0.0")["metrics"] == {"accuracy": 0.95}
    assert versioning.get_lineage("ticket_classifier")["parents"] == ["ticket_classifier@1.0.0"]
    rows, _ = load_iris(return_X_y=True)
    assert versioning.load_model("ticket_classifier", "1.1.0").predict(rows[:2]).tolist() == [0, 0]

    given = {"ModelDeployment": ModelDeployment, "DeploymentError": DeploymentError}
    first = execute(DEPLOY.replace("VERSION", "1.0.0"), **given)
    assert first["deployment_info"]["environment"] == "prod"
    names = execute(DEPLOY.replace("VERSION", "1.1.0") + ROLL_BACK + CATCH, **given)
    assert names["deployment_info"]["status"] == "promoted"
    said = capsys.readouterr().out
    assert "Status: promoted" in said
    assert "Deployment failed: There is no model version '9.9.9'." in said
    deployment = names["deployment"]
    ended = deployment.get_deployment(names["deployment_info"]["deployment_id"])
    assert (ended["status"], ended["outcome"]) == ("rolled_back", "rolled back by hand")
    assert [one["status"] for one in deployment.list_deployments()] == ["rolled_back", "promoted"]
    what = [one["what"] for one in versioning.get_lineage("ticket_classifier", "1.1.0")["promotions"]]
    assert what[0].startswith("ticket_classifier@1.1.0 is champion after 1.0.0")
    assert ModelVersioning("sqlite:///metadata.db", "another").__class__ is ModelVersioning
    with pytest.raises(UnknownModel):
        create_model_versioning("sqlite:///metadata.db", "another").list_versions("ticket_classifier")


# -- releases ------------------------------------------------------------------------------------------------


def test_a_canary_from_python(deployment: ModelDeployment, folder: Path) -> None:
    asked: dict[str, Any] = {
        "strategy": "canary", "hourly": 5_000, "steps": [0.05, 0.5], "dwell": "0s", "longest": "7d",
        "unit": "entity", "rules": [({"country": ["DE", "AT"]}, "canary")], "overrides": {"user-7": "canary"},
    }  # fmt: skip
    planned = deployment.deploy_model("iris", "2.0.0", dry_run=True, **asked)
    assert planned["plan"][0].startswith("iris@2.0.0 answers 5 % of the requests in prod")
    assert (planned["deployment_id"], planned["status"]) == ("", "planned")
    assert len(deployment.list_deployments()) == 1
    begun = deployment.deploy_model("iris", "2.0.0", reason="spring", **asked)
    assert (begun["status"], begun["against"], begun["reason"]) == ("running", "1.0.0", "spring")

    requests(folder, begun["deployment_id"], 20)
    project = open_project(folder=folder)
    everloop_looks = [looking.look(project, begun["deployment_id"])[1].verdict]
    project.close()
    assert everloop_looks == ["hold"]  # nothing is recorded yet
    done = deployment.promote_deployment(begun["deployment_id"], "seen enough")
    assert (done["status"], done["outcome"]) == ("promoted", "seen enough")
    assert deployment.rollback_model("iris", reason="complaints") == "1.0.0"
    assert deployment.rollback_model("iris", "production", to="2.0.0") == "2.0.0"


def test_a_release_on_its_way_is_rolled_back_or_aborted(deployment: ModelDeployment) -> None:
    begun = deployment.deploy_model("iris", "2.0.0", strategy="blue-green")
    ended = deployment.rollback_deployment(begun["deployment_id"], "it is slow")
    assert (ended["status"], ended["outcome"]) == ("rolled_back", "it is slow")
    begun = deployment.deploy_model("iris", "2.0.0", strategy="blue-green")
    assert deployment.abort_deployment(begun["deployment_id"])["status"] == "aborted"
    found = deployment.list_deployments("iris", "production", limit=2)
    assert [one["status"] for one in found] == ["aborted", "rolled_back"]


def test_an_approval_is_waited_for(deployment: ModelDeployment, folder: Path) -> None:
    change_settings(folder, environments={"prod": {"approval": "owner"}})
    asked = create_model_deployment()
    waiting = asked.deploy_model("iris", "2.0.0")
    assert waiting["status"] == "waiting"
    with pytest.raises(Refused, match="not of 'intern'"):
        asked.approve_deployment(waiting["deployment_id"], "intern")
    assert asked.approve_deployment(waiting["deployment_id"], "owner", "as agreed")["status"] == "promoted"


# -- what is refused -----------------------------------------------------------------------------------------


def check(caught: pytest.ExceptionInfo[MLOpsError], kind: type[MLOpsError], message: str, code: str) -> None:
    """It is both, and says what it would say elsewhere."""
    error = caught.value
    assert isinstance(error, DeploymentError)
    assert isinstance(error, kind)
    assert type(error).__name__ == kind.__name__
    assert (message in error.message, error.code) == (True, code)
    assert str(error) == f"{error.message} {error.remedy}".strip()


@pytest.mark.parametrize(
    ("given", "asked", "kind", "message", "code"),
    [
        (("nix", "1.0.0"), {}, UnknownModel, "no registered model 'nix'", "unknown_model"),
        (("iris", "9.0.0"), {}, UnknownVersion, "no model version '9.0.0'", "unknown_version"),
        (("iris", "1.0.0", "production"), {}, Conflict, "is current in prod already", "conflict"),
        (("iris", "2.0.0", "prd"), {}, NotFound, "no environment 'prd'", "not_found"),
        (("iris", "2.0.0"), {"strategy": "canary"}, Refused, "no traffic on iris", "refused"),
        (("iris", "2.0.0"), {"strategy": "fast"}, Invalid, "no strategy 'fast'", "invalid"),
        (("iris", "2.0.0"), {"strategy": 5}, WrongType, "strategy is 5: input", "wrong_type"),
        ((7, "2.0.0"), {}, WrongType, "model_id is 7", "wrong_type"),
        (("iris", "2.0.0"), {"steps": 0.1}, WrongType, "steps is 0.1", "wrong_type"),
        (("iris", "2.0.0"), {"hourly": "many"}, WrongType, "hourly is 'many'", "wrong_type"),
        (("iris", "2.0.0"), {"alpha": float("nan")}, WrongType, "alpha is nan", "wrong_type"),
        (("iris", "2.0.0"), {"measures": {"mae": None}}, WrongType, "measures.mae is None", "wrong_type"),
        (("iris", "2.0.0"), {"arms": {"red": ("2.0.0", "much")}}, WrongType, "arms.red.1 is", "wrong_type"),
        (("iris", "2.0.0"), {"rules": [({"c": "DE"}, "canary")]}, WrongType, "rules.0.0.c is", "wrong_type"),
        (("iris", "2.0.0"), {"dwell": "soon"}, Invalid, "'soon' is no span of time", "invalid"),
        (("iris", "2.0.0"), {"goal": "worse"}, Invalid, "goal is 'worse'", "invalid"),
        (("iris", "2.0.0"), {"unit": "user"}, Invalid, "unit is 'user'", "invalid"),
        (("iris", "2.0.0"), {"steps": [0.1]}, Invalid, "A direct release has no steps", "invalid"),
    ],
)
def test_what_deploy_model_refuses(
    deployment: ModelDeployment,
    given: tuple[str, ...],
    asked: dict[str, Any],
    kind: type[MLOpsError],
    message: str,
    code: str,
) -> None:
    with pytest.raises(DeploymentError) as caught:
        deployment.deploy_model(*given, **asked)
    check(caught, kind, message, code)
    assert len(deployment.list_deployments()) == 1


def test_what_the_other_methods_refuse(deployment: ModelDeployment) -> None:
    first = deployment.list_deployments()[0]["deployment_id"]
    with pytest.raises(DeploymentError, match=r"nothing before iris@1\.0\.0 in prod to") as caught:
        deployment.rollback_deployment(first)
    assert type(caught.value) is DeploymentError
    with pytest.raises(DeploymentError) as unknown:
        deployment.get_deployment("rel_zzzz")
    check(unknown, NotFound, "no release 'rel_zzzz'", "not_found")
    with pytest.raises(DeploymentError) as zone:
        deployment.rollback_model("iris", at=datetime(2026, 3, 1))
    check(zone, Invalid, "at has no time zone", "invalid")
    with pytest.raises(DeploymentError) as over:
        deployment.promote_deployment(first)
    check(over, Conflict, "is promoted", "conflict")
    second = deployment.deploy_model("iris", "2.0.0")["deployment_id"]
    deployment.rollback_deployment(second)
    with pytest.raises(DeploymentError) as twice:
        deployment.rollback_deployment(second)
    check(twice, Conflict, "is rolled_back and not what answers in prod", "conflict")


def test_a_rule_of_an_environment_refuses(deployment: ModelDeployment, folder: Path) -> None:
    change_settings(folder, environments=ENVIRONMENTS)
    with pytest.raises(DeploymentError) as caught:
        ModelDeployment().deploy_model("iris", "2.0.0", "staging")
    check(caught, Refused, "did not pass the gate (made outside of everloop)", "refused")


def test_a_version_from_outside_cannot_say_that_it_passed_the_gate(
    tickets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tickets / "everloop.yaml").write_text(
        "environments: {prod: {validated: true}}\ntracking: {enabled: false}\n"
    )
    told = {"gate_verdict": "promote"}
    ModelVersioning().version_model("m", "1.0.0", "models/ticket_classifier_v1.joblib", told)
    with pytest.raises(Refused, match="did not pass the gate"):
        ModelDeployment().deploy_model("m", "1.0.0")


def test_what_versioning_refuses(tickets: Path) -> None:
    versioning = ModelVersioning()
    path = "models/ticket_classifier_v1.joblib"
    with pytest.raises(DeploymentError) as missing:
        versioning.version_model("m", "1.0.0", "models/nix.joblib")
    check(missing, FileMissing, "There is no model file at", "file_missing")
    with pytest.raises(DeploymentError) as distrusted:
        versioning.version_model("m", "1.0.0", path, trust_pickle=False)
    check(distrusted, Refused, "loading a pickle runs whatever code is inside", "refused")
    for name in ("ti/ck ets", "", "m@1", "../m", "m" * 101):
        with pytest.raises(DeploymentError) as named:
            versioning.version_model(name, "1.0.0", path)
        check(named, Invalid, f"A model cannot be called '{name}'", "invalid")
    versioning.version_model("m", "1.0.0", path)
    with pytest.raises(DeploymentError) as taken:
        versioning.version_model("m", "1.0.0", path)
    check(taken, Conflict, "m@1.0.0 is there already", "conflict")
    with pytest.raises(DeploymentError) as number:
        versioning.version_model("m", "one", path)
    check(number, Invalid, "'one' is not a semantic version", "invalid")
    joblib.dump({"no": "model"}, "models/dict.joblib")
    with pytest.raises(DeploymentError) as dictionary:
        versioning.version_model("m", "2.0.0", "models/dict.joblib")
    check(dictionary, WrongType, "", "wrong_type")
    with pytest.raises(DeploymentError) as metric:
        versioning.version_model("m", "2.0.0", path, {"accuracy": float("nan")})
    check(metric, Invalid, "The metric 'accuracy' is nan", "invalid")
    with pytest.raises(DeploymentError) as thing:
        versioning.version_model("m", "2.0.0", path, {"by": "ann", "trainer": object()})
    check(thing, WrongType, "metadata.trainer is <object", "wrong_type")
    with pytest.raises(DeploymentError) as unknown:
        versioning.get_lineage("m", "7.0.0")
    check(unknown, UnknownVersion, "no model version '7.0.0'", "unknown_version")
    with pytest.raises(DeploymentError) as database:
        ModelVersioning(42)
    check(database, InvalidSettings, "int is no database", "invalid_settings")
    with pytest.raises(DeploymentError) as mysql:
        ModelVersioning("mysql://host/db")
    check(mysql, InvalidSettings, "SQLite and PostgreSQL are supported", "invalid_settings")


def test_a_database_is_named_from_here_as_sqlalchemy_would(
    tickets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    below = tickets / "below"
    below.mkdir()
    monkeypatch.chdir(below)
    path = tickets / "models" / "ticket_classifier_v1.joblib"
    ModelVersioning(sqlalchemy.create_engine("sqlite:///own.db")).version_model("m", "1.0.0", path)
    assert (below / "own.db").exists()
    assert not (tickets / "own.db").exists()
    assert ModelDeployment(db="sqlite:///own.db").deploy_model("m", "1.0.0")["status"] == "promoted"


def test_a_database_in_postgresql(tickets: Path, postgres_database: str) -> None:
    engine = sqlalchemy.create_engine(postgres_database.replace("postgresql:", "postgresql+psycopg:"))
    versioning = create_model_versioning(engine, "tenant_123")
    assert versioning.version_model("m", "1.0.0", "models/ticket_classifier_v1.joblib") == "m@1.0.0"
    deployment = ModelDeployment("tenant_123", db=engine)
    assert deployment.deploy_model("m", "1.0.0", "dev")["status"] == "promoted"
    versioning.close()
    deployment.close()


def test_the_front_hall_names_them() -> None:
    assert {"ModelDeployment", "ModelVersioning", "create_model_deployment"} <= set(everloop.__all__)
