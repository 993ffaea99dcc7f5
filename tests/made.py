"""Projects that each process of the tests makes once, and copies for each test: a test has its own."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

_made: dict[str, Path] = {}


def copied(name: str, folder: Path, make: Callable[[Path], None]) -> None:
    """Into ``folder`` comes what ``make`` makes: once for each ``name``, which says all that it rests on."""
    if name not in _made:
        place = Path(tempfile.mkdtemp(prefix="everloop-made-"))
        atexit.register(shutil.rmtree, place, ignore_errors=True)
        make(place)
        _made[name] = place
    shutil.copytree(_made[name], folder, dirs_exist_ok=True)
