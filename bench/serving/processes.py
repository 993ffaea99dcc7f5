"""A server as it runs: all of its processes, their CPU and memory, and their end. Linux only."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import psutil

MARK = "BENCH_SERVING_MARK"
PATIENCE = 10.0


class NotServing(Exception):
    """A server did not start, or does not answer what scikit-learn answers."""


@dataclass
class Processes:
    """Begun in a session of its own. ``log`` has what it prints. Processes are found as descendants and by a
    mark in their environment, so that those whose parent has died are found too."""

    process: subprocess.Popen[bytes]
    log: Path
    mark: bytes
    known: dict[int, psutil.Process] = field(default_factory=dict)

    @classmethod
    def begin(
        cls, command: Sequence[str], folder: Path, log: Path, environment: Mapping[str, str]
    ) -> Processes:
        mark = uuid4().hex
        with log.open("wb") as sink:
            process = subprocess.Popen(
                command,
                cwd=folder,
                env={**os.environ, **environment, MARK: mark},
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return cls(process, log, mark.encode())

    def ended(self) -> bool:
        return self.process.poll() is not None

    def last_words(self) -> str:
        """The last line of the log that says something."""
        lines = self.log.read_text(errors="replace").splitlines()
        said = [line.strip(" │╭╰─╮╯") for line in lines]
        return next((line for line in reversed(said) if line), "it said nothing")[:300]

    def all(self) -> list[psutil.Process]:
        """Those that live now."""
        found = dict(self.known)
        for pid in psutil.pids():
            with contextlib.suppress(OSError, psutil.Error):
                if pid not in found and self.mark in Path(f"/proc/{pid}/environ").read_bytes():
                    found[pid] = psutil.Process(pid)
        for each in list(found.values()):
            with contextlib.suppress(psutil.Error):
                found.update({child.pid: child for child in each.children(recursive=True)})
        self.known = {pid: each for pid, each in found.items() if _lives(each)}
        return list(self.known.values())

    def cpu(self) -> dict[int, float]:
        """Seconds of CPU that each process has used."""
        used = {}
        for each in self.all():
            with contextlib.suppress(psutil.Error):
                times = each.cpu_times()
                used[each.pid] = times.user + times.system
        return used

    def memory(self) -> dict[int, float]:
        """MB of each process, shared pages divided among those that share them (PSS)."""
        found = {}
        for each in self.all():
            with contextlib.suppress(OSError):
                for line in Path(f"/proc/{each.pid}/smaps_rollup").read_text().splitlines():
                    if line.startswith("Pss:"):
                        found[each.pid] = int(line.split()[1]) / 1024
        return found

    def answering(self, port: int) -> tuple[int, ...]:
        """Those that hold a connection of a client's now."""
        found = []
        for each in self.all():
            with contextlib.suppress(psutil.Error):
                held = each.net_connections(kind="tcp")
                if any(one.laddr.port == port and one.status == psutil.CONN_ESTABLISHED for one in held):
                    found.append(each.pid)
        return tuple(found)

    def stop(self) -> None:
        """SIGTERM to the first process, as a supervisor does; what still lives after that is killed."""
        there = self.all()
        if not self.ended():
            self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(PATIENCE)
        psutil.wait_procs(there, timeout=1.0)
        for _ in range(3):
            left = self.all()
            for each in left:
                with contextlib.suppress(psutil.Error):
                    each.kill()
            psutil.wait_procs(left, timeout=2.0)
        self.process.wait()


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def busy() -> float:
    """Seconds of CPU that the whole machine has used."""
    times = psutil.cpu_times()
    return float(times.user + times.nice + times.system + times.irq + times.softirq)


def own_cpu() -> float:
    """Seconds of CPU of this process and of the children that have ended (wrk; servers that were stopped)."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def clock() -> float:
    return time.perf_counter()
