"""A worker process: ``python -m everloop.api.front CHANNEL LISTENER…`` (numbers of open files), and the word
``original`` where it shall start the process of originals at once: that loads its libraries beside us.

The office tells it over the channel what to serve. It begins to accept when it has loaded that, and ends when
it is told to, or when the office is gone: requests under way are answered, the log is on disk.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import sys
from importlib import import_module

import uvloop

from everloop.api.channel import Channel
from everloop.api.started import ORIGINAL, ORIGINALS, Started
from everloop.core.ending import end_quickly


async def _main(channel: int, listeners: list[int], ahead: bool) -> int:
    for number in (channel, *listeners):
        os.set_inheritable(number, False)  # else a process of this one would keep them open after its end
    opened = [socket.socket(fileno=number) for number in listeners]
    started = None
    if ahead:
        with contextlib.suppress(OSError):  # it is tried again, and told, when there is something for it
            started = await Started.begin(ORIGINALS)
    worker = import_module("everloop.api.front.worker")
    code: int = await worker.Worker(await Channel.open(socket.socket(fileno=channel)), opened, started).run()
    return code


def main(arguments: list[str]) -> None:
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    os.setpgid(0, 0)  # Ctrl-C is for the office. Not a new session: between those priorities do not count
    numbers = [int(one) for one in arguments if one != ORIGINAL]
    sys.exit(uvloop.run(_main(numbers[0], numbers[1:], ORIGINAL in arguments)))


if __name__ == "__main__":
    end_quickly()
    main(sys.argv[1:])
