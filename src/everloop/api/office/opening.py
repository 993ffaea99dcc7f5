"""The start of a server: while the office loads its libraries and opens the project, so do workers theirs."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TextIO

import uvloop

from everloop.api.started import ORIGINAL, WORKER, Started
from everloop.settings import Settings

from .sockets import close, listen_soon


@dataclass
class Opened:
    """The sockets that workers accept on, and the workers that wait to be told what to do. ``hint``: see
    ``Settings.original_hint``."""

    sockets: list[socket.socket]
    hint: Path
    started: list[Started] = field(default_factory=list)

    async def worker(self) -> Started:
        """Raises OSError."""
        return self.started.pop() if self.started else await self.begin()

    async def begin(self) -> Started:
        """Raises OSError."""
        words = [ORIGINAL] if self.hint.exists() else []
        return await Started.begin(WORKER, [one.fileno() for one in self.sockets], *words)

    def expect(self, original: bool) -> None:
        """Of workers to come."""
        with contextlib.suppress(OSError):  # they only start later
            if original:
                self.hint.touch()
            else:
                self.hint.unlink(missing_ok=True)


def run(settings: Settings, console: TextIO | None, ready: Callable[[str], None]) -> None:
    """Listen, start workers, and serve the project until SIGTERM or SIGINT. ``console`` gets the log, too;
    ``ready`` hears the address as soon as a worker answers. Raises Invalid for a host that is none, Conflict
    for a port in use, and what opening the project raises."""
    uvloop.run(_run(settings, console, ready))


async def _run(settings: Settings, console: TextIO | None, ready: Callable[[str], None]) -> None:
    wanted = settings.serving
    made = await listen_soon(wanted.host, wanted.port, wanted.workers)
    opened = Opened(made, settings.original_hint)
    try:
        with contextlib.suppress(OSError):  # the office tries again, and tells
            for _ in opened.sockets:
                opened.started.append(await opened.begin())
        await _serve(settings, opened, console, ready)
    finally:
        for one in opened.started:
            await one.end()
        close(opened.sockets)


async def _serve(
    settings: Settings, opened: Opened, console: TextIO | None, ready: Callable[[str], None]
) -> None:
    """Loads the libraries of the office, meanwhile."""
    wiring, logs = import_module("everloop.wiring"), import_module("everloop.adapters.logs")
    office = import_module("everloop.api.office.office")
    project = wiring.connect(settings)
    try:
        with logs.open_log(project.settings, project.clock, console) as log:
            await office.run(project, opened, log.info, ready, log)
    finally:
        project.close()
