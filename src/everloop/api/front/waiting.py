"""What waits for a model that works on one batch after the other, and when the next batch begins.

A batch takes nearly as long with few rows as with many. Clients that ask again as soon as they are answered
would fall into two halves that take turns, each in a batch half as large as it could be. So the next batch
waits a moment for those that were just answered, as long as enough of them do come back. Who is alone never
waits.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from everloop.serving.desk import Scores

MOST = 1_024  # rows in one batch
RETURN = 0.35  # of the time that the last batch took: so long it waits for those that were answered
LONGEST = 0.05  # seconds; who asks again at once is back by then, also where a batch takes seconds
LONGEST_BREAK = 64  # batches that do not wait where nobody came back

Request = tuple[list[Any], asyncio.Future[Scores]]


class Waiting:
    """The requests for one model, in their order. ``busy``: somebody works on them."""

    def __init__(self) -> None:
        self.busy = False
        self._requests: list[Request] = []
        self._rows = self._wanted = 0
        self._there = asyncio.Event()
        self._break = self._left = 0  # batches that do not wait, and how many of them are to come

    def add(self, request: Request) -> None:
        self._requests.append(request)
        self._rows += len(request[0])
        if len(self._requests) >= self._wanted or self._rows >= MOST:
            self._there.set()

    def take(self) -> list[Request]:
        """The next batch, without those whose client went or whose deadline has passed; empty where nothing
        waits."""
        taken: list[Request] = []
        rows = 0
        while self._requests and rows < MOST:
            one = self._requests.pop(0)
            self._rows -= len(one[0])
            if not one[1].done():
                taken.append(one)
                rows += len(one[0])
        return taken

    async def come_back(self, answered: int, took: float) -> None:
        """Wait for the clients of a batch that took so many seconds, which have just been answered."""
        before = len(self._requests)
        if before + answered < 2 or self._rows >= MOST:
            return
        if self._left:
            self._left -= 1
            return
        self._wanted = before + answered
        self._there.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(RETURN * took, LONGEST)):
                await self._there.wait()
        came = len(self._requests) - before
        self._break = 0 if 2 * came >= answered else min(max(1, 2 * self._break), LONGEST_BREAK)
        self._left = self._break
