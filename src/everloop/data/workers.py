"""Threads for work that keeps the processor busy."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor


def workers() -> ThreadPoolExecutor:
    """As many as there are processors: more would only take each other's cache and memory."""
    return ThreadPoolExecutor(os.cpu_count())
