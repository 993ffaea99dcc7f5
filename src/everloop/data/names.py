"""How people name a version: an id or the beginning of one, a tag or branch, a time, and ``~2`` for the
second before it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from everloop.core.data import DatasetVersion
from everloop.core.errors import Invalid

MAIN = "main"
LATEST = "latest"
SHORTEST = 4

_NAME = re.compile(r"[^\W_][\w.+/-]{0,99}")
_HEX = re.compile(r"[0-9a-f]+", re.IGNORECASE)
_LONGEST = 200  # letters of a dataset's name
_LONGEST_FILE = 60
_BACK = re.compile(r"~(\d*)\Z")


@dataclass(frozen=True)
class Spec:
    """``DATASET@WHAT~BACK`` taken apart. ``dataset`` is None where it was not said."""

    dataset: str | None
    what: str
    back: int


def parse(text: str) -> Spec:
    """``flights@v1~2``, ``flights@latest``, ``3f2a91`` … A name alone has no dataset."""
    dataset, sign, what = text.rpartition("@")
    step = _BACK.search(what)
    back = int(step[1] or 1) if step else 0
    what = what[: step.start()] if step else what
    return Spec(dataset if sign else None, what or (LATEST if step else ""), back)


def is_prefix(text: str) -> bool:
    """Whether ``text`` could be the beginning of a version's id."""
    return len(text) >= SHORTEST and _HEX.fullmatch(text) is not None


def as_time(text: str) -> datetime | None:
    """The moment that ``text`` names in ISO 8601, in UTC where it has no zone; None where it is no time."""
    if "-" not in text or not text[:1].isdigit():
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def check(name: str) -> str:
    """``name``, where a tag or branch may be called so.

    Raises Invalid for what could be taken for an id, a time or ``latest``, and for signs that mean something.
    """
    remedy = "Take a word such as 'golden', 'v1.0' or 'before-cleaning'."
    if not isinstance(name, str):
        raise Invalid(f"{name!r} cannot be the name of a tag or branch.", remedy=remedy)
    if name.lower() == LATEST:
        raise Invalid(
            "'latest' always means the newest version: no tag or branch is called so.", remedy=remedy
        )
    if is_prefix(name):
        raise Invalid(f"'{name}' could be taken for the beginning of a version's id.", remedy=remedy)
    if as_time(name) is not None:
        raise Invalid(f"'{name}' would be taken for a time.", remedy=remedy)
    if not _NAME.fullmatch(name):
        raise Invalid(
            f"'{name}' cannot be the name of a tag or branch: letters, digits and . _ + - / after a first "
            "letter or digit, 100 at most.",
            remedy=remedy,
        )
    return name


def check_dataset(name: str) -> str:
    """``name``, where a dataset may be called so: a word, or the path of a file inside a folder.

    Raises Invalid for anything that leads out of a folder or cannot be seen.
    """
    parts = name.split("/") if isinstance(name, str) else []
    if (
        not parts
        or len(name) > _LONGEST
        or name != name.strip()
        or not name.isprintable()
        or any(part in ("", ".", "..") for part in parts)
        or name.startswith("-")
        or "\\" in name
    ):
        shown = repr(name) if len(repr(name)) <= _LONGEST else f"{repr(name)[:_LONGEST]}…"
        raise Invalid(
            f"{shown} cannot be the name of a dataset.",
            remedy=f"Take letters, digits and . _ - / with no '..' between slashes, {_LONGEST} at most: "
            "'customers', 'sales/2024'.",
        )
    return name


def file_name(version: DatasetVersion) -> str:
    """What a version's file or folder is called, without an ending: never one of another folder."""
    plain = re.sub(r"[^\w.-]+", "-", version.dataset).lstrip(".-")[:_LONGEST_FILE]
    return f"{plain or 'data'}-{version.short}"
