"""A process of ours ends at once: Python looks for no cycles any more among all that it has loaded."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.house import SOURCE, source_files

_MAIN = 'if __name__ == "__main__":\n'
_PROBE = """
import atexit, gc, runpy, sys
atexit.register(lambda: print(gc.get_freeze_count()))  # called last
sys.argv = {words!r}
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


def frozen(*words: str) -> int:
    """How many objects ``python -m words`` no longer looks at when it ends."""
    command = [sys.executable, "-c", _PROBE.format(words=list(words))]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    return int(done.stdout.splitlines()[-1])


def test_commands_end_quickly() -> None:
    assert frozen("everloop", "--version") > 1_000


def test_what_they_start_ends_quickly() -> None:
    assert frozen("everloop.worker.courier") > 1_000


def test_it_would_be_noticed() -> None:
    assert frozen("this", "is", "another") == 0


@pytest.mark.parametrize(
    "path", [path for path in source_files() if _MAIN in (SOURCE / path).read_text()], ids=Path.as_posix
)
def test_each_process_ends_quickly(path: Path) -> None:
    first = "main()" if path == Path("__main__.py") else "end_quickly()"  # the command line's main does it
    assert f"{_MAIN}    {first}\n" in (SOURCE / path).read_text()
