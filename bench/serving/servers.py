"""Every server that is measured: how it is started, with which packages, and how it is asked."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from . import calls, ours
from .calls import Call
from .environments import python_of
from .models import Model

APPS = Path(__file__).parent / "apps"
COMPILED = ("iris", "cancer", "mixed")
ALL = (*COMPILED, "native")


@dataclass(frozen=True)
class Place:
    """Where one server is started: a folder of its own, a free port, a model, a number of workers. The model
    was made by the scikit-learn that serves it: for peers that of version ``sklearn``."""

    folder: Path
    port: int
    model: Model
    models: tuple[Model, ...]
    workers: int
    sklearn: str

    def python(self, environment: str) -> Path:
        return python_of(environment, self.sklearn)

    @property
    def text(self) -> str:
        return str(self.port)


@dataclass(frozen=True)
class Server:
    """``command`` makes the command line, and before it what the server needs in its folder. ``calls`` name
    the ways to ask it: each is a row of the table. A ``bound`` answers no predictions. One that is ``alone``
    disturbs others even when it has nothing to do. ``models`` are those it is measured with. ``every``: it
    serves all models of a kind at once, with our scikit-learn; its memory is read when each was asked."""

    name: str
    command: Callable[[Place], list[str]]
    calls: Mapping[str, Call]
    environment: Mapping[str, str] = field(default_factory=dict)
    models: tuple[str, ...] = COMPILED
    bound: bool = False
    alone: bool = False
    framework: bool = False
    batching: bool = False
    every: bool = False

    @property
    def rows(self) -> tuple[str, ...]:
        return tuple(self.row(call) for call in self.calls)

    def row(self, call: str) -> str:
        return f"{self.name} {call}".strip()

    def environment_for(self, place: Place) -> dict[str, str]:
        return {
            "OMP_NUM_THREADS": "1",  # with more, HistGradientBoosting's threads spin while others work
            "PYTHONPATH": str(APPS),
            "BENCH_MODEL": str(place.model.folder),
            "BENCH_PORT": place.text,
            "BENCH_WORKERS": str(place.workers),
            **self.environment,
        }


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _everloop(place: Place) -> list[str]:
    """All models of a kind in one project; the one that is measured first, so that /predict asks it."""
    others = [each for each in place.models if each.native == place.model.native and each != place.model]
    ours.make(place.folder, [place.model, *others])
    serve = ["serve", "--port", place.text, "--workers", str(place.workers)]
    return [sys.executable, "-m", "everloop", *serve]


def _uvicorn(environment: str, app: str, *options: str) -> Callable[[Place], list[str]]:
    def command(place: Place) -> list[str]:
        serve = ["-m", "uvicorn", app, "--port", place.text, *options]
        workers = ["--workers", str(place.workers)] if place.workers > 1 else []
        return [str(place.python(environment)), *serve, *workers]

    return command


def _script(environment: str, name: str) -> Callable[[Place], list[str]]:
    return lambda place: [str(place.python(environment)), str(APPS / name), place.text]


def _flask(place: Place) -> list[str]:
    address = f"127.0.0.1:{place.port}"
    return [
        str(place.python("flask")),
        "-m",
        "gunicorn",
        "-w",
        str(place.workers),
        "-b",
        address,
        "flask_app:app",
    ]


def _mlflow(place: Place) -> list[str]:
    python = str(place.python("mlflow"))
    saved = place.model.folder / "mlflow"
    if not saved.exists():
        save = [python, str(APPS / "mlflow_save.py"), str(place.model.folder)]
        subprocess.run(save, check=True, capture_output=True, text=True, cwd=place.folder)
    serve = ["models", "serve", "-m", str(saved), "--env-manager", "local", "-h", "127.0.0.1"]
    return [python, "-m", "mlflow", *serve, "-p", place.text, "-w", str(place.workers)]


def _mlserver(place: Place) -> list[str]:
    """Its three ports; without ``debug``, which is on by default and logs each request."""
    ports = {"http_port": place.port, "grpc_port": free_port(), "metrics_port": free_port()}
    settings = {"host": "127.0.0.1", "debug": False, "parallel_workers": place.workers, **ports}
    model = {
        "name": place.model.name,
        "implementation": "mlserver_sklearn.SKLearnModel",
        "parameters": {"uri": str(place.model.folder / "model.joblib"), "version": "v1"},
    }
    (place.folder / "settings.json").write_text(json.dumps(settings))
    (place.folder / "model-settings.json").write_text(json.dumps(model))
    return [str(place.python("mlserver").with_name("mlserver")), "start", str(place.folder)]


def _bentoml(app: str) -> Callable[[Place], list[str]]:
    def command(place: Place) -> list[str]:
        serve = ["serve", f"{app}:Served", "--host", "127.0.0.1", "--port", place.text]
        return [str(place.python("bentoml")), "-m", "bentoml", *serve, "--working-dir", str(APPS)]

    return command


def _ray(place: Place) -> list[str]:
    return [str(place.python("ray")), str(APPS / "ray_app.py")]


TUNED = ("--no-access-log", "--log-level", "warning", "--loop", "uvloop", "--http", "httptools")
BENTOML = {"BENTOML_DO_NOT_TRACK": "True"}
MLFLOW = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
RAY = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "BENCH_RAY": str(Path(tempfile.gettempdir()) / "bench-ray"),  # its sockets' paths must be short
}

SERVERS = (
    Server("everloop", _everloop, {"": calls.V2, "/predict": calls.PREDICT}, models=ALL, every=True),
    Server("fastapi", _uvicorn("fastapi", "fastapi_plain:app"), {"": calls.ROWS}),
    Server("fastapi-tuned", _uvicorn("fastapi", "fastapi_tuned:app", *TUNED), {"": calls.ROWS}),
    Server("flask", _flask, {"": calls.ROWS}, models=ALL),
    Server("mlflow", _mlflow, {"": calls.MLFLOW}, MLFLOW, framework=True),
    Server("mlserver", _mlserver, {"": calls.MLSERVER}, framework=True),
    Server("bentoml", _bentoml("bento_plain"), {"": calls.ROWS}, BENTOML, framework=True),
    Server(
        "bentoml-batch",
        _bentoml("bento_batch"),
        {"": calls.PROBABILITIES},
        BENTOML,
        models=ALL,
        framework=True,
        batching=True,
    ),
    Server("litserve", _script("litserve", "lit_plain.py"), {"": calls.ROWS}, framework=True),
    Server(
        "litserve-batch",
        _script("litserve", "lit_batch.py"),
        {"": calls.ROWS},
        models=ALL,
        framework=True,
        batching=True,
    ),
    Server("ray", _ray, {"": calls.ROWS}, RAY, framework=True, alone=True),
    Server("uvicorn", _uvicorn("bounds", "noop_uvicorn:app", *TUNED), {"": calls.V2}, bound=True, models=ALL),
    Server("protocol", _script("bounds", "noop_protocol.py"), {"": calls.V2}, bound=True),
)
