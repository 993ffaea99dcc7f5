"""One command starts all of it, keeps it, and ends it in order."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.rights import ordinary
from tests.servers import free_port
from tests.stories.serving.server import BODY
from tests.stories.up.keeper import PATIENCE, Kept, fetch, gone, kept, until


def up(folder: Path, mlflow: int) -> contextlib.AbstractContextManager[Kept]:
    return kept(folder, "up", "--port", "0", "--mlflow-port", str(mlflow), "--json")


def order(lines: str, *words: str) -> list[int]:
    """Where each of these stands first. Raises ValueError for one that does not."""
    return [lines.index(word) for word in words]


def test_a_day_of_the_group(flowers: Path) -> None:
    """It answers; each of its members is killed in turn and comes back; then it ends in order."""
    with up(flowers, free_port()) as group:
        addresses = group.addresses()
        assert set(addresses) == {"predictions", "dashboard", "api", "mlflow"}
        assert fetch(addresses["predictions"], BODY)["prediction_name"] == "setosa"
        assert "MLflow" in fetch(addresses["mlflow"])
        experiments = f"{addresses['mlflow']}/api/2.0/mlflow/experiments/search"
        names = until(  # the worker has brought what waited
            lambda: {one["name"] for one in fetch(experiments, {"max_results": 9})["experiments"]} & {"iris"}
        )
        assert names == {"iris"}

        for name in ("worker", "mlflow", "serve"):
            before = until(lambda name=name: group.member(name))
            before.kill()
            group.said(
                "was killed by signal 9. It starts again now.", 1 + ["worker", "mlflow", "serve"].index(name)
            )
            group.said(f"{name:<6} | is back.")
            after = until(lambda name=name: group.member(name))
            assert after.pid != before.pid
        assert fetch(addresses["predictions"], BODY)["prediction_name"] == "setosa"
        assert fetch(addresses["mlflow"] + "/health") == "OK"

        everybody = group.everybody()
        assert group.stop() == 0, group.lines
        assert gone(everybody)
        stops = order(
            group.lines, *(f"{name:<6} | is told to stop." for name in ("serve", "worker", "mlflow"))
        )
        assert stops == sorted(stops)
        answered = group.lines.index("requests under way are answered")
        assert stops[0] < answered < stops[1]
        assert "All have ended." in group.lines


def test_nothing_is_left_when_it_is_killed(flowers: Path) -> None:
    with up(flowers, free_port()) as group:
        group.addresses()
        everybody = group.everybody()
        assert len(everybody) >= 4  # three members, and a process that answers
        group.process.kill()
        until(lambda: gone(everybody), lambda: f"{[one.cmdline() for one in everybody if one.is_running()]}")


def test_a_second_signal_ends_all_at_once(flowers: Path) -> None:
    with up(flowers, free_port()) as group:
        group.addresses()
        everybody = group.everybody()
        worker = group.member("worker")
        assert worker is not None
        worker.suspend()  # it will not end when it is told to
        group.process.send_signal(signal.SIGINT)
        group.said("worker | is told to stop.")
        assert group.stop(signal.SIGINT) == 130
        until(lambda: gone(everybody))


@pytest.mark.parametrize(("option", "who"), [("--port", "The API"), ("--mlflow-port", "MLflow")])
def test_a_port_in_use_is_told_before_anything_is_started(flowers: Path, option: str, who: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        other = {"--port": "--mlflow-port", "--mlflow-port": "--port"}[option]
        done = command(flowers, "up", option, str(port), other, str(free_port()))
    assert done.returncode == 40
    assert f"{who} cannot listen on port {port} of 127.0.0.1: address already in use." in done.stderr
    assert f"everloop up {option}" in done.stderr
    assert " | " not in done.stderr


def test_both_on_one_port_are_told_apart(flowers: Path) -> None:
    port = str(free_port())
    done = command(flowers, "up", "--port", port, "--mlflow-port", port)
    assert done.returncode == 40
    assert f"MLflow cannot listen on port {port}" in done.stderr


def test_who_dies_again_and_again_is_tried_ever_more_rarely_and_the_others_go_on(flowers: Path) -> None:
    """MLflow's port is taken by somebody else while it was away."""
    port = free_port()
    with up(flowers, port) as group, socket.socket() as taker:
        addresses = group.addresses()
        taker.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        mlflow = group.member("mlflow")
        assert mlflow is not None
        mlflow.suspend()  # so that nothing begins between its end and what comes now
        mlflow.kill()
        until(lambda: bound(taker, port))
        for pause in ("now", "in 1 s", "in 2 s"):
            group.said(f"It starts again {pause}.")
        assert (
            f"mlflow | MLflow cannot listen on port {port} of 127.0.0.1: address already in use."
            in group.lines
        )
        assert fetch(addresses["predictions"], BODY)["prediction_name"] == "setosa"
        taker.close()
        group.said("mlflow | is back.")
        assert group.stop() == 0


def bound(one: socket.socket, port: int) -> bool:
    try:
        one.bind(("127.0.0.1", port))
        one.listen()
    except OSError:
        return False
    return True


def test_without_pages_of_mlflow(flowers: Path) -> None:
    with up(flowers, 0) as group:
        assert "mlflow" not in group.addresses()
        assert group.member("mlflow") is None
        assert group.stop() == 0


def command(folder: Path, *words: str) -> subprocess.CompletedProcess[Any]:
    return subprocess.run(
        [sys.executable, "-m", "everloop", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )


def test_processes_are_looked_at() -> None:
    """The tests above would notice one that is left."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        assert not gone([psutil.Process(process.pid)])


def test_a_database_that_may_only_be_read_is_told_until_it_may_be_written(flowers: Path) -> None:
    """Predictions are answered meanwhile, and are in the database afterwards."""
    database = flowers / ".everloop/everloop.db"
    denied = f"The database {database} can be read, but cannot be written. Check its owner and permissions."
    database.chmod(0o444)
    words = ("up", "--port", "0", "--mlflow-port", "0", "--json")
    with kept(flowers, *words, under=ordinary()) as group:
        address = group.addresses()["predictions"].removesuffix("/predict")
        group.said(f"worker | {denied} Until it can be written, nothing is done.")
        group.said(f"serve  | {denied} Until it can be written, predictions are answered and kept in files")
        until(lambda: fetch(f"{address}/ready").get("problem", "").startswith(denied))
        assert fetch(f"{address}/ready")["ready"]
        health = fetch(f"{address}/health")
        assert (health["status"], health["problem"]) == ("degraded", fetch(f"{address}/ready")["problem"])
        predicted = fetch(f"{address}/predict", BODY)["prediction_id"]
        database.chmod(0o644)
        group.said("serve  | The database can be written again: what was predicted meanwhile is recorded.")
        until(lambda: predicted in str(fetch(f"{address}/predictions/history")))
        until(lambda: fetch(f"{address}/health")["status"] == "healthy")
        assert "problem" not in fetch(f"{address}/ready")
        assert group.stop() == 0, group.lines
