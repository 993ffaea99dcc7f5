"""What kinds of bodies are taken."""

from __future__ import annotations

import re

from .problems import HttpError

JSON_TYPE = b"application/json"
_CHARSET = re.compile(rb"""\s*(?:charset\s*=\s*"?(?:utf-?8|us-ascii)"?\s*)?;?\s*""")


def is_json(kind: bytes) -> bool:
    """Whether a content type is JSON in UTF-8."""
    first, _, parameters = kind.lower().partition(b";")
    return first.strip() == JSON_TYPE and _CHARSET.fullmatch(parameters) is not None


def unsupported(kind: bytes) -> HttpError:
    shown = kind.decode("latin-1")
    shown = repr(shown if len(shown) <= 60 else f"{shown[:60]}…")
    return HttpError(
        415, "unsupported_media_type",
        f"The content type is {shown if kind else 'not given'}.",
        remedy="Send JSON in UTF-8, and say 'Content-Type: application/json'.",
    )  # fmt: skip
