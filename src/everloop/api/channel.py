"""Messages between the office and a worker, over a socket pair: four bytes of length, then MessagePack."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import msgspec

Message = dict[str, Any]
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode
MOST = 1 << 31


class Channel:
    """One end of a connection. Iterating gives what comes, until the other end is gone."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, end: socket.socket) -> Channel:
        end.setblocking(False)
        return cls(*await asyncio.open_connection(sock=end))

    def send(self, kind: str, **given: Any) -> None:
        """Say something; what the other end is too slow to read waits in memory."""
        if not self._writer.is_closing():
            data = _encode({"kind": kind, **given})
            self._writer.write(len(data).to_bytes(4, "big") + data)

    async def drained(self) -> None:
        await self._writer.drain()

    async def __aiter__(self) -> AsyncIterator[Message]:
        try:
            while True:
                size = int.from_bytes(await self._reader.readexactly(4), "big")
                yield _decode(await self._reader.readexactly(size))
        except (asyncio.IncompleteReadError, ConnectionError):
            return

    def close(self) -> None:
        self._writer.close()
