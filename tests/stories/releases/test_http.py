"""Releases over HTTP, of a real server: deployed, followed, ended, gone back from; and what is refused."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.stories.releases.doors import RULES, change_settings, template
from tests.stories.serving.server import BODY, PATIENCE, Answer, Server, check_problem, running

__all__ = ["template"]
CANARY = {
    "model": "iris", "version": "2.0.0", "strategy": "canary", "hourly": 5_000, "steps": [0.25, 0.5],
    "dwell": "1h", "measures": {"accuracy": 0.2}, "unit": "request",
}  # fmt: skip
WAITING = {"staging": {"approval": "owner"}, "lab": {"validated": True}}


@pytest.fixture(scope="module")
def server(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("releases") / "project"
    shutil.copytree(template, folder)
    change_settings(folder, release={**RULES, "measures": None}, environments=WAITING)
    with running(folder) as server:
        yield server
        assert "Traceback" not in server.errors


@pytest.fixture(autouse=True)
def at_first(server: Server) -> Iterator[None]:
    """Each test finds 1.0.0 in prod and leaves it so, with nothing on its way."""
    yield
    for release in server.ask("GET", "/releases").json["releases"]:
        if release["status"] in ("waiting", "running"):
            assert post(server, f"/releases/{release['release_id']}/abort").status == 200
    post(server, "/models/iris/rollback", {"to": "1.0.0"})
    assert current(server) == "1.0.0"


def post(server: Server, path: str, body: Any = None) -> Answer:
    return server.ask("POST", path, {} if body is None else body)


def current(server: Server, environment: str = "prod") -> Any:
    places = {one["name"]: one for one in server.ask("GET", "/environments").json["environments"]}
    return places[environment]["current"].get("iris", {}).get("version")


def eventually(check: Callable[[], Any]) -> Any:
    until = time.monotonic() + PATIENCE
    while not (found := check()):
        assert time.monotonic() < until, "it did not come"
        time.sleep(0.05)
    return found


def answered_by(server: Server) -> str:
    return str(server.predict(BODY).json["model_version"])


# -- a day -------------------------------------------------------------------------------------------------


def test_a_direct_release_answers_and_goes_back(server: Server) -> None:
    answer = post(server, "/deployments", {"model": "iris", "version": "2.0.0", "reason": "spring"})
    assert answer.status == 201
    told = answer.json
    assert told["release"]["status"] == "promoted"
    assert told["plan"] == ["iris@2.0.0 answers every request in prod at once after 1.0.0."]
    assert answer.headers["location"] == f"/releases/{told['release']['release_id']}"
    assert current(server) == "2.0.0"
    eventually(lambda: answered_by(server) == "2.0.0")
    answer = post(server, "/models/iris/rollback", {"environment": "production", "reason": "complaints"})
    assert answer.json == {"model": "iris", "environment": "production", "before": "2.0.0", "after": "1.0.0"}
    eventually(lambda: answered_by(server) == "1.0.0")


def test_a_dry_run_tells_the_plan_and_releases_nothing(server: Server) -> None:
    before = server.ask("GET", "/releases").json["count"]
    answer = post(server, "/deployments", {**CANARY, "dry_run": True})
    assert (answer.status, answer.json["dry_run"]) == (200, True)
    assert answer.json["plan"][0].startswith("iris@2.0.0 answers 25 % of the requests in prod")
    assert any("is found within" in words for words in answer.json["plan"])
    shown = answer.json["release"]
    assert (shown["release_id"], shown["status"]) == ("", "planned")
    assert server.ask("GET", "/releases").json["count"] == before


def test_a_canary_is_followed_and_ended(server: Server) -> None:
    answer = post(server, "/deployments", CANARY)
    assert answer.status == 201
    where = answer.headers["location"]
    release_id = answer.json["release"]["release_id"]
    shares = {arm["name"]: sum(one["stop"] - one["start"] for one in arm["ranges"])
              for arm in answer.json["answers"]["arms"]}  # fmt: skip
    assert shares == {"canary": 2_500, "control": 2_500, "champion": 5_000}

    def by_the_canary() -> bool:
        answers = [server.predict(BODY).json for _ in range(20)]
        return any(one["variant"] == "canary" and one["model_version"] == "2.0.0" for one in answers)

    eventually(by_the_canary)
    seen = eventually(lambda: server.ask("GET", f"{where}/looks?limit=5").json["looks"])
    assert {arm["arm"] for arm in seen[-1]["seen"]} == {"canary", "control", "champion"}
    shown = server.ask("GET", where).json
    assert shown["release"]["status"] == "running"
    assert shown["look"]["release_id"] == release_id
    assert shown["plan"][0].startswith("iris@2.0.0 answers 25 %")
    listed = server.ask("GET", "/releases?model=iris&environment=production&limit=1").json["releases"]
    assert [one["release_id"] for one in listed] == [release_id]

    told = check_problem(post(server, "/deployments", CANARY), 409)
    assert release_id in told["detail"]
    answer = post(server, f"{where}/abort", {"reason": "the wrong version"})
    assert (answer.status, answer.json["release"]["outcome"]) == (200, "the wrong version")
    check_problem(post(server, f"{where}/promote"), 409)
    assert server.ask("GET", f"{where}/failures").json == {"failures": [], "count": 0}
    check_problem(server.ask("GET", "/releases/rel_none/failures"), 404)


def test_a_release_is_promoted_by_hand(server: Server) -> None:
    where = post(server, "/deployments", CANARY).headers["location"]
    answer = post(server, f"{where}/promote", {"reason": "seen enough"})
    assert (answer.status, answer.json["release"]["status"]) == (200, "promoted")
    assert answer.json["answers"]["champion"] == "2.0.0"
    assert current(server) == "2.0.0"


def test_a_release_waits_for_its_approval(server: Server) -> None:
    answer = post(server, "/deployments", {"model": "iris", "version": "2.0.0", "environment": "staging"})
    where = answer.headers["location"]
    assert answer.json["release"]["status"] == "waiting"
    told = check_problem(post(server, f"{where}/approve", {"role": "intern"}), 403)
    assert told["detail"] == "staging asks for the approval of 'owner', not of 'intern'."
    answer = post(server, f"{where}/approve", {"role": "owner", "note": "as agreed"})
    assert answer.json["release"]["status"] == "promoted"
    assert [one["note"] for one in answer.json["release"]["approvals"]] == ["as agreed"]
    places = {one["name"]: one for one in server.ask("GET", "/environments").json["environments"]}
    assert list(places) == ["dev", "staging", "prod", "lab"]
    assert places["staging"]["rules"] == "'owner' approves"
    assert places["staging"]["current"]["iris"]["version"] == "2.0.0"
    assert places["dev"]["current"] == {}


# -- what is refused -----------------------------------------------------------------------------------------

DIRECT = {"model": "iris", "version": "2.0.0"}


@pytest.mark.parametrize(
    ("path", "body", "status", "code", "detail"),
    [
        ("/deployments", {**DIRECT, "model": "nix"}, 404, "unknown_model", "no registered model 'nix'"),
        ("/deployments", {**DIRECT, "version": "9.0.0"}, 404, "unknown_version", "'9.0.0'"),
        ("/deployments", {**DIRECT, "version": "1.0.0"}, 409, "conflict", "is current in prod already"),
        ("/deployments", {**DIRECT, "environment": "prd"}, 404, "not_found", "no environment 'prd'"),
        ("/deployments", {**DIRECT, "environment": "lab"}, 403, "refused", "did not pass the gate"),
        ("/deployments", {**DIRECT, "steps": [0.1]}, 400, "invalid", "A direct release has no steps"),
        ("/deployments", {**CANARY, "hourly": 0.01}, 403, "refused", "This plan cannot finish"),
        ("/deployments", {**CANARY, "measures": {"acc": 0.1}}, 400, "invalid", "'acc' is no measure"),
        ("/deployments", {**CANARY, "measures": {"accuracy": 0}}, 400, "invalid", "margin of accuracy is 0"),
        ("/deployments", {**CANARY, "strategy": "big bang"}, 422, "invalid_request", "is 'big bang'"),
        ("/deployments", {**CANARY, "dwell": "soon"}, 422, "invalid_request", "'dwell' is 'soon'"),
        ("/deployments", {**CANARY, "steps": [0.9]}, 422, "invalid_request", "'steps.0' is 0.9"),
        ("/deployments", {**DIRECT, "modle": "iris"}, 422, "invalid_request", "'modle'"),
        ("/deployments", {"model": "iris"}, 422, "invalid_request", "'version'"),
        ("/models/nix/rollback", {}, 404, "unknown_model", "no registered model 'nix'"),
        ("/models/iris/rollback", {"to": "1.0.0"}, 409, "conflict", "is current in prod already"),
        ("/models/iris/rollback", {"at": "2020-01-01T00:00:00Z"}, 404, "not_found", "was in prod at 2020"),
        ("/models/iris/rollback", {"at": "2020-01-01T00:00"}, 404, "not_found", "2020-01-01T00:00:00+00:00"),
        ("/models/iris/rollback", {"at": "2099-01-01T00:00"}, 400, "invalid", "is still to come"),
        ("/models/iris/rollback", {"at": 3}, 422, "invalid_request", "'at' is 3"),
        ("/models/iris/rollback", {"environment": "dev"}, 409, "deployment_error", "Nothing of iris"),
        ("/releases/rel_zzzz/promote", {}, 404, "not_found", "no release 'rel_zzzz'"),
        ("/releases/rel_zzzz/abort", {"why": "x"}, 422, "invalid_request", "'why'"),
        ("/releases/rel_zzzz/approve", {}, 422, "invalid_request", "'role'"),
    ],
)  # fmt: skip
def test_what_is_refused(
    server: Server, path: str, body: dict[str, Any], status: int, code: str, detail: str
) -> None:
    told = check_problem(post(server, path, body), status)
    assert told["code"] == code
    assert detail in told["detail"]
    assert told["remedy"]


def test_what_is_read_is_refused_likewise(server: Server) -> None:
    wrong = {"model": "iris", "version": "1.0.0"}
    told = check_problem(post(server, "/deployments", {**wrong, "env": "dev"}), 422)
    assert told["remedy"] == "Did you mean 'environment'?"
    told = check_problem(post(server, "/deployments", {**wrong, "traffic": 100}), 422)
    assert told["remedy"].startswith("Known: 'alpha', 'arms'")
    assert check_problem(server.ask("GET", "/releases/rel_zzzz"), 404)["code"] == "not_found"
    assert check_problem(server.ask("GET", "/releases/rel_zzzz/looks"), 404)["code"] == "not_found"
    assert check_problem(server.ask("GET", "/releases?model=nix"), 404)["code"] == "unknown_model"
    assert check_problem(server.ask("GET", "/releases?environment=prd"), 404)["code"] == "not_found"
    assert check_problem(server.ask("GET", "/releases?limit=0"), 422)["code"] == "invalid_request"
    text = {"Content-Type": "text/plain"}
    check_problem(server.ask("POST", "/deployments", b"{}", text), 415)
    assert check_problem(server.ask("GET", "/deployments"), 405)["code"] == "method_not_allowed"


def test_the_description_has_every_path_with_examples(server: Server) -> None:
    paths = server.ask("GET", "/openapi.json").json["paths"]
    wanted = {
        "/deployments": "post", "/releases": "get", "/releases/{release_id}": "get",
        "/releases/{release_id}/looks": "get", "/releases/{release_id}/promote": "post",
        "/releases/{release_id}/abort": "post", "/releases/{release_id}/approve": "post",
        "/models/{name}/rollback": "post", "/environments": "get",
    }  # fmt: skip
    assert all(method in paths[path] for path, method in wanted.items())
    schemas = server.ask("GET", "/openapi.json").json["components"]["schemas"]
    assert all("examples" in schemas[name] for name in ("Deployment", "Because", "Approving", "GoingBack"))


def test_the_examples_of_the_description_work(server: Server) -> None:
    schemas = server.ask("GET", "/openapi.json").json["components"]["schemas"]
    where = ""
    for example in schemas["Deployment"]["examples"]:
        answer = post(server, "/deployments", {**example, "version": "2.0.0"})
        if answer.status == 409:  # another test has left it there
            answer = post(server, "/deployments", {**example, "version": "1.0.0"})
        assert answer.status == (200 if example.get("dry_run") else 201), answer.body
        where = answer.headers.get("location", where)
    for act, name in (("approve", "Approving"), ("abort", "Because"), ("promote", "Because")):
        for example in schemas[name]["examples"]:
            answer = post(server, f"{where}/{act}", example)
            assert answer.status in (200, 409), answer.body  # 409: the first of them ended it
    for example in schemas["GoingBack"]["examples"]:
        assert post(server, "/models/iris/rollback", example).status in (200, 409)
