"""How a process of Everloop's own ends."""

from __future__ import annotations

import atexit
import gc


def end_quickly() -> None:
    """From now on this process ends without a last search for cycles in all that it has loaded: that takes up
    to half a second and frees what the system takes back anyway. All else is done as ever: threads are waited
    for, what is registered with ``atexit`` is called, files are written out."""
    atexit.unregister(gc.freeze)
    atexit.register(gc.freeze)
