"""What Everloop is measured against: plain Parquet copies, DVC's command line, Lance told each change."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import blake3
import pyarrow as pa
import pyarrow.parquet as pq

from .measure import Cost, best, bytes_in, parquet_bytes, quiet_cost
from .workload import KEY, Step

LANCE = Path(tempfile.gettempdir()) / "everloop-bench-lance"


@dataclass
class Copies:
    """One zstd Parquet file and its sha256 per version: the plain way, and the measure of the others. Only
    the files asked for in ``kept`` stay."""

    folder: Path
    kept: tuple[int, ...]
    writes: list[Cost] = field(default_factory=list)
    hashes: list[Cost] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    told: int = 0

    def take(self, step: Step, times: int) -> None:
        path = self.path(step.number)
        self.writes.append(
            best(
                quiet_cost(lambda: pq.write_table(step.table, path, compression="zstd")) for _ in range(times)
            )
        )
        self.hashes.append(quiet_cost(lambda: sha256(path.read_bytes()).hexdigest()))
        self.sizes.append(path.stat().st_size)
        self.told += parquet_bytes(step.change)
        if step.number not in self.kept:
            path.unlink()

    def path(self, number: int) -> Path:
        return self.folder / f"v{number}.parquet"


@dataclass
class Dvc:
    """The real command line, in a repository with a folder as remote: ``add``, commit, ``push``. The file is
    what pandas writes by default (snappy). ``cache`` is the bytes of the versions taken."""

    folder: Path
    writes: list[Cost] = field(default_factory=list)
    registers: list[Cost] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)

    @classmethod
    def begin(cls, folder: Path) -> Dvc | None:
        """None where there is no DVC or no git."""
        if not (_dvc() and shutil.which("git")):
            return None
        dvc = cls(folder / "dvc")
        dvc.folder.mkdir()
        dvc._run("git", "init", "-q")
        dvc._run("git", "config", "user.email", "bench@example.org")
        dvc._run("git", "config", "user.name", "bench")
        dvc._run(_dvc(), "init", "-q")
        dvc._run(_dvc(), "config", "core.analytics", "false")
        dvc._run(_dvc(), "remote", "add", "-d", "store", str(folder / "dvc-remote"))
        dvc._run("git", "add", "-A")
        dvc._run("git", "commit", "-qm", "begin")
        return dvc

    def take(self, step: Step) -> None:
        path = self.folder / "table.parquet"

        def register() -> None:
            self._run(_dvc(), "add", "-q", path.name)
            self._run("git", "add", "table.parquet.dvc", ".gitignore")
            self._run("git", "commit", "-qm", f"v{step.number}")
            self._run(_dvc(), "push", "-q")

        self.writes.append(quiet_cost(lambda: self._write(step.table, path)))
        self.registers.append(quiet_cost(register))
        self.sizes.append(path.stat().st_size)

    @property
    def cache(self) -> int:
        return bytes_in(self.folder / ".dvc" / "cache" / "files")

    def _write(self, table: pa.Table, path: Path) -> None:
        path.unlink(missing_ok=True)  # the one there may be a link to DVC's cache
        pq.write_table(table, path)

    def _run(self, *command: str) -> None:
        subprocess.run(command, cwd=self.folder, check=True, capture_output=True)


def _dvc() -> str:
    beside = Path(sys.executable).with_name("dvc")
    return str(beside) if beside.exists() else shutil.which("dvc") or ""


class Lance:
    """Collects the changes, then has ``lance_told.py`` run them with an interpreter that has Lance: it is no
    dependency of ours, and its pins are not ours."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "lance"
        self._folder.mkdir()
        self._steps: list[dict[str, Any]] = []

    def take(self, step: Step, pair: tuple[str, str]) -> None:
        change = step.change
        if step.kind == "column":  # it is joined by key
            change = change.add_column(0, KEY, step.table.column(KEY))
        name = f"v{step.number}.arrow"
        with (
            pa.OSFile(str(self._folder / name), "wb") as sink,
            pa.ipc.new_file(sink, change.schema) as writer,
        ):
            writer.write_table(change)
        self._steps.append({"file": name, "kind": step.kind, "pair": pair})

    def run(self) -> dict[str, Any]:
        (self._folder / "steps.json").write_text(json.dumps(self._steps))
        script = Path(__file__).with_name("lance_told.py")
        os.sync()
        done = subprocess.run(
            [lance_python(), script, self._folder], check=True, capture_output=True, text=True
        )
        found: dict[str, Any] = json.loads(done.stdout)
        return found


def lance_python() -> Path:
    """An interpreter with Lance, from an environment of its own; made at the first call, which needs the
    package index. Raises CalledProcessError or OSError where that does not work."""
    python = LANCE / "bin" / "python"
    if not (LANCE / ".ready").exists():
        uv = shutil.which("uv")
        make = [uv, "venv", "-q", "--clear", "--python", sys.executable, str(LANCE)] if uv else [
            sys.executable, "-m", "venv", "--clear", str(LANCE)]  # fmt: skip
        install = [uv, "pip", "install", "-q", "-p", str(python)] if uv else [
            str(python), "-m", "pip", "install", "-q"]  # fmt: skip
        for command in (make, [*install, "pylance>=14", "pyarrow"]):
            subprocess.run(command, check=True, capture_output=True)
        (LANCE / ".ready").touch()
    return python


def blake3_of(files: Iterable[Path]) -> Cost:
    """The physical bound of checking a store: hashing its bytes, on one thread, read into memory before."""
    held = [path.read_bytes() for path in files]

    def hash_all() -> None:
        for each in held:
            blake3.blake3(each).digest()

    return best(quiet_cost(hash_all) for _ in range(5))
