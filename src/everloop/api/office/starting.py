"""The process of an errand: started when something is due, or ahead of that, because its libraries take
seconds to load."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from asyncio.subprocess import PIPE, Process

from everloop.adapters.courier import describe
from everloop.flows.project import Project

AHEAD = "ahead"  # the argument of a process that loads all it may need before it reads what to do


class Starter:
    """One that is started ahead waits for its standard input, and ends where that closes without a word: so
    it never outlives us, however we end."""

    def __init__(self, module: str, project: Project) -> None:
        self._module = module
        self._project = project
        self._ready: Process | None = None

    async def start(self, **told: object) -> Process:
        """A process that works. What it needs to know comes on its standard input. ``stays``: it may outlive
        us."""
        process, self._ready = self._ready, None
        if process is None or process.returncode is not None:
            process = await self._spawn()
        assert process.stdin is not None  # noqa: S101 (asked for below)
        with contextlib.suppress(ConnectionError):  # it has died already, which its exit code tells
            document = {**describe(self._project.settings), "parent": os.getpid(), **told}
            process.stdin.write(json.dumps(document).encode())
            await process.stdin.drain()
        process.stdin.close()
        return process

    async def keep_ready(self, wanted: bool) -> None:
        """One waits for its work from now on, or none does."""
        process = self._ready
        if wanted and (process is None or process.returncode is not None):
            self._ready = await self._spawn(AHEAD)
        elif not wanted and process is not None:
            self._ready = None
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            await process.wait()

    async def _spawn(self, *words: str) -> Process:
        command = (sys.executable, "-m", self._module, *words)
        return await asyncio.create_subprocess_exec(*command, stdin=PIPE, cwd=self._project.settings.root)
