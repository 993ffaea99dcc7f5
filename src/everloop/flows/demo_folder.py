"""The demo's folder: made, gone on with, or refused, before any heavy library is loaded."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

from everloop.core.errors import Conflict

MODEL = "late"
FILE = Path("data") / "flights.parquet"
_OURS = b"# Made by 'everloop demo'."


def prepare(folder: Path, write_file: Callable[[Path, bytes], None], *, fresh: bool = False) -> bool:
    """Make ``folder`` a demo project; True when it is one already, which then goes on.

    ``fresh`` removes what an earlier demo has left there. Raises Conflict if it holds something else.
    """
    settings = folder / "everloop.yaml"
    ours = settings.is_file() and settings.read_bytes().startswith(_OURS)
    if folder.exists() and not ours and (not folder.is_dir() or any(folder.iterdir())):
        raise Conflict(
            f"'{folder}' is there already and holds something else.",
            remedy="Choose another folder: everloop demo --dir NAME.",
        )
    if ours and not fresh:
        return True
    if ours:
        shutil.rmtree(folder / ".everloop", ignore_errors=True)
        (folder / FILE).unlink(missing_ok=True)
    write_file(settings, files(__package__).joinpath("templates", "demo.yaml").read_bytes())
    return False
