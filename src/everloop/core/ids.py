"""Identifiers: short, sortable by time, and random enough to never meet."""

from __future__ import annotations

import secrets
from datetime import datetime

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


def new_id(prefix: str, now: datetime) -> str:
    """``prefix_`` + 9 characters of milliseconds since 1970 + 8 random ones (40 bits)."""
    stamp = int(now.timestamp() * 1000)
    return f"{prefix}_{_base32(stamp, 9)}{token()}"


def token() -> str:
    """8 random characters (40 bits), for names that must not meet."""
    return _base32(secrets.randbits(40), 8)


def random_bytes(count: int) -> bytes:
    """Random bytes that nobody can guess, for keys and salts."""
    return secrets.token_bytes(count)


def _base32(number: int, width: int) -> str:
    digits = []
    for _ in range(width):
        number, rest = divmod(number, 32)
        digits.append(_ALPHABET[rest])
    return "".join(reversed(digits))
