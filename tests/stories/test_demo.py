"""A newcomer runs the demo, looks at what it left, lets another week arrive, and spoils no other folder."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from contextlib import chdir, closing, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import pytest

from everloop import wiring
from everloop.cli import main
from everloop.flows import delivery, report
from everloop.flows import history as histories

LIGHT = ("--set", "training.params.max_iter=5")
OFFLINE = ("--set", "tracking.enabled=false")


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str


def everloop(*arguments: str, folder: Path) -> Said:
    """The command in this process: loading all libraries anew for each would take longer than the rest."""
    out, err = StringIO(), StringIO()
    with chdir(folder), redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as end:
        main(arguments)
    return Said(int(end.value.code or 0), out.getvalue(), err.getvalue())


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where somebody has run the demo for three weeks."""
    folder = tmp_path_factory.mktemp("newcomer")
    done = everloop("demo", "--weeks", "3", *LIGHT, folder=folder)
    assert done.code == 0, done.err
    (folder / "said.txt").write_text(done.out)
    (folder / "progress.txt").write_text(done.err)
    return folder


def test_it_tells_each_week_and_ends_with_what_to_try(place: Path) -> None:
    progress, said = (place / "progress.txt").read_text(), (place / "said.txt").read_text()
    assert "4 turns to do" in progress
    assert "The first model, of 80,789 flights from January to March: accuracy 0." in progress
    assert [line[:6] for line in progress.splitlines() if "Apr " in line] == ["01 Apr", "08 Apr", "15 Apr"]
    assert "4 turns on 100,519 rows in the end" in said
    assert "cd everloop-demo" in said
    assert "mlflow ui --backend-store-uri sqlite:///" in said
    assert f"Report: {place / 'everloop-demo' / 'report.html'}" in said


def test_it_leaves_a_project_that_the_other_commands_know(place: Path) -> None:
    project = place / "everloop-demo"
    done = everloop("history", "late", "--json", folder=project)
    assert done.code == 0, done.err
    kinds = [event["kind"] for event in json.loads(done.out)["events"]]
    assert kinds[:6] == ["validated", "decided", "trained", "judged", "registered", "promoted"]
    assert (project / "data" / "flights.parquet").is_file()


def test_mlflow_has_every_training(place: Path) -> None:
    project = wiring.open_project(folder=place / "everloop-demo")
    try:
        delivery.deliver(project)  # what the courier had no time for on a slow machine
        trained = [e for e in histories.events(project, "late") if e.kind == "trained"]
    finally:
        project.close()
    with closing(sqlite3.connect(place / "everloop-demo" / ".everloop" / "mlflow.db")) as ledger:
        (runs,) = ledger.execute("SELECT count(*) FROM runs WHERE status = 'FINISHED'").fetchone()
    assert runs == len(trained) >= 1


def test_the_report_is_about_these_weeks(place: Path) -> None:
    page = (place / "everloop-demo" / "report.html").read_text()
    assert "4 turns on 100,519 rows in the end" in page
    assert '"2013-04-21"' in page
    assert '"wind_gust"' in page  # a row of the drift figure
    assert '<img alt="ROC curve" src="data:image/png;base64,' in page


def test_the_first_model_is_measured_on_the_same_flights(place: Path) -> None:
    project = wiring.open_project(folder=place / "everloop-demo")
    try:
        found = report.gather(project, "late")
    finally:
        project.close()
    weeks = found.points[1:]
    assert len(found.compared) == len(weeks) == 3
    for p in weeks:
        if p.served == "1.0.0":
            assert found.gain(p) == 0
        else:
            assert p.first["log_loss"] != p.metrics["log_loss"]
            assert p.first["base_rate"] == p.metrics["base_rate"]


def test_called_again_it_goes_on_where_it_was(place: Path) -> None:
    done = everloop("demo", "--weeks", "4", "--json", *LIGHT, *OFFLINE, folder=place)
    assert done.code == 0, done.err
    first = json.loads(done.out)
    assert first["turns"] == 5
    again = everloop("demo", "--weeks", "4", "--json", *LIGHT, *OFFLINE, folder=place)
    assert json.loads(again.out)["turns"] == 5


def test_a_folder_with_something_else_is_left_alone(place: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    done = everloop("demo", "--dir", str(tmp_path), "--fresh", folder=place)
    assert done.code == 40
    assert "holds something else" in done.err
    assert "--dir" in done.err
    assert [f.name for f in tmp_path.iterdir()] == ["thesis.txt"]


def test_threads_are_told_to_sleep_before_a_library_starts_them(tmp_path: Path) -> None:
    """Ones that spin while they wait took half as long again for the whole demo beside MLflow's courier."""
    probe = (
        "import os, pathlib, sys; from everloop import wiring;"
        f"wiring.create_demo(pathlib.Path({str(tmp_path)!r}), fresh=False);"
        "print(os.environ.get('OMP_WAIT_POLICY'), 'sklearn' in sys.modules)"
    )
    said = subprocess.run(
        [sys.executable, "-c", probe], capture_output=True, text=True, check=True, timeout=60
    )
    assert said.stdout.split() == ["PASSIVE", "False"]


def test_a_report_can_be_had_of_any_project(place: Path, tmp_path: Path) -> None:
    assert everloop("init", folder=tmp_path).code == 0
    done = everloop("run", *OFFLINE, folder=tmp_path)
    assert done.code == 0, done.err
    done = everloop("report", "--to", "iris.html", folder=tmp_path)
    assert done.code == 0, done.err
    assert "1 turn on 150 rows" in (tmp_path / "iris.html").read_text()
