"""Which texts from outside every database takes."""

from __future__ import annotations


def is_storable(text: object) -> bool:
    """Whether it is a text without the character 0 and without halves of characters."""
    if not isinstance(text, str) or "\0" in text:
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
