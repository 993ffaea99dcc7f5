"""A real ``everloop serve`` to do things to: its processes, its log and its database."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import yaml
from sklearn.gaussian_process import GaussianProcessClassifier
from sklearn.linear_model import LogisticRegression

from everloop import DataVersioner, ModelRegistry, wiring
from everloop.data import writing
from everloop.data.examples.iris import iris
from everloop.flows.project import Project
from everloop.flows.serving import planning
from everloop.settings.loading import folder_settings

from .serving_load import BODY, Account

Figures = dict[str, Any]
PATIENCE = 40.0  # seconds, until a drill gives up
ANSWERS = 60.0  # seconds for one answer: the machine may be busy
WORKER, NATIVE = "everloop.api.front", "everloop.worker.native"
NAMES = ("sepal_length", "sepal_width", "petal_length", "petal_width")


def make_project(folder: Path, *, slow: bool = True) -> None:
    """``iris`` has the versions 1.0.0 (the champion) and 1.1.0, compiled; ``slow`` one that cannot be."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "iris.csv").write_bytes(writing.to_bytes(iris(), ".csv"))
    about = {"data": {"path": "iris.csv"}, "target": "species"}
    names = ["iris", "slow"] if slow else ["iris"]
    settings = {"models": dict.fromkeys(names, about), "tracking": {"enabled": False}}
    (folder / "everloop.yaml").write_text(yaml.safe_dump(settings))
    table = iris().to_pandas()
    X, y = table[list(NAMES)], table["species"]
    with contextlib.chdir(folder):
        _register(X, y, slow)
    with opened(folder) as project:
        planning.plan(project)  # so that no server has to compile


@contextlib.contextmanager
def opened(folder: Path) -> Iterator[Project]:
    """The project as another process sees it."""
    project = wiring.connect(folder_settings(folder, yaml.safe_load((folder / "everloop.yaml").read_text())))
    try:
        yield project
    finally:
        project.close()


def _register(X: Any, y: Any, slow: bool) -> None:
    """Into the project of the current folder."""
    version = DataVersioner(dataset="iris").register("iris.csv")
    origin: dict[str, Any] = {"data_version": version, "target": "species", "features": NAMES}
    registry = ModelRegistry(model="iris")
    registry.register(LogisticRegression(C=1.0, max_iter=500).fit(X, y), promote=True, **origin)
    registry.register(LogisticRegression(C=0.01, max_iter=500).fit(X, y), **origin)
    registry.close()
    if not slow:
        return
    other = ModelRegistry(model="slow")
    other.register(GaussianProcessClassifier().fit(X, y), promote=True, **origin)
    other.close()


_SOON_HUNG = """
from everloop.api.office import office
from everloop.cli import main
office.SILENT = {}
main()
"""


class Serving:
    """A running server. ``started`` is how long it took until it could answer, in seconds. ``silent``: after
    how many its office takes a worker that says nothing for hung, where that is another number than usual."""

    def __init__(self, folder: Path, *settings: str, workers: int = 1, silent: float | None = None) -> None:
        self.folder = folder
        self._errors = folder / "serve.stderr"
        given = [part for each in settings for part in ("--set", each)]
        command = [
            sys.executable,
            *(("-m", "everloop") if silent is None else ("-c", _SOON_HUNG.format(silent))),
            *given,
            "serve",
            "--port",
            "0",
            "--workers",
            str(workers),
        ]
        begin = time.monotonic()
        with self._errors.open("ab") as errors:
            self.process = subprocess.Popen(
                command,
                cwd=folder,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        self.started = time.monotonic() - begin
        self.port = int(line.rpartition(":")[2]) if "http://" in line else 0

    def __enter__(self) -> Serving:
        assert self.port, self.errors()
        return self

    def __exit__(self, *_: object) -> None:
        there = [self.process.pid, *(process.pid for process in self.children())]
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(PATIENCE)
        for pid in there:
            with contextlib.suppress(psutil.Error):
                one = psutil.Process(pid)
                if any("everloop" in part for part in one.cmdline()):
                    one.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def stop(self) -> float:
        """SIGTERM; how long it took to end, in seconds."""
        begin = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(PATIENCE) == 0, self.errors()
        return time.monotonic() - begin

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def errors(self) -> str:
        return self._errors.read_text(errors="replace")

    def said(self, words: str) -> int:
        """How often it has said something on stderr."""
        return self.errors().count(words)

    def children(self, module: str = "") -> list[Any]:
        """Its processes that run a module."""
        found = []
        with contextlib.suppress(psutil.Error):
            for one in psutil.Process(self.process.pid).children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    if not module or module in one.cmdline():
                        found.append(one)
        return found

    def get(self, path: str) -> tuple[int, Any]:
        """Status and JSON of one GET; 0 where there was no connection."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=ANSWERS) as found:
                return found.status, json.loads(found.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())
        except OSError:
            return 0, None

    def predict(self, path: str = "/predict") -> tuple[int, Any]:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}",
            json.dumps(BODY).encode(),
            {"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=ANSWERS) as found:
                return found.status, json.loads(found.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())
        except OSError:
            return 0, None

    def text(self, path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=ANSWERS) as found:
            return str(found.read().decode())

    def event(self, name: str) -> float:
        """How often it has counted an event."""
        lines = self.text("/prometheus_metrics").splitlines()
        return sum(float(line.split()[-1]) for line in lines if f'event="{name}"' in line)


def wait_for(what: Callable[[], Any], seconds: float = PATIENCE, every: float = 0.02) -> float:
    """Until something is so; how long it took, in seconds."""
    begin = time.monotonic()
    while not what():
        assert time.monotonic() - begin < seconds, f"not in {seconds} s"
        time.sleep(every)
    return time.monotonic() - begin


@contextlib.contextmanager
def database(folder: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(folder / ".everloop" / "everloop.db", timeout=60)
    try:
        yield connection
    finally:
        connection.close()


@dataclass(frozen=True)
class Kept:
    """``missing``: predictions that were answered and are not in the database; ``twice``: rows beyond one."""

    rows: int
    missing: int
    twice: int


def kept(folder: Path, ids: Sequence[str]) -> Kept:
    with database(folder) as connection:
        found = [row[0] for row in connection.execute("SELECT prediction_id FROM predictions")]
    return Kept(len(found), len(set(ids) - set(found)), len(found) - len(set(found)))


def damaged_logs(folder: Path) -> list[str]:
    """Files of the log with a line that is no prediction, or that does not end."""
    damaged = []
    for path in (folder / ".everloop" / "predictions" / "default").glob("*.jsonl"):
        data = path.read_bytes()
        if data and not data.endswith(b"\n"):
            damaged.append(f"{path.name}: torn")
        for line in data.splitlines():
            try:
                json.loads(line)["prediction_id"]
            except (ValueError, KeyError, TypeError):
                damaged.append(f"{path.name}: {line[:60]!r}")
    return damaged


def nothing_lost(account: Account) -> None:
    assert not account.lost, f"{len(account.lost)} lost: {account.lost[:3]}"
    assert not account.others(), account.others()


def all_kept(folder: Path, account: Account) -> None:
    found = kept(folder, account.ids())
    assert (found.missing, found.twice) == (0, 0), found


def gap(account: Account) -> Figures:
    return {"longest gap": account.longest_gap()}
