"""Who looks after a server finds in its log what failed, and what belongs together."""

from __future__ import annotations

import io
import json
import multiprocessing
import os
import pty
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from tests.stories.serving.server import FLOWER, PATIENCE, iris_project, running

from everloop.adapters.logs import HIDDEN, LogFile, open_log
from everloop.core.clock import SystemClock
from everloop.settings.loading import folder_settings

FILE = ("--set", "logging.file=logs/server.log")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made: Path = tmp_path_factory.mktemp("logs")
    iris_project(made, iris={"serving": {"mask": {"sepal_width": "hide"}}})
    return made


def logged(folder: Path, **wanted: Any) -> list[dict[str, Any]]:
    """The events with these values, as soon as there is one."""
    path = folder / "logs" / "server.log"
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        if path.exists():
            events = [json.loads(line) for line in path.read_text().splitlines()]
            found = [one for one in events if wanted.items() <= one.items()]
            if found:
                return found
        time.sleep(0.05)
    raise AssertionError(f"no event with {wanted} in {path.read_text() if path.exists() else 'no file'}")


def test_a_failed_request_is_logged_with_its_id_model_and_code_but_not_its_values(folder: Path) -> None:
    with running(folder, *FILE) as server:
        assert (
            server.predict({"features": [5.1, "my secret", 1.4, 0.2]}, x_request_id="wrong-1").status == 422
        )
        (event,) = logged(folder, request_id="wrong-1")
        assert event["event"] == "request"
        assert (event["level"], event["status"], event["code"]) == ("warning", 422, "input_rejected")
        assert (event["model"], event["version"], event["tenant"]) == ("iris", "1.0.0", "default")
        assert event["ms"] >= 0
        assert event["fields"] == ["sepal_width"]
        assert (
            server.predict({"features": FLOWER}, "/models/none/predict", x_request_id="wrong-2").status == 404
        )
        assert logged(folder, request_id="wrong-2")[0]["path"] == "/models/none/predict"
        assert server.ask("GET", "/jobs/none", headers={"X-Request-ID": "wrong-3"}).status == 404
        assert logged(folder, request_id="wrong-3")[0]["status"] == 404
        assert server.predict({"features": FLOWER}, x_request_id="right-1").status == 200
    text = (folder / "logs" / "server.log").read_text()
    assert "my secret" not in text
    assert "right-1" not in text


def test_at_level_debug_every_request_is_logged(folder: Path) -> None:
    with running(folder, *FILE, "--set", "logging.level=DEBUG") as server:
        answer = server.predict({"instances": [FLOWER] * 3}, x_request_id="fine-1")
        assert answer.status == 200
        (event,) = logged(folder, request_id="fine-1")
    first = answer.json["predictions"][0]["prediction_id"]
    assert first == f"{event['prediction_id']}.0"
    assert "trace_id" not in event
    assert (event["level"], event["status"], event["rows"], event["model"]) == ("debug", 200, 3, "iris")


def test_a_retraining_is_tied_to_the_request_that_asked_for_it(folder: Path) -> None:
    with running(folder, *FILE) as server:
        asked = server.ask(
            "POST", "/trigger_retrain", {"force_retrain": True}, {"X-Request-ID": "retrain-1"}
        ).json
        (done,) = logged(folder, event="job", status="done", job_id=asked["job_id"])
        assert done["request_id"] == "retrain-1"
        assert done["turn_id"]
        steps = logged(folder, event="step", job_id=asked["job_id"], request_id="retrain-1", model="iris")
        assert len({one["step"] for one in steps}) > 3


def test_a_worker_that_dies_is_logged(folder: Path) -> None:
    with running(folder, *FILE) as server:
        children = subprocess.check_output(
            ["ps", "-o", "pid=,args=", "--ppid", str(server.process.pid)], text=True
        )
        (worker,) = [line.split()[0] for line in children.splitlines() if "everloop.api.front" in line]
        os.kill(int(worker), signal.SIGKILL)
        until = time.monotonic() + PATIENCE
        while "Another one starts" not in (folder / "logs" / "server.log").read_text():
            assert time.monotonic() < until
            time.sleep(0.05)
        assert "Worker 0 ended (code -9)" in server.errors
        (event,) = logged(folder, level="warning", worker=0, pid=int(worker), code=-9)
        assert event["event"] == "Worker 0 ended (code -9). Another one starts now."


def test_on_a_terminal_notes_are_coloured_and_elsewhere_not(folder: Path) -> None:
    settings = folder_settings(folder, {})
    plain = io.StringIO()
    with open_log(settings, SystemClock(), plain) as log:
        log.info("All workers were replaced.")
        log.error("request", status=500, request_id="r1")
        log.warning("request", status=422, request_id="r2")
    assert plain.getvalue() == "All workers were replaced.\nrequest (status 500, request_id r1)\n"
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as terminal, open_log(settings, SystemClock(), terminal) as log:
        log.error("request", status=500)
    shown = os.read(ours, 10_000).decode()
    os.close(ours)
    assert "\x1b[" in shown
    assert "500" in shown


def test_masked_fields_and_secrets_are_hidden_however_deep(tmp_path: Path) -> None:
    model = {"data": {"path": "x.csv"}, "target": "y", "serving": {"mask": {"Income": "hash"}}}
    settings = folder_settings(tmp_path, {"models": {"m": model}, "logging": {"file": "a.log"}})
    with open_log(settings, SystemClock()) as log:
        log.info("x", inputs=[{"Income": 71_234, "age": 5}], authorization="Bearer abc", income=None)
    event = json.loads((tmp_path / "a.log").read_text())
    assert event["inputs"] == [{"Income": HIDDEN, "age": 5}]
    assert event["authorization"] == HIDDEN
    assert event["income"] is None


def _write(path: Path, name: str, lines: int) -> None:
    file = LogFile(path, rotate=20_000, keep=100)
    for number in range(lines):
        file.write(f"{name} {number:05} {'x' * 80}")
    file.close()


def test_several_processes_write_whole_lines_and_lose_none_when_files_are_moved(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "a.log"
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_write, args=(path, name, 1_000)) for name in "abc"]
    for one in writers:
        one.start()
    for one in writers:
        one.join()
        assert one.exitcode == 0
    files = list(path.parent.iterdir())
    assert len(files) > 5
    assert max(one.stat().st_size for one in files) < 25_000
    lines = [line.split() for one in files for line in one.read_text().splitlines()]
    assert sorted((name, number) for name, number, _ in lines) == [
        (name, f"{number:05}") for name in "abc" for number in range(1_000)
    ]


def test_no_more_files_than_asked_for_are_kept(tmp_path: Path) -> None:
    file = LogFile(tmp_path / "a.log", rotate=100, keep=2)
    for number in range(51):
        file.write(f"line {number:03} {'x' * 60}")
    file.close()
    assert {one.name for one in tmp_path.iterdir()} == {"a.log", "a.log.1", "a.log.2"}
    assert (tmp_path / "a.log").read_text().startswith("line 050")


def test_a_full_disk_loses_lines_and_stops_nobody() -> None:
    file = LogFile(Path("/dev/full"))
    file.write("lost")
    file.close()
