"""A process of ours that loads its libraries, and waits on a channel to be told what to do."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from collections.abc import Iterable
from dataclasses import dataclass

from .channel import Channel

WORKER = "everloop.api.front"
ORIGINALS = "everloop.worker.native"  # models that could not be compiled
ORIGINAL = (
    "original"  # a worker that is told so starts the process of originals before it knows what to serve
)


@dataclass
class Started:
    """It ends by itself where we are gone."""

    process: asyncio.subprocess.Process
    channel: Channel

    @classmethod
    async def begin(cls, module: str, files: Iterable[int] = (), *words: str) -> Started:
        """``python -m module CHANNEL FILE… WORD…``, with the numbers of open files. Raises OSError."""
        ours, theirs = socket.socketpair()
        passed = [theirs.fileno(), *files]
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", module, *map(str, passed), *words),
                pass_fds=passed,
                stdin=asyncio.subprocess.DEVNULL,
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        return cls(process, await Channel.open(ours))

    async def end(self) -> None:
        """Of one that was told nothing."""
        self.channel.close()
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        await self.process.wait()
