"""Which names an object may have, in a folder and in an object store, and how a sealed one begins."""

from __future__ import annotations

from everloop.core.errors import InvalidSettings, NotFound

DRAFT = ".tmp"
SEAL = b"\x89EVRSEAL"
_NOT_IN_A_KEY = ("\\", "\0", ":")


def checked(key: str, place: str) -> str:
    """The key, if it is one. Raises NotFound for one that would lead out of ``place``."""
    parts = key.split("/")
    if any(part in ("", ".", "..") for part in parts) or any(sign in key for sign in _NOT_IN_A_KEY):
        raise NotFound(f"'{key}' is no object of {place}.")
    return key


def unsealed(data: bytes, where: str) -> bytes:
    """The bytes, unless they are encrypted: to whoever has no keys they would look damaged."""
    if data.startswith(SEAL):
        raise InvalidSettings(
            f"{where} is encrypted, and the settings name no keys.",
            remedy="Set storage.encryption.key_file (or key_variable) as it was.",
        )
    return data


def is_draft(name: str) -> bool:
    """Whether a file is what a write that was interrupted has left."""
    return name.startswith(".") and name.endswith(DRAFT)
