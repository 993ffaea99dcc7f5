"""Real servers and programs that tests use, found on this machine and started on free loopback ports.

One that is missing skips its tests on a laptop and fails them where ``CI=true``, so that a green build
means that the real part was there.
"""

from __future__ import annotations

import os
import socket
from typing import NoReturn

import pytest


def missing(part: str, package: str) -> NoReturn:
    """Skip the test, or fail it in CI, because ``part`` is not on this machine."""
    message = f"{part} is not installed (Debian: apt-get install {package})"
    if os.environ.get("CI", "").lower() in {"1", "true"}:
        pytest.fail(message, pytrace=False)
    pytest.skip(message)


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
