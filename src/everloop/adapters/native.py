"""A model that could not be compiled, in a process of its own, asked by one that waits: what it does there,
even to end the process, does not happen to us. Servers have another end for many requests at a time.

Messages are those of ``worker.native``: four bytes of length, then MessagePack.
"""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Sequence
from typing import Any
from weakref import finalize

import msgspec
import numpy as np

from everloop.core.documents import dump
from everloop.core.errors import TimedOut, Unavailable
from everloop.core.serving import Form

MODULE = "everloop.worker.native"
LOAD_WITHIN = 120.0  # seconds
RUN_WITHIN = 60.0
_KEY = "model"


class NativeModel:
    """``died``: how the process ended when it was asked last. It is started again with the next question."""

    def __init__(self, kind: str, content: bytes, form: Form) -> None:
        self._load = {"format": kind, "content": content, "form": dump(form)}
        self._process: _Process | None = None
        self.died: str | None = None

    def scores(self, rows: Sequence[Sequence[Any]]) -> np.ndarray:
        """Probabilities (rows, classes) or values (rows,). Raises Unavailable."""
        self.died = None
        process = self._process
        try:
            if process is None:
                process = self._process = _Process()
                process.ask("load", LOAD_WITHIN, **self._load)
            answer = process.ask("run", RUN_WITHIN, rows=rows)
        except (_Ended, TimedOut) as error:
            self.died = error.message
            self.close()
            raise
        return np.frombuffer(answer["scores"], dtype="<f8").reshape(answer["shape"])

    def close(self) -> None:
        if self._process is not None:
            self._process.end()
            self._process = None


class _Ended(Unavailable):
    """The process ended before it answered."""


class _Process:
    def __init__(self) -> None:
        self._line, theirs = socket.socketpair()
        with theirs:
            try:
                self._process = subprocess.Popen(  # noqa: S603 (our own module, in our own interpreter)
                    [sys.executable, "-m", MODULE, str(theirs.fileno())],
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                )
            except OSError as error:
                self._line.close()
                raise Unavailable(f"The process of a model cannot be started: {error.strerror}.") from error
        self.end = finalize(self, _end, self._line, self._process)

    def ask(self, kind: str, timeout: float, **given: Any) -> dict[str, Any]:
        """Raises _Ended, TimedOut, and Unavailable for what the model raised."""
        said = msgspec.msgpack.encode({"kind": kind, "number": 0, "key": _KEY, **given})
        self._line.settimeout(timeout)
        try:
            self._line.sendall(len(said).to_bytes(4, "big") + said)
            size = int.from_bytes(self._read(4), "big")
            answer: dict[str, Any] = msgspec.msgpack.decode(self._read(size))
        except TimeoutError:
            raise TimedOut(f"The model gave no answer within {timeout:g} s.") from None
        except (EOFError, ConnectionError):
            raise _Ended(f"The model ended its process (code {self._process.wait()}).") from None
        if answer["kind"] == "failed":
            raise Unavailable(answer["message"], remedy="Look at the model and its inputs.")
        return answer

    def _read(self, size: int) -> bytes:
        read = bytearray()
        while len(read) < size:
            part = self._line.recv(size - len(read))
            if not part:
                raise EOFError
            read += part
        return bytes(read)


def _end(line: socket.socket, process: subprocess.Popen[bytes]) -> None:
    line.close()
    process.kill()
    process.wait()
