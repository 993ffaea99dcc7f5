"""The log of ``logging.file``: one JSON line per step of a turn, for those who collect logs."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import structlog

from everloop.core.clock import Clock
from everloop.core.turns import Listener, StepStatus
from everloop.settings import Settings


@contextmanager
def open_log(settings: Settings, clock: Clock) -> Iterator[Any]:
    """A structlog logger that writes lines of ``logging.level`` and above to the file, or nowhere."""
    level = logging.getLevelNamesMapping()[settings.logging.level]

    def stamp(_: object, method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        return {"at": clock.now().isoformat(), "level": method, "tenant": settings.tenant, **event}

    def logger(target: object) -> Any:
        return structlog.wrap_logger(
            target,
            processors=[stamp, structlog.processors.JSONRenderer(default=str)],
            wrapper_class=structlog.make_filtering_bound_logger(level),
        )

    if settings.logging.file is None:
        yield logger(structlog.ReturnLogger())
        return
    path = settings.root / settings.logging.file
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8", buffering=1) as file:
        yield logger(structlog.WriteLogger(file))


def logged(log: Any, model: str, listener: Listener) -> Listener:
    """A listener that also logs what it is told."""

    def tell(step: str, status: StepStatus, message: str) -> None:
        write = log.error if status == "failed" else log.info
        write("step", model=model, step=step, status=status, message=message)
        listener(step, status, message)

    return tell
