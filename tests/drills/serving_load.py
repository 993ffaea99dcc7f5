"""Load on an HTTP server, and an exact account of it: what was answered, and what was sent and never was."""

from __future__ import annotations

import asyncio
import itertools
import json
import select
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

BODY = {"features": [5.1, 3.5, 1.4, 0.2]}
GIVE_UP = 20.0  # seconds without an answer on a connection that stays open
CONNECTS = 5.0  # seconds for a connection: the system makes it at once, but this process may be held up


@dataclass
class Account:
    """What clients saw. ``lost``: a request was sent whole on an open connection, and the connection ended
    before its answer. ``refused``: connections that did not come about, and why. ``answers`` are (when,
    connection, id of the prediction, version, probabilities)."""

    answers: list[tuple[float, int, str, str, dict[str, float]]] = field(default_factory=list)
    status: Counter[int] = field(default_factory=Counter)
    lost: list[tuple[float, str]] = field(default_factory=list)
    refused: list[tuple[float, str]] = field(default_factory=list)
    without_hint: int = 0  # answers 429 or 503 without Retry-After
    connected: int = 0

    def ids(self) -> list[str]:
        return [answer[2] for answer in self.answers]

    def longest_gap(self) -> float:
        """The longest time in which no client got an answer, in seconds."""
        times = sorted(answer[0] for answer in self.answers)
        return max((after - before for before, after in itertools.pairwise(times)), default=0.0)

    def others(self) -> dict[int, int]:
        """Answers that are not 200."""
        return {status: n for status, n in self.status.items() if status != 200}


class Load:
    """``clients`` connections that are kept open; each waits ``pause`` seconds between its requests. Times
    are those of ``time.monotonic``."""

    def __init__(
        self, port: int, body: Any, *, clients: int = 8, pause: float = 0.0, path: str = "/predict"
    ) -> None:
        content = json.dumps(body).encode()
        head = f"POST {path} HTTP/1.1\r\nHost: drill\r\nContent-Type: application/json\r\n"
        self.request = f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content
        self.account = Account()
        self._port = port
        self.clients = clients
        self._pause = pause
        self._ending = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> Account:
        """No new requests; those under way are waited for."""
        self._ending.set()
        self._thread.join(GIVE_UP + 5)
        assert not self._thread.is_alive()
        return self.account

    def wait(self, answers: int, seconds: float = 30.0) -> None:
        """Until so many more requests are answered. Raises TimeoutError."""
        wanted, until = len(self.account.answers) + answers, time.monotonic() + seconds
        while len(self.account.answers) < wanted:
            if time.monotonic() > until:
                raise TimeoutError(f"no {answers} answers in {seconds} s; others: {self.account.others()}")
            time.sleep(0.005)

    async def _run(self) -> None:
        await asyncio.gather(*(self._client(number) for number in range(self.clients)))

    async def _client(self, number: int) -> None:
        loop = asyncio.get_running_loop()
        line: _Line | None = None
        while not self._ending.is_set():
            if line is None or line.closed:
                line = await self._connect(loop)
                if line is None:
                    continue
            await self._ask(line, number)
            await asyncio.sleep(self._pause)
        if line is not None:
            line.close()

    async def _connect(self, loop: asyncio.AbstractEventLoop) -> _Line | None:
        try:
            async with asyncio.timeout(CONNECTS):
                _, line = await loop.create_connection(_Line, "127.0.0.1", self._port)
        except (OSError, TimeoutError) as error:
            self.account.refused.append((time.monotonic(), repr(error)))
            await asyncio.sleep(0.02)
            return None
        self.account.connected += 1
        return line

    async def _ask(self, line: _Line, number: int) -> None:
        account = self.account
        answer = line.send(self.request)
        if answer is None:
            return
        try:
            async with asyncio.timeout(GIVE_UP):
                status, headers, body = await answer
        except TimeoutError:
            account.lost.append((time.monotonic(), "no answer"))
            line.close()
            return
        except ConnectionError as error:
            account.lost.append((time.monotonic(), f"{error}"))
            return
        account.status[status] += 1
        if status == 200:
            said = json.loads(body)
            account.answers.append(
                (
                    time.monotonic(),
                    number,
                    said["prediction_id"],
                    said["model_version"],
                    said["probabilities"],
                )
            )
        elif status in (429, 503) and b"retry-after" not in headers.lower():
            account.without_hint += 1
        if b"connection: close" in headers.lower():
            line.close()


class _Line(asyncio.Protocol):
    """One connection with at most one request under way."""

    def __init__(self) -> None:
        self.closed = False
        self._transport: asyncio.Transport | None = None
        self._read = b""
        self._answer: asyncio.Future[tuple[int, bytes, bytes]] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def send(self, request: bytes) -> asyncio.Future[tuple[int, bytes, bytes]] | None:
        """The answer to come; None where the server has closed before. As HTTP clients do before they use a
        quiet connection again, this looks whether its end has come, which the loop may not have seen yet."""
        if self.closed or self._transport is None or self._transport.is_closing() or self._has_ended():
            self.closed = True
            return None
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return self._answer

    def _has_ended(self) -> bool:
        assert self._transport is not None
        line = self._transport.get_extra_info("socket").fileno()
        return line < 0 or bool(select.select([line], [], [], 0)[0])  # no answer is awaited: it is the end

    def data_received(self, data: bytes) -> None:
        self._read += data
        head, found, rest = self._read.partition(b"\r\n\r\n")
        if not found or self._answer is None or self._answer.done():
            return
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        if len(rest) >= length:
            self._read = b""
            self._answer.set_result((int(head.split(b" ", 2)[1]), head, rest[:length]))

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionError(f"{exc or 'closed'}"))

    def close(self) -> None:
        self.closed = True
        if self._transport is not None:
            self._transport.close()
