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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import psutil
import psycopg

from tests.servers import free_port, missing

_QUICK = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")


@dataclass
class Postgres:
    """A running server. URLs are SQLAlchemy's; the only user is ``postgres``, without a password."""

    port: int
    folder: Path
    process: subprocess.Popen[bytes]
    command: list[str]

    def __post_init__(self) -> None:
        self._numbers = count(1)

    @property
    def pid(self) -> int:
        return self.process.pid

    def stop(self, number: int = signal.SIGINT) -> None:
        """SIGINT is PostgreSQL's "fast": it closes connections, then stops. SIGQUIT is "immediate". SIGKILL
        ends all its processes at once, as a machine that goes down does."""
        if number == signal.SIGKILL:
            for child in psutil.Process(self.pid).children(recursive=True):
                with suppress(psutil.Error):
                    child.kill()
        self.process.send_signal(number)
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def start(self) -> None:
        """Once more, where it was."""
        for _ in range(5):
            self.process = _launch(self.command, self.folder)
            if _answers(self.process, self.port):
                return
            self.process.kill()
            self.process.wait()
        raise RuntimeError(f"PostgreSQL did not start again:\n{_said(self.folder)}")

    def url(self, database: str = "postgres") -> str:
        return f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/{database}"

    def execute(self, statement: str) -> None:
        with psycopg.connect(
            host="127.0.0.1", port=self.port, user="postgres", dbname="postgres", autocommit=True
        ) as connection:
            connection.execute(statement)

    @contextmanager
    def database(self, like: str = "template1") -> Iterator[str]:
        """The URL of a fresh database that is dropped at the end, open connections or not: an empty one, or
        a copy of the one at the URL ``like``."""
        name = f"test_{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {like.rpartition('/')[2]}")
        self.execute("CHECKPOINT")  # else a crash may put sequences of the copy back, by up to 32
        try:
            yield self.url(name)
        finally:
            self.execute(f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def postgres_server(*, durable: bool = False) -> Iterator[Postgres]:
    """Start a server (about 2 s) and stop it at the end. As root it runs as ``postgres`` or ``nobody``.
    ``durable``: what it has confirmed outlives its processes, however they end."""
    programs = _programs()
    user = _user()
    folder = Path(tempfile.mkdtemp(prefix="everloop-postgres-"))
    try:
        if user:
            shutil.chown(folder, user)
        data = folder / "data"
        _initialise(programs, data, user)
        server = _start(programs, data, _QUICK[:1] if durable else _QUICK)
        try:
            yield server
        finally:
            server.stop()
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


def _start(programs: Path, data: Path, settings: Sequence[str]) -> Postgres:
    """The server, once it answers. Another process may take the port first: then again."""
    for _ in range(5):
        port = free_port()
        command = [str(programs / "postgres"), "-D", str(data), "-p", str(port), "-h", "127.0.0.1", "-k", ""]
        for setting in ("max_connections=200", *settings):
            command += ["-c", setting]
        process = _launch(command, data.parent)
        if _answers(process, port):
            return Postgres(port, data.parent, process, command)
        process.kill()
        process.wait()
    raise RuntimeError(f"PostgreSQL did not start:\n{_said(data.parent)}")


def _launch(command: list[str], folder: Path) -> subprocess.Popen[bytes]:
    with (folder / "log").open("wb") as output:
        return subprocess.Popen(
            command,
            stdout=output,
            stderr=output,
            user=_user(),
            cwd=folder,
            start_new_session=True,  # Ctrl-C in pytest reaches it through the fixture, in order
        )


def _said(folder: Path) -> str:
    return (folder / "log").read_text(errors="replace")[-2000:]


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
