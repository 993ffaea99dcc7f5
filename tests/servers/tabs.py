"""A tab of a real browser in which a test does what people do: fill in, click, wait for what comes of it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

from tests.servers import missing
from tests.servers.chromium import NAMES, QUIET

PATIENCE = 60.0  # seconds


class Tab:
    """Speaks Chromium's DevTools protocol over a pair of pipes."""

    def __init__(self, told: IO[bytes], heard: IO[bytes]) -> None:
        self._told, self._heard = told, heard
        self._number = 0
        self._session: str | None = None

    def open(self, address: str) -> None:
        target = self._call("Target.createTarget", url=address)["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.wait("document.readyState === 'complete' && location.href !== 'about:blank'")

    def resize(self, width: int) -> None:
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        self._call("Emulation.setDeviceMetricsOverride", **size)

    def do(self, script: str) -> Any:
        """What an expression gives."""
        found = self._call("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def wait(self, script: str) -> None:
        """Until an expression is true; a page that is just being loaded is asked again."""
        until = time.monotonic() + PATIENCE
        while True:
            found = self._call("Runtime.evaluate", expression=script, returnByValue=True)
            if found.get("result", {}).get("value") is True:
                return
            assert time.monotonic() < until, f"{script} did not become true: {found}"
            time.sleep(0.05)

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        asked = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            asked["sessionId"] = self._session
        self._told.write(json.dumps(asked).encode() + b"\0")
        self._told.flush()
        while True:
            answer = json.loads(self._message())
            if answer.get("id") == self._number:
                result: dict[str, Any] = answer.get("result", {})
                return result

    def _message(self) -> bytes:
        found = b""
        while not found.endswith(b"\0"):
            more = self._heard.read(1)
            if not more:
                raise EOFError("The browser has ended.")
            found += more
        return found[:-1]


@contextmanager
def tab(address: str) -> Iterator[Tab]:
    browser = next(filter(None, map(shutil.which, NAMES)), None)
    if browser is None:
        missing("Chromium", "chromium fonts-dejavu-core")
    (to_read, to_tell), (to_hear, to_say) = os.pipe(), os.pipe()
    with tempfile.TemporaryDirectory(prefix="everloop-chromium-", ignore_cleanup_errors=True) as profile:
        process = subprocess.Popen(
            ["bash", "-c", f'exec "$@" 3<&{to_read} 4>&{to_say}', "bash", browser, *QUIET,
             "--remote-debugging-pipe", f"--user-data-dir={profile}", "about:blank"],
            pass_fds=(to_read, to_say), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        os.close(to_read)
        os.close(to_say)
        with os.fdopen(to_tell, "wb") as told, os.fdopen(to_hear, "rb") as heard:
            try:
                opened = Tab(told, heard)
                opened.open(address)
                yield opened
            finally:
                os.killpg(process.pid, signal.SIGKILL)  # its own group: the browser and its children
                process.wait()
