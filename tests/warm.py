"""A turn, taken in a process before its children are born: what a process does only the first time, such as
filling the registries of libraries, is half of a turn, and each child would do it anew."""

from __future__ import annotations

import gc
import tempfile
from pathlib import Path

from everloop import wiring
from everloop.flows import turn
from everloop.settings import folder_settings


def warm() -> None:
    with tempfile.TemporaryDirectory() as folder:
        project = wiring.connect(folder_settings(Path(folder), {}))
        try:
            turn.run(project, "default")
        finally:
            project.close()
    gc.collect()
    gc.freeze()  # children share this memory with their parent as long as nobody looks through it
