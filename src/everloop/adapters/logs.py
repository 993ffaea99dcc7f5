"""The log: events as JSON lines in the file of ``logging.file``, and on a console for people.

Several processes write to one file, each line at once; whoever finds it too long moves it aside.
"""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

import structlog

from everloop.core.clock import Clock
from everloop.settings import Settings

ROTATE = 50_000_000  # bytes of one file
KEEP = 5  # files before the current one: log.1 is the newest of them
HIDDEN = "***"
SECRET = frozenset(
    ("password", "secret", "token", "authorization", "api_key", "apikey", "x-api-key", "cookie")
)
Event = structlog.typing.EventDict


@contextmanager
def open_log(settings: Settings, clock: Clock, console: TextIO | None = None) -> Iterator[Any]:
    """A structlog logger of events of ``logging.level`` and above. Values of fields that a model masks, and
    of what looks like a secret, are hidden. ``console`` gets notes and failures, coloured on a terminal."""
    sinks: list[Callable[[Event], None]] = []
    file = None
    if settings.logging.file is not None:
        file = LogFile(settings.root / settings.logging.file)
        sinks.append(file.event)
    if console is not None:
        sinks.append(_Console(console).event)
    masked = {name.lower() for model in settings.models.values() for name in model.serving.mask} | SECRET
    level = logging.getLevelNamesMapping()[settings.logging.level]

    def stamp(_: object, method: str, event: Event) -> Event:
        return {"at": clock.now().isoformat(), "level": method, "tenant": settings.tenant, **event}

    def mask(_: object, __: str, event: Event) -> Event:
        hidden: Event = hide(event, masked)
        return hidden

    def deliver(_: object, __: str, event: Event) -> tuple[tuple[Event], dict[str, Any]]:
        return (event,), {}

    try:
        yield structlog.wrap_logger(
            _Sinks(sinks),
            processors=[stamp, mask, deliver],
            wrapper_class=structlog.make_filtering_bound_logger(level),
        )
    finally:
        if file is not None:
            file.close()


def hide(value: Any, names: Collection[str]) -> Any:
    """The same with the values under these names, however deep, hidden."""
    if isinstance(value, Mapping):
        return {
            key: HIDDEN
            if isinstance(key, str) and key.lower() in names and one is not None
            else hide(one, names)
            for key, one in value.items()
        }
    if isinstance(value, list | tuple):
        return [hide(one, names) for one in value]
    return value


class _Sinks:
    def __init__(self, sinks: Sequence[Callable[[Event], None]]) -> None:
        self._sinks = sinks

    def msg(self, event: Event) -> None:
        for sink in self._sinks:
            sink(event)

    debug = info = warning = warn = error = critical = exception = log = msg


class LogFile:
    """A file that grows by whole lines. A full disk loses lines, and stops nobody."""

    def __init__(self, path: Path, rotate: int = ROTATE, keep: int = KEEP) -> None:
        self._path = path
        self._rotate_at = rotate
        self._keep = keep
        self._render = structlog.processors.JSONRenderer(default=str)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._open()

    def event(self, event: Event) -> None:
        self.write(str(self._render(None, "", event)))

    def write(self, line: str) -> None:
        with suppress(OSError):
            if self._moved():
                self._file, old = self._open(), self._file
                os.close(old)
            os.write(self._file, line.encode(errors="backslashreplace") + b"\n")
            if os.fstat(self._file).st_size > self._rotate_at:
                self._rotate()

    def close(self) -> None:
        os.close(self._file)

    def _open(self) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)

    def _moved(self) -> bool:
        """Whether the path is now another file than the open one."""
        mine = os.fstat(self._file)
        try:
            there = self._path.stat()
        except FileNotFoundError:
            return True
        return (mine.st_ino, mine.st_dev) != (there.st_ino, there.st_dev)

    def _rotate(self) -> None:
        fcntl.flock(self._file, fcntl.LOCK_EX)
        try:
            if self._moved():
                return
            for number in range(self._keep, 1, -1):
                with suppress(FileNotFoundError):
                    self._numbered(number - 1).replace(self._numbered(number))
            self._path.replace(self._numbered(1))
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")


class _Console:
    """For people: notes and failures, not each request that a client got wrong."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._render = structlog.dev.ConsoleRenderer(colors=True, pad_event_to=0) if stream.isatty() else None

    def event(self, event: Event) -> None:
        if event.get("event") == "request" and event["level"] not in ("error", "critical"):
            return
        if event["level"] == "debug" or ("logger" in event and "worker" in event):  # the worker did
            return
        with suppress(OSError, ValueError):  # a console that is gone
            self._stream.write(f"{self._shown(dict(event))}\n")
            self._stream.flush()

    def _shown(self, event: Event) -> str:
        if self._render is None:
            told = {k: v for k, v in event.items() if k not in ("at", "level", "tenant", "event", "pid")}
            more = ", ".join(f"{key} {value}" for key, value in told.items())
            return f"{event['event']}{f' ({more})' if more else ''}"
        at = str(event.pop("at"))[11:19]
        event.pop("tenant", None)
        return str(self._render(None, "", {"timestamp": at, **event}))
