"""One process of a group: told what it needs on its standard input, which ends when we do; heard by lines."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from asyncio import StreamReader
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

MODULE = "everloop.worker.member"
LONGEST_LINE = 64_000  # bytes; what is longer comes in pieces
LAST_LINES = 1.0  # seconds for what it has written before it ended


@dataclass(frozen=True)
class Member:
    """``address``: of its pages, None for one that has none. ``patience``: seconds it may take to end."""

    name: str
    what: str
    patience: float
    address: str | None = None


class Running:
    """A member's process. ``heard``: it has written a line."""

    def __init__(self, member: Member, process: Process, hear: Callable[[str], None]) -> None:
        self.member = member
        self.heard = asyncio.Event()
        self.ready = asyncio.Event()
        self._process = process
        self._lines = asyncio.create_task(self._read(hear))

    @classmethod
    async def start(cls, member: Member, told: Mapping[str, Any], hear: Callable[[str], None]) -> Running:
        """Raises OSError where the system starts no more processes."""
        command = [sys.executable, "-u", "-m", MODULE, member.name]
        process = await asyncio.create_subprocess_exec(
            *command, stdin=PIPE, stdout=PIPE, stderr=STDOUT,
            cwd=told["root"], start_new_session=True,  # Ctrl-C is for us: we end them in order
        )  # fmt: skip
        if process.stdin is not None:
            with contextlib.suppress(ConnectionError):  # it has died already, which its exit code tells
                process.stdin.write(json.dumps(told).encode() + b"\n")
                await process.stdin.drain()
        return cls(member, process, hear)

    @property
    def pid(self) -> int:
        return self._process.pid

    async def ended(self) -> int:
        """Its exit code, when it is gone and all that it said was heard."""
        code = await self._process.wait()
        with contextlib.suppress(ProcessLookupError, PermissionError):  # what it has left in its group
            os.killpg(self.pid, signal.SIGKILL)
        await asyncio.wait([self._lines], timeout=LAST_LINES)
        self._lines.cancel()
        return code

    async def stop(self) -> bool:
        """Tell it to end; whether it did in time. Else it is killed."""
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        try:
            async with asyncio.timeout(self.member.patience):
                await self._process.wait()
            return True
        except TimeoutError:
            self.kill()
            await self._process.wait()
            return False

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    async def _read(self, hear: Callable[[str], None]) -> None:
        reader = self._process.stdout
        rest = b""
        while reader is not None and (rest := await _more(reader, rest)):
            *lines, rest = rest.split(b"\n") if len(rest) < LONGEST_LINE else (rest, b"")
            for line in lines:
                self.heard.set()
                if line.strip():
                    hear(line.decode(errors="replace").rstrip())


async def _more(reader: StreamReader, rest: bytes) -> bytes:
    """What was left with what comes; at the end a last line that was not ended."""
    chunk = await reader.read(LONGEST_LINE)
    if chunk:
        return rest + chunk
    return rest + b"\n" if rest else b""
