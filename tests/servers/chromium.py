"""A real browser for tests: what a page looks like, and what it became after its scripts ran."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

from tests.servers import missing

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
QUIET = (
    "--headless",
    "--no-sandbox",  # root in a container has no other way
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)
_SOON = "--virtual-time-budget=5000"  # scripts get 5 s of the page's own time before it is taken


def screenshot(page: Path | str, png: Path, *, width: int = 1280, height: int = 2400) -> Path:
    """Draw ``page`` (a file or a URL) into ``png`` and return it."""
    png.unlink(missing_ok=True)
    _run(page, f"--window-size={width},{height}", f"--screenshot={png.resolve()}")
    if not png.exists():
        raise RuntimeError(f"The browser made no picture of {page}.")
    return png


def dump_dom(page: Path | str) -> str:
    """The HTML of ``page`` (a file or a URL) after its scripts ran."""
    return _run(page, "--dump-dom")


def _run(page: Path | str, *options: str, timeout: float = 90) -> str:
    browser = next(filter(None, map(shutil.which, NAMES)), None)
    if browser is None:
        missing("Chromium", "chromium fonts-dejavu-core")
    address = page.resolve().as_uri() if isinstance(page, Path) else page
    with tempfile.TemporaryDirectory(prefix="everloop-chromium-", ignore_cleanup_errors=True) as profile:
        process = subprocess.Popen(
            [browser, *QUIET, _SOON, f"--user-data-dir={profile}", *options, address],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            output, errors = process.communicate(timeout=timeout)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)  # its own group: the browser and its children
            process.communicate()
            raise
    if process.returncode != 0:
        raise RuntimeError(f"The browser ended with {process.returncode}:\n{errors[-2000:]}")
    return output
