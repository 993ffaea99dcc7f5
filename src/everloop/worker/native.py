"""The process of models that could not be compiled: ``python -m everloop.worker.native CHANNEL``."""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
import sys
from importlib import import_module

from everloop.api.channel import Channel
from everloop.core.ending import end_quickly


async def _main(number: int) -> None:
    gc.disable()  # hundreds of thousands of objects come with the libraries, and all of them stay
    serve = import_module("everloop.worker.originals").serve
    gc.freeze()
    gc.enable()
    await serve(await Channel.open(socket.socket(fileno=number)))


if __name__ == "__main__":
    end_quickly()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    asyncio.run(_main(int(sys.argv[1])))
