"""The courier: a process beside ours that brings MLflow what waits in the outbox, while we train.

It is started by the name of its module and told the project on its standard input: no password stands in a
process list. The end of that input, also when we are killed, is its sign to deliver the rest and go.
"""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from everloop.settings import Settings

MODULE = "everloop.worker.courier"
AWAY = 75  # the exit code of a process that found what it needs away, or busy: it is tried again, ever later
_left: list[subprocess.Popen[bytes]] = []


class Courier:
    """A running courier. ``finish`` lets it deliver the rest; left without that it does so by itself.

    One that cannot start (``problem`` says why) stands in nobody's way: what it should have brought waits
    in the outbox for the next one, or for ``everloop deliver``.
    """

    def __init__(self, settings: Settings) -> None:
        self.problem: str | None = None
        self._process: subprocess.Popen[bytes] | None = None
        log = settings.state / "courier.log"
        try:
            log.parent.mkdir(parents=True, exist_ok=True)
            with log.open("ab") as errors:
                self._process = subprocess.Popen(  # noqa: S603 (our own module, in our own interpreter)
                    [sys.executable, "-m", MODULE],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    stderr=errors,
                    cwd=settings.root,
                    start_new_session=True,  # Ctrl-C is for us; the courier ends when we do
                )
        except OSError as error:
            self.problem = f"The courier to MLflow cannot be started: {error}."
            return
        self._tell(json.dumps(describe(settings)).encode() + b"\n")

    def finish(self, wait: float) -> bool:
        """Let it deliver the rest and wait at most ``wait`` seconds; whether it has ended by then."""
        if self._process is None:
            return True
        self._hang_up(self._process)
        try:
            self._process.wait(wait)
        except subprocess.TimeoutExpired:
            _left.append(self._process)  # it ends by itself; a forgotten Popen would warn of that
            return False
        return True

    def __enter__(self) -> Courier:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.finish(0)

    def _tell(self, line: bytes) -> None:
        if self._process and self._process.stdin:
            with suppress(BrokenPipeError):  # dead already: what it should have brought waits in the outbox
                self._process.stdin.write(line)
                self._process.stdin.flush()

    @staticmethod
    def _hang_up(process: subprocess.Popen[bytes]) -> None:
        if process.stdin and not process.stdin.closed:
            with suppress(BrokenPipeError):
                process.stdin.close()


def describe(settings: Settings) -> dict[str, object]:
    """What the courier must know of a project."""
    return {"root": str(Path(settings.root)), "settings": settings.model_dump(mode="json")}
