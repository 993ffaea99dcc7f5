"""The start of a server: while the office loads its libraries and opens the project, so do workers theirs."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import uvloop

from everloop.settings import Settings

from .sockets import close, listen_soon
from .workers import Started


@dataclass
class Opened:
    """The sockets that workers accept on, and the workers that wait to be told what to do."""

    sockets: list[socket.socket]
    started: list[Started] = field(default_factory=list)

    async def worker(self) -> Started:
        """Raises OSError."""
        return self.started.pop() if self.started else await Started.begin(self.sockets)


def run(settings: Settings, serve: Callable[[Opened], Awaitable[None]]) -> None:
    """Listen, start workers, and ``serve`` with them. Raises Invalid for a host that is none, Conflict for a
    port in use, and what ``serve`` raises."""
    uvloop.run(_run(settings, serve))


async def _run(settings: Settings, serve: Callable[[Opened], Awaitable[None]]) -> None:
    wanted = settings.serving
    opened = Opened(await listen_soon(wanted.host, wanted.port, wanted.workers))
    try:
        with contextlib.suppress(OSError):  # the office tries again, and tells
            for _ in opened.sockets:
                opened.started.append(await Started.begin(opened.sockets))
        await serve(opened)
    finally:
        for one in opened.started:
            await one.end()
        close(opened.sockets)
