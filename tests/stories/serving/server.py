"""A real ``everloop serve``, and a client that speaks HTTP byte by byte."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from tests.made import copied

from everloop import wiring
from everloop.data import writing
from everloop.data.examples.iris import iris
from everloop.flows import turn
from everloop.flows.project import Project
from everloop.settings.loading import folder_settings

JSON = "application/json"
PROBLEM = "application/problem+json"
FLOWER = [5.1, 3.5, 1.4, 0.2]
NAMES = ["sepal_length", "sepal_width", "petal_length", "petal_width"]
HOT, COLD = "/predict", "/predict?way=asgi"
V2_HOT, V2_COLD = "/v2/models/iris/infer", "/v2/models/iris/infer?way=asgi"
BODY = {"features": FLOWER}
V2_BODY = {"inputs": [{"name": "X", "shape": [1, 4], "datatype": "FP64", "data": FLOWER}]}
PATIENCE = 30.0  # seconds, until a test gives up


@dataclass(frozen=True)
class Answer:
    """Headers are in lower case, the last of several."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Server:
    """A running server and its project's folder. ``errors`` is what it wrote to stderr."""

    host: str
    port: int
    folder: Path
    process: subprocess.Popen[str]
    stderr: Path

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def errors(self) -> str:
        return self.stderr.read_text()

    def connect(self) -> Wire:
        return Wire(socket.create_connection((self.host, self.port), timeout=PATIENCE))

    def ask(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Answer:
        """One request on a connection of its own. A body that is no bytes is sent as JSON."""
        with contextlib.closing(self.connect()) as wire:
            wire.send(request(method, path, body, headers))
            return wire.answer(head=method == "HEAD")

    def predict(self, body: Any, path: str = "/predict", **headers: str) -> Answer:
        return self.ask("POST", path, body, {name.replace("_", "-"): said for name, said in headers.items()})


class Wire:
    """A connection."""

    def __init__(self, opened: socket.socket) -> None:
        self._socket = opened
        self._read = opened.makefile("rb")

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def answer(self, *, head: bool = False) -> Answer:
        """The next answer. Raises EOFError where the server has closed."""
        line = self._read.readline()
        if not line:
            raise EOFError
        version, status, *_ = line.split()
        assert version == b"HTTP/1.1", line
        headers: dict[str, str] = {}
        while (line := self._read.readline()) not in (b"\r\n", b""):
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.strip().lower()] = value.strip()
        if int(status) == 100:
            return Answer(100, headers, b"")
        assert "transfer-encoding" not in headers
        size = 0 if head else int(headers["content-length"])
        return Answer(int(status), headers, self._read.read(size))

    def is_closed(self) -> bool:
        """Whether the server has closed, and said nothing more."""
        try:
            return self._read.read(1) == b""
        except ConnectionError:
            return True

    def close(self) -> None:
        self._read.close()
        self._socket.close()


def request(
    method: str, path: str, body: Any = None, headers: dict[str, str] | None = None, version: str = "1.1"
) -> bytes:
    """The bytes of a request; its headers may replace those that it has by itself."""
    content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    said = {"Host": "everloop"}
    if body is not None:
        said |= {"Content-Type": JSON, "Content-Length": str(len(content))}
    given = {name.lower(): name for name in headers or {}}
    said = {name: value for name, value in said.items() if name.lower() not in given} | (headers or {})
    lines = [f"{method} {path} HTTP/{version}", *(f"{name}: {value}" for name, value in said.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + content


def check_problem(answer: Answer, status: int) -> Any:
    """It is a problem document that both RFC 9457 and the inference protocol know; returns it."""
    assert answer.status == status, answer.body[:500]
    assert answer.headers["content-type"] == PROBLEM
    told = answer.json
    assert told["status"] == status
    assert told["request_id"] == answer.headers["x-request-id"]
    assert told["title"]
    assert told["detail"]
    assert told["error"].startswith(told["detail"])
    assert len(answer.body) < 10_000
    assert "Traceback" not in told["error"]
    return told


def write_project(folder: Path, **sections: Any) -> Project:
    """A project in ``folder`` whose settings ``everloop serve`` finds, too."""
    tree = {"tracking": {"enabled": False}, **sections}
    (folder / "everloop.yaml").write_text(yaml.safe_dump(tree))
    return wiring.connect(folder_settings(folder, tree))


def iris_project(folder: Path, **sections: Any) -> None:
    """A project with a champion for iris, compiled."""
    copied(f"iris {sections}", folder, lambda place: _make_iris(place, **sections))


def _make_iris(folder: Path, **sections: Any) -> None:
    (folder / "iris.csv").write_bytes(writing.to_bytes(iris(), ".csv"))
    model: dict[str, Any] = {
        "data": {"path": "iris.csv"}, "target": "species", "training": {"model_type": "logistic"},
    }  # fmt: skip
    models = {"iris": model | sections.pop("iris", {})}
    project = write_project(folder, models=models, **sections)
    try:
        assert turn.run(project, "iris").model_version == "1.0.0"
    finally:
        project.close()


@contextlib.contextmanager
def running(folder: Path, *flags: str) -> Iterator[Server]:
    """``everloop serve`` of a project, until the end; then it ends within its time, by SIGTERM."""
    stderr = folder / "serve.stderr"
    command = [sys.executable, "-m", "everloop", "serve", "--port", "0", *flags]
    surroundings = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "default"}
    with stderr.open("w") as errors:
        process = subprocess.Popen(
            command, cwd=folder, stdout=subprocess.PIPE, stderr=errors, text=True, env=surroundings
        )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert "http://" in line, f"{line}{stderr.read_text()}"
        host, _, port = line.strip().rpartition("//")[2].rpartition(":")
        yield Server(host, int(port), folder, process, stderr)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(PATIENCE)
        finally:
            process.kill()
            process.stdout.close()
            process.wait()
