"""The log of a turn: one event per step, for those who collect logs."""

from __future__ import annotations

from typing import Any

from everloop.adapters.logs import open_log as open_log
from everloop.core.turns import Listener, StepStatus


def logged(log: Any, model: str, listener: Listener) -> Listener:
    """A listener that also logs what it is told."""

    def tell(step: str, status: StepStatus, message: str) -> None:
        write = log.error if status == "failed" else log.info
        write("step", model=model, step=step, status=status, message=message)
        listener(step, status, message)

    return tell
