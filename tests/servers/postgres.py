"""A real PostgreSQL server for tests: its own folder, port and process, gone at the end."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import psycopg

from tests.servers import free_port, missing

_QUICK = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=200")


@dataclass
class Postgres:
    """A running server. URLs are SQLAlchemy's; the only user is ``postgres``, without a password."""

    port: int
    pid: int
    folder: Path

    def __post_init__(self) -> None:
        self._numbers = count(1)

    def url(self, database: str = "postgres") -> str:
        return f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/{database}"

    def execute(self, statement: str) -> None:
        with psycopg.connect(
            host="127.0.0.1", port=self.port, user="postgres", dbname="postgres", autocommit=True
        ) as connection:
            connection.execute(statement)

    @contextmanager
    def database(self) -> Iterator[str]:
        """The URL of a fresh, empty database that is dropped at the end, open connections or not."""
        name = f"test_{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name}")
        try:
            yield self.url(name)
        finally:
            self.execute(f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def postgres_server() -> Iterator[Postgres]:
    """Start a server (about 2 s) and stop it at the end. As root it runs as ``postgres`` or ``nobody``."""
    programs = _programs()
    user = _user()
    folder = Path(tempfile.mkdtemp(prefix="everloop-postgres-"))
    try:
        if user:
            shutil.chown(folder, user)
        data = folder / "data"
        _initialise(programs, data, user)
        process, port = _start(programs, data, user)
        try:
            yield Postgres(port, process.pid, folder)
        finally:
            process.send_signal(signal.SIGINT)  # "fast": closes connections, then stops
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _programs() -> Path:
    """The folder with initdb and postgres: Debian's newest version, or the one on PATH."""
    installed = [p.parent for p in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    if installed:
        return max(installed, key=lambda folder: int(re.sub(r"\D", "", folder.parent.name) or 0))
    found = shutil.which("initdb")
    if not found:
        missing("PostgreSQL", "postgresql")
    return Path(found).resolve().parent


def _user() -> str | None:
    """Who runs the server: PostgreSQL refuses root."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in known else "nobody"


def _initialise(programs: Path, data: Path, user: str | None) -> None:
    subprocess.run(
        [programs / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "-N"],
        check=True,
        capture_output=True,
        user=user,
        cwd=data.parent,
        timeout=120,
    )


def _start(programs: Path, data: Path, user: str | None) -> tuple[subprocess.Popen[bytes], int]:
    """The process and its port, once it answers. Another process may take the port first: then again."""
    log = data.parent / "log"
    for _ in range(5):
        port = free_port()
        options = ["-D", data, "-p", str(port), "-h", "127.0.0.1", "-k", ""]
        for setting in _QUICK:
            options += ["-c", setting]
        with log.open("wb") as output:
            process = subprocess.Popen(
                [programs / "postgres", *options],
                stdout=output,
                stderr=output,
                user=user,
                cwd=data.parent,
                start_new_session=True,  # Ctrl-C in pytest reaches it through the fixture, in order
            )
        if _answers(process, port):
            return process, port
        process.kill()
        process.wait()
    raise RuntimeError(f"PostgreSQL did not start:\n{log.read_text(errors='replace')[-2000:]}")


def _answers(process: subprocess.Popen[bytes], port: int) -> bool:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            psycopg.connect(
                host="127.0.0.1", port=port, user="postgres", dbname="postgres", connect_timeout=5
            ).close()
        except psycopg.OperationalError:
            time.sleep(0.05)
        else:
            return process.poll() is None
    return False
