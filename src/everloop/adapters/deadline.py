"""A piece of work with a deadline, whatever the library does that does it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from everloop.core.errors import TimedOut

T = TypeVar("T")


def within(seconds: float, work: Callable[[], T]) -> T:
    """What ``work`` returns or raises. Raises TimedOut when it takes longer: it is left to itself then, in a
    thread that nobody waits for."""
    found: list[T] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            found.append(work())
        except BaseException as error:  # noqa: BLE001 (it is raised where it is waited for)
            failed.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise TimedOut(
            f"There was no answer within {seconds:g} s.", remedy="Try again, or raise alerts.timeout."
        )
    if failed:
        raise failed[0]
    return found[0]
