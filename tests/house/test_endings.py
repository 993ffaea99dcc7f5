"""A process of ours seldom looks for cycles in what it loads, and not at all when it ends: that is what a
short command would mostly do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.house import SOURCE, source_files

_MAIN = 'if __name__ == "__main__":\n'
_PROBE = """
import atexit, gc, runpy, sys
atexit.register(lambda: print(gc.get_freeze_count(), gc.get_threshold()[0]))  # called last
sys.argv = {words!r}
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


def at_the_end(*words: str) -> tuple[int, int]:
    """Of ``python -m words``: how many objects it no longer looks at when it ends, and after how many new
    ones it has looked."""
    command = [sys.executable, "-c", _PROBE.format(words=list(words))]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    left_out, seldom = done.stdout.splitlines()[-1].split()
    return int(left_out), int(seldom)


def test_commands() -> None:
    left_out, seldom = at_the_end("everloop", "--version")
    assert left_out > 1_000
    assert seldom >= 10_000


def test_what_they_start() -> None:
    assert at_the_end("everloop.worker.courier")[0] > 1_000


def test_it_would_be_noticed() -> None:
    assert at_the_end("this")[0] == 0


@pytest.mark.parametrize(
    "path", [path for path in source_files() if _MAIN in (SOURCE / path).read_text()], ids=Path.as_posix
)
def test_each_process_ends_quickly(path: Path) -> None:
    first = "main()" if path == Path("__main__.py") else "end_quickly()"  # the command line's main does it
    assert f"{_MAIN}    {first}\n" in (SOURCE / path).read_text()
