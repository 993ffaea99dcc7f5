"""A real ``mlflow server`` for tests: its own folder, port and process group, gone at the end."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.servers import free_port

_START_SECONDS = 90
_QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}


@contextmanager
def mlflow_server() -> Iterator[str]:
    """Start a server on SQLite that keeps artifacts itself (5 to 10 s); yields its address."""
    folder = Path(tempfile.mkdtemp(prefix="everloop-mlflow-"))
    try:
        with mlflow_process(folder, free_port()) as (address, _):
            yield address
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def mlflow_process(folder: Path, port: int) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A server in a folder, which may have been there before; its address and the leader of its processes."""
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--workers", "1"]
    command += ["--artifacts-destination", str(folder / "artifacts")]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command,
            stdout=log,
            stderr=log,
            cwd=folder,
            env={**os.environ, **_QUIET},
            start_new_session=True,
        )
    try:
        address = f"http://127.0.0.1:{port}"
        _wait(process, address, folder / "log")
        yield address, process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _wait(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        with suppress(urllib.error.URLError, OSError), urllib.request.urlopen(f"{address}/health", timeout=2):
            return
        time.sleep(0.1)
    raise RuntimeError(f"mlflow server did not start:\n{log.read_text()[-2000:]}")
