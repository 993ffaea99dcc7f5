"""Alerts at the command line and over HTTP; a server delivers what others open."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from tests.servers import free_port, receivers
from tests.stories.alerts.incidents import MODELS, drift, take, worse
from tests.stories.serving.server import PATIENCE, Server, check_problem, iris_project, running
from tests.stories.test_cli import everloop

from everloop.wiring import open_project

SECRET = "hunter2secret"


def write(folder: Path, **alerts: object) -> Path:
    tree = {"models": MODELS, "tracking": {"enabled": False}, "alerts": alerts}
    folder.mkdir(exist_ok=True)
    (folder / "everloop.yaml").write_text(yaml.safe_dump(tree))
    return folder


def opened(folder: Path, *, level: str = "critical") -> str:
    here = open_project(folder=folder)
    try:
        (alert,) = take(here, worse(level=level), drift("age"), damage="40 wrong answers a day")
        return alert.alert_id
    finally:
        here.close()


def said(folder: Path, *arguments: str, code: int = 0) -> str:
    done = everloop(folder, "alerts", *arguments)
    assert done.code == code, f"{done.out}{done.err}"
    return done.out + done.err


# -- the command line --------------------------------------------------------------------------------------


def test_a_day_with_an_alert(tmp_path: Path, hook: receivers.Http) -> None:
    folder = write(tmp_path / "p", channels={"hook": f"cloudevents+http://{hook.address}/"})
    assert "No alert is open" in said(folder, "list")
    alert = opened(folder)
    listed = said(folder, "list", "iris")
    for words in (alert, "accuracy fell to 0.61", "hook (critical)", "Messages that wait to be delivered: 1"):
        assert words in listed
    assert said(folder, "deliver") == "1 delivered, 0 given up.\n"
    assert said(folder, "deliver") == "Nothing waits.\n"
    shown = said(folder, "show", alert[-8:])
    for words in ("40 wrong answers a day", "nothing yet", "age has changed", "in 1 window\n"):
        assert words in shown
    assert said(folder, "close", alert, "--why", "a holiday") == f"{alert} is closed: a holiday\n"
    assert "closed by" in said(folder, "list", "--all")
    assert "was closed by" in said(folder, "close", alert, "--why", "again", code=40)
    history = everloop(folder, "history", "iris").out
    assert "alerted" in history
    assert "a holiday" in history
    document = everloop(folder, "alerts", "list", "--all", "--json").json
    assert document["alerts"][0]["alert_id"] == alert
    assert document["undelivered"]["waiting"] == 1


def test_silences(tmp_path: Path, hook: receivers.Http) -> None:
    folder = write(tmp_path / "p", channels={"hook": f"cloudevents+http://{hook.address}/"})
    out = said(folder, "silence", "iris", "--subject", "accuracy", "--for", "2h", "--why", "we know")
    assert out.startswith("accuracy of iris is silenced until ")
    opened(folder)
    assert "silenced by" in said(folder, "list")
    assert "Nothing waits" in said(folder, "deliver")
    made = out.split()[-1]
    assert made in said(folder, "silences")
    assert said(folder, "silences", "--end", made) == f"{made} has ended.\n"
    assert "Nothing is silenced" in said(folder, "silences")
    assert made in said(folder, "silences", "--all")
    assert "looked at" not in out
    doubted = said(folder, "silence", "iris", "--subject", "acuracy", "--for", "2h", "--why", "we know")
    assert "No monitor of iris has looked at 'acuracy' yet. Did you mean 'accuracy'?" in doubted
    assert "no span of time" in said(folder, "silence", "iris", "--for", "soon", "--why", "x", code=20)
    assert "Did you mean 'iris'" in said(folder, "silence", "irsi", "--for", "2h", "--why", "x", code=14)


def test_channels_are_tried_and_failures_leave_with_50(tmp_path: Path, hook: receivers.Http) -> None:
    channels = {"hook": f"cloudevents+http://{hook.address}/"}
    folder = write(tmp_path / "p", channels=channels)
    assert said(folder, "test") == "Reached: hook\n"
    folder = write(folder, channels={**channels, "dead": f"cloudevents+http://127.0.0.1:{free_port()}/"})
    assert "cannot be reached" in said(folder, "test", code=50)
    assert said(folder, "test", "hook") == "Reached: hook\n"
    opened(folder)
    assert "1 waiting, 1 delivered. dead: " in said(folder, "deliver", code=50)


def test_the_doctor_says_what_was_not_delivered(tmp_path: Path, hook: receivers.Http) -> None:
    folder = write(tmp_path / "p", channels={"hook": f"cloudevents+http://{hook.address}/"})

    def told() -> tuple[object, str]:
        everything = everloop(folder, "doctor", "--json").json["checks"]
        found = next(one for one in everything if one["name"] == "alerts")
        return found["ok"], found["message"]

    opened(folder)
    assert told() == (True, "channels: hook")
    hook.status = 500
    said(folder, "deliver", code=50)
    assert told() == (False, "1 waiting; last error: 127.0.0.1 answered 500.")
    hook.status = 400
    said(folder, "deliver")
    assert told()[0] is False
    assert "given up in the last 7 days" in told()[1]
    write(folder)
    said(folder, "test", code=11)


def test_the_settings_show_no_address(tmp_path: Path) -> None:
    folder = write(
        tmp_path / "p",
        channels={"chat": f"slack://{SECRET}/{SECRET}/x", "mail": f"mailto://a:{SECRET}@b.org"},
    )
    for arguments in ([], ["--json"], ["--all"]):
        shown = everloop(folder, "settings", *arguments).out
        assert "slack://…" in shown
        assert SECRET not in shown


@pytest.mark.parametrize(
    "channels",
    [SECRET, {"chat": [SECRET]}, {"chat": SECRET}, {"no name": f"slack://{SECRET}"}, {"x": {"y": SECRET}}],
)
def test_a_wrong_address_is_refused_without_telling_it(tmp_path: Path, channels: object) -> None:
    done = everloop(write(tmp_path / "p", channels=channels), "alerts", "list")
    assert done.code == 21
    assert "alerts.channels" in done.err
    assert SECRET not in done.err + done.out


def test_a_channel_of_the_environment_is_the_one_that_a_rule_names(
    tmp_path: Path, hook: receivers.Http, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVERLOOP_ALERTS__CHANNELS__TEAM", f"cloudevents+http://{hook.address}/")
    dead = {"Team": f"cloudevents+http://127.0.0.1:{free_port()}/"}
    folder = write(tmp_path / "p", channels=dead, rules=[{"channels": ["Team"]}])
    assert said(folder, "test", "TEAM") == "Reached: team\n"
    opened(folder)
    assert said(folder, "deliver") == "1 delivered, 0 given up.\n"
    settings = {
        one["setting"]: one["from"] for one in everloop(folder, "settings", "--json").json["settings"]
    }
    assert settings["alerts.channels.team"] == "environment EVERLOOP_ALERTS__CHANNELS__TEAM"


def test_a_rule_for_a_channel_that_there_is_none_of_is_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "p", channels={"team": "mailto://b.org"}, rules=[{"channels": ["taem"]}])
    assert "'taem', which is none of: team" in everloop(folder, "alerts", "list").err


# -- a server ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def receiver() -> Iterator[receivers.Http]:
    with receivers.http() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, receiver: receivers.Http) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("alerts")
    channels = {"hook": f"cloudevents+http://{receiver.address}/{SECRET}"}
    iris_project(folder, alerts={"channels": channels, "link": "http://127.0.0.1:5000"})
    with running(folder) as server:
        yield server
        assert "Traceback" not in server.errors
        assert SECRET not in server.errors


@pytest.fixture
def alert(server: Server) -> Iterator[str]:
    made = opened(server.folder)
    yield made
    server.ask("POST", f"/alerts/{made}/close", {"why": "the test has ended"})


def test_a_server_delivers_what_others_open(server: Server, receiver: receivers.Http, alert: str) -> None:
    until = time.monotonic() + PATIENCE
    while not any(alert in body.decode() for _, _, body in receiver.requests):
        assert time.monotonic() < until, "nothing came"
        time.sleep(0.05)
    event = json.loads(receiver.requests[-1][2])
    assert event["data"]["link"] == f"http://127.0.0.1:5000/alerts/{alert}"


def test_alerts_are_listed_shown_and_closed(server: Server, alert: str) -> None:
    listed = server.ask("GET", "/alerts?model=iris").json
    assert listed["count"] == 1
    assert listed["alerts"][0]["alert_id"] == alert
    shown = server.ask("GET", f"/alerts/{alert}").json
    assert shown["damage"] == "40 wrong answers a day"
    assert [each["result"]["subject"] for each in shown["findings"]] == ["accuracy", "age"]
    assert server.ask("POST", f"/alerts/{alert}/close", {"why": "seen"}).json["status"] == "closed"
    check_problem(server.ask("POST", f"/alerts/{alert}/close", {"why": "seen"}), 409)
    assert server.ask("GET", "/alerts").json["alerts"] == []
    assert alert in [one["alert_id"] for one in server.ask("GET", "/alerts?status=closed").json["alerts"]]


def test_silences_are_made_listed_and_ended(server: Server) -> None:
    made = server.ask("POST", "/silences", {"model": "iris", "subject": "age", "for": "2h", "why": "we know"})
    assert made.status == 201
    named = made.json["silence_id"]
    assert [one["silence_id"] for one in server.ask("GET", "/silences").json["silences"]] == [named]
    assert server.ask("DELETE", f"/silences/{named}").status == 200
    check_problem(server.ask("DELETE", f"/silences/{named}"), 409)
    assert server.ask("GET", "/silences").json["count"] == 0
    assert named in [one["silence_id"] for one in server.ask("GET", "/silences?every=true").json["silences"]]


def test_the_examples_of_the_description_work(server: Server, alert: str) -> None:
    schemas = server.ask("GET", "/openapi.json").json["components"]["schemas"]
    (closing,), (silencing,) = schemas["Closing"]["examples"], schemas["Silencing"]["examples"]
    assert server.ask("POST", f"/alerts/{alert}/close", closing).status == 200
    made = server.ask("POST", "/silences", silencing)
    assert made.status == 201
    server.ask("DELETE", f"/silences/{made.json['silence_id']}")


def test_a_path_tells_all_its_methods(server: Server) -> None:
    assert server.ask("PUT", "/silences", {}).headers["allow"] == "GET, POST"


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/alerts/alert_nothing", None, 404),
        ("GET", "/alerts?model=nobody", None, 404),
        ("GET", "/alerts?status=half", None, 422),
        ("POST", "/alerts/alert_nothing/close", {"why": "x"}, 404),
        ("POST", "/alerts/alert_nothing/close", {}, 422),
        ("POST", "/silences", {"for": "2h"}, 422),
        ("POST", "/silences", {"for": "soon", "why": "x"}, 422),
        ("POST", "/silences", {"for": "91d", "why": "x"}, 400),
        ("POST", "/silences", {"model": "nobody", "for": "2h", "why": "x"}, 404),
        ("DELETE", "/silences/silence_nothing", None, 404),
    ],
)
def test_what_is_wrong_is_refused(server: Server, method: str, path: str, body: object, status: int) -> None:
    check_problem(server.ask(method, path, body), status)
