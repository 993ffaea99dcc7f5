"""The processes of a retraining are killed, what they need goes away and comes back: it ends as if nothing
had happened, with one model registered."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from everloop.data.examples.customers import customers
from everloop.flows import status
from everloop.flows.loop import showing
from tests.drills.loop_deeds import MODEL, Scene, born, build_gate, held, kill, make, scene, shut, working
from tests.servers import free_port
from tests.servers.postgres import Postgres, postgres_server
from tests.stories.mlflow.server import mlflow_process
from tests.stories.up.keeper import fetch, kept, until

pytestmark = pytest.mark.timeout(600)  # a machine that is busy with other things

Open = Callable[..., contextlib.AbstractContextManager[Scene]]
STEPS = ("version", "validate", "decide", "train", "track", "gate", "register", "record")
PLACES = (
    "triggers",  # it has noticed why, and asks for it
    "decisions/train",  # it has decided
    "turns/running",  # it has gathered what to train on
    *(f"steps/{step}/done" for step in STEPS),
    "turns/done",
    "decisions/release_approval",
    "jobs/done",
    "releases/waiting",  # it was approved
    "decisions/ended",
)


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """A server of this module alone: it is stopped."""
    with postgres_server(durable=True) as running:
        yield running


@pytest.fixture(scope="module")
def changed(server: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """A town whose world has changed, and its database with a gate that is open."""
    folder = tmp_path_factory.mktemp("changed") / "town"
    folder.mkdir()
    with server.database() as url:
        make(folder, url)
        build_gate(url)
        yield folder, url


@pytest.fixture
def open_scene(server: Postgres, changed: tuple[Path, str], tmp_path: Path) -> Open:
    @contextlib.contextmanager
    def open_one(**sections: Any) -> Iterator[Scene]:
        folder = shutil.copytree(changed[0], tmp_path / "town")
        with server.database(like=changed[1]) as url, scene(folder, url, **sections) as opened:
            yield opened

    return open_one


EXPECTED = {
    "models": ["1.0.0", "1.0.1"],
    "champion": "1.0.1",
    "decision": ("retrain", "changed_world", "ended", "promoted", "1.0.1"),
    "alerts": 1,
    "told": {"considered": 1, "registered": 2, "promoted": 2, "concluded": 1, "approved": 1},
    "done": (1, 2),
    "under way": 0,
    "left": [],
    "damages": (),
}
ONCE = {"jobs": 1, "turns": 2, "runs": 2}  # the first turn and run are those of 1.0.0


def test_nothing_happens(open_scene: Open) -> None:
    with open_scene() as town, working(born(), town.folder):
        town.see_through()
        assert town.outcome() == EXPECTED
        assert town.tries() == ONCE


def test_who_works_is_killed_at_every_step_in_turn(open_scene: Open) -> None:
    context = born()
    with open_scene(worker={"hold": 1}) as town:  # nobody else is there who could take what it holds too soon
        for place in PLACES:
            town.approve()
            with shut(town.url, place) as gate, working(context, town.folder):
                held(gate)
        with working(context, town.folder):
            town.see_through()
        assert town.outcome() == EXPECTED
        assert town.tries() == ONCE


def test_one_of_two_workers_is_killed_and_the_other_takes_over(open_scene: Open) -> None:
    with open_scene() as town, town.worker(1) as one, town.worker(2) as other:
        with shut(town.url, "steps/train/done") as gate:
            held(gate, one)
            busy = one if "status running" in one.lines else other
            kill(busy)
        left = other if busy is one else one
        town.see_through(left)
        assert "status running" in left.lines
        assert town.outcome() == EXPECTED
        assert town.tries() == ONCE


@pytest.mark.parametrize(
    ("how", "place"),
    [(signal.SIGINT, "steps/register/done"), (signal.SIGQUIT, "steps/train/done")],
    ids=["fast", "immediate"],
)
def test_the_database_is_restarted(open_scene: Open, server: Postgres, how: int, place: str) -> None:
    with open_scene() as town, town.worker() as one:
        with shut(town.url, place) as gate:
            held(gate, one)
            server.stop(how)
        try:
            one.said("does not answer")
            assert one.process.poll() is None
        finally:
            server.start()
        town.see_through(one)
        assert town.outcome() == EXPECTED


def test_the_machine_goes_down(open_scene: Open, server: Postgres) -> None:
    with open_scene() as town:
        with shut(town.url, "steps/gate/done") as gate, everything(town, 1) as group:
            held(gate, group)
            kill(group)
            server.stop(signal.SIGKILL)
        server.start()
        with everything(town, 2) as group:
            town.see_through(group)
            until(lambda: answered(group.addresses()["predictions"]) == "1.0.1", lambda: group.lines)
            assert group.stop() == 0
        assert town.outcome() == EXPECTED
        assert town.tries() == ONCE


def everything(town: Scene, number: int) -> Any:
    words = ("up", "--port", "0", "--mlflow-port", "0", "--json")
    return kept(town.folder, *words, name=f"../up{number}")


def answered(address: str) -> str:
    """By which version."""
    (row,) = customers(1, 1).drop_columns(["churned"]).to_pylist()
    row["signup_date"] = f"{row['signup_date']}"
    said: str = fetch(address, {"features": row})["model_version"]
    return said


def test_mlflow_is_away_and_comes_back(open_scene: Open, tmp_path: Path) -> None:
    port, folder = free_port(), tmp_path / "mlflow"
    folder.mkdir()
    tracking = {"enabled": True, "uri": f"http://127.0.0.1:{port}"}
    with open_scene(tracking=tracking) as town, contextlib.ExitStack() as stack:
        with shut(town.url, "steps/track/done") as gate:
            _, process = stack.enter_context(mlflow_process(folder, port))
            worker = stack.enter_context(town.worker())
            held(gate, worker)
            os.killpg(process.pid, signal.SIGKILL)
        town.see_through(worker)
        assert town.outcome() == EXPECTED
        assert town.tries() == ONCE
        assert status.undelivered(town.project) > 0
        with mlflow_process(folder, port) as (address, _):
            until(lambda: status.undelivered(town.project) == 0, lambda: worker.lines)
            (record,) = showing.decisions(town.project, MODEL)
            assert in_mlflow(address) == ([record.run_id], ["1.0.1"])


def in_mlflow(address: str) -> tuple[list[str], list[str]]:
    """The runs and the versions that it knows, by our names."""
    api = f"{address}/api/2.0/mlflow"
    experiments = [
        one["experiment_id"] for one in fetch(f"{api}/experiments/search", {"max_results": 9})["experiments"]
    ]
    found = fetch(f"{api}/runs/search", {"experiment_ids": experiments}).get("runs", [])
    tags = [{tag["key"]: tag["value"] for tag in run["data"]["tags"]} for run in found]
    versions = fetch(f"{api}/model-versions/search?filter=name='{MODEL}'").get("model_versions", [])
    named = [{tag["key"]: tag["value"] for tag in one["tags"]} for one in versions]
    return [each["everloop.run_id"] for each in tags], [each["everloop.version"] for each in named]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_the_disk_is_full_for_a_while(small_disk: Path) -> None:
    """Database, data and models are on one disk, and nothing fits any more."""
    make(small_disk)
    with scene(small_disk, None) as town:
        filler = small_disk / "filler"
        fill(filler)
        with town.worker() as one:
            one.said("No space left")
            filler.unlink()
            town.see_through(one)
        assert town.outcome() == EXPECTED


def fill(path: Path) -> None:
    """Until nothing fits."""
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"\0" * 4096)
