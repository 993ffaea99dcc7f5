"""A real ``everloop up`` or ``everloop worker``, its lines, and the processes that it has started."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

PATIENCE = 240.0  # seconds, until a test gives up
QUIET = {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "default"}


@dataclass
class Kept:
    """A running command. ``lines`` is what it and its members have written so far."""

    process: subprocess.Popen[bytes]
    folder: Path
    stdout: Path
    stderr: Path

    @property
    def lines(self) -> str:
        return self.stderr.read_text()

    def addresses(self) -> dict[str, str]:
        """Where the members are, once all have answered."""
        until(lambda: self.stdout.read_text().strip(), self.lines)
        found: dict[str, str] = json.loads(self.stdout.read_text())["addresses"]
        return found

    def member(self, name: str) -> psutil.Process | None:
        for child in psutil.Process(self.process.pid).children():
            with contextlib.suppress(psutil.Error):
                if child.cmdline()[-1:] == [name]:
                    return child
        return None

    def everybody(self) -> list[psutil.Process]:
        """The processes that it has started, and theirs."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def said(self, text: str, times: int = 1) -> None:
        until(lambda: self.lines.count(text) >= times, lambda: f"{text}\n{self.lines}")

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)


@contextlib.contextmanager
def kept(folder: Path, *words: str, name: str = "up", under: Sequence[str] = ()) -> Iterator[Kept]:
    """``everloop …`` in a project's folder until the end; then nothing of it is left. ``under``: what the
    command begins with."""
    stdout, stderr = folder / f"{name}.out", folder / f"{name}.err"
    with stdout.open("w") as out, stderr.open("w") as errors:
        process = subprocess.Popen(
            [*under, sys.executable, "-m", "everloop", *words],
            cwd=folder, stdout=out, stderr=errors, env={**os.environ, **QUIET},
        )  # fmt: skip
    one = Kept(process, folder, stdout, stderr)
    left: list[psutil.Process] = []
    try:
        yield one
    finally:
        with contextlib.suppress(psutil.Error):
            left = one.everybody()
        process.kill()
        process.wait()
        for each in left:
            with contextlib.suppress(psutil.Error):
                each.kill()


def until(found: Callable[[], Any], said: str | Callable[[], str] = "", patience: float = PATIENCE) -> Any:
    """What ``found`` finds, as soon as it does."""
    deadline = time.monotonic() + patience
    while not (answer := found()):
        assert time.monotonic() < deadline, said() if callable(said) else said
        time.sleep(0.05)
    return answer


def gone(processes: list[psutil.Process]) -> bool:
    return not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in processes)


def fetch(address: str, body: Any = None) -> Any:
    """What is answered: JSON, or text. Raises OSError."""
    data = None if body is None else json.dumps(body).encode()
    asked = urllib.request.Request(address, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(asked, timeout=30) as answer:
        text = answer.read().decode()
    return json.loads(text) if "json" in answer.headers["content-type"] else text
