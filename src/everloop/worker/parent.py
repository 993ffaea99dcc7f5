"""A process that ends when the one that started it is gone, however that ended."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import suppress

LOOK_EVERY = 0.25  # seconds


def end_with_it(parent: int | None = None, last_words: Callable[[], object] = lambda: None) -> None:
    """End this process, wherever it is, soon after its parent [the present one] is gone. All work survives
    that. ``last_words`` is called before; whatever it raises is passed over."""
    parent = parent or os.getppid()

    def watch() -> None:
        waiting = threading.Event()
        while os.getppid() == parent:
            waiting.wait(LOOK_EVERY)
        with suppress(Exception):
            last_words()
        os._exit(1)

    threading.Thread(target=watch, name="watch-parent", daemon=True).start()
