"""Folders that come into being whole: filled under another name, then moved to their own."""

from __future__ import annotations

import os
from pathlib import Path


def move_folder(draft: Path, target: Path) -> None:
    """Give a finished folder its name, durably. ``target`` may be there if it is empty."""
    draft.rename(target)
    if os.name == "nt":  # Windows cannot open folders; its rename is durable by the journal
        return
    handle = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
