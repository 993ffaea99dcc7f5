"""Which names an object may have: relative, with ``/``, the same in a folder and in an object store."""

from __future__ import annotations

from everloop.core.errors import NotFound

DRAFT = ".tmp"
_NOT_IN_A_KEY = ("\\", "\0", ":")


def checked(key: str, place: str) -> str:
    """The key, if it is one. Raises NotFound for one that would lead out of ``place``."""
    parts = key.split("/")
    if any(part in ("", ".", "..") for part in parts) or any(sign in key for sign in _NOT_IN_A_KEY):
        raise NotFound(f"'{key}' is no object of {place}.")
    return key


def is_draft(name: str) -> bool:
    """Whether a file is what a write that was interrupted has left."""
    return name.startswith(".") and name.endswith(DRAFT)
