"""What kinds of bodies are taken, and how answers are compressed."""

from __future__ import annotations

import gzip
import re
import zlib

from .problems import HttpError

JSON_TYPE = b"application/json"
EVENT_TYPE = b"application/cloudevents+json"
COMPRESSED_FROM = 1_024  # bytes
_CHARSET = re.compile(rb"""\s*(?:charset\s*=\s*"?(?:utf-?8|us-ascii)"?\s*)?;?\s*""")


def is_json(kind: bytes, named: bytes = JSON_TYPE) -> bool:
    """Whether a content type is JSON in UTF-8, of this name."""
    first, _, parameters = kind.lower().partition(b";")
    return first.strip() == named and _CHARSET.fullmatch(parameters) is not None


def unsupported(
    kind: bytes, remedy: str = "Send JSON in UTF-8, and say 'Content-Type: application/json'."
) -> HttpError:
    shown = kind.decode("latin-1")
    shown = repr(shown if len(shown) <= 60 else f"{shown[:60]}…")
    return HttpError(
        415, "unsupported_media_type",
        f"The content type is {shown if kind else 'not given'}.",
        remedy=remedy,
    )  # fmt: skip


def wants_page(header: str) -> bool:
    """Whether an ``Accept`` asks for HTML rather than for JSON, as browsers do. ``*/*`` does not."""
    weights: dict[str, float] = {}
    for part in header.lower().split(","):
        kind, _, parameters = part.partition(";")
        found = re.search(r"(?:^|;)\s*q\s*=\s*([01](?:\.\d{0,3})?)\s*(?:;|$)", parameters)
        weights[kind.strip()] = float(found[1]) if found else 1.0
    html = weights.get("text/html", 0.0)
    return html > weights.get(JSON_TYPE.decode(), weights.get("application/*", 0.0))


def accepted(header: bytes) -> bytes:
    """The compression that an ``Accept-Encoding`` asks for; empty: none."""
    weights: dict[bytes, bool] = {}
    for part in header.lower().split(b","):
        name, _, parameters = part.partition(b";")
        weights[name.strip()] = re.fullmatch(rb"\s*q\s*=\s*0(\.0*)?\s*", parameters) is None
    anything = weights.get(b"*", False)
    return next((how for how in (b"gzip", b"deflate") if weights.get(how, anything)), b"")


def packed(body: bytes, how: bytes) -> bytes:
    """A body in ``gzip`` or ``deflate``. Takes long: not for the event loop."""
    return gzip.compress(body, 1) if how == b"gzip" else zlib.compress(body, 1)
